"""The questions that a team answers on a page: rows of the pending questions, with who asked and who answered."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from amo_mcp.changes.pending import PendingChange, pending_to_record
from amo_mcp.changes.reader import Reader
from amo_mcp.confirmation.approvals import ALREADY_ANSWERED, LIFETIME, NOT_PENDING, TOO_LATE, new_id
from amo_mcp.confirmation.caller import Caller
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.confirmation.waiting import Answer, Outcome
from amo_mcp.storage.postgres.approvals import OnPage, PostgresApprovalStore, approval_of
from amo_mcp.storage.postgres.audit import record
from amo_mcp.storage.postgres.clock import NOW, DatabaseClock
from amo_mcp.storage.postgres.database import Database, storable
from amo_mcp.storage.records import dump
from amo_mcp.team.approval.questions import MAX_LISTED, NO_RIGHT, TAKEN_SECONDS, Question, QuestionStore, new_page
from amo_mcp.team.audit import Actor, Entry, touched_by
from amo_mcp.team.people import ROLES, Person, digest_of

if TYPE_CHECKING:
    from asyncpg import Record

_QUESTIONS = f"""
SELECT a.*, {NOW} AS now, changes.id AS change_id,
    asker.name AS asker_name, asker.role AS asker_role, asker.removed IS NULL AS asker_is_known,
    answerer.name AS answerer_name, answerer.role AS answerer_role
FROM approvals a JOIN people asker ON asker.id = a.asked_by
    LEFT JOIN people answerer ON answerer.id = a.answered_by LEFT JOIN changes ON changes.approval = a.digest
"""
_BY_DIGEST = f"{_QUESTIONS} WHERE a.digest = $2 AND a.asked_by = $3"
_BY_PAGE = f"{_QUESTIONS} WHERE a.page = $2"
_WAITING = f"""
{_QUESTIONS} WHERE a.answer IS NULL AND a.used_at IS NULL AND asker.removed IS NULL
    AND a.expires > {NOW} ORDER BY a.number LIMIT {MAX_LISTED}
"""
_ASK_AGAIN = f"""
UPDATE approvals SET digest = $2 WHERE number = (
    SELECT number FROM approvals
    WHERE asked_by = $3 AND tool = $4 AND request_digest = $5 AND change = $6 AND used_at IS NULL
        AND answer IS DISTINCT FROM 'no' AND expires > {NOW}
    ORDER BY number DESC LIMIT 1
) AND used_at IS NULL RETURNING page
"""
_ANSWER = f"""
UPDATE approvals SET answer = $3, answered_by = $4, comment = $5, answered_at = {NOW}
WHERE page = $2 AND answer IS NULL AND used_at IS NULL AND expires > {NOW} RETURNING number
"""
_IS_TAKEN = f"""
SELECT 1 FROM approvals a WHERE digest = $2 AND asked_by = $3 AND answer = 'yes' AND outcome IS NULL
    AND used_at > {NOW} - {TAKEN_SECONDS}
    AND NOT EXISTS (SELECT 1 FROM changes WHERE changes.approval = a.digest)
"""
_USE_YES = f"""
UPDATE approvals SET used_at = {NOW} FROM people
WHERE page = $2 AND used_at IS NULL AND answer = 'yes'
    AND people.id = answered_by AND removed IS NULL AND role = ANY($3) RETURNING number
"""
_STOP = """
UPDATE changes SET stop_requested = true FROM approvals
WHERE page = $1 AND approval = approvals.digest AND status = 'running' AND NOT stop_requested RETURNING id
"""
_CLOSE = """
UPDATE approvals SET used_at = coalesce(used_at, $1, unix_now()), outcome = coalesce($3, outcome) WHERE digest = $2
"""
_APPROVING = ROLES[ROLES.index("approver") :]


class PostgresQuestionStore(QuestionStore):
    """The questions of all replicas.

    Args:
        clock: gives Unix seconds; None for the database's clock.
    """

    def __init__(
        self, database: Database, *, clock: Callable[[], float] | None = None, lifetime: float = LIFETIME
    ) -> None:
        self.lifetime = lifetime
        self.clock = self._clock = DatabaseClock(clock)
        self._database = database
        self._approvals = PostgresApprovalStore(database, clock=clock, lifetime=lifetime)

    @override
    async def ask(
        self, asker: Person, client: str, tool: str, request_digest: str, change: PendingChange, reader: Reader
    ) -> Question:
        approval_id, kept = new_id(), dump(pending_to_record(change))
        same = asker.id, tool, request_digest, kept
        page = await self._database.fetchval(_ASK_AGAIN, self._clock.given, digest_of(approval_id), *same)
        if page is None:
            caller, on_page = Caller(person=asker.id), OnPage(new_page(), asker.id, storable(client))
            asked = await self._approvals.open("page", caller, tool, request_digest, change, reader, on_page)
            approval_id = asked.id
        return await self.asked(approval_id, asker)

    @override
    async def asked(self, approval_id: str, asker: Person) -> Question:
        question = await self._one(_BY_DIGEST, digest_of(approval_id), asker.id)
        if question is None:
            raise ConfirmationExpired(NOT_PENDING)
        if question.is_used:
            lost = question.answer == "yes" and question.outcome == "withdrawn"
            raise ConfirmationExpired(NO_RIGHT if lost else ALREADY_ANSWERED)
        if self.clock() >= question.approval.expires:
            raise ConfirmationExpired(TOO_LATE)
        return _with_id(question, approval_id)

    @override
    async def on_page(self, page: str) -> Question | None:
        return await self._one(_BY_PAGE, storable(page))

    @override
    async def waiting(self) -> Sequence[Question]:
        return [_question(row) for row in await self._database.fetch(_WAITING, self._clock.given)]

    @override
    async def answer(self, question: Question, answer: Answer, by: Actor, comment: str) -> bool:
        said, touched = (answer, by.person, storable(comment)), [*map(touched_by, question.approval.change.steps)]
        entry = Entry(
            kind="approval",
            what=answer,
            by=by,
            subject=question.page,
            approved_how="page",
            touched=touched,
            comment=comment,
        )
        async with self._database.transaction() as session:
            taken = await session.fetchval(_ANSWER, self._clock.given, question.page, *said) is not None
            if taken:
                await record(session, entry, self._clock.given)
        return taken

    @override
    async def is_taken(self, approval_id: str, asker: Person) -> bool:
        asked = digest_of(approval_id), asker.id
        return await self._database.fetchval(_IS_TAKEN, self._clock.given, *asked) is not None

    @override
    async def use_yes(self, question: Question) -> bool:
        used = await self._database.fetchval(_USE_YES, self._clock.given, question.page, _APPROVING)
        return used is not None

    @override
    async def stop(self, question: Question, by: Actor) -> None:
        async with self._database.transaction() as session:
            if (change_id := await session.fetchval(_STOP, question.page)) is not None:
                entry = Entry(kind="approval", what="stopped", by=by, subject=change_id)
                await record(session, entry, self._clock.given)

    @override
    async def close(self, approval_id: str, outcome: Outcome | None) -> None:
        await self._database.execute(_CLOSE, self._clock.given, digest_of(approval_id), outcome)

    async def _one(self, query: str, *named: object) -> Question | None:
        row = await self._database.fetchrow(query, self._clock.given, *named)
        if row is None:
            return None
        self._clock.heard(row["now"])
        return _question(row)


def _with_id(question: Question, approval_id: str) -> Question:
    return replace(question, approval=replace(question.approval, id=approval_id))


def _question(row: "Record") -> Question:
    answerer = row["answered_by"] and Person(row["answered_by"], row["answerer_name"], row["answerer_role"])
    return Question(
        page=row["page"],
        approval=approval_of(row, "", Caller(person=row["asked_by"])),
        asker=Person(row["asked_by"], row["asker_name"], row["asker_role"]),
        client=row["client"],
        asker_is_known=row["asker_is_known"],
        answer=row["answer"],
        answered_by=answerer,
        comment=row["comment"] or "",
        is_used=row["used_at"] is not None,
        outcome=row["outcome"],
        change_id=row["change_id"],
    )
