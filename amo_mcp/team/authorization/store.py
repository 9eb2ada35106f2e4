"""What is kept of signing in, and the protocol of what keeps it. Of every secret only its SHA-256 is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from amo_mcp.team.browser import VISITOR
from amo_mcp.team.people import Person

REQUEST_SECONDS = 900.0
"""Seconds that a person has from the client's request to amoCRM's answer."""

CODE_SECONDS = 60.0
"""Seconds that a client has to exchange a code for tokens."""

ACCESS_SECONDS = 3600
"""Seconds that an access token is good."""

SAME_SECONDS = 120.0
"""Seconds in which a refresh token that was used gives the same successor again: several processes of one client."""

LATE_SECONDS = 1800.0
"""Seconds in which it still gives an access token; who uses it later than that has stolen it, or was stolen from."""

ASKING_SECONDS = 10.0
"""Seconds in which a client that was told to ask its person for more gets no refreshed tokens in place of that."""

MAX_IDLE_SECONDS = 30 * 86_400.0
"""Seconds without a refresh after which a person has to sign in again: amoCRM never says that somebody has left."""

MAX_SIGN_IN_SECONDS = 90 * 86_400.0
"""Seconds after which a person has to sign in again in any case."""

MAX_CLIENTS = 10_000
"""Clients of either kind that are remembered; with more, none can be registered, and the fetched one goes that was used
longest ago. Whoever has addresses without end to be fetched from keeps nobody from registering."""

MAX_REGISTRATIONS = 30
"""Clients that can be registered in a minute, at all replicas together."""

MAX_REQUESTS = 10_000
"""Requests that can wait for a person; with more, the oldest goes."""

CLIENT_SECONDS = 90 * 86_400.0
"""Seconds after its last use that a client is remembered; one that was never used, a day."""


class Request(BaseModel):
    """What a client asks a person for; or what a browser wants that signs in for itself, to see a page of ours.

    Attributes:
        client_id: empty for a browser, which goes on to `redirect_uri`, a path of ours.
        client_name: what it calls itself.
        redirect_uri: where it is answered; `state` and `code_challenge` are its own too.
        given: whether it named `redirect_uri`, and has to name it again.
        scope: what it may do, space between each.
        resource: for which server; always this one.
        admin: the digest of the bootstrap code that the person gave, in hex; empty when they gave none.
    """

    model_config = ConfigDict(frozen=True)

    client_id: str
    client_name: str
    redirect_uri: str
    given: bool
    state: str | None
    code_challenge: str
    scope: str
    resource: str
    admin: str = ""

    @property
    def is_visit(self) -> bool:
        """Whether it is a browser's own."""
        return not self.client_id


def visit(path: str) -> Request:
    """What a browser wants that signs in for itself, to see what is at a path of ours."""
    return Request(
        client_id="",
        client_name=VISITOR,
        redirect_uri=path,
        given=False,
        state=None,
        code_challenge="",
        scope="",
        resource="",
    )


class Grant(BaseModel):
    """What a person has agreed to, and their client gets tokens for."""

    model_config = ConfigDict(frozen=True)

    request: Request
    person: str


@dataclass(frozen=True)
class Client:
    """What is kept of a client: its metadata as JSON, and how many seconds ago it was written."""

    document: str
    age: float


@dataclass(frozen=True)
class SignedIn:
    """A sign-in that lives: one person, one client."""

    id: str
    client_id: str
    scope: str
    person: str


@dataclass(frozen=True)
class NewToken:
    """A token that is to be kept: its id, its digest, and what it allows."""

    id: str
    digest: bytes
    scope: str


@dataclass(frozen=True)
class Rotated:
    """What came of using a refresh token.

    Attributes:
        outcome: `ok`, also for one that was used a moment ago; `ended`, which needs a new sign-in; `reused`, which
            ended the sign-in just now.
        key_id: by which key the successor is made; None when there is none to be given.
        person: whose it is.
    """

    outcome: Literal["ok", "ended", "reused"]
    key_id: str | None = None
    person: str = ""


class TooManyClients(Exception):
    """No client can be registered now."""


class WasRemoved(Exception):
    """Somebody was removed from this server by its operator."""


class AuthorizationStore(Protocol):
    """Keeps all of signing in. Every method can raise `StorageUnavailable`.

    What is written is durable when a method returns, and every replica sees it with its next look. What is used up by
    one caller is there for no other, however many come at once.
    """

    async def client(self, client_id: str) -> Client | None:
        """What is kept of a client."""
        ...

    async def keep_client(self, client_id: str, document: str) -> None:
        """Keep a client whose document was fetched; in place of what is kept of it."""
        ...

    async def register_client(self, client_id: str, document: str) -> None:
        """Keep a client that has registered itself.

        Raises:
            TooManyClients: there are too many, or too many have come in the last minute.
        """
        ...

    async def ask(self, request_id: bytes, request: Request) -> None:
        """Keep a request until a person has answered it."""
        ...

    async def request(self, request_id: bytes, browser: bytes) -> Request | None:
        """A request that waits for a person: one that nobody has said yes to, or that they did in this browser."""
        ...

    async def approve(self, request_id: bytes, state: bytes, browser: bytes, admin: str) -> bool:
        """Note that a person has said yes, in which browser; a yes before that counts no more.

        Returns:
            Whether the request was waiting.
        """
        ...

    async def refuse(self, request_id: bytes, browser: bytes) -> Request | None:
        """Use a request up that waits, and that a person has said no to."""
        ...

    async def take(self, state: bytes, browser: bytes) -> Request | None:
        """Use a request up that was approved in a browser."""
        ...

    async def know(self, person_id: str, name: str, admin: str, client: str) -> Person:
        """Let somebody be known who signs in with a client, or in a browser for themselves.

        Who is new is a viewer, or an admin with the bootstrap code, which is used up.

        Raises:
            WasRemoved: they are not to be known any more.
        """
        ...

    async def add_code(self, code: bytes, grant: Grant) -> None:
        """Keep a code for a minute."""
        ...

    async def code(self, code: bytes) -> Grant | None:
        """What a code is for, while it is good."""
        ...

    async def begin(self, code: bytes, access: NewToken, refresh: bytes) -> SignedIn | None:
        """Use a code up, and begin a sign-in with its first tokens; None when it was used up before, or is too old."""
        ...

    async def signed_in(self, refresh: bytes) -> SignedIn | None:
        """Whose a refresh token is, also one that was used; None when its sign-in is over."""
        ...

    async def rotate(self, refresh: bytes, access: NewToken, successors: Mapping[str, bytes]) -> Rotated:
        """Use a refresh token.

        Args:
            refresh: its digest.
            access: is kept, unless the sign-in is over.
            successors: the digests of its successor by the key that makes it, the newest key first.
        """
        ...

    async def tell_to_ask(self, token_id: str) -> None:
        """Note that the client of an access token was told to ask its person for more."""
        ...

    async def is_to_ask(self, refresh: bytes) -> bool:
        """Whether that was noted a moment ago of the sign-in of a refresh token; then it is noted no more."""
        ...

    async def end(self, token: bytes, client_id: str) -> None:
        """End the sign-in of a token of either kind, if that client has it: none of its tokens is good any more."""
        ...

    async def end_all(self, prefix: str) -> int:
        """End the sign-ins of everybody whose id begins so; how many there were."""
        ...

    async def begin_bootstrap(self, code: bytes) -> bool:
        """Keep the code that makes the first admin, once for the life of the database; whether it was kept."""
        ...

    async def bootstrap_is_open(self) -> bool:
        """Whether the code that makes the first admin was not used yet."""
        ...
