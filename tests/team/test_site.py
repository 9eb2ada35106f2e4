"""What every page of a team's server, and every address for clients, has in common: bounds, and a database away."""

from collections.abc import AsyncIterator

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.team import site
from amo_mcp.team.site import MAX_BYTES, Site
from tests.transports.asgi import Exchange

pytestmark = pytest.mark.anyio


async def form(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def away(_: Request) -> Response:
    raise StorageUnavailable("away")


async def gone(_: Request) -> Response:
    raise ClientDisconnect


async def long(_: Request) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        for _ in range(3):
            await anyio.sleep(0.04)
            yield b"line\n"

    return StreamingResponse(lines())


SITE = Site(
    [
        Route("/form", form, methods=["POST"]),
        Route("/away", away),
        Route("/gone", gone),
        Route("/long", long),
        Route("/things/{name}", form),
    ]
)


@pytest.mark.parametrize(
    ("path", "is_ours"), [("/form", True), ("/things/a", True), ("/things", False), ("/", False), ("/form/", False)]
)
def test_its_own_paths_are_those_of_its_routes(path: str, *, is_ours: bool) -> None:
    assert SITE.has({"type": "http", "path": path, "method": "GET", "headers": []}) is is_ours


async def test_another_method_is_told_so() -> None:
    assert (await Exchange("GET", "/form", {}).run(SITE)).status == 405


async def test_a_body_that_is_too_large_is_refused() -> None:
    assert (await Exchange("POST", "/form", {}, "a" * (MAX_BYTES - 2)).run(SITE)).body == b"65536"
    assert (await Exchange("POST", "/form", {}, "a" * MAX_BYTES).run(SITE)).status == 413


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "SECONDS", 0.05)
    assert (await Exchange("POST", "/form", {}, "a", whole=False).run(SITE)).status == 408


async def test_an_answer_that_has_begun_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "SECONDS", 0.05)
    answer = await Exchange("GET", "/long", {}).run(SITE)
    assert (answer.status, answer.body) == (200, b"line\n" * 3)


@pytest.mark.requirement("TEAM-7")
@pytest.mark.parametrize(
    ("accept", "kind"),
    [("text/html,application/xhtml+xml", "text/html; charset=utf-8"), ("application/json", "application/json")],
)
async def test_that_the_database_is_away_is_told_on_a_page_or_as_a_program_is_told(accept: str, kind: str) -> None:
    answer = await Exchange("GET", "/away", {"accept": accept, "accept-language": "ru"}).run(SITE)
    assert (answer.status, answer.headers["content-type"]) == (503, kind)
    assert ("Сервер сейчас не может" in answer.body.decode()) == ("html" in accept)


async def test_who_has_gone_is_answered_nothing() -> None:
    assert (await Exchange("GET", "/gone", {}).run(SITE)).status == 0
