"""Implementations of the protocols of other rooms: in memory, in SQLite files, in the keychain."""
