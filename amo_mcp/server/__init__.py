"""The MCP face of the server, on the SDK's low-level `Server`."""
