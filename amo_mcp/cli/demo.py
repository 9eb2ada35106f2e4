"""`amo-mcp demo`: watch the main job. A real MCP client drives a real server over stdio on the embedded sandbox."""

import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import click
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, Implementation

from amo_mcp import __version__
from amo_mcp.text import sanitize

_WIDTH = 90
"""Columns: the output is the same in every terminal."""


@click.command("demo")
def command() -> None:
    """Watch the main job on the sandbox: no account of yours is touched.

    Destructive steps ask in the terminal; without a terminal the demo answers yes, and says so.
    """
    started = time.monotonic()
    anyio.run(_demo, _ask_in_terminal if sys.stdin.isatty() and sys.stdout.isatty() else _answer_yes)
    click.secho(f"\nThat took {time.monotonic() - started:.1f} s. Connect your own client: see the README.", dim=True)


async def _demo(answer: Callable[[], ElicitResult]) -> None:
    async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        _show_question(params.message)
        return await anyio.to_thread.run_sync(answer)

    # Without the operator's own account: the demo stays in its sandbox.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "amo_mcp", "serve", "--sandbox"], env=environment
    )
    client = Client(server, elicitation_callback=ask, client_info=Implementation(name="demo", version=__version__))
    async with client:
        _step(f"An MCP client starts the server over stdio (protocol {client.protocol_version})")
        tools = await client.list_tools()
        click.echo(f"  {len(tools.tools)} tools: " + ", ".join(tool.name for tool in tools.tools[:6]) + ", …")

        _step('"Which segments do we have?"')
        _show_segments(await _call(client, "list_segments", {}))

        _step('"Make one for people who have not come for a year"')
        created = await _call(client, "create_segment", {"name": "Спящие: год без покупок", "color": "6461a0"})

        _step('"Call it Winter sleepers instead": every change is confirmed')
        segment_id = created["segment"]["id"]
        await _call(client, "update_segment", {"segment_id": segment_id, "name": "Зимняя спячка"})

        _step('"Delete the small old VIP one": the question says what is lost')
        await _call(client, "delete_segment", {"segment_id": 54})

        _step('"Paint segment 51 pink": a call that cannot work is explained, and nothing is sent')
        await _call(client, "update_segment", {"segment_id": 51, "color": "pink"})

        _step('"Tidy up my segments": first an audit')
        changes = _suggested(await _call(client, "audit_segments", {}))

        _step(f'"Do all of that": {len(changes)} changes become one plan, and nothing is changed yet')
        plan = await _call(client, "plan_changes", {"changes": changes})
        for line in (*plan["steps"], *plan["warnings"]):
            _show_text(line)

        _step("One confirmation for the whole plan, and progress")
        applied = await _call(client, "apply_plan", {"plan_id": plan["plan_id"]})

        if "change_id" in applied:
            _step('"Put it back": undo it, and see what cannot be restored')
            undone = await _call(client, "undo_change", {"change_id": applied["change_id"]})
            for line in undone.get("not_restored", []):
                _show_text(line)


def _suggested(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes that an audit suggests, the first for each segment."""
    changes: dict[int, dict[str, Any]] = {}
    for finding in audit["findings"]:
        for change in finding["suggested_changes"]:
            changes.setdefault(change["id"], change)
    return list(changes.values())


async def _call(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool, show what is sent and a line about the result, and return its structured content."""
    listed = sanitize(", ".join(f"{key}={value!r}" for key, value in arguments.items()), _WIDTH - len(name) - 6)
    click.echo(
        "  " + click.style("→ ", fg="cyan") + click.style(name, bold=True) + click.style(f"({listed})", dim=True)
    )
    result = await client.call_tool(name, arguments, progress_callback=_show_progress)
    structured: dict[str, Any] = result.structured_content or {}
    if result.is_error:
        error = structured["error"]
        click.echo("  " + click.style(f"✗ {error['code']}: ", fg="red", bold=True) + error["message"])
        if "hint" in error:
            click.secho(f"    {error['hint']}", dim=True)
    else:
        click.echo("  " + click.style("✓ ", fg="green", bold=True) + _summary(structured))
    return structured


def _summary(structured: dict[str, Any]) -> str:
    """One line about what a tool answered."""
    match structured:
        case {"segments": segments, "total": total, "limit": limit}:
            return f"{len(segments)} segments; {total} of at most {limit} are used"
        case {"findings": findings, "examined": examined}:
            problems = Counter(finding["problem"] for finding in findings)
            return f"{examined} segments: " + ", ".join(f"{count} × {problem}" for problem, count in problems.items())
        case {"steps": steps, "requests": requests, "seconds": seconds}:
            return f"{len(steps)} changes, {requests} requests, about {seconds:g} s"
        case {"done": done}:
            return f"{len(done)} changes done"
        case {"before": before, "after": after}:
            return f"{before['id']}: «{before['name']}» → «{after['name']}»"
        case {"segment": segment} | {"deleted": segment}:
            verb = "created" if "segment" in structured else "deleted"
            return f"{verb} {segment['id']} «{segment['name']}»"
        case _:
            return "done"


def _step(title: str) -> None:
    click.echo()
    click.secho(title, fg="blue", bold=True)


def _show_segments(listed: dict[str, Any]) -> None:
    for segment in listed["segments"]:
        red, green, blue = bytes.fromhex(segment["color"])
        dot = click.style("●", fg=(red, green, blue))
        count = segment["customers_count"]
        customers = click.style(f"{count:>5} customer{'' if count == 1 else 's'}", dim=not count)
        click.echo(f"    {segment['id']:>4} {dot} {sanitize(segment['name'], 40):<42}{customers}")


def _show_text(text: str) -> None:
    for line in _wrapped(sanitize(text, 1000)):
        click.echo(f"    {line}")


async def _show_progress(progress: float, total: float | None, message: str | None) -> None:
    bar = "━" * round(20 * progress / total) if total else ""
    click.echo("    " + click.style(f"{bar:<20}", fg="cyan") + f" {progress:g} of {total or 0:g}  {message or ''}")


def _show_question(question: str) -> None:
    """The dialog, as it looks in a terminal."""
    click.secho("  ┌─ the server asks ".ljust(_WIDTH, "─"), fg="yellow")
    for paragraph in question.splitlines():
        for line in _wrapped(paragraph):
            click.echo(click.style("  │ ", fg="yellow") + line)
    click.secho("  └".ljust(_WIDTH, "─"), fg="yellow")


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _WIDTH - 4, subsequent_indent="   ")


def _ask_in_terminal() -> ElicitResult:
    try:
        yes = click.confirm("    Yes?", default=None)
    except click.Abort:
        return ElicitResult(action="cancel")
    return ElicitResult(action="accept", content={"confirm": yes})


def _answer_yes() -> ElicitResult:
    click.echo("    Yes? y " + click.style("(no terminal, so the demo answers yes)", dim=True))
    return ElicitResult(action="accept", content={"confirm": True})
