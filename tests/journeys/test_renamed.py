"""What was done before an account was renamed can be undone after it, by a server that only knows the new address."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mcp.client import Client

from amo_mcp.compose.local import open_server
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from tests.conftest import ERAS, Person, answer
from tests.environment import serving

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("ENV-9")
async def test_a_change_that_was_made_before_an_account_was_renamed_is_undone_after_it(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    before = {**sandbox.account.segments[51]}
    with running(sandbox) as url:
        renamed = f"http://localhost:{urlsplit(url).port}"
        changes: list[str] = []
        for base_url, tool, arguments in (
            (url, "update_segment", {"segment_id": 51, "name": "Лучшие"}),
            (renamed, "undo_change", {}),
        ):
            settings = serving(base_url=base_url, access_token=ADMIN_TOKEN, state_dir=tmp_path)
            if changes:
                arguments = {"change_id": changes[0]}
            async with (
                open_server(settings, "stdio") as server,
                Client(server, mode=ERAS[era], elicitation_callback=Person()) as client,
            ):
                done = answer(await client.call_tool(tool, arguments))
                changes.append(done["change_id"])
        assert done["status"] == "done"
    assert sandbox.account.segments[51]["name"] == before["name"]
