"""`amo-mcp team audit`: what was changed through a team's server, by whom, and what came of it."""

import json
from typing import TYPE_CHECKING, Any

import click

from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.steps import Step
from amo_mcp.changes.titles import summary_of
from amo_mcp.cli.team.desk import at_desk, moment

if TYPE_CHECKING:
    from amo_mcp.compose.team import Office

_PAGE = 100


@click.command("audit")
@click.option("--limit", type=click.IntRange(1), help="Only the newest so many.")
def command(limit: int | None) -> None:
    """Print what was changed, newest first, a JSON object on each line: who, what, and what came of it."""

    async def work(office: "Office") -> None:
        number = 0
        async for record in office.changes():
            click.echo(json.dumps(_line(record), ensure_ascii=False))
            number += 1
            if number == limit:
                return

    at_desk(work)


def _line(record: ChangeRecord) -> dict[str, Any]:
    return {
        "at": moment(record.at, ""),
        "change_id": record.id,
        "by": record.by,
        "tool": record.tool,
        "status": record.status,
        **({"undoes": record.undoes} if record.undoes else {}),
        "steps": [_step(step) for step in record.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "action": step.action,
        "kind": step.kind,
        "id": step.target_id,
        "status": step.outcome,
        "summary": str(summary_of(step)),
    }
