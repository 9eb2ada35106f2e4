"""SQLite files in the state directory, shared by the processes of one machine."""
