"""The storage of a team's replicas: one PostgreSQL that all of them share. Only `amo_mcp.compose.team` imports it."""
