"""What was changed through this server, and taking it back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field
from typing_extensions import override

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.inputs import LAX, ZERO_IS_NONE, Text
from amo_mcp.amocrm.models import Timestamp
from amo_mcp.changes.execution import Execution
from amo_mcp.changes.executor import check_room
from amo_mcp.changes.field_values import fields_by_id
from amo_mcp.changes.members import Member
from amo_mcp.changes.membership import read_customers, remembering
from amo_mcp.changes.parts import parts_of
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.snapshot import on_account, read_snapshot
from amo_mcp.changes.steps import Delete, Move, Step, field_ids, fields_of
from amo_mcp.changes.titles import summary_of
from amo_mcp.changes.undo import invert
from amo_mcp.failures.failure import Failure
from amo_mcp.language import Message, Texts, texts
from amo_mcp.text import quote, sanitize
from amo_mcp.tools.runtime.answers import Applied
from amo_mcp.tools.runtime.paging import Cursor, cursor_after, first_that_fit, parse_cursor
from amo_mcp.tools.runtime.tool import DESTRUCTIVE, READ, Confirm, CurrentAccount, Output, Watched, tool

MAX_PAGE_SIZE = 100
"""Changes on one page at most."""

DEFAULT_PAGE_SIZE = 20
"""Changes on one page, when no limit is given."""


class ChangeStep(Output):
    """One step of a change."""

    summary: str
    status: str


class Change(Output):
    """One change."""

    change_id: str
    at: Timestamp
    tool: str
    summary: str
    status: str
    undo_until: Annotated[
        Timestamp | None, Field(description="Kept for undo_change until then or longer, unless 10000 changes follow")
    ] = None
    steps: list[ChangeStep] | None = None
    by: str | None = None


class ChangeList(Output):
    """Changes, newest first. `dropped` counts those that could still have been undone when they grew too old."""

    changes: list[Change]
    next_cursor: str | None = None
    dropped: int | None = None


class Undone(Applied):
    """What was put back, what was not, and what cannot be restored."""

    not_restored: list[str] | None = None

    @classmethod
    @override
    def of(cls, execution: Execution, change: PendingChange) -> Self:
        applied = super().of(execution, change)
        not_restored = [sanitize(str(sentence), 300) for sentence in change.not_restored]
        not_restored += applied.differences or []
        return applied.model_copy(update={"not_restored": not_restored or None, "differences": None})


@tool("List changes", READ, on_board=True)
async def list_changes(
    account: CurrentAccount,
    limit: Annotated[
        Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE), LAX] | None, ZERO_IS_NONE, Field(description="Page size")
    ] = None,
    cursor: Cursor = None,
) -> ChangeList:
    """List the history of changes through this server, newest first, with what undo_change needs."""
    before = parse_cursor(cursor)
    await account.recover()
    return await change_list(account, limit or DEFAULT_PAGE_SIZE, before)


async def change_list(account: AmoAccount, limit: int = DEFAULT_PAGE_SIZE, before: int | None = None) -> ChangeList:
    """One page of the changes, newest first."""
    found, dropped = await account.journal.page(limit + 1, before)
    page = first_that_fit([change_of(record, account.journal.kept_until(record)) for _, record in found[:limit]])
    next_cursor = cursor_after(found[len(page) - 1][0]) if len(found) > len(page) else None
    answer = ChangeList(changes=list(page), next_cursor=next_cursor, dropped=dropped or None)
    words = texts(account.profile.language)
    return answer.drawn({"headlines": {record.id: _headline(record, words) for _, record in found[: len(page)]}})


def _headline(record: ChangeRecord, texts: Texts) -> str:
    """What a change did, in a person's words."""
    part, *others = parts_of(record.steps, by_outcome=False)
    first, more = texts.of(summary_of(part)), len(others)
    if more:
        first = texts.plural("{first}, and {count} more change", "{first}, and {count} more changes", more, first=first)
    return sanitize(first, 300)


def change_of(record: ChangeRecord, kept_until: float) -> Change:
    """A change as it is answered."""
    steps = [
        ChangeStep(summary=sanitize(str(summary_of(step)), 200), status=step.outcome) for step in parts_of(record.steps)
    ]
    part, *others = parts_of(record.steps, by_outcome=False)
    first = sanitize(str(summary_of(part)), 200)
    can_be_undone = record.status != "running" and any(step.outcome == "done" for step in record.steps)
    return Change(
        change_id=record.id,
        at=datetime.fromtimestamp(int(record.at), UTC),
        tool=record.tool,
        summary=f"{first} and {len(others)} more" if others else first,
        status=record.status,
        undo_until=datetime.fromtimestamp(int(kept_until), UTC) if can_be_undone else None,
        steps=steps if len(steps) > 1 else None,
        by=None if record.by is None else sanitize(record.by, 100),
    )


@tool("Undo a change", DESTRUCTIVE)
async def undo_change(
    change_id: Annotated[Text, Field(description="From list_changes or from the answer of a change")],
    account: CurrentAccount,
) -> Confirm[Undone] | Watched:
    """Take back (revert) a change and restore what was, after a person has confirmed it.

    Reports what cannot be restored; refuses to overwrite later edits.
    """
    if run := await account.run_of(undoes=change_id):
        return Watched(run)
    await account.recover()
    record = await account.journal.change(change_id)
    if record is None:
        raise Failure("not_found", f"There is no change {quote(change_id)}.", "list_changes has the change_ids.")
    with_fields = bool(field_ids(record.steps)) or any(
        isinstance(step, Delete) and fields_by_id(step.before) for step in record.steps
    )
    kinds = sorted({step.kind for step in record.steps})
    snapshot = await read_snapshot(account.client, kinds, with_fields=with_fields)
    concerned = {member.id for step in record.steps for member in _members(step)}
    snapshot = replace(snapshot, customers=await read_customers(account.client, concerned))
    undo = invert(record, snapshot, await account.journal.recreated_ids(), await account.profile.zone())
    if record.status == "running" or not (undo.steps or undo.conflicts):
        raise Failure(
            "conflict",
            f"This change is {record.status}; there is nothing to undo.",
            extra=_sentences("not_restored", undo.not_restored),
        )
    if undo.conflicts:
        raise Failure(
            "conflict",
            "Something was changed since, and undoing would overwrite it.",
            "Show differences to the person. What they want can be done with the other tools.",
            extra=_sentences("differences", undo.conflicts),
        )
    check_room(undo.steps, snapshot)
    return Confirm(
        PendingChange(
            await remembering(account.client, on_account(undo.steps, snapshot)),
            fields_of(undo.steps, snapshot.fields),
            undoes=record.id,
            undone_at=record.at,
            not_restored=undo.not_restored,
        )
    )


def _members(step: Step) -> Sequence[Member]:
    """The customers that are put back where they were when a step is taken back."""
    match step:
        case Move():
            return step.customers
        case Delete():
            return step.members or ()
    return ()


def _sentences(key: str, sentences: Sequence[str | Message]) -> dict[str, list[str]]:
    return {key: [sanitize(str(sentence), 400) for sentence in sentences]} if sentences else {}


TOOLS = (list_changes, undo_change)
