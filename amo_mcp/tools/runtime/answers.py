"""The answers of tools that change one entity, or carry out several steps, after a person has confirmed it."""

from contextlib import suppress
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, WithJsonSchema
from typing_extensions import override

from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.differences import described
from amo_mcp.changes.execution import CreatedTwice, Execution, NobodyMoved
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.steps import Delete, Update
from amo_mcp.confirmation.picture import outcome_picture
from amo_mcp.failures.explain import done_and_not_done, explain
from amo_mcp.failures.failure import NOT_RECORDED, NOTHING_CHANGED, internal_error
from amo_mcp.text import sanitize
from amo_mcp.tools.runtime.fitting import fitted
from amo_mcp.tools.runtime.tool import ExecutedOutput


class Unreadable(BaseModel):
    """How many entries of a list could not be read, and the ids of those that have one that could."""

    count: int
    ids: list[int]


UnreadableEntries = Annotated[Unreadable | None, WithJsonSchema({"type": "object"})]
"""What a list answers as `unreadable`; its schema is short, for the list of tools is bounded in bytes."""


def unreadable_in(listing: Listing[Any]) -> Unreadable | None:
    """What is to be said of the entries of `listing` that could not be read; None when there are none."""
    entries = listing.unreadable
    return Unreadable(count=len(entries), ids=[entry for entry in entries if entry is not None]) if entries else None


async def dumped(answer: BaseModel, profile: AccountProfile) -> dict[str, Any]:
    """An answer as JSON data that fits (`fitting`).

    Days in it are those of the account, whose zone is asked for when there are any.

    A zone that cannot be found out now must not hide what was done: days are answered as moments then.
    """

    def dump(context: dict[str, Any]) -> dict[str, Any]:
        return answer.model_dump(mode="json", exclude_none=True, exclude_unset=True, context=context)

    context: dict[str, Any] = {}
    data = dump(context)
    if "needs_zone" in context:
        with suppress(AmoError):
            data = dump({"zone": await profile.zone()})
    return fitted(data)


EntityT = TypeVar("EntityT", Segment, Status)


class Updated(ExecutedOutput, Generic[EntityT]):
    """An entity before and after; the schema has its properties once, for the list of tools is bounded in bytes.

    `differences` says what amoCRM has made otherwise than it was asked.
    """

    before: Annotated[EntityT, WithJsonSchema({"type": "object"})]
    after: EntityT
    change_id: str
    differences: list[str] | None = None

    @classmethod
    @override
    def of(cls, execution: Execution, change: PendingChange) -> Self:
        [step] = execution.record.steps
        assert isinstance(step, Update)
        told = {"before": step.before, "after": step.after, "change_id": execution.record.id}
        return cls.model_validate(told | {"differences": execution.differences or None})


class Deleted(ExecutedOutput, Generic[EntityT]):
    """An entity as it was."""

    deleted: EntityT
    change_id: str

    @classmethod
    @override
    def of(cls, execution: Execution, change: PendingChange) -> Self:
        [step] = execution.record.steps
        assert isinstance(step, Delete)
        return cls.model_validate({"deleted": step.before, "change_id": execution.record.id})


_AGAIN = {True: "undo_change takes it back, and what is left", False: "undo_change"}
"""What stops where the API moves nobody, by whether it is a plan or an undo."""


class Applied(ExecutedOutput):
    """What was done, what was not, and why; `differences` says what amoCRM has made otherwise than it was asked."""

    change_id: str
    status: Literal["done", "stopped", "running"]
    done: list[str]
    not_done: list[str] | None = None
    differences: list[str] | None = None
    reason: str | None = None
    message: str | None = None

    @classmethod
    @override
    def of(cls, execution: Execution, change: PendingChange) -> Self:
        record, failure = execution.record, execution.failure
        done, not_done = done_and_not_done(execution)
        differences = [sanitize(sentence, 300) for sentence in execution.differences] or None
        if record.status == "running":
            goes_on = "It goes on without this call. Call again with the same arguments to wait for its end."
            return cls(change_id=record.id, status="running", done=done, message=goes_on)
        if failure is None:
            return cls(
                change_id=record.id, status="done", done=done, not_done=not_done or None, differences=differences
            )
        worded = explain(failure) or internal_error()
        what = worded.what
        if isinstance(failure, TargetChanged):
            what = " ".join([*filter(None, [failure.reason]), *described(failure.differences, 5)])
        effect = {NOTHING_CHANGED: "That step changed nothing. ", NOT_RECORDED: ""}.get(
            worded.effect, f"{worded.effect} "
        )
        rest = (
            "undo_change takes it back, plan the rest anew"
            if change.undoes is None
            else "undo_change does the rest, once nothing stands in its way"
        )
        if isinstance(failure, NobodyMoved):
            rest = (
                f"{_AGAIN[change.undoes is None]} would stop there again: the customers can be moved in amoCRM itself"
            )
        if isinstance(failure, JournalUnusable):
            rest = "list_changes shows whether it was recorded, and only then undo_change takes it back"
        stopped = "" if isinstance(failure, CreatedTwice) else "It stopped there: "
        return cls(
            change_id=record.id,
            status="stopped",
            done=done,
            not_done=not_done or None,
            differences=differences,
            reason=worded.code,
            message=f"{stopped}{what} {effect}What was done stays; {rest}.",
        )

    @classmethod
    @override
    def picture(cls, execution: Execution, change: PendingChange, reader: Reader) -> dict[str, Any]:
        return outcome_picture(execution.record.steps, change, reader)
