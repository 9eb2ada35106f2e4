"""A team's server: who may call it, with which rights, and what its operator sees. Only `compose.team` imports it."""
