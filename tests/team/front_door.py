"""A team's server at an address that programs of other people can come to: a replica on loopback, by its own name."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from amo_mcp.sandbox import Sandbox
from tests.team.people import integration
from tests.team.replicas import Replica, Team, team_on


@contextmanager
def front_door(database_url: SecretStr, **environment: str) -> Iterator[tuple[Team, Replica]]:
    """The team and its replica, whose people sign in at a sandbox, each with their own rights."""
    sandbox = Sandbox(mode="segments")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    own = {"AMO_PUBLIC_URL": url, "AMO_ACCESS_TOKEN": "", "AMO_CONFIRM": "page", **integration(sandbox, url)}
    with team_on(database_url.get_secret_value(), sandbox, **{**own, **environment}) as team:
        [replica] = team.started(1)
        yield team, replica
