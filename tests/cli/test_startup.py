"""Starting is cheap, and none of what makes it so outlives the start."""

import pytest

from tests.cli.command_line import python

COMMANDS = ["serve", "sandbox", "demo", "login", "logout", "doctor", "config"]

RUN = """
import contextlib, gc, sys
from importlib import import_module
from amo_mcp.cli import main

name = sys.argv.pop(1)
import_module(f"amo_mcp.cli.{name}").command.callback = lambda **_: print("collector on:", gc.isenabled())
with contextlib.suppress(SystemExit):
    main()
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "arguments"),
    [*((name, [name]) for name in COMMANDS if name != "config"), ("config", ["config", "cursor"]), ("serve", [])],
)
def test_every_command_runs_with_the_garbage_collector_on(name: str, arguments: list[str]) -> None:
    assert python(RUN, name, *arguments) == "collector on: True\n"


def test_whoever_imports_the_package_keeps_their_own_collector_and_models() -> None:
    code = (
        "import gc; from click.testing import CliRunner; from pydantic import BaseModel; before = gc.get_threshold()\n"
        "from amo_mcp.cli import cli\n"
        "CliRunner().invoke(cli, ['config', 'cursor', '--sandbox'])\n"
        "print(gc.isenabled(), gc.get_freeze_count(), gc.get_threshold() == before, BaseModel.model_config)"
    )
    assert python(code) == "True 0 True {}\n"


def test_what_starting_has_built_is_not_looked_at_by_the_collector() -> None:
    code = (
        "import gc\n"
        "from amo_mcp.cli import startup\n"
        "startup.begin(); print(gc.isenabled(), gc.get_freeze_count())\n"
        "startup.ready(); print(gc.isenabled(), gc.get_freeze_count() > 10_000)\n"
        "built = gc.get_freeze_count(); kept = [[] for _ in range(1000)]\n"
        "startup.serving(); print(gc.isenabled(), gc.get_freeze_count() - built >= 1000, gc.get_threshold()[0])\n"
    )
    assert python(code).splitlines() == ["False 0", "True True", "True True 3000"]


def test_a_command_imports_no_other_command() -> None:
    code = (
        "import sys; from amo_mcp.cli import serve\n"
        "print(sorted(name for name in sys.modules if name.startswith(('amo_mcp.sandbox', 'amo_mcp.cli'))))"
    )
    assert python(code) == "['amo_mcp.cli', 'amo_mcp.cli.serve', 'amo_mcp.cli.startup']\n"


def test_no_catalogue_and_no_time_zone_is_read_before_they_are_needed() -> None:
    code = (
        "import sys, anyio\n"
        "from amo_mcp.cli import serve\n"
        "from amo_mcp.compose.local import open_server\n"
        "from amo_mcp.settings import ServingSettings, load_settings\n"
        "from amo_mcp.language import texts\n"
        "from mcp import Client\n"
        "async def main():\n"
        "    settings = load_settings(ServingSettings, sandbox=True, language='ru')\n"
        "    async with open_server(settings, 'stdio') as server, Client(server) as client:\n"
        "        assert (await client.list_tools()).tools\n"
        "        print(texts.cache_info().currsize, 'amo_mcp.amocrm.zones' in sys.modules)\n"
        "anyio.run(main)"
    )
    assert python(code) == "0 False\n"


@pytest.mark.requirement("PG-10")
def test_a_server_for_one_person_imports_nothing_of_a_teams() -> None:
    code = (
        "import sys, anyio\n"
        "from amo_mcp.cli import serve\n"
        "from amo_mcp.compose.local import open_server\n"
        "from amo_mcp.settings import ServingSettings, load_settings\n"
        "from mcp import Client\n"
        "async def main():\n"
        "    settings, warmed_up = load_settings(ServingSettings, sandbox=True), anyio.Event()\n"
        "    async with open_server(settings, 'stdio', warmed_up=warmed_up.set) as server, Client(server) as client:\n"
        "        assert (await client.list_tools()).tools\n"
        "        await warmed_up.wait()\n"
        "        made = await client.call_tool('create_segment', {'name': 'New'})\n"
        "        assert not made.is_error\n"
        "anyio.run(main)\n"
        "of_a_team = ('asyncpg', 'amo_mcp.team', 'amo_mcp.storage.postgres', 'amo_mcp.keys', 'amo_mcp.compose.team')\n"
        "print([name for name in sys.modules if name.startswith(of_a_team)])"
    )
    assert python(code) == "[]\n"


def test_models_of_the_sdk_are_not_built_before_they_are_used() -> None:
    code = (
        "import sys, contextlib; from amo_mcp.cli import main; sys.argv = ['amo-mcp', '--version']\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "import amo_mcp.cli.serve, mcp_types; from mcp.client.session import ClientResponse\n"
        "print(mcp_types.CallToolResult.__pydantic_complete__, ClientResponse.pydantic_complete)"
    )
    assert python(code).splitlines()[1:] == ["False False"]


def test_warming_up_builds_what_the_sdk_reads_and_writes_a_call_with() -> None:
    code = (
        "from amo_mcp.cli import startup; startup.begin()\n"
        "from mcp_types import CallToolResult, TextContent\n"
        "from mcp_types.methods import CLIENT_REQUESTS\n"
        "from amo_mcp.server.warmup import call_models\n"
        "models = [CallToolResult, TextContent]\n"
        "models += [CLIENT_REQUESTS['tools/call', revision] for revision in ('2025-11-25', '2026-07-28')]\n"
        "print([model.__pydantic_complete__ for model in models])\n"
        "for piece in call_models(): piece()\n"
        "print([model.__pydantic_complete__ for model in models])\n"
    )
    assert python(code).splitlines() == [str([False] * 4), str([True] * 4)]
