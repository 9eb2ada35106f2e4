"""From settings to a running server; the only room that knows all the others."""
