"""What makes and measures the project: generated files, pinned dependencies, the bench."""
