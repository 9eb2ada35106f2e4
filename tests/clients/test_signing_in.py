"""Clients that other people wrote sign in to a team's server: `make clients`."""

import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests import person
from tests.clients.test_clients import HERE, VERSIONS, run
from tests.team.front_door import front_door
from tests.team.people import ADMIN, NAMES, give_role
from tests.team.replicas import Replica, Team

PERSON = f"{sys.executable} {Path(person.__file__).resolve()}"
READ, WRITE = "segments:read", "segments:read segments:write"
VIP, GROUP = [51, 54], "Новая группа"

Door = tuple[Team, Replica]
Sign = Callable[..., Any]


@pytest.fixture
def door(database_url: SecretStr) -> Iterator[Door]:
    with front_door(database_url) as door:
        yield door


@pytest.fixture(params=[("sdk", "legacy"), ("client", "legacy"), ("client", "modern")], ids="-".join)
def signing(request: pytest.FixtureRequest, door: Door, tmp_path: Path) -> Sign:
    """Runs a process of a TypeScript client, which keeps its tokens in a file of that name."""

    def signing(*steps: str, file: str = "kept", user: int = ADMIN) -> Any:
        arguments = *request.param, f"{door[1].url}/mcp", str(tmp_path / file), *steps
        return run("node", str(HERE / "signing-in.mjs"), *arguments, PERSON=PERSON, PERSON_USER=str(user))

    return signing


@pytest.mark.requirement("TEAM-20", "TEAM-21", "TEAM-23", "TEAM-24")
def test_the_typescript_clients_sign_in_ask_for_more_refresh_and_are_revoked(door: Door, signing: Sign) -> None:
    assert signing("read", "read", "expire", "read") == {"seen": [VIP, VIP, None, VIP], "asked": [READ]}
    give_role(door[0], ADMIN, "editor")
    assert signing("write", "read", "expire", "write") == {"seen": [GROUP, VIP, None, GROUP], "asked": [WRITE]}
    door[0].run("people", "--name", NAMES[ADMIN], "--remove")
    revoked = signing("read")
    assert revoked == {"seen": ["Error: the person was refused"], "asked": [READ]}


@pytest.mark.requirement("TEAM-23")
def test_two_processes_of_a_typescript_client_that_refresh_at_once_stay_signed_in(
    signing: Sign, tmp_path: Path
) -> None:
    signing("read", "expire")
    shutil.copy(tmp_path / "kept", tmp_path / "other")
    with ThreadPoolExecutor(2) as processes:
        both = processes.map(lambda file: signing("read", "expire", "read", file=file), ("kept", "other"))
        assert [*both] == [{"seen": [VIP, None, VIP], "asked": []}] * 2


@pytest.mark.requirement("TEAM-20", "TEAM-24")
@pytest.mark.parametrize("era", VERSIONS)
def test_the_inspector_signs_in_keeps_that_and_is_revoked(door: Door, era: str, tmp_path: Path) -> None:
    def inspect(*options: str, exits: int = 0) -> Any:
        # Whichever browser a desktop has is not to be known: the one of the environment is opened.
        environment = {"BROWSER": person.COMMAND, "PERSON_USER": str(ADMIN), "MCP_AUTO_OPEN_ENABLED": "true"}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_CURRENT_DESKTOP", "DESKTOP_SESSION", "XDG_SESSION_DESKTOP"):
            environment[name] = ""
        call = ("--method", "tools/call", "--tool-name", "list_segments", "--tool-arg", "search=vip")
        return run(
            "mcp-inspector",
            *("--cli", f"{door[1].url}/mcp", "--protocol-era", era, "--format", "json", *call, *options),
            exits=exits,
            HOME=str(tmp_path),
            MCP_INSPECTOR_SECRET_STORE="file",
            **environment,
        )

    def listed(answer: Any) -> list[int]:
        return [segment["id"] for segment in answer["result"]["structuredContent"]["segments"]]

    callback = "--callback-url", "http://127.0.0.1:0/oauth/callback"
    assert listed(inspect(*callback)) == VIP
    assert listed(inspect("--stored-auth-only")) == VIP
    door[0].run("people", "--name", NAMES[ADMIN], "--remove")
    assert inspect("--stored-auth-only", exits=3) is None
