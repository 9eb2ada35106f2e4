"""Signing in with amoCRM: the authorization server in front of a team's server, for clients and for browsers.

It is built on the SDK's handlers, with what they leave open closed: see `app`.
"""
