"""What the board is shown in these tests: the answers of a real server to a real client."""

import os
import sys
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, TextResourceContents

from amo_mcp.language import Language

CREATED = {"action": "create", "kind": "segment", "name": "Гости кофейни", "color": "00a44b"}


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


async def told(language: Language = "en") -> Story:
    """The audit of the sandbox, a plan of what it suggests, carried out, and the list of changes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "amo_mcp", "serve", "--sandbox"],
        env={**environment, "AMO_LANGUAGE": language},
    )
    results: dict[str, Any] = {}
    async with Client(server, elicitation_callback=_yes) as client:

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments)
            results[tool] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
            return dict(result.structured_content or {})

        await call("list_segments")
        findings = (await call("audit_segments"))["findings"]
        changes = {change["id"]: change for finding in findings for change in finding["suggested_changes"]}
        plan = await call("plan_changes", changes=[*changes.values(), CREATED])
        await call("apply_plan", plan_id=plan["plan_id"])
        await call("list_changes")
        [page] = (await client.read_resource("ui://amo-mcp/board")).contents
        assert isinstance(page, TextResourceContents)
    return Story(page.text, results)


async def _yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    # Sooner, it would be taken for the answer of a client that shows nothing.
    await anyio.sleep(0.6)
    return ElicitResult(action="accept", content={"confirm": True})
