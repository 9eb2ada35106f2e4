"""What was changed through this server, and taking it back."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.inputs import LAX, Text
from amo_mcp.amocrm.models import Timestamp, comparable
from amo_mcp.changes.steps import Change
from amo_mcp.changes.undo import Undo, invert
from amo_mcp.confirmation.ask import Answer, Called, Confirm, ask, carry_out
from amo_mcp.confirmation.errors import TargetChanged
from amo_mcp.confirmation.question import Question
from amo_mcp.failures import ToolFailure, explain
from amo_mcp.storage.sqlite.journal import UndoneMeanwhile
from amo_mcp.text import sanitize
from amo_mcp.tools.plans import shortened, told
from amo_mcp.tools.runtime.paging import after, cursor_for
from amo_mcp.tools.runtime.tool import DESTROY, READ, CurrentAccount, Output, tool

PAGE = 20
"""Changes on one page, when nothing is said."""

_NOTHING = "Nothing was changed."


class RecordedStep(Output):
    """One step of a change."""

    summary: str
    status: str


class RecordedChange(Output):
    """One change."""

    change_id: str
    at: Timestamp
    tool: str
    summary: str
    status: str
    steps: list[RecordedStep] | None = None


class ChangeList(Output):
    """Changes, newest first. `dropped` counts those that could still have been undone when they grew too old."""

    changes: list[RecordedChange]
    next_cursor: str | None = None
    dropped: int | None = None


class Undone(Output):
    """What was put back, what was not, and what cannot come back."""

    change_id: str
    done: list[str]
    not_done: list[str] | None = None
    not_restored: list[str] | None = None
    reason: str | None = None


@tool("List changes", READ)
async def list_changes(
    account: CurrentAccount,
    limit: Annotated[Annotated[int, Field(ge=1, le=100), LAX] | None, Field(description="Page size")] = None,
    cursor: Annotated[Text | None, Field(description="next_cursor of the page before")] = None,
) -> ChangeList:
    """List what was changed through this server, newest first, with what undo_change needs."""
    await account.settle()
    return await change_list(account, limit or PAGE, after(cursor))


async def change_list(account: AmoAccount, limit: int = PAGE, before: int | None = None) -> ChangeList:
    """One page of the changes, newest first."""
    found, dropped = await account.journal.page(limit + 1, before)
    page = [(number, change) for number, change in found[:limit] if change.status != "running"]
    return ChangeList(
        changes=[recorded(change) for _, change in page],
        **({"next_cursor": cursor_for(found[limit - 1][0])} if len(found) > limit else {}),
        **({"dropped": dropped} if dropped else {}),
    )


def recorded(change: Change) -> RecordedChange:
    """A change as it is told."""
    steps = [RecordedStep(summary=sanitize(step.summary, 200), status=step.outcome) for step in change.steps]
    first = steps[0].summary
    return RecordedChange(
        change_id=change.id,
        at=datetime.fromtimestamp(int(change.at), UTC),
        tool=change.tool,
        summary=first if len(steps) == 1 else f"{first} and {len(steps) - 1} more",
        status=change.status,
        **({"steps": steps} if len(steps) > 1 else {}),
    )


@dataclass(frozen=True)
class UndoChange:
    """A change that shall be taken back, and how."""

    change: Change
    undo: Undo

    def question(self) -> Question:
        """Every step of it, and what will not come back."""
        return Question(
            f"Undo {self.change.tool} of {datetime.fromtimestamp(self.change.at, UTC):%Y-%m-%d %H:%M} UTC",
            *shortened([f"{number}. {told(step)}" for number, step in enumerate(self.undo.steps, 1)], "in this order"),
            *shortened(self.undo.not_restored, "of the same kinds"),
        )

    async def still_stands(self, account: AmoAccount) -> bool:
        """Whether the change is still to be undone, and the account is what was shown."""
        now = await account.journal.change(self.change.id)
        if now is None or now.status != self.change.status:
            return False
        return _same(await plan_undo(account, now), self.undo)

    async def write(self, account: AmoAccount) -> Undone:
        """Take it back, step by step; stop at the first that fails, and say so."""
        try:
            change, failure = await account.carry_out("undo_change", self.undo.steps, undoes=self.change.id)
        except UndoneMeanwhile:
            raise TargetChanged("It was undone already, or is just being undone.") from None
        done = [sanitize(step.summary, 200) for step in change.steps if step.outcome == "done"]
        if failure is not None and not done:
            raise failure
        left = [f"{sanitize(step.summary, 200)}: {step.outcome}" for step in change.steps if step.outcome != "done"]
        worded = explain(failure) if failure is not None else None
        return Undone(
            change_id=change.id,
            done=done,
            **({"not_done": left, "reason": worded.code} if left and worded else {}),
            **(
                {"not_restored": [sanitize(loss, 300) for loss in self.undo.not_restored]}
                if self.undo.not_restored
                else {}
            ),
        )


async def confirm_undo(change_id: str, ctx: Called) -> Elicit[Confirm]:
    """The question before a change is taken back."""

    async def prepare(account: AmoAccount) -> UndoChange:
        await account.settle()
        change = await account.journal.change(change_id)
        if change is None:
            raise ToolFailure("not_found", f"There is no such change. {_NOTHING}", "list_changes has the change_ids.")
        undo = await plan_undo(account, change)
        if change.status == "running" or not (undo.steps or undo.conflicts):
            raise ToolFailure(
                "conflict",
                f"This change is {change.status}; there is nothing to undo. {_NOTHING}",
                fields=[("", sanitize(loss, 400)) for loss in undo.not_restored],
            )
        if undo.conflicts:
            raise ToolFailure(
                "conflict",
                f"Something was changed since, and undoing would overwrite it. {_NOTHING}",
                "Show fields to the person. What they want can be done with the other tools.",
                fields=[("", sanitize(conflict, 400)) for conflict in undo.conflicts],
            )
        await account.known(undo.steps)
        return UndoChange(change, undo)

    return await ask(ctx, prepare)


@tool("Undo a change", DESTROY)
async def undo_change(
    change_id: Annotated[Text, Field(description="From list_changes or from the answer of a change")],
    answer: Annotated[Answer, Resolve(confirm_undo)],
    ctx: Called,
) -> Undone:
    """Take back a change, after a person has confirmed it. It says what cannot come back, and refuses to overwrite."""
    undone: Undone = await carry_out(ctx, answer)
    return undone


async def plan_undo(account: AmoAccount, change: Change) -> Undo:
    """How to take a change back in the account as it is now."""
    account.invalidate()
    kinds = sorted({step.kind for step in change.steps})
    now = {kind: {thing.id: thing for thing in await account.recent(kind)} for kind in kinds}
    return invert(change, now, await account.journal.successors())


def _same(now: Undo, shown: Undo) -> bool:
    def settings(undo: Undo) -> list[object]:
        return [(step.action, step.sent, comparable(step.before) if step.before else None) for step in undo.steps]

    return not now.conflicts and settings(now) == settings(shown)


TOOLS = (list_changes, undo_change)
