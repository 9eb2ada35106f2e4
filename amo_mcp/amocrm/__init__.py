"""The amoCRM API v4 for customer segments and statuses over HTTP. It knows nothing of MCP."""
