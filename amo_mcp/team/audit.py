"""The audit of a team's server: who did what, when, with which client, and what came of it. It only ever grows.

No secret is in it: of a token its public id, of a question the id of the change that came of it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, get_args

from amo_mcp.amocrm.models import iso_utc
from amo_mcp.changes.records import entity_to_record
from amo_mcp.changes.steps import Create, Delete, Move, Step, Update, payload_of

Kind = Literal["sign_in", "refusal", "person", "token", "approval", "change"]
"""What an entry is about: somebody signed in or out; somebody was refused; who is known here, and with which role; a
token; an answer to a question; or a change in amoCRM."""

KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_PAGE = 200
"""Entries of one page at most."""


@dataclass(frozen=True)
class Actor:
    """Who does something here.

    Attributes:
        person: their id; None where nobody is known.
        name: by which the others know them at that moment.
        client: what they do it with, in its own words.
    """

    person: str | None = None
    name: str = ""
    client: str = ""


OPERATOR = Actor(client="amo-mcp team")
"""Whoever runs the server, from its shell."""

AMOCRM = Actor(client="amoCRM")
"""amoCRM itself: it does not honour a sign-in any more, or somebody is not in the account any more."""


@dataclass(frozen=True)
class Touched:
    """One thing that something was done to.

    Attributes:
        action: such as create, update, delete, move.
        kind: what it is: segment, status, person, token.
        id: which one; None where it is not known yet.
        before: it as it was, as JSON; empty for what was not there.
        after: it as it is, or was to be, as JSON; empty for what is not there any more.
        outcome: what came of it, where it is one of several.
        request_id: what amoCRM calls the request that did it; None where there was none, or no answer.
    """

    action: str
    kind: str
    id: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    outcome: str = ""
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What somebody did.

    Attributes:
        what: in one word, such as `role`, `revoked`, `signed_in`, `yes`; of a change the tool.
        outcome: what came of it: `done`, or of a change its status, or why it was refused.
        by: who did it.
        subject: what it is about, by its public id: of a change its change_id, of a token the token's id.
        approved_by: who said yes to it.
        approved_how: on which way: `page`, `dialog`.
        touched: what it was done to.
        comment: why, in the words of who did it.
    """

    kind: Kind
    what: str
    outcome: str = "done"
    by: Actor = Actor()
    subject: str = ""
    approved_by: str = ""
    approved_how: str = ""
    touched: Sequence[Touched] = ()
    comment: str = ""


@dataclass(frozen=True)
class Recorded:
    """An entry in its place.

    Attributes:
        number: later ones have greater ones.
        at: when it was recorded, in Unix seconds.
    """

    number: int
    at: float
    entry: Entry

    def as_json(self) -> dict[str, Any]:
        """As it is exported; what is empty is left out."""
        entry = self.entry
        told = {
            "at": iso_utc(datetime.fromtimestamp(int(self.at), UTC)),
            "number": self.number,
            "kind": entry.kind,
            "what": entry.what,
            "outcome": entry.outcome,
            "person": entry.by.person,
            "name": entry.by.name,
            "client": entry.by.client,
            "subject": entry.subject,
            "approved_by": entry.approved_by,
            "approved_how": entry.approved_how,
            "comment": entry.comment,
            "touched": [{key: value for key, value in vars(one).items() if value} for one in entry.touched],
        }
        return {key: value for key, value in told.items() if value}


@dataclass(frozen=True)
class Only:
    """Which entries are looked for.

    Attributes:
        who: the id or the name of who did it, or the name of who said yes to it; empty for everybody.
        since: not before that moment, in Unix seconds.
        until: before that moment.
    """

    who: str = ""
    kind: Kind | None = None
    since: float | None = None
    until: float | None = None


ALL = Only()


def touched_by(step: Step) -> Touched:
    """What a step of a change does, or did."""
    target = None if step.target_id is None else str(step.target_id)
    told = target, *_before_and_after(step), step.outcome, step.request_id
    return Touched(step.action, step.kind, *told)


def _before_and_after(step: Step) -> tuple[dict[str, Any], dict[str, Any]]:
    match step:
        case Create():
            return {}, payload_of(step) if step.after is None else entity_to_record(step.after)
        case Update():
            before = entity_to_record(step.before)
            return before, before | payload_of(step) if step.after is None else entity_to_record(step.after)
        case Delete():
            return entity_to_record(step.before), {}
        case Move():
            into, out_of = ([one.id for one in places] for places in (step.into, step.out_of))
            return {"customers": step.customers}, {"customers": step.found, "into": into, "out_of": out_of}


class Audit(Protocol):
    """Keeps the audit. Every method can raise `StorageUnavailable`."""

    async def add(self, entry: Entry) -> None:
        """Record something; it is durable when this returns, and nobody can take it back."""
        ...

    async def page(self, limit: int, before: int | None = None, only: Only = ALL) -> Sequence[Recorded]:
        """The newest entries first, at most `limit`; those before the number `before`, where one is given."""
        ...


async def everything(audit: Audit, only: Only = ALL) -> AsyncIterator[Recorded]:
    """Every entry that is looked for, the newest first, read page by page."""
    before: int | None = None
    while page := await audit.page(MAX_PAGE, before, only):
        for recorded in page:
            yield recorded
        before = page[-1].number
