"""How a failed call is told."""
