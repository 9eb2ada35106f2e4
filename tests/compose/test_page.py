"""The page on a real socket: it is there while something is to be asked or told, and its end is nobody else's."""

from contextlib import AsyncExitStack, suppress

import anyio
import httpx2
import pytest

from amo_mcp.compose.page import serve_page
from amo_mcp.confirmation.page import MAX_REQUESTS, TAB_SECONDS
from amo_mcp.confirmation.waiting import LINGER, SETTLE
from amo_mcp.sandbox import Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.transports.uvicorn import PAGE_CONNECTIONS
from tests.clock import Clock
from tests.conftest import answer, error
from tests.journeys.desk import PagePerson, desk

pytestmark = pytest.mark.anyio

SECONDS = 30
"""That the page has for what takes a fraction of it."""


async def closed(address: str) -> None:
    """Wait until nothing answers at an address."""
    with anyio.fail_after(SECONDS):
        async with httpx2.AsyncClient() as http:
            while True:
                with suppress(httpx2.ReadError):
                    try:
                        await http.get(address)
                    except httpx2.ConnectError:
                        return
                await anyio.sleep(0.05)


async def answered(http: httpx2.AsyncClient, address: str, status: int) -> httpx2.Response:
    """Wait until an address is answered with a status."""
    with anyio.fail_after(SECONDS):
        while True:
            response = await http.get(address)
            if response.status_code == status:
                return response
            await anyio.sleep(0.05)


async def press(address: str, says: str, clock: Clock) -> str:
    """Open the page in a browser and press a button; the answer."""
    origin = address.rpartition("/")[0]
    async with httpx2.AsyncClient(follow_redirects=True) as http:
        token = (await http.get(address)).text.partition('name="token" value="')[2].partition('"')[0]
        clock.now += SETTLE
        said = {"token": token, "answer": says}
        return (await http.post(f"{origin}/", data=said, headers={"origin": origin})).text


@pytest.mark.requirement("CONFIRM-14")
async def test_the_page_ends_when_all_was_told_and_the_next_question_has_another(sandbox: Sandbox) -> None:
    person, clock = PagePerson(), Clock()
    async with (
        desk(sandbox, person, approvals=MemoryApprovalStore(clock)) as served,
        served.client("2026-07-28") as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(serve_page, served.page)
        for segment_id in (51, 21):
            asked = error(await client.call_tool("delete_segment", {"segment_id": segment_id}))
            assert "Your no is recorded." in await press(person.addresses[-1], "no", clock)
            refused = error(await client.call_tool("confirm_change", {"approval_id": asked["approval_id"]}))
            assert refused["code"] == "declined"
            clock.now += LINGER
            await closed(person.addresses[-1])
            clock.now += TAB_SECONDS
        assert answer(await client.call_tool("get_segment", {"segment_id": 51}))["name"] == "VIP"
        group.cancel_scope.cancel()
    assert len({address.rpartition("/")[0] for address in person.addresses}) == 2


@pytest.mark.requirement("CONFIRM-14")
async def test_a_failure_of_the_page_is_nobody_elses_and_the_next_question_has_another(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, clock = PagePerson(), Clock()
    async with (
        desk(sandbox, person, approvals=MemoryApprovalStore(clock)) as served,
        served.client("2026-07-28") as client,
        anyio.create_task_group() as group,
    ):
        with monkeypatch.context() as broken:
            broken.setattr(served.page.questions, "all_told", lambda: 1 / 0)
            group.start_soon(serve_page, served.page)
            error(await client.call_tool("delete_segment", {"segment_id": 51}))
            await closed(person.addresses[-1])
        clock.now += TAB_SECONDS
        error(await client.call_tool("delete_segment", {"segment_id": 21}))
        assert "Your no is recorded." in await press(person.addresses[-1], "no", clock)
        group.cancel_scope.cancel()
    said = [record.message for record in caplog.records if record.name == "amo_mcp.compose.page"]
    assert said == ["the page ended with ExceptionGroup: the next question opens another one"]


@pytest.mark.requirement("CONFIRM-14")
async def test_the_page_answers_in_the_persons_language_however_many_connections_wait(sandbox: Sandbox) -> None:
    """Of those that say nothing the oldest make room; too many that never end their answer are told to come again."""
    person, clock = PagePerson(), Clock()
    async with (
        desk(sandbox, person, approvals=MemoryApprovalStore(clock), language="ru") as served,
        served.client("2026-07-28") as client,
        anyio.create_task_group() as group,
        AsyncExitStack() as connections,
    ):
        group.start_soon(serve_page, served.page)
        error(await client.call_tool("delete_segment", {"segment_id": 51}))
        origin = person.addresses[-1].rpartition("/")[0]
        host, _, port = origin.removeprefix("http://").partition(":")

        async def connect(said: str) -> None:
            stream = await connections.enter_async_context(await anyio.connect_tcp(host, int(port)))
            await stream.send(said.encode())

        for _ in range(PAGE_CONNECTIONS + 10):
            await connect("GET / HTTP/1.1\r\n")
        async with httpx2.AsyncClient(follow_redirects=True) as http:
            shown = await http.get(person.addresses[-1])
            assert "Удалить сегмент «<bdi>VIP</bdi>»?" in shown.text
            head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {origin}\r\nContent-Length: 99\r\n\r\n"
            for _ in range(MAX_REQUESTS):
                await connect(head)
            assert "Сервер занят." in (await answered(http, str(shown.url), 503)).text
            await connections.aclose()
            assert "Удалить сегмент «<bdi>VIP</bdi>»?" in (await answered(http, str(shown.url), 200)).text
        group.cancel_scope.cancel()
