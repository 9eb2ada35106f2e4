# /// script
# requires-python = ">=3.11"
# dependencies = ["mcp==2.3.0"]
# ///
"""The MCP Python SDK alone: list, plan, ask a person, apply, undo."""

from typing import Any

import anyio
import anyio.to_thread
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

SERVER = StdioServerParameters(command="amo-mcp", args=["serve", "--sandbox"])


async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    """Show the server's question, and answer what the person says."""
    answer = await anyio.to_thread.run_sync(input, f"\n{params.message}\nYes? [y/N] ")
    return ElicitResult(action="accept", content={"confirm": answer == "y"})


async def main() -> None:
    """Do the main job."""
    async with Client(SERVER, elicitation_callback=ask) as client:

        async def call(name: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(name, arguments)
            print(f"\n→ {name}")
            return result.structured_content

        kept, duplicate = (await call("list_segments", search="vip"))["segments"]
        print(f"  {kept['name']}, {duplicate['name']}")
        rename = {"action": "update", "kind": "segment", "id": kept["id"], "name": "Best customers"}
        delete = {"action": "delete", "kind": "segment", "id": duplicate["id"]}
        plan = await call("plan_changes", changes=[rename, delete])
        print(*plan["steps"], *plan["warnings"], sep="\n")
        applied = await call("apply_plan", plan_id=plan["plan_id"])
        if error := applied.get("error"):
            print(error["code"], error["message"], sep=": ")
            return
        print(*applied["done"], sep="\n")
        undone = await call("undo_change", change_id=applied["change_id"])
        print("Put back:", *undone["done"], "Not restored:", *undone["not_restored"], sep="\n")


anyio.run(main)
