"""What the model sees: one short function a tool."""
