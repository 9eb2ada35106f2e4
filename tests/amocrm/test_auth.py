"""A refresh token works once: it is used by one process at a time, and the new pair is saved before it is used."""

import json
import logging
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from amo_mcp.addresses import allowed_base_url
from amo_mcp.amocrm.auth import LOGIN_HINT, OAuthTokenSource
from amo_mcp.amocrm.credentials import Credentials, CredentialStore
from amo_mcp.amocrm.errors import AmoError, Unauthorized, Unavailable
from amo_mcp.amocrm.http import HttpTransport, Response, TransportError
from amo_mcp.amocrm.oauth import SignInFailed, consent_page, exchange_code
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken, TokenSource
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.storage.credentials import FileCredentialStore
from amo_mcp.storage.memory.credentials import MemoryCredentialStore
from amo_mcp.storage.memory.rate_limit import Unlimited
from tests.amocrm.answering import HTML, SEGMENTS, Answering
from tests.clock import Clock

pytestmark = pytest.mark.anyio

HOST = "example.amocrm.ru"
BASE_URL = f"https://{HOST}"
HOME = "api-b.amocrm.ru"
"""What tokens name as their host; it stays when an account is renamed."""
NEW_HOST = "renamed.kommo.com"
ACCOUNT = "/api/v4/account"
REFRESH = "POST /oauth2/access_token"
WHERE = "GET /oauth2/account/current/subdomain"
REMEDY = "Run `amo-mcp login` on the machine of this server."


class WatchedStore(FileCredentialStore):
    """Remembers what was saved, in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.saved: list[Credentials] = []

    async def save(self, credentials: Credentials) -> None:
        await super().save(credentials)
        self.saved.append(credentials)


class FullStore(FileCredentialStore):
    """A disk without room."""

    full = True

    async def save(self, credentials: Credentials) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        await super().save(credentials)


class LockedStore(FileCredentialStore):
    """A store that cannot be read until somebody unlocks it."""

    locked = True

    async def load(self) -> Credentials | None:
        if self.locked:
            raise PermissionError(13, "Permission denied", self.place)
        return await super().load()


class Renamed:
    """The hosts of an account that is `renamed.kommo.com` now, unless `old` is None.

    The old host answers to everything as `old` does. The one that tokens name answers as ever, and knows where the
    account is.
    """

    def __init__(self, sandbox: Sandbox, old: Answering | None) -> None:
        self._sandbox = sandbox
        self._old: Any = sandbox.app
        self.asked: list[str] = []
        if old is not None:
            self.rename(old)

    def rename(self, old: Answering) -> None:
        self._sandbox.oauth.moved_to, self._old = NEW_HOST, old

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        host = dict(scope["headers"])[b"host"].decode()
        self.asked.append(f"{scope['method']} {host}{scope['path']}")
        await (self._old if host == HOST else self._sandbox.app)(scope, receive, send)


@dataclass
class World:
    """An integration that is signed in to a sandbox in process, and the processes that use that."""

    sandbox: Sandbox
    clock: Clock
    folder: Path
    app: Any = None
    opened: list[HttpTransport] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "sign-in.json"

    @property
    def lock(self) -> Path:
        return self.folder / "sign-in.lock"

    @property
    def kept(self) -> Credentials | None:
        return Credentials.model_validate_json(self.file.read_text()) if self.file.exists() else None

    @property
    def requests(self) -> list[str]:
        return [f"{item.method} {item.path}" for item in self.sandbox.requests]

    def keep(self, credentials: Credentials) -> Credentials:
        """Let these be what the next process finds."""
        self.file.write_text(credentials.model_dump_json())
        return credentials

    def sign_in(self, *, lives: float = 86_400.0, expired: bool = False, host: str = HOST) -> Credentials:
        """Keep a pair that the sandbox has given, with `lives` seconds to live."""
        access, refresh = self.sandbox.oauth.issue_tokens(expired=expired, host=host)
        return self.keep(
            Credentials(
                base_url=BASE_URL,
                client_id=self.sandbox.oauth.client_id,
                client_secret=SecretStr(self.sandbox.oauth.client_secret),
                redirect_uri=self.sandbox.oauth.redirect_uri,
                access_token=SecretStr(access),
                refresh_token=SecretStr(refresh),
                expires=self.clock.now + lives,
            )
        )

    def http(self) -> HttpTransport:
        http = HttpTransport(timeout=5.0, app=self.app or self.sandbox.app)
        self.opened.append(http)
        return http

    def tokens(self, http: HttpTransport | None = None, store: CredentialStore | None = None) -> OAuthTokenSource:
        """What a process that uses the sign-in gets its tokens from."""
        return OAuthTokenSource(
            store or FileCredentialStore(self.file),
            http or self.http(),
            allowed=lambda it: allowed_base_url(it, ()),
            clock=self.clock,
        )

    def session(self, tokens: TokenSource | None = None, http: HttpTransport | None = None) -> Session:
        return Session(
            BASE_URL,
            tokens or self.tokens(),
            http or self.http(),
            Unlimited(),
            sleep=self.clock.sleep,
            clock=self.clock,
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def world(clock: Clock, tmp_path: Path) -> AsyncIterator[World]:
    made = World(Sandbox(clock=clock), clock, tmp_path)
    yield made
    for http in made.opened:
        await http.aclose()


async def unauthorized(awaitable: Any) -> Unauthorized:
    with pytest.raises(Unauthorized) as caught:
        await awaitable
    return caught.value


class Http1(HttpTransport):
    """The network, where something happens once the answer of the token endpoint is there."""

    def __init__(self, app: Any, answered: Callable[[], Any]) -> None:
        super().__init__(timeout=5.0, app=app)
        self._answered = answered

    async def send(self, *args: Any, **more: Any) -> Response:
        answer = await super().send(*args, **more)
        await self._answered()
        return answer


class TestUse:
    async def test_a_token_is_used_until_a_minute_before_its_end(self, world: World) -> None:
        kept = world.sign_in(lives=1000)
        tokens = world.tokens()
        for passed in (0.0, 939.9):
            world.clock.now = kept.expires - 1000 + passed
            assert await tokens.token() == kept.access_token
        assert world.requests == []
        world.clock.now = kept.expires - 60
        fresh = await tokens.token()
        assert fresh != kept.access_token
        assert world.requests == [REFRESH]
        assert world.kept is not None
        assert fresh == world.kept.access_token

    async def test_a_new_pair_replaces_the_old_one_and_nothing_else(self, world: World) -> None:
        before = world.sign_in(lives=0)
        world.sandbox.oauth.access_lifetime = 500
        fresh = await world.tokens().token()
        after = world.kept
        assert after is not None
        assert after == before.model_copy(
            update={
                "access_token": fresh,
                "refresh_token": after.refresh_token,
                "expires": world.clock.now + 500,
            }
        )
        assert after.refresh_token != before.refresh_token
        assert world.sandbox.oauth.granted_by(fresh.get_secret_value())
        assert (world.sandbox.oauth.refreshes, world.sandbox.oauth.live_refresh_tokens) == (1, 1)

    async def test_what_is_sent_is_what_the_token_endpoint_wants(self, world: World) -> None:
        world.sign_in(lives=0)
        await world.tokens().token()
        [request] = world.sandbox.requests
        assert request.body == {
            "client_id": "sandbox-integration",
            "client_secret": "…",
            "grant_type": "refresh_token",
            "refresh_token": "…",
            "redirect_uri": "http://127.0.0.1:8919/callback",
        }

    async def test_a_new_pair_is_kept_before_it_is_used(self, world: World) -> None:
        world.sign_in(lives=0)
        store, seen = WatchedStore(world.file), []

        async def look() -> None:
            await anyio.lowlevel.checkpoint()
            seen.append((world.requests[-1], len(store.saved)))

        http = Http1(world.sandbox.app, look)
        await world.session(world.tokens(http, store), http).request("GET", ACCOUNT)
        await http.aclose()
        assert seen == [(REFRESH, 0), (f"GET {ACCOUNT}", 1)]

    async def test_a_pair_that_could_not_be_kept_is_not_used(self, world: World) -> None:
        world.sign_in(lives=0)
        store = FullStore(world.file)
        with pytest.raises((OSError, AmoError)):
            await world.session(world.tokens(store=store)).request("GET", ACCOUNT)
        assert world.requests == [REFRESH]

    async def test_a_keychain_that_is_locked_is_no_missing_sign_in_and_works_again_once_it_is_open(
        self, world: World
    ) -> None:
        kept = world.sign_in()
        store = LockedStore(world.file)
        session = world.session(world.tokens(store=store))
        with pytest.raises(Unavailable) as caught:
            await session.request("GET", ACCOUNT)
        assert (caught.value.reason, caught.value.hint) == (
            f"was not asked, because the sign-in in {world.file} cannot be read",
            "Unlock it on the machine of this server, or run `amo-mcp login` there again.",
        )
        store.locked = False
        assert (await session.request("GET", ACCOUNT))["id"] == world.sandbox.account.id
        assert (world.kept, world.requests) == (kept, [f"GET {ACCOUNT}"])

    async def test_a_pair_that_could_not_be_saved_is_saved_once_there_is_room(self, world: World) -> None:
        world.sign_in(lives=0)
        store = FullStore(world.file)
        session = world.session(world.tokens(store=store))
        with pytest.raises((OSError, AmoError)):
            await session.request("GET", ACCOUNT)
        store.full = False
        assert (await session.request("GET", ACCOUNT))["id"] == world.sandbox.account.id

    async def test_twelve_calls_at_once_refresh_once(self, world: World) -> None:
        world.sign_in(lives=0, expired=True)
        tokens, got = world.tokens(), []

        async def call() -> None:
            got.append(await tokens.token())

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(call)
        assert world.kept is not None
        assert got == [world.kept.access_token] * 12
        assert (world.requests, world.sandbox.oauth.refreshes) == ([REFRESH], 1)

    async def test_twelve_processes_at_once_refresh_once(self, world: World) -> None:
        world.sign_in(lives=0, expired=True)
        got = []

        async def call(session: Session) -> None:
            got.append((await session.request("GET", ACCOUNT))["id"])

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(call, world.session())
        assert got == [world.sandbox.account.id] * 12
        assert (world.requests.count(REFRESH), world.sandbox.oauth.refreshes) == (1, 1)

    async def test_who_waited_for_a_refresh_uses_what_it_brought(self, world: World) -> None:
        world.sign_in(lives=0)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                lock = filelock.FileLock(world.lock)
                lock.acquire()
                late: list[SecretStr] = []

                async def wait() -> None:
                    late.append(await world.tokens().token())

                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                assert late == []
                fresh = world.sign_in(lives=900)
                lock.release()
        assert late == [fresh.access_token]
        assert world.requests == []

    async def test_the_lock_is_free_again_whatever_happened(self, world: World) -> None:
        world.sign_in(lives=0)
        world.sandbox.faults.add(Fault(path="/oauth2/*", status=500))
        with pytest.raises(Unavailable):
            await world.tokens().token()
        with filelock.FileLock(world.lock, timeout=0):
            pass
        assert stat.S_IMODE(world.lock.stat().st_mode) == 0o600

    async def test_without_a_sign_in_a_person_is_told_to_sign_in(self, world: World) -> None:
        for call in (world.tokens().token(), world.tokens().refresh(SecretStr("x"))):
            error = await unauthorized(call)
            assert (error.status, error.hint) == (401, REMEDY)
        assert await world.tokens().relocated_to(BASE_URL) is None
        assert world.requests == []


class TestRefused:
    async def test_a_refused_token_is_refreshed_once_and_the_request_repeated(self, world: World) -> None:
        kept = world.sign_in()
        world.sandbox.oauth.revoke(kept.access_token.get_secret_value())
        session = world.session()
        assert (await session.request("GET", ACCOUNT))["id"] == world.sandbox.account.id
        assert world.requests == [f"GET {ACCOUNT}", REFRESH, f"GET {ACCOUNT}"]
        await session.request("GET", ACCOUNT)
        assert world.requests[3:] == [f"GET {ACCOUNT}"]

    async def test_a_write_is_repeated_too_because_a_refused_one_did_nothing(self, world: World) -> None:
        kept = world.sign_in()
        world.sandbox.oauth.revoke(kept.access_token.get_secret_value())
        path = "/api/v4/customers/segments"
        created = await world.session().request("POST", path, body={"name": "Новые"})
        assert world.requests == [f"POST {path}", REFRESH, f"POST {path}"]
        assert [it["id"] for it in world.sandbox.account.segments.values() if it["name"] == "Новые"] == [created["id"]]

    async def test_a_refreshed_token_that_is_refused_too_means_a_new_sign_in(self, world: World) -> None:
        world.sign_in()
        world.sandbox.faults.add(Fault(path="/api/*", status=401, times=0))
        error = await unauthorized(world.session().request("GET", ACCOUNT))
        assert (error.status, error.hint) == (401, REMEDY)
        assert world.requests == [f"GET {ACCOUNT}", REFRESH, f"GET {ACCOUNT}", WHERE]

    async def test_a_pair_that_somebody_else_refreshed_is_used_without_another_refresh(self, world: World) -> None:
        kept = world.sign_in()
        session = world.session()
        await session.request("GET", ACCOUNT)
        world.sandbox.oauth.revoke(kept.access_token.get_secret_value())
        world.sign_in()
        await session.request("GET", ACCOUNT)
        assert world.requests == [f"GET {ACCOUNT}"] * 3

    @pytest.mark.parametrize("how", ["used", "unknown", "expired"])
    async def test_a_refresh_token_that_is_dead_means_a_new_sign_in(self, how: str, world: World) -> None:
        kept = world.sign_in(lives=0)
        match how:
            case "used":
                world.sandbox.oauth.revoke(kept.refresh_token.get_secret_value())
            case "unknown":
                kept = kept.model_copy(update={"refresh_token": SecretStr("def502never-given")})
                world.keep(kept)
            case _:
                world.clock.now += 91 * 86_400
        error = await unauthorized(world.session().request("GET", ACCOUNT))
        assert (error.status, error.hint, error.detail, error.problems) == (401, REMEDY, "", ())
        assert world.kept == kept
        assert world.requests == [REFRESH, WHERE]

    @pytest.mark.parametrize("wrong", ["client_id", "client_secret", "redirect_uri"])
    async def test_keys_of_another_integration_mean_a_new_sign_in(self, wrong: str, world: World) -> None:
        kept = world.sign_in(lives=0)
        other = SecretStr("other") if wrong == "client_secret" else "other"
        world.keep(kept.model_copy(update={wrong: other}))
        assert (await unauthorized(world.tokens().token())).hint == LOGIN_HINT
        assert world.sandbox.oauth.live_refresh_tokens == 1

    async def test_what_is_logged_of_a_failed_refresh_has_no_secret(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept = world.sign_in(lives=0)
        world.sandbox.oauth.revoke(kept.refresh_token.get_secret_value())
        with caplog.at_level(logging.DEBUG, "amo_mcp"):
            await unauthorized(world.tokens().token())
        assert [record.getMessage() for record in caplog.records] == [
            "The sign-in could not be refreshed: example.amocrm.ru refused it (status 401)"
        ]


class TestUnavailable:
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ({"status": 500}, "answered the sign-in with the status 500 and no tokens"),
            ({"status": 500, "html": True}, "answered the sign-in with the status 500 and no tokens"),
            ({"status": 429, "retry_after": 3}, "answered the sign-in with the status 429 and no tokens"),
            ({"body": "<html>"}, "answered the sign-in with the status 200 and no tokens"),
            ({"body": "[]"}, "answered the sign-in with the status 200 and no tokens"),
            ({"status": 302, "body": "{}"}, "answered the sign-in with the status 302 and no tokens"),
            (
                {"body": json.dumps({"access_token": 1, "refresh_token": "r", "expires_in": 9})},
                "answered the sign-in with the status 200 and no tokens",
            ),
            (
                {"body": json.dumps({"access_token": "a", "refresh_token": "r"})},
                "answered the sign-in with the status 200 and no tokens",
            ),
            ({"drop": "before"}, "closed the connection before responding"),
        ],
    )
    async def test_without_a_usable_answer_of_the_token_endpoint_the_old_pair_is_kept_and_serves_again_later(
        self, fault: dict[str, Any], reason: str, world: World
    ) -> None:
        kept = world.sign_in(lives=0)
        world.sandbox.faults.add(Fault(path="/oauth2/*", **fault))
        tokens = world.tokens()
        with pytest.raises(Unavailable) as caught:
            await tokens.token()
        assert caught.value.reason == reason
        assert world.kept == kept
        assert (await tokens.token()) != kept.access_token
        assert world.sandbox.oauth.refreshes == 1

    async def test_a_token_endpoint_that_cannot_be_reached_is_told_as_that(self, world: World) -> None:
        kept = world.sign_in(lives=0)
        world.keep(kept.model_copy(update={"base_url": "http://127.0.0.1:1"}))
        http = HttpTransport(timeout=5.0, direct=True)
        with pytest.raises(Unavailable) as caught:
            await world.tokens(http).token()
        await http.aclose()
        assert caught.value.reason == "could not be reached; check the address and the network"
        assert world.kept == kept.model_copy(update={"base_url": "http://127.0.0.1:1"})

    async def test_a_failed_refresh_is_reported_through_the_session_and_not_repeated(self, world: World) -> None:
        world.sign_in(lives=0)
        world.sandbox.faults.add(Fault(path="/oauth2/*", status=503, times=0))
        with pytest.raises(Unavailable):
            await world.session().request("GET", ACCOUNT)
        assert world.requests == [REFRESH]

    async def test_a_gateway_that_blocks_does_not_mean_that_the_sign_in_has_ended(self, world: World) -> None:
        world.sign_in(lives=0)
        world.sandbox.faults.add(Fault(path="/oauth2/*", status=403, html=True))
        with pytest.raises(AmoError) as caught:
            await world.tokens().token()
        assert not isinstance(caught.value, Unauthorized)


class TestCancelled:
    @pytest.mark.parametrize("when", ["asking", "answered"])
    async def test_a_refresh_that_nobody_waits_for_any_more_is_kept_all_the_same(self, when: str, world: World) -> None:
        kept = world.sign_in(lives=0)
        scope = anyio.CancelScope()

        async def give_up() -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        async def app(*asgi: Any) -> None:
            if when == "asking":
                await give_up()
            await world.sandbox.app(*asgi)

        http = Http1(app, give_up)
        with scope:
            await world.tokens(http).token()
            await anyio.lowlevel.checkpoint()
        await http.aclose()
        assert scope.cancelled_caught
        after = world.kept
        assert after is not None
        assert after.refresh_token != kept.refresh_token
        assert world.sandbox.oauth.granted_by(after.access_token.get_secret_value())
        assert await world.tokens().token() == after.access_token
        assert world.sandbox.oauth.refreshes == 1

    async def test_who_gives_up_waiting_for_the_lock_leaves_it_free(self, world: World) -> None:
        world.sign_in(lives=0)
        with filelock.FileLock(world.lock), anyio.move_on_after(0) as scope:
            await world.tokens().token()
        assert scope.cancelled_caught
        await world.tokens().token()
        assert world.sandbox.oauth.refreshes == 1


OLD_HOSTS = [
    Answering(404, HTML),
    Answering(404, "Not found", content_type="Text/Html"),
    Answering(401, '{"title": "Unauthorized"}'),
    Answering(301, location=f"https://{NEW_HOST}/"),
    Answering(302, location="https://www.amocrm.ru/"),
]
"""How the old host of a renamed account answers to everything, to a refresh too."""


class TestMoved:
    async def test_an_account_that_moved_is_found_again_and_its_address_kept(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept = world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        session = world.session()
        assert (await session.request("GET", ACCOUNT))["id"] == world.sandbox.account.id
        assert world.requests == [f"GET {ACCOUNT}", "GET /oauth2/account/current/subdomain", f"GET {ACCOUNT}"]
        assert session.base_url == "https://renamed.kommo.com"
        assert world.kept == kept.model_copy(update={"base_url": "https://renamed.kommo.com"})
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "The account has moved to https://renamed.kommo.com"
        ]

    async def test_an_account_that_moved_is_asked_at_its_new_address_at_once_from_then_on(self, world: World) -> None:
        world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        session = world.session()
        for _ in range(2):
            await session.request("GET", ACCOUNT)
        assert world.requests[3:] == [f"GET {ACCOUNT}"]

    async def test_a_write_goes_to_the_new_address_once(self, world: World) -> None:
        world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        await world.session().request("POST", "/api/v4/customers/segments", body={"name": "Новые"})
        assert [it["name"] for it in world.sandbox.account.segments.values()].count("Новые") == 1

    async def test_an_account_that_moved_is_found_by_the_next_process_too(self, world: World) -> None:
        world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        for _ in range(2):
            assert (await world.session().request("GET", ACCOUNT))["id"] == world.sandbox.account.id

    async def test_calls_at_the_same_time_all_find_an_account_that_moved(self, world: World) -> None:
        world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        session, got = world.session(), []

        async def call() -> None:
            try:
                got.append((await session.request("GET", ACCOUNT))["id"])
            except AmoError as error:
                got.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(call)
        assert got == [world.sandbox.account.id] * 4

    async def test_after_it_moved_the_sign_in_is_refreshed_at_the_new_address(self, world: World) -> None:
        world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        hosts: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            hosts.append(f"{dict(scope['headers'])[b'host'].decode()}{scope['path']}")
            await world.sandbox.app(scope, receive, send)

        world.app = app
        tokens = world.tokens()
        await world.session(tokens).request("GET", ACCOUNT)
        world.clock.now += 86_400
        await tokens.token()
        assert hosts[-1] == "renamed.kommo.com/oauth2/access_token"

    @pytest.mark.requirement("ENV-9")
    @pytest.mark.parametrize("old", OLD_HOSTS)
    @pytest.mark.parametrize("lives", [0, 86_400], ids=["access token dead", "access token alive"])
    async def test_whatever_its_old_host_answers_a_renamed_account_is_found_by_asking_the_tokens_home(
        self, old: Answering, lives: float, world: World
    ) -> None:
        kept = world.sign_in(lives=lives, host=HOME)
        world.app = renamed = Renamed(world.sandbox, old)
        session = world.session()
        for method, path, body in (("GET", ACCOUNT, None), ("POST", SEGMENTS, {"name": "Новые"})):
            assert (await session.request(method, path, body=body))["id"]
        assert session.base_url == f"https://{NEW_HOST}"
        assert [it["name"] for it in world.sandbox.account.segments.values()].count("Новые") == 1
        assert world.kept is not None
        assert (world.kept.base_url, kept.base_url) == (f"https://{NEW_HOST}", BASE_URL)
        assert renamed.asked.count(f"GET {HOME}/oauth2/account/current/subdomain") == 1

    async def test_the_next_process_asks_a_renamed_account_at_its_new_host_only(self, world: World) -> None:
        world.sign_in(host=HOME)
        world.app = renamed = Renamed(world.sandbox, OLD_HOSTS[0])
        await world.session().request("GET", ACCOUNT)
        renamed.asked.clear()
        await world.session().request("GET", ACCOUNT)
        assert renamed.asked == [f"GET {NEW_HOST}{ACCOUNT}"]

    async def test_what_another_process_found_out_is_used_without_asking(self, world: World) -> None:
        world.sign_in(host=HOME)
        world.app = renamed = Renamed(world.sandbox, None)
        late, first = world.session(), world.session()
        await late.request("GET", ACCOUNT)
        renamed.rename(OLD_HOSTS[0])
        await first.request("GET", ACCOUNT)
        renamed.asked.clear()
        await late.request("GET", ACCOUNT)
        assert renamed.asked == [f"GET {HOST}{ACCOUNT}", f"GET {NEW_HOST}{ACCOUNT}"]

    async def test_a_host_that_stays_silent_is_asked_at_most_once_a_minute_where_the_account_is(
        self, world: World
    ) -> None:
        world.sign_in(host=HOME)
        world.sandbox.faults.add(Fault(path="/api/*", status=404, html=True, times=0))
        session = world.session()
        for minute in range(2):
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await session.request("GET", ACCOUNT)
            assert world.requests.count(WHERE) == minute + 1
            world.clock.now += 60

    async def test_a_pair_that_could_not_be_saved_is_not_lost_when_the_account_moves(self, world: World) -> None:
        world.sign_in(lives=0)
        store = FullStore(world.file)
        tokens = world.tokens(store=store)
        with pytest.raises(Unavailable):
            await tokens.token()
        store.full = False
        world.sandbox.oauth.moved_to = NEW_HOST
        assert await tokens.relocated_to(BASE_URL) == f"https://{NEW_HOST}"
        assert world.kept is not None
        assert world.sandbox.oauth.granted_by(world.kept.access_token.get_secret_value())

    async def test_a_sign_in_for_a_host_that_may_get_no_token_is_as_none(self, world: World) -> None:
        world.keep(world.sign_in().model_copy(update={"base_url": "https://evil.example"}))
        assert (await unauthorized(world.session().request("GET", ACCOUNT))).hint == REMEDY
        assert world.requests == []

    @pytest.mark.parametrize(
        "fault",
        [
            {"body": '{"domain": "evil.example"}'},
            {"body": '{"domain": "amocrm.ru.evil.example"}'},
            {"body": '{"domain": "user@renamed.amocrm.ru"}'},
            {"body": '{"domain": "renamed.amocrm.ru/path"}'},
            {"body": '{"domain": ["renamed.amocrm.ru"]}'},
            {"body": '{"domain": null}'},
            {"body": '{"subdomain": "renamed"}'},
            {"body": "<html>"},
            {"body": f'{{"domain": "{HOST}"}}'},
            {"status": 401},
            {"drop": "before"},
        ],
    )
    async def test_an_answer_that_is_no_new_address_of_amocrm_is_not_followed(
        self, fault: dict[str, Any], world: World
    ) -> None:
        kept = world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        world.sandbox.faults.add(Fault(path="/oauth2/*", times=0, **fault))
        session = world.session()
        with pytest.raises(Unavailable) as caught:
            await session.request("GET", ACCOUNT)
        assert caught.value.reason == "redirected the request to renamed.kommo.com (status 301)"
        assert (session.base_url, world.kept) == (BASE_URL, kept)
        assert world.requests == [f"GET {ACCOUNT}", "GET /oauth2/account/current/subdomain"]

    @pytest.mark.parametrize("host", ["evil.example", "evil.example/x.amocrm.ru", "a b.amocrm.ru"])
    async def test_a_token_that_names_another_host_is_not_believed(self, host: str, world: World) -> None:
        kept = world.sign_in(host=host)
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        with pytest.raises(Unavailable):
            await world.session().request("GET", ACCOUNT)
        assert world.requests == [f"GET {ACCOUNT}"]
        assert world.kept == kept

    async def test_without_a_host_in_the_token_the_kept_one_is_asked(self, world: World) -> None:
        kept = world.sign_in()
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        world.keep(kept.model_copy(update={"access_token": SecretStr("no-jwt")}))
        assert await world.tokens().relocated_to(BASE_URL) == "https://renamed.kommo.com"
        assert world.requests == ["GET /oauth2/account/current/subdomain"]

    async def test_a_long_lived_token_does_not_know_where_the_account_went(self, world: World) -> None:
        access, _ = world.sandbox.oauth.issue_tokens(host=HOST)
        world.sandbox.oauth.moved_to = "renamed.kommo.com"
        session = world.session(LongLivedToken(SecretStr(access)))
        with pytest.raises(Unavailable) as caught:
            await session.request("GET", ACCOUNT)
        assert caught.value.reason == "redirected the request to renamed.kommo.com (status 301)"
        assert world.requests == [f"GET {ACCOUNT}"]


class TestCode:
    async def exchange(self, world: World, **changed: str) -> Credentials:
        oauth = world.sandbox.oauth
        given = {
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret,
            "redirect_uri": oauth.redirect_uri,
            **changed,
        }
        return await exchange_code(world.http(), BASE_URL, **given, clock=world.clock)

    async def test_a_code_brings_a_sign_in(self, world: World) -> None:
        signed_in = await self.exchange(world, code=world.sandbox.oauth.issue_code())
        assert world.sandbox.oauth.granted_by(signed_in.access_token.get_secret_value())
        assert signed_in == Credentials(
            base_url=BASE_URL,
            client_id="sandbox-integration",
            client_secret=SecretStr("sandbox-secret"),
            redirect_uri="http://127.0.0.1:8919/callback",
            access_token=signed_in.access_token,
            refresh_token=signed_in.refresh_token,
            expires=world.clock.now + 86_400,
        )
        world.keep(signed_in)
        world.clock.now += 86_400
        assert (await world.session().request("GET", ACCOUNT))["id"] == world.sandbox.account.id

    @pytest.mark.parametrize("how", ["unknown", "used", "late", "other keys"])
    async def test_a_code_that_is_refused_is_reported_with_the_status(self, how: str, world: World) -> None:
        code, changed = world.sandbox.oauth.issue_code(), {}
        match how:
            case "unknown":
                code = "def502never-given"
            case "used":
                await self.exchange(world, code=code)
            case "late":
                world.clock.now += 20 * 60
            case _:
                changed = {"client_secret": "very-secret"}
        with pytest.raises(SignInFailed) as caught:
            await self.exchange(world, code=code, **changed)
        assert (str(caught.value), caught.value.status) == ("example.amocrm.ru refused it (status 400)", 400)
        assert caught.value.__cause__ is None

    async def test_a_code_that_the_endpoint_does_not_answer_is_unavailable(self, world: World) -> None:
        world.sandbox.faults.add(Fault(path="/oauth2/*", status=502))
        with pytest.raises(Unavailable):
            await self.exchange(world, code=world.sandbox.oauth.issue_code())


@pytest.mark.parametrize(
    ("root", "page"),
    [
        ("https://example.amocrm.ru", "https://www.amocrm.ru/oauth"),
        ("https://example.amocrm.com", "https://www.amocrm.com/oauth"),
        ("https://example.kommo.com:8443", "https://www.kommo.com/oauth"),
        ("http://127.0.0.1:8901", "http://127.0.0.1:8901/oauth"),
        ("http://[::1]:8901", "http://[::1]:8901/oauth"),
        ("http://localhost:8901", "http://localhost:8901/oauth"),
        ("https://crm.example.org", "https://crm.example.org/oauth"),
        ("https://crm.notamocrm.ru", "https://crm.notamocrm.ru/oauth"),
    ],
)
def test_the_consent_page_is_the_vendors_site_or_the_host_itself(root: str, page: str) -> None:
    assert consent_page(root, "id&1", "a b/+") == f"{page}?client_id=id%261&state=a+b%2F%2B&mode=popup"


PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=14, max_size=60).map("~~{}".format)


@given(access=PRINTABLE, refresh=PRINTABLE, secret=PRINTABLE)
def test_no_secret_is_seen_in_what_is_printed_of_a_sign_in(access: str, refresh: str, secret: str) -> None:
    kept = Credentials(
        base_url=BASE_URL,
        client_id="client",
        client_secret=SecretStr(secret),
        redirect_uri="http://127.0.0.1:8919/callback",
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh),
        expires=1.0,
    )

    store, http = MemoryCredentialStore(kept), HttpTransport(timeout=1.0)
    tokens = OAuthTokenSource(store, http, allowed=str, clock=lambda: -100.0)
    assert anyio.run(tokens.token) == kept.access_token
    printed = [f"{item!r} {item!s} {vars(item)}" for item in (tokens, LongLivedToken(SecretStr(access)), kept)]
    assert not [text for text in printed for word in (access, refresh, secret) if word in text]


class Recorded(logging.Handler):
    """Every line that is logged, as it would be printed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def everything_logged() -> Iterator[Recorded]:
    handler, root = Recorded(), logging.getLogger("amo_mcp")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.requirement("ENV-8")
async def test_a_whole_life_of_a_sign_in_logs_no_secret(world: World, everything_logged: Recorded) -> None:
    signed_in = [world.sign_in(lives=0)]
    session = world.session()
    for trouble in ({"status": 500}, {"status": 401}, {"drop": "before"}, {}):
        if trouble:
            world.sandbox.faults.add(Fault(path="/oauth2/*", **trouble))
        try:
            await session.request("GET", ACCOUNT)
        except AmoError as error:
            everything_logged.lines.append(f"{error!r} {error} {vars(error)}")
    assert world.kept is not None
    signed_in.append(world.kept)
    world.sandbox.oauth.revoke(world.kept.access_token.get_secret_value())
    world.sandbox.oauth.revoke(world.kept.refresh_token.get_secret_value())
    everything_logged.lines.append(repr(await unauthorized(session.request("GET", ACCOUNT))))
    log = "\n".join(everything_logged.lines)
    assert "GET /api/v4/account -> 200" in log
    secrets = [
        secret.get_secret_value()
        for pair in signed_in
        for secret in (pair.access_token, pair.refresh_token, pair.client_secret)
    ]
    assert len(secrets) == 6
    assert not [secret for secret in secrets if secret in log]


@asynccontextmanager
async def broken_network(reason: str) -> AsyncIterator[Any]:
    """A network on which every exchange is lost."""

    class Broken(HttpTransport):
        async def send(self, *_: Any, **__: Any) -> Response:
            raise TransportError(reason, sent=True, settled=False)

    http = Broken(timeout=1.0)
    yield http
    await http.aclose()


async def test_an_answer_that_was_lost_keeps_the_old_pair_although_it_may_be_dead(world: World) -> None:
    kept = world.sign_in(lives=0)
    async with broken_network("did not answer within 1 s") as http:
        with pytest.raises(Unavailable) as caught:
            await world.tokens(http).token()
    assert caught.value.reason == "did not answer within 1 s"
    assert world.kept == kept


async def test_a_refresh_whose_answer_was_lost_on_the_way_ends_in_a_new_sign_in(world: World) -> None:
    world.sign_in(lives=0)
    world.sandbox.faults.add(Fault(path="/oauth2/*", drop="after"))
    session = world.session()
    with pytest.raises(Unavailable):
        await session.request("GET", ACCOUNT)
    assert (await unauthorized(session.request("GET", ACCOUNT))).hint == REMEDY
    assert world.requests == [REFRESH, REFRESH, WHERE]


async def test_by_default_the_machines_clock_says_when_a_token_ends(world: World) -> None:
    world.clock.now = time.time()
    kept = world.sign_in(lives=3600)
    tokens = OAuthTokenSource(FileCredentialStore(world.file), world.http(), allowed=str)
    assert await tokens.token() == kept.access_token
    assert world.requests == []
