"""What comes to a team's server first: its name, the page that calls, and the token of the person."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc
import pytest

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.team import sign_in
from amo_mcp.team.gate import Gate, security_of
from amo_mcp.team.people import Role, Token, new_token
from amo_mcp.team.sign_in import MAX_LOOKS, SignIn
from amo_mcp.team.signed_in import signed_in
from amo_mcp.transports.http import HttpApp
from tests.clock import Clock
from tests.transports.asgi import Exchange
from tests.transports.peers import INITIALIZE, NEW, OLD, TestServer, call, modern, text_of

pytestmark = pytest.mark.anyio

HOST = "crm.example.org"
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json", "host": HOST}
WRONG = f"amo_{'0' * 12}_wrong"
UNKNOWN = 'Bearer realm="amo-mcp", error="invalid_token", error_description="The token is unknown, expired or revoked."'


@dataclass
class Desk:
    """A small server behind a gate, and people who can call it.

    Attributes:
        away: why nothing can be done now, for /readyz.
    """

    group: anyio.abc.TaskGroup
    server: TestServer
    store: PostgresPeopleStore
    sign_in: SignIn
    gate: Gate
    away: list[str] = field(default_factory=list)

    async def person(self, name: str = "Анна", role: Role = "viewer") -> tuple[str, Token]:
        token_id, token, digest = new_token()
        return token, await self.store.add_token(token_id, digest, name, role, None)

    async def post(self, body: Any, token: str | None = None, **headers: str) -> Exchange:
        return await self.exchange(body, token, **headers).run(self.gate)

    def exchange(self, body: Any, token: str | None = None, **headers: str) -> Exchange:
        signed = {"authorization": f"Bearer {token}"} if token is not None else {}
        return Exchange("POST", "/mcp", {**ACCEPT, **signed, **headers}, body)

    async def get(self, path: str, method: str = "GET", **headers: str) -> Exchange:
        return await Exchange(method, path, {"host": HOST, **headers}).run(self.gate)


@asynccontextmanager
async def desk(database: Database, public_url: str = f"https://{HOST}", *origins: str) -> AsyncIterator[Desk]:
    server, store, clock = TestServer(), PostgresPeopleStore(database), Clock()
    security = security_of(public_url, origins)
    app = HttpApp(server, security=security, stateless=True)
    away: list[str] = []

    async def ready() -> str:
        return "".join(away)

    people = SignIn(store, clock)
    async with app.running(), anyio.create_task_group() as group:
        yield Desk(group, server, store, people, Gate(app, people, security, ready), away)
        group.cancel_scope.cancel()


@pytest.mark.requirement("TEAM-4")
@pytest.mark.parametrize("era", [OLD, NEW])
async def test_a_person_with_a_token_is_served_in_both_eras(era: str, database: Database) -> None:
    async with desk(database) as at:
        token, _ = await at.person()
        request = call(1, "echo", text="here")
        headers = {"mcp-protocol-version": era, "mcp-method": "tools/call", "mcp-name": "echo"}
        answer = await at.post(modern(request) if era == NEW else request, token, **headers)
        assert answer.status == 200
        body = json.loads(answer.body) if era == NEW else await answer.message()
        assert text_of(body) == "here"
        [kept] = await at.store.tokens()
        assert kept.used is not None


@pytest.mark.requirement("TEAM-4")
async def test_without_a_token_nobody_is_served(database: Database) -> None:
    async with desk(database) as at:
        refused = await at.post(INITIALIZE)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="amo-mcp"')
        assert json.loads(refused.body) == {
            "error_description": "A token is needed: `Authorization: Bearer …`. "
            "Whoever runs this server makes one: `amo-mcp team token`."
        }
    assert at.server.called == []


@pytest.mark.requirement("TEAM-4")
@pytest.mark.parametrize("presented", [WRONG, "amo_x", "", " ", "ey.jwt", "x" * 10_000])
async def test_a_wrong_token_is_refused(presented: str, database: Database) -> None:
    async with desk(database) as at:
        await at.person()
        refused = await at.post(INITIALIZE, presented)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, UNKNOWN)


@pytest.mark.parametrize("value", ["Basic YW1vOng=", "Bearer", "amo_x", ""])
async def test_another_way_of_signing_in_is_refused(value: str, database: Database) -> None:
    async with desk(database) as at:
        refused = await at.post(INITIALIZE, authorization=value)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="amo-mcp"')


@pytest.mark.requirement("TEAM-4")
async def test_a_token_in_the_address_is_not_looked_at(database: Database) -> None:
    async with desk(database) as at:
        token, _ = await at.person()
        exchange = Exchange("POST", f"/mcp?access_token={token}", ACCEPT, INITIALIZE)
        assert (await exchange.run(at.gate)).status == 401


@pytest.mark.requirement("TEAM-4")
async def test_a_revoked_token_is_refused_with_the_next_request(database: Database) -> None:
    async with desk(database) as at:
        token, known = await at.person()
        assert (await at.post(INITIALIZE, token)).status == 200
        await at.store.revoke(known.id)
        assert (await at.post(INITIALIZE, token)).headers["www-authenticate"] == UNKNOWN


class TestOpenRequests:
    @pytest.mark.requirement("TEAM-4")
    async def test_a_stream_ends_when_its_token_is_revoked(self, database: Database) -> None:
        async with desk(database) as at:
            token, known = await at.person()
            other, _ = await at.person("Борис")
            headers = {"mcp-protocol-version": NEW, "mcp-method": "subscriptions/listen"}
            listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": {}}}
            mine, theirs = (at.exchange(modern(listen), one, **headers) for one in (token, other))
            for exchange in (mine, theirs):
                at.group.start_soon(exchange.run, at.gate)
                await exchange.message()
            await at.store.revoke(known.id)
            await at.sign_in.recheck()
            await mine.until(lambda: mine.complete)
            assert not theirs.complete

    async def test_a_call_that_was_not_answered_yet_is_refused(self, database: Database) -> None:
        async with desk(database) as at:
            token, known = await at.person()
            waiting = at.exchange(
                modern(call(1, "wait")),
                token,
                **{"mcp-protocol-version": NEW, "mcp-method": "tools/call", "mcp-name": "wait"},
            )
            at.group.start_soon(waiting.run, at.gate)
            while not at.server.called:
                await anyio.lowlevel.checkpoint()
            await at.store.revoke(known.id)
            await at.sign_in.recheck()
            await waiting.until(lambda: waiting.complete)
            assert waiting.status == 401

    async def test_they_are_looked_at_again_and_again_whatever_becomes_of_the_database(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[float] = []

        async def recheck() -> None:
            looks.append(anyio.current_time())
            if len(looks) == 3:
                raise ZeroDivisionError
            raise StorageUnavailable("away")

        monkeypatch.setattr(sign_in, "RECHECK_SECONDS", 0.001)
        async with desk(database) as at:
            monkeypatch.setattr(at.sign_in, "recheck", recheck)
            with pytest.raises(ZeroDivisionError):
                await at.sign_in.watch()


class Looks(PostgresPeopleStore):
    """Counts the looks at tokens that are under way, and holds them up until they may end.

    Attributes:
        free: a token that is not held up.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.now, self.most, self.free = 0, 0, ""
        self.may_end = anyio.Event()
        self.may_end.set()

    async def good_token(self, token_id: str) -> tuple[bytes, Token] | None:
        self.now += 1
        self.most = max(self.most, self.now)
        if token_id != self.free:
            await self.may_end.wait()
        self.now -= 1
        return await super().good_token(token_id)


class TestGuessing:
    @pytest.mark.requirement("TEAM-4")
    async def test_wrong_tokens_are_looked_up_a_few_at_a_time_and_lock_nobody_out(self, database: Database) -> None:
        looks = Looks(database)
        people = SignIn(looks, Clock())
        token_id, token, digest = new_token()
        await looks.add_token(token_id, digest, "Анна", "viewer", None)
        assert await people.token(token) is not None
        new_id, new, digest = new_token()
        await looks.add_token(new_id, digest, "Борис", "viewer", None)
        looks.may_end, looks.most = anyio.Event(), 0
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(people.token, new_token()[1])
            await anyio.wait_all_tasks_blocked()
            assert looks.most == MAX_LOOKS
            looks.may_end.set()
            assert await people.token(new) is not None
        assert looks.most == MAX_LOOKS

    async def test_who_was_served_here_before_waits_for_no_wrong_token(self, database: Database) -> None:
        looks = Looks(database)
        people = SignIn(looks, Clock())
        token_id, token, digest = new_token()
        await looks.add_token(token_id, digest, "Анна", "viewer", None)
        assert await people.token(token) is not None
        looks.may_end, looks.free = anyio.Event(), token_id
        async with anyio.create_task_group() as group:
            for _ in range(MAX_LOOKS):
                group.start_soon(people.token, new_token()[1])
            await anyio.wait_all_tasks_blocked()
            assert await people.token(token) is not None
            looks.may_end.set()

    async def test_the_tokens_that_are_remembered_are_bounded(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_in, "MAX_KNOWN", 1)
        looks = Looks(database)
        people, tokens = SignIn(looks, Clock()), list[str]()
        for name in ("Анна", "Борис"):
            token_id, token, digest = new_token()
            await looks.add_token(token_id, digest, name, "viewer", None)
            assert await people.token(token) is not None
            tokens.append(token)
        looks.may_end, looks.most = anyio.Event(), 0
        async with anyio.create_task_group() as group:
            for token in tokens:
                for _ in range(MAX_LOOKS + 1):
                    group.start_soon(people.token, token)
            await anyio.wait_all_tasks_blocked()
            # The last one is remembered, and the first one is not.
            assert looks.most == MAX_LOOKS + (MAX_LOOKS + 1)
            looks.may_end.set()

    async def test_the_use_of_a_token_is_noted_once_in_a_minute(self, database: Database) -> None:
        noted: list[str] = []

        class Noting(PostgresPeopleStore):
            async def note_use(self, token_id: str) -> None:
                noted.append(token_id)

        store, clock = Noting(database), Clock()
        token_id, token, digest = new_token()
        await store.add_token(token_id, digest, "Анна", "viewer", None)
        people = SignIn(store, clock)
        for seconds in (0, 59, 1):
            clock.now += seconds
            await people.token(token)
        assert noted == [token_id, token_id]


async def test_while_nobody_can_be_looked_up_a_request_goes_on_as_nobody_s(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    who: list[object] = []

    async def away(_: str) -> Token | None:
        raise StorageUnavailable("away")

    async with desk(database) as at:
        token, _ = await at.person()
        monkeypatch.setattr(at.sign_in, "token", away)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            who.append(signed_in())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        gate = Gate(app, at.sign_in, security_of(f"https://{HOST}", ()), _ready)
        assert (await at.exchange(INITIALIZE, token).run(gate)).status == 200
    assert who == [None]


async def _ready() -> str:
    return ""


class TestNames:
    @pytest.mark.requirement("TEAM-5")
    @pytest.mark.parametrize("path", ["/mcp", "/healthz", "/readyz", "/elsewhere"])
    @pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1:8000", "crm.example.org:8000", ""])
    async def test_by_another_name_nothing_is_answered(self, host: str, path: str, database: Database) -> None:
        async with desk(database) as at:
            token, _ = await at.person()
            refused = await at.get(path, host=host, authorization=f"Bearer {token}")
            assert refused.status == 421

    @pytest.mark.parametrize(
        ("public_url", "host"),
        [
            ("https://crm.example.org", "crm.example.org"),
            ("https://crm.example.org", "CRM.Example.org:443"),
            ("https://crm.example.org:8443", "crm.example.org:8443"),
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://[::1]", "[::1]:80"),
        ],
    )
    async def test_its_name_is_the_one_of_its_address(self, public_url: str, host: str, database: Database) -> None:
        async with desk(database, public_url) as at:
            assert (await at.get("/healthz", host=host)).status == 200

    @pytest.mark.requirement("TEAM-5")
    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://crm.example.org.evil.example"])
    async def test_a_page_of_another_origin_is_refused(self, origin: str, database: Database) -> None:
        async with desk(database) as at:
            token, _ = await at.person()
            assert (await at.post(INITIALIZE, token, origin=origin)).status == 403
            preflight = await at.get("/mcp", "OPTIONS", origin=origin, **{"access-control-request-method": "POST"})
            assert preflight.status == 403


ORIGINS = ("https://crm.example.org", "https://app.example.org", "http://localhost:6274", "http://127.0.0.1:1")


@pytest.mark.requirement("TEAM-5")
@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_page_that_may_call_hears_that_it_may_and_reads_the_answer(origin: str, database: Database) -> None:
    async with desk(database, f"https://{HOST}", "https://app.example.org") as at:
        wanted = "authorization,content-type,mcp-protocol-version,mcp-method,mcp-param-x"
        asked = {"access-control-request-method": "POST", "access-control-request-headers": wanted}
        preflight = await at.get("/mcp", "OPTIONS", origin=origin, **asked)
        assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, origin)
        assert preflight.headers["access-control-allow-headers"] == wanted
        assert preflight.headers["access-control-allow-methods"] == "POST"
        token, _ = await at.person()
        for answer in (await at.post(INITIALIZE, token, origin=origin), await at.post(INITIALIZE, origin=origin)):
            assert answer.headers["access-control-allow-origin"] == origin
            assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["access-control-expose-headers"] == "WWW-Authenticate"


class TestHealth:
    async def test_health_is_told_to_everybody_and_says_nothing_of_the_account(self, database: Database) -> None:
        async with desk(database) as at:
            assert json.loads((await at.get("/healthz")).body).keys() == {"status", "server", "version"}

    @pytest.mark.requirement("TEAM-6")
    async def test_readiness_is_what_the_replica_says(self, database: Database) -> None:
        async with desk(database) as at:
            assert (await at.get("/readyz")).status == 200
            at.away.append("the database cannot be used")
            answer = await at.get("/readyz")
            assert (answer.status, json.loads(answer.body)) == (
                503,
                {"status": "unavailable", "reason": "the database cannot be used"},
            )

    @pytest.mark.parametrize("path", ["/", "/metrics", "/mcp/", "/authorize"])
    async def test_nothing_else_is_there(self, path: str, database: Database) -> None:
        async with desk(database) as at:
            assert (await at.get(path)).status == 404


async def test_the_lifespan_is_the_one_of_the_application_behind() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    gate = Gate(app, None, security_of(f"https://{HOST}", ()), _ready)  # type: ignore[arg-type]
    await gate({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
