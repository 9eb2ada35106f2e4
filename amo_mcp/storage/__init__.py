"""The implementations of the protocols that other rooms declare."""
