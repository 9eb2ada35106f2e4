"""What the board is shown in these tests: the answers of a real server to a real client."""

import os
import sys
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, TextResourceContents

from amo_mcp.language import Language
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running

CREATED = {
    "segments": {"action": "create", "kind": "segment", "name": "Гости кофейни", "color": "00a44b"},
    "periodicity": {"action": "create", "kind": "status", "name": "Гости кофейни", "color": "#ffdc7f", "sort": 500},
}
LISTS = {"segments": "list_segments", "periodicity": "list_statuses"}


@dataclass
class Story:
    """The board of a server, and its answers while the sandbox's segments are tidied up.

    Attributes:
        page: the page.
        results: what each tool answered, by its name.
    """

    page: str
    results: dict[str, Any]


def pending(page_url: str) -> dict[str, Any]:
    """What a team's server answers while a person has not agreed."""
    error = {"code": "confirmation_required", "message": "A person has to agree first.", "preview": "Apply?"}
    error |= {"expires_at": "2026-11-26T10:00:00Z", "page_url": page_url}
    return {"content": [], "structuredContent": {"error": error}, "isError": True}


async def told(language: Language = "en", mode: str = "segments") -> Story:
    """The audit of a sandbox, a plan of what it suggests, carried out, and the list of changes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    results: dict[str, Any] = {}
    with TemporaryDirectory() as folder, running(Sandbox(mode=mode)) as url:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "amo_mcp", "serve"],
            env={
                **environment,
                "AMO_LANGUAGE": language,
                "AMO_BASE_URL": url,
                "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
                "AMO_STATE_DIR": folder,
            },
        )
        async with Client(server, elicitation_callback=_yes) as client:
            page = await _tell(client, mode, results)
    return Story(page, results)


async def _tell(client: Client, mode: str, results: dict[str, Any]) -> str:

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments)
        results[tool] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return dict(result.structured_content or {})

    await call(LISTS[mode])
    findings = (await call("audit_segments"))["findings"]
    suggested = [change for finding in findings for change in finding["suggested_changes"]]
    # What is merged is changed in no other way.
    changes = {change["id"]: change for change in sorted(suggested, key=lambda one: str(one["action"] == "merge"))}
    plan = await call("plan_changes", changes=[*changes.values(), CREATED[mode]])
    await call("apply_plan", plan_id=plan["plan_id"])
    await call("list_changes")
    [page] = (await client.read_resource("ui://amo-mcp/board")).contents
    assert isinstance(page, TextResourceContents)
    return page.text


async def _yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    # Sooner, it would be taken for the answer of a client that shows nothing.
    await anyio.sleep(0.6)
    return ElicitResult(action="accept", content={"confirm": True})
