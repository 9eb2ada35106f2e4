"""Signing in with amoCRM: the authorization server in front of a team's server, for its clients alone.

It is built on the SDK's handlers, with what they leave open closed: see `app`.
"""
