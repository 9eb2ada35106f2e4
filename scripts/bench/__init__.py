"""Figures: how fast and how large the server is, beside an empty server of the same SDK, in one interleaved run."""
