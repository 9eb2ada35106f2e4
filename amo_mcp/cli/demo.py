"""`amo-mcp demo`: the main job, watched. A real MCP client drives a real server over stdio on the embedded sandbox."""

import gc
import os
import sys
import time
from collections import Counter
from typing import Any

import anyio
import anyio.to_thread
import click
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, Implementation

from amo_mcp import __version__
from amo_mcp.text import sanitize

_WIDTH = 76


@click.command("demo")
def command() -> None:
    """Watch the main job on the sandbox: nothing of yours is touched.

    The destructive steps ask in the terminal; without a terminal they are answered with yes, and it says so.
    """
    gc.enable()
    started = time.monotonic()
    anyio.run(_demo, sys.stdin.isatty() and sys.stdout.isatty())
    click.secho(f"\nThat took {time.monotonic() - started:.1f} s. Connect your own client: see the README.", dim=True)


async def _demo(interactive: bool) -> None:  # noqa: FBT001 - whether somebody is there to answer
    async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001
        return await _ask_person(params.message, interactive=interactive)

    server = StdioServerParameters(
        command=sys.executable, args=["-m", "amo_mcp", "serve", "--sandbox"], env=_environment()
    )
    client = Client(server, elicitation_callback=ask, client_info=Implementation(name="demo", version=__version__))
    async with client:
        _step(f"An MCP client starts the server over stdio (protocol {client.protocol_version})")
        tools = await client.list_tools()
        click.echo(f"  {len(tools.tools)} tools: " + ", ".join(tool.name for tool in tools.tools[:6]) + ", …")

        _step("«Which segments do we have?»")
        _table(await _call(client, "list_segments", {}))

        _step("«Make one for people who have not come for a year»")
        created = await _call(client, "create_segment", {"name": "Спящие: год без покупок", "color": "6461a0"})

        _step("«Call it Winter sleepers instead» – a change is confirmed by a person")
        segment_id = created["segment"]["id"]
        await _call(client, "update_segment", {"segment_id": segment_id, "name": "Зимняя спячка"})

        _step("«Delete the small old VIP one» – so is a deletion, with what would be lost")
        await _call(client, "delete_segment", {"segment_id": 54})

        _step("«Paint segment 51 pink» – a call that cannot work is explained, and nothing is sent")
        await _call(client, "update_segment", {"segment_id": 51, "color": "pink"})

        _step("«Tidy up my segments» – first an audit")
        changes = _suggested(await _call(client, "audit_segments", {}))

        _step(f"«Do all of that» – {len(changes)} changes become one plan, and nothing is changed yet")
        plan = await _call(client, "plan_changes", {"changes": changes})
        for line in (*plan["steps"], *plan["warnings"]):
            click.echo("    " + sanitize(line, _WIDTH + 20))

        _step("One confirmation for the whole plan, and progress")
        applied = await _call(client, "apply_plan", {"plan_id": plan["plan_id"]})

        if "change_id" in applied:
            _step("«Hm, put it back» – every change can be undone, honestly")
            undone = await _call(client, "undo_change", {"change_id": applied["change_id"]})
            for line in undone.get("not_restored", []):
                click.secho("    " + sanitize(line, _WIDTH + 20), dim=True)


async def _call(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    shown = sanitize(", ".join(f"{key}={value!r}" for key, value in arguments.items()), _WIDTH)
    click.echo("  " + click.style("→ ", fg="cyan") + click.style(name, bold=True) + click.style(f"({shown})", dim=True))
    result = await client.call_tool(name, arguments, progress_callback=_show_progress)
    answer: dict[str, Any] = result.structured_content or {}
    if result.is_error:
        error = answer["error"]
        click.echo("  " + click.style(f"✗ {error['code']}: ", fg="red", bold=True) + _wrapped(error["message"]))
        if "hint" in error:
            click.echo("    " + click.style(_wrapped(error["hint"]), dim=True))
    else:
        click.echo("  " + click.style("✓ ", fg="green", bold=True) + _told(answer))
    return answer


def _told(answer: dict[str, Any]) -> str:
    """One line about what a call answered."""
    match answer:
        case {"segments": segments, "total": total, "limit": limit}:
            return f"{len(segments)} segments; {total} of at most {limit} are used"
        case {"findings": findings, "examined": examined}:
            kinds = Counter(finding["problem"] for finding in findings)
            return f"{examined} segments: " + ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
        case {"steps": steps, "requests": requests, "seconds": seconds}:
            return f"{len(steps)} changes, {requests} requests, about {seconds:g} s"
        case {"done": done}:
            return f"{len(done)} changes done"
        case {"before": before, "after": after}:
            return f"{before['id']}: «{before['name']}» → «{after['name']}»"
        case {"segment": segment} | {"deleted": segment}:
            verb = "created" if "segment" in answer else "deleted"
            return f"{verb} {segment['id']} «{segment['name']}»"
        case _:
            return "done"


def _suggested(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """The suggestions of an audit, the first for each segment."""
    changes: dict[int, dict[str, Any]] = {}
    for finding in audit["findings"]:
        for change in finding["suggested_changes"]:
            changes.setdefault(change["id"], change)
    return list(changes.values())


async def _show_progress(progress: float, total: float | None, message: str | None) -> None:
    bar = "━" * round(20 * progress / total) if total else ""
    click.echo("    " + click.style(f"{bar:<20}", fg="cyan") + f" {progress:g} of {total or 0:g}  {message or ''}")


def _table(answer: dict[str, Any]) -> None:
    for segment in answer["segments"]:
        dot = click.style("●", fg=_rgb(segment["color"]))
        count = click.style(f"{segment['customers_count']:>5} customers", dim=not segment["customers_count"])
        click.echo(f"    {segment['id']:>4} {dot} {sanitize(segment['name'], 40):<42}{count}")


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color)
    return red, green, blue


async def _ask_person(question: str, *, interactive: bool) -> ElicitResult:
    """The dialog, in the terminal."""
    click.secho("  ┌─ the server asks " + "─" * (_WIDTH - 19), fg="yellow")
    for line in question.splitlines():
        click.echo(click.style("  │ ", fg="yellow") + line)
    click.secho("  └" + "─" * (_WIDTH - 2), fg="yellow")
    if not interactive:
        click.echo("    Yes? y " + click.style("(no terminal, so the demo answers yes)", dim=True))
        return ElicitResult(action="accept", content={"confirm": True})
    try:
        yes = await anyio.to_thread.run_sync(lambda: click.confirm("    Yes?", default=None))
    except click.Abort:
        return ElicitResult(action="cancel")
    return ElicitResult(action="accept", content={"confirm": yes})


def _environment() -> dict[str, str]:
    """The environment without the operator's own account: the demo stays in its sandbox."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}


def _step(title: str) -> None:
    click.echo()
    click.secho(title, fg="blue", bold=True)


def _wrapped(text: str) -> str:
    return click.wrap_text(text, width=_WIDTH + 24, subsequent_indent="    ")
