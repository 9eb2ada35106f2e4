"""A team's server: who comes in, by what they are known, with which rights they work, and what is kept of it.

Only `compose.team` and `storage.postgres` import it.
"""
