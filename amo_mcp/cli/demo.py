"""`amo-mcp demo`: watch the main job. A real MCP client drives a real server over stdio on the embedded sandbox."""

import os
import sys
import textwrap
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import click
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, Implementation

from amo_mcp import __version__
from amo_mcp.language import LANGUAGES, SOURCE, Language, Texts, known_language, texts
from amo_mcp.server.board.words import problems
from amo_mcp.text import sanitize

_WIDTH = 90
"""Columns: the output is the same in every terminal."""


@click.command("demo")
@click.option("--language", type=click.Choice(LANGUAGES), help="What it is told in; by default the terminal's.")
def command(language: Language | None) -> None:
    """Watch the main job on the sandbox: no account of yours is touched.

    Destructive steps ask in the terminal; without a terminal the demo answers yes, and says so.
    """
    started = time.monotonic()
    demo = _Demo(texts(language or _terminal_language()), sys.stdin.isatty() and sys.stdout.isatty())
    anyio.run(demo.run)
    seconds = f"{time.monotonic() - started:.1f}"
    end = demo.texts("That took {seconds} s. Connect your own client: see the README.", seconds=seconds)
    click.secho(f"\n{end}", dim=True)


def _terminal_language() -> Language:
    """The language of the messages in this terminal, as POSIX has it, if it is one of ours."""
    chosen = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return known_language(chosen) or SOURCE


@dataclass(frozen=True)
class _Demo:
    """One run; `asks` is whether somebody is there to be asked."""

    texts: Texts
    asks: bool

    async def run(self) -> None:
        """Let a client do the main job."""
        texts = self.texts
        # Without the operator's own account: the demo stays in its sandbox.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AMO_")}
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "amo_mcp", "serve", "--sandbox"],
            env={**environment, "AMO_LANGUAGE": texts.language},
        )
        info = Implementation(name="demo", version=__version__)
        async with Client(server, elicitation_callback=self._ask, client_info=info) as client:
            version = client.protocol_version
            _step(texts("An MCP client starts the server over stdio (protocol {version})", version=version))
            tools = await client.list_tools()
            names = ", ".join(tool.name for tool in tools.tools[:6])
            count = texts.plural("{count} tool", "{count} tools", len(tools.tools))
            click.echo(f"  {count}: {names}, …")

            _step(texts('"Which segments do we have?"'))
            self._show_segments(await self._call(client, "list_segments", {}))

            _step(texts('"Make one for people who have not come for a year"'))
            name = texts("Asleep: a year without a purchase")
            created = await self._call(client, "create_segment", {"name": name, "color": "6461a0"})

            name = texts("Winter sleepers")
            _step(texts('"Call it {name} instead": every change is confirmed', name=name))
            segment_id = created["segment"]["id"]
            await self._call(client, "update_segment", {"segment_id": segment_id, "name": name})

            _step(texts('"Delete the small old VIP one": the question says what is lost'))
            await self._call(client, "delete_segment", {"segment_id": 54})

            _step(texts('"Paint segment 51 pink": a call that cannot work is explained, and nothing is sent'))
            await self._call(client, "update_segment", {"segment_id": 51, "color": "pink"})

            _step(texts('"Tidy up my segments": first an audit'))
            changes = _suggested(await self._call(client, "audit_segments", {}))

            _step(
                texts.plural(
                    '"Do all of that": {count} change becomes one plan, and nothing is changed yet',
                    '"Do all of that": {count} changes become one plan, and nothing is changed yet',
                    len(changes),
                )
            )
            plan = await self._call(client, "plan_changes", {"changes": changes})
            for line in plan["steps"]:
                _show_text(line)
            self._show_told(*plan["warnings"])

            _step(texts("One confirmation for the whole plan, and progress"))
            applied = await self._call(client, "apply_plan", {"plan_id": plan["plan_id"]})

            if "change_id" in applied:
                _step(texts('"Put it back": undo it, and see what cannot be restored'))
                undone = await self._call(client, "undo_change", {"change_id": applied["change_id"]})
                self._show_told(*undone.get("not_restored", []))

    async def _call(self, client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool, show what is sent and a line about the result, and return its structured content."""
        listed = sanitize(", ".join(f"{key}={value!r}" for key, value in arguments.items()), _WIDTH - len(name) - 6)
        click.echo(
            "  " + click.style("→ ", fg="cyan") + click.style(name, bold=True) + click.style(f"({listed})", dim=True)
        )
        result = await client.call_tool(name, arguments, progress_callback=self._show_progress)
        structured: dict[str, Any] = result.structured_content or {}
        if result.is_error:
            error = structured["error"]
            click.echo("  " + click.style(f"✗ {error['code']}", fg="red", bold=True))
            self._show_told(error["message"], error.get("hint", ""))
        else:
            click.echo("  " + click.style("✓ ", fg="green", bold=True) + self._summary(structured))
        return structured

    def _show_told(self, *lines: str) -> None:
        """What is meant for the model, in its language."""
        if any(lines):
            click.secho("    " + self.texts("The model reads:"), dim=True)
        for line in filter(None, lines):
            _show_text(line, "│ ")

    def _summary(self, structured: dict[str, Any]) -> str:
        """One line about what a tool answered."""
        texts = self.texts
        match structured:
            case {"segments": segments, "total": total, "limit": limit}:
                return texts.plural(
                    "{count} segment; {total} of at most {limit} are used",
                    "{count} segments; {total} of at most {limit} are used",
                    len(segments),
                    total=total,
                    limit=limit,
                )
            case {"findings": findings, "examined": examined}:
                named = problems(texts)
                counts = Counter(named[finding["problem"]] for finding in findings)
                found = ", ".join(f"{problem} ({count})" for problem, count in counts.items())
                return texts.plural("{count} segment: {found}", "{count} segments: {found}", examined, found=found)
            case {"steps": steps, "requests": requests, "seconds": seconds}:
                return texts.plural(
                    "{count} change, requests: {requests}, about {seconds} s",
                    "{count} changes, requests: {requests}, about {seconds} s",
                    len(steps),
                    requests=requests,
                    seconds=f"{seconds:g}",
                )
            case {"done": done}:
                return texts.plural("{count} change done", "{count} changes done", len(done))
            case {"before": before, "after": after}:
                return f"{before['id']}: «{before['name']}» → «{after['name']}»"
            case {"segment": segment}:
                return texts("created segment {segment}", segment=f"{segment['id']} «{segment['name']}»")
            case {"deleted": segment}:
                return texts("deleted segment {segment}", segment=f"{segment['id']} «{segment['name']}»")
            case _:
                return texts("Done")

    def _show_segments(self, listed: dict[str, Any]) -> None:
        for segment in listed["segments"]:
            red, green, blue = bytes.fromhex(segment["color"])
            dot = click.style("●", fg=(red, green, blue))
            count = segment["customers_count"]
            customers = self.texts.plural("{count} customer", "{count} customers", count)
            line = f"    {segment['id']:>4} {dot} {sanitize(segment['name'], 40):<42}"
            click.echo(line + click.style(f"{customers:>18}", dim=not count))

    async def _show_progress(self, progress: float, total: float | None, message: str | None) -> None:
        bar = "━" * round(20 * progress / total) if total else ""
        place = self.texts("{done} of {total}", done=int(progress), total=f"{total or 0:g}")
        click.echo("    " + click.style(f"{bar:<20}", fg="cyan") + f" {place}  {message or ''}")

    async def _ask(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self._show_question(params.message)
        return await anyio.to_thread.run_sync(self._ask_in_terminal if self.asks else self._answer_yes)

    def _show_question(self, question: str) -> None:
        """The dialog, as it looks in a terminal."""
        asks = self.texts("the server asks")
        click.secho(f"  ┌─ {asks} ".ljust(_WIDTH, "─"), fg="yellow")
        for paragraph in question.splitlines():
            for line in _wrapped(paragraph):
                click.echo(click.style("  │ ", fg="yellow") + line)
        click.secho("  └".ljust(_WIDTH, "─"), fg="yellow")

    def _ask_in_terminal(self) -> ElicitResult:
        asks, yes, no = self.texts("Yes?"), self.texts("yes"), self.texts("no")
        answers = {"y": True, yes[0]: True, yes: True, "n": False, no[0]: False, no: False}
        said = ""
        try:
            while said not in answers:
                said = click.prompt(f"    {asks} [{yes[0]}/{no[0]}]").strip().lower()
        except click.Abort:
            return ElicitResult(action="cancel")
        return ElicitResult(action="accept", content={"confirm": answers[said]})

    def _answer_yes(self) -> ElicitResult:
        why = self.texts("(no terminal, so the demo answers yes)")
        asks, yes = self.texts("Yes?"), self.texts("yes")
        click.echo(f"    {asks} {yes[0]} " + click.style(why, dim=True))
        return ElicitResult(action="accept", content={"confirm": True})


def _suggested(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes that an audit suggests, the first for each segment."""
    changes: dict[int, dict[str, Any]] = {}
    for finding in audit["findings"]:
        for change in finding["suggested_changes"]:
            changes.setdefault(change["id"], change)
    return list(changes.values())


def _step(title: str) -> None:
    click.echo()
    click.secho(title, fg="blue", bold=True)


def _show_text(text: str, margin: str = "") -> None:
    for line in _wrapped(sanitize(text, 1000)):
        click.echo("    " + click.style(margin, dim=True) + line)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _WIDTH - 4, subsequent_indent="   ")
