"""A team's server: calls a second of its replicas, relative to one server over SQLite."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

from scripts import postgres
from scripts.bench.figures import Figure, figure
from scripts.bench.peers import OURS, at_once, over_http, sandbox

_HOST = "crm.test"
_AT_ONCE = 10
_EACH = 50


def replicas(rounds: int) -> Iterator[Figure]:
    """Calls a second of a tool that reads the journal and asks amoCRM nothing, by one replica and by two."""
    with ExitStack() as stack:
        _, environment = stack.enter_context(sandbox(1))
        cluster = stack.enter_context(postgres.running())
        team, headers = team_on(environment, cluster.url())
        alone, _ = stack.enter_context(over_http(*OURS, "serve", "--http", "--port", "0", **environment))
        serve = (*OURS, "serve", "--team", "--port", "0")
        first, second = (stack.enter_context(over_http(*serve, **team))[0] for _ in range(2))
        ratios: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            _, sqlite = at_once([alone], "list_changes", _AT_ONCE, _EACH)
            for count, urls in ((1, [first]), (2, [first, second])):
                _, whole = at_once(urls, "list_changes", _AT_ONCE, _EACH, headers)
                ratios[count].append(sqlite / whole)
    for count, found in ratios.items():
        several = {1: "one replica", 2: "two replicas"}[count]
        yield figure(f"calls per second over HTTP by {several}, relative to one process over SQLite", found, "×")


def team_on(environment: dict[str, str], database_url: str, **more: str) -> tuple[dict[str, str], dict[str, str]]:
    """The environment of the replicas for an account, and the headers with which an admin calls them."""
    team = environment | {
        "AMO_PUBLIC_URL": f"https://{_HOST}",
        "AMO_DATABASE_URL": database_url,
        "AMO_SECRET_KEY": _printed("keys", "new"),
        "AMO_METRICS": "127.0.0.1:0",
        "AMO_LOG_LEVEL": "WARNING",
        **more,
    }
    token = _printed("token", "--name", "Anna", "--role", "admin", **team)
    return team, {"Host": _HOST, "Authorization": f"Bearer {token}"}


def _printed(*arguments: str, **environment: str) -> str:
    """What a command of the operator prints."""
    command = [sys.executable, *OURS, "team", *arguments]
    return subprocess.run(command, env=environment or None, check=True, capture_output=True, text=True).stdout.strip()
