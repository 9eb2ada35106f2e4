# /// script
# requires-python = ">=3.11"
# dependencies = ["fastmcp==4.2.3"]
# ///
"""FastMCP's client: list, plan, ask a person, apply, undo."""

import asyncio
from typing import Any

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport


async def ask(message: str, response_type: Any, params: Any, context: Any) -> Any:
    """Show the server's question, and answer what the person says."""
    answer = await asyncio.to_thread(input, f"\n{message}\nYes? [y/N] ")
    return {"confirm": True} if answer == "y" else ElicitResult(action="decline")


async def main() -> None:
    """Do the main job."""
    server = StdioTransport("amo-mcp", ["serve", "--sandbox"])
    async with Client(server, elicitation_handler=ask) as client:

        async def call(name: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(name, arguments, raise_on_error=False)
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


asyncio.run(main())
