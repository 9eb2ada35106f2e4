"""The people of a team: their roles, and the tokens by which their clients are known.

A token is `amo_`, its public id, `_`, and a secret of 256 random bits. Only its SHA-256 is kept. A token is found by
its id and compared in constant time, so that how long that takes says nothing of the secret.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from amo_mcp.team.audit import OPERATOR, Actor

Role = Literal["viewer", "editor", "approver", "admin"]
"""What somebody may do; each may also do what the ones before it may.

A viewer reads. An editor creates, plans and asks. An approver says yes to what changes or deletes something. An admin
gives roles and tokens.
"""

ROLES: tuple[Role, ...] = get_args(Role)
"""The roles, the least first."""

READ = "segments:read"
WRITE = "segments:write"
SCOPES = (READ, WRITE)
"""What a client may be allowed: to read, and beside that to change what the person's role lets them change."""

MAX_OWN_TOKENS = 50
"""Good personal tokens of one person."""

MAX_LISTED_TOKENS = 200
"""Personal tokens of one person that are shown, also those that are no good any more."""

MAX_REMOVED = 200
"""People who were removed that are shown."""

_PREFIX = "amo"
"""How a token begins: scanners for secrets can know it by that."""

_NOTHING = bytes(32)
"""What a token whose id is unknown is compared with."""


def includes(role: Role, needed: Role) -> bool:
    """Whether somebody of one role may do what needs another."""
    return ROLES.index(role) >= ROLES.index(needed)


@dataclass(frozen=True)
class Person:
    """Somebody who is known here.

    Attributes:
        id: stays the same whatever becomes of the name.
        name: by which the operator knows them; nobody else has it now.
    """

    id: str
    name: str
    role: Role


@dataclass(frozen=True)
class Token:
    """A token of somebody's client, without its secret; moments are Unix seconds.

    Attributes:
        id: its public part.
        expires: None for a token that has no end.
        used: when it was used last, to about a minute.
        revoked: None while nobody has revoked it.
        sign_in: the sign-in with amoCRM that the client has it from; None for a personal token, made by hand.
        scope: what it allows, space between each; None for all that its person may.
        resource: the server that it is for; None for any that has it in its database.
        label: what its person calls it; empty where they have said nothing.
    """

    id: str
    person: Person
    made: float
    expires: float | None = None
    used: float | None = None
    revoked: float | None = None
    sign_in: str | None = None
    scope: str | None = None
    resource: str | None = None
    label: str = ""

    @property
    def may_write(self) -> bool:
        """Whether it allows more than to read, as far as its person may."""
        return self.scope is None or WRITE in self.scope.split()

    def state(self, now: float) -> Literal["good", "expired", "revoked"]:
        """Whether it is good at a moment, and if not, why."""
        if self.revoked is not None:
            return "revoked"
        return "good" if self.expires is None or self.expires > now else "expired"


@dataclass(frozen=True)
class Known:
    """Somebody who is known here, or was; moments are Unix seconds.

    Attributes:
        made: when they became known.
        used: when a program of theirs called last, to about a minute; None when none has.
        removed: None while nobody has removed them.
    """

    person: Person
    made: float
    used: float | None = None
    removed: float | None = None


class UnknownPerson(Exception):
    """Nobody has that name, or that id."""


class LastAdmin(Exception):
    """Without them nobody would be an admin."""


class NameTaken(Exception):
    """Somebody else has that name by now."""


class TooManyTokens(Exception):
    """Somebody has as many good personal tokens as they may."""


class HasOtherRole(Exception):
    """Somebody of that name has another role.

    Attributes:
        person: who.
    """

    def __init__(self, person: Person) -> None:
        super().__init__(person.name)
        self.person = person


class PeopleStore(Protocol):
    """Keeps people and their tokens. Every method can raise `StorageUnavailable`.

    What is written is durable when a method returns, and every process sees it with its next look. What somebody does
    to people and tokens is in the audit, in the same transaction.
    """

    async def add_token(
        self, token_id: str, digest: bytes, name: str, role: Role, days: float | None, by: Actor = OPERATOR
    ) -> Token:
        """A new token for somebody; whoever has the name, or somebody new.

        Raises:
            HasOtherRole: whoever has the name has another role.
        """
        ...

    async def add_own_token(
        self, token_id: str, digest: bytes, by: Actor, *, label: str, scope: str, days: float
    ) -> Token:
        """A new token of who makes it.

        Raises:
            UnknownPerson: they are known no longer.
            TooManyTokens: they have `MAX_OWN_TOKENS` good ones.
        """
        ...

    async def good_token(self, token_id: str) -> tuple[bytes, Token] | None:
        """The digest of a token, and the token, while it is neither revoked nor expired."""
        ...

    async def note_use(self, token_id: str) -> None:
        """Note that a token is used now."""
        ...

    async def tokens(self) -> Sequence[Token]:
        """All personal tokens, the newest first, also those that are no good any more."""
        ...

    async def tokens_of(self, person_id: str) -> Sequence[Token]:
        """The personal tokens of somebody, the newest first, at most `MAX_LISTED_TOKENS`."""
        ...

    async def revoke(self, token_id: str, by: Actor = OPERATOR, *, of: str | None = None) -> bool:
        """Let a token be good no longer, where it is that person's or none is named; whether it was good until now."""
        ...

    async def people(self) -> Sequence[Person]:
        """Everybody, by name."""
        ...

    async def everybody(self) -> Sequence[Known]:
        """Everybody who is known, by name, and then who was removed, the last ones first, at most `MAX_REMOVED`."""
        ...

    async def give_role(self, person_id: str, role: Role, by: Actor) -> None:
        """Give somebody another role: their next request has it, and of a viewer nothing goes on.

        Raises:
            UnknownPerson: nobody who is known has that id.
            LastAdmin: nobody would be an admin.
        """
        ...

    async def shut_out(self, person_id: str, by: Actor) -> None:
        """As `remove`, by the id.

        Raises:
            UnknownPerson: nobody who is known has that id.
            LastAdmin: nobody would be an admin.
        """
        ...

    async def let_in(self, person_id: str, by: Actor) -> None:
        """Let somebody be known again who was removed, with the role that they had; what was ended stays ended.

        Raises:
            UnknownPerson: nobody who was removed has that id.
            NameTaken: somebody else has their name.
        """
        ...

    async def set_role(self, name: str, role: Role, by: Actor = OPERATOR) -> Person:
        """As `give_role`, by the name, and for the last admin too.

        Raises:
            UnknownPerson: nobody has that name.
        """
        ...

    async def remove(self, name: str, by: Actor = OPERATOR) -> Person:
        """Let somebody be known no longer; their tokens, their sign-ins and what their browsers know end.

        Raises:
            UnknownPerson: nobody has that name.
        """
        ...


def new_token() -> tuple[str, str, bytes]:
    """A new token: its id, the whole of it, and its digest."""
    token_id = secrets.token_hex(6)
    token = f"{_PREFIX}_{token_id}_{secrets.token_urlsafe(32)}"
    return token_id, token, digest_of(token)


def digest_of(secret: str) -> bytes:
    """What is kept of a secret, by which it is known again: its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def look_up(store: PeopleStore, token: str) -> Token | None:
    """What is known of a token that somebody presents; None when it is no good."""
    prefix, _, rest = token.partition("_")
    token_id, _, secret = rest.partition("_")
    if prefix != _PREFIX or not secret or not token_id.isascii():
        return None
    digest, found = await store.good_token(token_id) or (_NOTHING, None)
    return found if hmac.compare_digest(digest, digest_of(token)) else None
