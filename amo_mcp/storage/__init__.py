"""What keeps things: the implementations of the protocols that other rooms declare."""
