"""amo-mcp: the customer segments and statuses of amoCRM and Kommo as a Model Context Protocol server."""

__version__ = "0.1.0"
