"""The journal: every change is recorded, with things whole as they were, before it is sent.

This is what undo stands on, and "nothing is lost". One SQLite file for an account, shared by all processes of the
machine. A process that dies leaves its changes unfinished; whoever looks next finds that its lock is free, and settles
them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.steps import Change, ChangeStatus, Step

if TYPE_CHECKING:
    from amo_mcp.reorganize.plan import Plan
    from amo_mcp.storage.sqlite.journal import Records, Unsettled

_T = TypeVar("_T")


class JournalUnusable(Exception):
    """The journal cannot be read or written, and without it nothing is changed.

    Attributes:
        reason: what is wrong with it, in the system's words.
        begun: whether it was usable when a change was begun, of which something may have been sent.
    """

    def __init__(self, reason: str, *, begun: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.begun = begun


class Journal:
    """The journal of one account. Every method can raise `JournalUnusable`.

    Args:
        file: where it is kept; None keeps it in memory, for the sandbox in process.
        clock: gives Unix seconds.
    """

    def __init__(self, file: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._one_at_a_time = anyio.Lock()

    @cached_property
    def _records(self) -> "Records":
        """Made with the first use: a client that only looks needs no database."""
        from amo_mcp.storage.sqlite.journal import Records

        return Records(self._file, self._clock)

    async def begin(
        self, tool: str, steps: Sequence[Step], *, undoes: str | None = None, plan_id: str | None = None
    ) -> str:
        """Record a change that is about to be made, use its plan up, and give its id.

        Raises:
            PlanUsed: the plan was carried out already.
            UndoneMeanwhile: a step that is to be taken back is not there to be taken back any more.
        """
        return await self._run(self._records.begin, tool, steps, undoes, plan_id)

    async def note(self, change_id: str, steps: dict[int, Step], status: ChangeStatus | None = None) -> None:
        """Record what is known now of some steps, by position, and of the change: with a status, it has ended.

        The plan of a change that has ended and of which nothing came can be applied again.
        """
        try:
            await self._run(self._records.note, change_id, steps, status)
        except JournalUnusable as error:
            raise JournalUnusable(error.reason, begun=True) from error

    async def settle(self, change_id: str, found: dict[int, Step]) -> None:
        """Record what was found out of the steps of an unfinished change, unless somebody else has found out first."""
        await self._run(self._records.settle, change_id, found)

    async def changes(self, limit: int, before: int | None = None) -> list[tuple[int, Change]]:
        """Changes with their numbers, newest first, from below the number `before`."""
        return await self._read(self._records.changes, limit, before)

    async def page(self, limit: int, before: int | None = None) -> tuple[list[tuple[int, Change]], int]:
        """`changes`, and how many were dropped for age or number while they could still be undone."""
        return await self._read(self._records.page, limit, before)

    async def change(self, change_id: str) -> Change | None:
        """One change."""
        return await self._read(self._records.change, change_id)

    async def unsettled(self) -> "list[Unsettled]":
        """Changes that were left unfinished by a process that is gone, or by this one's own failing."""
        return await self._read(self._records.unsettled)

    async def successors(self) -> "RecreatedIds":
        """What was deleted and came back under a new id."""
        return await self._read(self._records.successors)

    async def keep_plan(self, plan: "Plan") -> None:
        """Keep a plan, and forget those that are dead."""
        await self._run(self._records.keep_plan, plan)

    async def plan(self, plan_id: str, owner: str) -> "Plan | None":
        """A plan of `owner` that lives and was not applied."""
        return await self._run(self._records.plan, plan_id, owner)

    def close(self) -> None:
        """Close the file."""
        if "_records" in vars(self):
            self._records.close()

    async def _read(self, look: Callable[..., _T], *arguments: Any) -> _T:
        """Look here: a reader of a write-ahead log waits for no writer, and on a busy server a thread waits for us."""
        if not self._records.is_open:
            return await self._run(look, *arguments)
        async with self._one_at_a_time:
            with _usable():
                return look(*arguments)

    async def _run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do it in a thread, one at a time, to the end: a record that is begun is finished."""
        # The shield is around the lock too: what came of a change is recorded even when its call has been cancelled.
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                with _usable():
                    done = await anyio.to_thread.run_sync(work, *arguments)
        return done


@contextmanager
def _usable() -> Iterator[None]:
    import sqlite3

    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalUnusable(str(error)) from error
