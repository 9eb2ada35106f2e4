"""Every write made safe: recorded, sent, looked for when its answer is lost, and taken back."""
