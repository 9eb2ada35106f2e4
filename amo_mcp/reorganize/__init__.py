"""What could be better in an account, and plans to make it so: pure functions over what was read."""
