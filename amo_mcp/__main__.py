"""`python -m amo_mcp`, the same as `amo-mcp`."""

from amo_mcp.cli import main

main()
