"""Bytes in and out: stdio and Streamable HTTP."""
