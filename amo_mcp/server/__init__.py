"""The MCP face of the server: tools, resources, completions, prompts and subscriptions, on the SDK's low-level `Server`."""
