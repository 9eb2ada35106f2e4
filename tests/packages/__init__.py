"""What the project is installed from."""
