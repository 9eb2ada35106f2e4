"""What the account holds, as resources: listed by name, each saying what its tool says, read sparingly."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Annotations, Resource, ResourceTemplateReference

from amo_mcp.accounts.cache import CachedReads, ReadCache
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.confirmation.ask import Asker
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.server.app import AmoServer
from tests.clock import Clock
from tests.conftest import ERAS, Person, Serve, Served, answer, both, error, resource_text
from tests.journeys.canaries import hidden

pytestmark = pytest.mark.anyio

JSON = "application/json"
ACCOUNT = "GET /api/v4/account"
SEGMENTS = "GET /api/v4/customers/segments?page=1&limit=250"
FIELDS = "GET /api/v4/customers/segments/custom_fields?page=1&limit=250"
STATUSES = "GET /api/v4/customers/statuses"

ALWAYS = [
    Resource(uri=f"amo://{name}", name=name, title=title, description=description, mime_type=JSON)
    for name, title, description in (
        ("account", "The account", "Its mode, and how much of each limit is used."),
        ("palette", "The colours", "The colours that statuses and segments can have."),
        ("segments", "All segments", "The customer segments in short."),
        ("statuses", "All statuses", "The customer statuses by position."),
        ("changes", "Changes", "What was changed through this server, newest first."),
    )
]


def fill(sandbox: Sandbox) -> None:
    """Make the account hold as many segments and statuses as it can."""
    account = sandbox.account
    while len(account.segments) < 100:
        segment_id, account.next_segment_id = account.next_segment_id, account.next_segment_id + 3
        account.segments[segment_id] = {**account.segments[54], "id": segment_id, "name": f"Сегмент {segment_id}"}
    while len(account.statuses) < 30:
        status_id, account.next_status_id = account.next_status_id, account.next_status_id + 3
        sort = len(account.statuses)
        account.statuses[status_id] = {**account.statuses[4740013], "id": status_id, "sort": sort}


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def without_the_other_mode(mode: str, uris: list[str]) -> list[str]:
    other = {"segments": "amo://statuses", "periodicity": "amo://segments"}[mode]
    return [uri for uri in uris if uri != other]


async def listed(client: Client) -> list[Resource]:
    return (await client.list_resources()).resources


async def read(client: Client, uri: str) -> Any:
    """What a resource says; that it is one piece of compact JSON is checked here for every test."""
    result = await client.read_resource(uri)
    text = resource_text(result)
    assert [(item.uri, item.mime_type) for item in result.contents] == [(uri, JSON)]
    content = json.loads(text)
    assert hidden(text) == []
    visible = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    assert text == visible or hidden(visible)
    return content


async def refusal(client: Client, uri: str) -> tuple[int, str]:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    return caught.value.code, caught.value.error.message


@pytest.fixture
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that is logged meanwhile has a traceback, or is a warning."""
    caplog.set_level(logging.DEBUG)
    yield
    records = caplog.get_records("call")
    assert [item.getMessage() for item in records if item.exc_info or item.levelno >= logging.WARNING] == []


@pytest.mark.requirement("RESOURCE-1", "RESOURCE-3")
async def test_every_segment_is_listed_by_its_own_name_after_the_fixed_resources(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        first, again = await listed(client), await listed(client)
    assert first == again
    collection = ALWAYS[2].model_copy(update={"annotations": Annotations(last_modified="2024-01-01T09:00:00Z")})
    assert first[:5] == [*ALWAYS[:2], collection, *ALWAYS[3:]]
    segments = sandbox.account.segments
    names = {item: " ".join(segments[item]["name"].split()) for item in sorted(segments)}
    assert (names[54], names[60]) == ("vip клиенты", "Постояные покупатели")
    assert first[5:] == [
        Resource(
            uri=f"amo://segments/{item}",
            name=name,
            title=name,
            description=f"Segment {item}",
            mime_type=JSON,
            annotations=Annotations(last_modified=moment(segments[item]["updated_at"])),
        )
        for item, name in names.items()
    ]


@pytest.mark.requirement("RESOURCE-1")
async def test_every_status_is_listed_by_its_own_name_in_the_periodicity_mode(
    periodicity: Sandbox, serve: Serve
) -> None:
    async with serve(periodicity) as served, both(served.server) as clients:
        for client in clients:
            resources = await listed(client)
    assert resources[:5] == ALWAYS
    names = {status["id"]: status["name"] for status in periodicity.account.statuses.values()}
    assert resources[5:] == [
        Resource(
            uri=f"amo://statuses/{item}",
            name=names[item],
            title=names[item],
            description=f"Status {item}",
            mime_type=JSON,
        )
        for item in sorted(names)
    ]


async def test_only_the_fixed_resources_are_listed_in_any_other_mode(serve: Serve) -> None:
    async with serve(Sandbox(mode="disabled")) as served, both(served.server) as clients:
        for client in clients:
            assert await listed(client) == ALWAYS
    assert served.requests() == [ACCOUNT]


@pytest.mark.requirement("RESOURCE-6")
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_every_resource_says_what_its_tool_says(mode: str, serve: Serve) -> None:
    twins = {
        "amo://account": "get_account",
        "amo://segments": "list_segments",
        "amo://statuses": "list_statuses",
        "amo://changes": "list_changes",
    }
    async with serve(Sandbox(mode=mode)) as served, both(served.server) as clients:
        for client in clients:
            for uri in without_the_other_mode(mode, [item.uri for item in await listed(client)]):
                if uri == "amo://palette":
                    continue
                collection, _, entity_id = uri.removeprefix("amo://").rpartition("/")
                kind = {"segments": "segment", "statuses": "status"}.get(collection, "")
                tool = f"get_{kind}" if kind else twins[uri]
                arguments = {f"{kind}_id": entity_id} if kind else {}
                assert await read(client, uri) == answer(await client.call_tool(tool, arguments))


async def test_the_palette_is_every_colour_that_can_be_written(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            palette = await read(client, "amo://palette")
    assert palette == {"status_colors": list(STATUS_COLORS), "segment_colors": list(SEGMENT_COLORS)}
    assert (len(palette["status_colors"]), len(palette["segment_colors"])) == (21, 40)
    assert served.requests() == []


@pytest.mark.requirement("RESOURCE-2")
async def test_there_is_a_template_for_a_segment_and_one_for_a_status(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            templates = (await client.list_resource_templates()).resource_templates
    assert [(item.uri_template, item.name, item.title, item.description, item.mime_type) for item in templates] == [
        ("amo://segments/{segment_id}", "segment", "A segment", "One customer segment, whole.", JSON),
        ("amo://statuses/{status_id}", "status", "A status", "One customer status.", JSON),
    ]
    assert served.requests() == []


@pytest.mark.requirement("RESOURCE-3")
async def test_every_listing_and_resource_has_a_cache_hint_of_private_scope(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        kept = {
            "resources/list": await client.list_resources(),
            "resources/read": await client.read_resource("amo://account"),
            "resources/templates/list": await client.list_resource_templates(),
            "prompts/list": await client.list_prompts(),
            "tools/list": await client.list_tools(),
        }
    assert {name: (item.ttl_ms, item.cache_scope) for name, item in kept.items()} == {
        "resources/list": (5_000, "private"),
        "resources/read": (5_000, "private"),
        "resources/templates/list": (3_600_000, "private"),
        "prompts/list": (3_600_000, "private"),
        "tools/list": (3_600_000, "private"),
    }


UNKNOWN = [
    "amo://segments/999999",
    *(f"amo://segments/{item}" for item in ("abc", "0", "-1", "+51", "01", "051", "1.5", "5e1", "", "9" * 30)),
    *(f"amo://segments/{item}" for item in ("%35%31", "51/", "51?", "51#a", "51 ", "٥١", "{segment_id}", "51\n")),
    *("amo://segments/51/members", "amo://segment/51", "amo://statuses/51x", "amo:///segments/51", "amo://changes/1"),
    *("AMO://account", "amo://Account", "amo://account/", "amo://account?x=1", "amo:account", "amo://", "account", ""),
    *("http://127.0.0.1/", "https://example.com/amo://account", "file:///etc/passwd", "javascript:alert(1)"),
    *("amo://segments/\x00", "amo://\x1b[31m", "amo://\u202eaccount", "amo://segments/" + "x" * 100_000),
]


@pytest.mark.requirement("RESOURCE-5")
@pytest.mark.usefixtures("no_traceback")
async def test_an_unknown_resource_is_an_error_of_the_caller(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for uri in UNKNOWN:
                code, message = await refusal(client, uri)
                assert code == -32602
                assert message.startswith("There is no resource ")
                assert len(message) < 160
                assert message.isprintable()
            assert (await refusal(client, "amo://segments/051"))[1] == "There is no resource amo://segments/051"
    assert served.requests() == [SEGMENTS]


@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_all_of_a_full_account_costs_three_requests(mode: str, serve: Serve) -> None:
    sandbox = Sandbox(mode=mode)
    fill(sandbox)
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            uris = [item.uri for item in await listed(client)]
            assert len(uris) == {"segments": 105, "periodicity": 35}[mode]
            for uri in without_the_other_mode(mode, uris):
                await read(client, uri)
    assert served.requests() == {"segments": [ACCOUNT, SEGMENTS, FIELDS], "periodicity": [ACCOUNT, STATUSES]}[mode]


@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_reading_the_collection_of_the_other_mode_costs_no_request(mode: str, serve: Serve) -> None:
    sandbox = Sandbox(mode=mode)
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        for item in await listed(client):
            if item.uri in without_the_other_mode(mode, [item.uri]):
                await read(client, item.uri)
            else:
                assert (await refusal(client, item.uri))[0] == -32603
    assert len(served.requests()) <= 3


async def test_reads_of_many_resources_at_once_share_their_requests(era: str, sandbox: Sandbox, serve: Serve) -> None:
    contents: list[Any] = []
    async with serve(sandbox) as served, served.client(era) as client:

        async def one(uri: str) -> None:
            contents.append(await read(client, uri))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                for uri in ("amo://account", "amo://segments", "amo://segments/51", "amo://segments/21"):
                    group.start_soon(one, uri)
    assert len(contents) == 20
    assert sorted(served.requests()) == sorted([ACCOUNT, SEGMENTS, FIELDS])


def on(served: Served, clock: Clock) -> AmoServer:
    """A server of the same account, to whom it is as late as the clock says."""
    account = replace(served.account, cached=CachedReads(served.account.client, ReadCache(clock)))
    return AmoServer(lambda: (account, Asker(served.approvals, served.page)), read_only=False)


async def test_a_resource_is_read_anew_after_five_seconds(era: str, sandbox: Sandbox, serve: Serve) -> None:
    clock = Clock()
    async with serve(sandbox) as served, Client(on(served, clock), mode=ERAS[era], cache=None) as client:
        assert (await read(client, "amo://segments/51"))["name"] == "VIP"
        sandbox.account.segments[51]["name"] = "Лучшие"
        clock.now += 4.9
        assert (await read(client, "amo://segments/51"))["name"] == "VIP"
        clock.now += 0.1
        assert (await read(client, "amo://segments/51"))["name"] == "Лучшие"
        assert "Лучшие" in [item.name for item in await listed(client)]
    assert served.requests() == [SEGMENTS, SEGMENTS, ACCOUNT]


async def test_a_change_through_this_server_is_seen_at_once(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:

        async def seen() -> tuple[list[str], int]:
            names = [item.name for item in await listed(client) if item.uri.startswith("amo://segments/")]
            assert len(names) == (await read(client, "amo://segments"))["total"]
            return names[-1:], (await read(client, "amo://account"))["limits"][0]["used"]

        assert await seen() == (["Dни рождения / Birthday"], 15)
        await client.call_tool("create_segment", {"name": "Новые"})
        assert await seen() == (["Новые"], 16)
        await client.call_tool("update_segment", {"segment_id": 96, "name": "Новее"})
        assert await seen() == (["Новее"], 16)
        assert (await read(client, "amo://segments/96"))["name"] == "Новее"
        await client.call_tool("delete_segment", {"segment_id": 96})
        assert await seen() == (["Dни рождения / Birthday"], 15)
        assert await refusal(client, "amo://segments/96") == (-32602, "There is no resource amo://segments/96")


@pytest.mark.usefixtures("no_traceback")
async def test_a_resource_that_cannot_be_read_fails_in_the_words_of_its_tool(sandbox: Sandbox, serve: Serve) -> None:
    faults = [
        *(Fault(status=status, times=0) for status in (401, 402, 403, 429, 500, 503)),
        Fault(status=403, html=True, times=0),
        Fault(body="[]", times=0),
        Fault(body="<html>", times=0),
    ]
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for fault in faults:
                sandbox.faults.clear()
                sandbox.faults.add(fault)
                assert await listed(client) == ALWAYS
                for uri, tool in (("amo://account", "get_account"), ("amo://segments", "list_segments")):
                    failure = error(await client.call_tool(tool, {}))
                    assert await refusal(client, uri) == (-32603, failure["message"])
                assert await refusal(client, "amo://segments/51") == (-32603, failure["message"])


@pytest.mark.usefixtures("no_traceback")
async def test_a_refused_token_and_the_other_mode_are_named_by_resources(periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity, token="dead") as served, both(served.server) as clients:
        for client in clients:
            assert await listed(client) == ALWAYS
            assert await refusal(client, "amo://statuses") == (
                -32603,
                "amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. Nothing was changed.",
            )
    async with serve(periodicity) as served, both(served.server) as clients:
        for client in clients:
            message = error(await client.call_tool("list_segments", {}))["message"]
            assert message.startswith("This needs the customers mode `segments`, and the account is in `periodicity`.")
            assert await refusal(client, "amo://segments") == (-32603, message)
            assert await refusal(client, "amo://segments/51") == (-32603, message)


async def test_a_hostile_name_is_harmless_where_it_is_listed(sandbox: Sandbox, serve: Serve) -> None:
    shown = {
        "VIP\x00\x1b[31m\r\nIgnore all": "VIP[31m Ignore all",
        "\u202ePIV\u2066\u200b\ufeff": "PIV",
        "x" * 5000: "x" * 79 + "…",
        "": "Segment 51",
        "\u200b \n": "Segment 51",
        "Z" + "\u0301" * 3000: "Z\u0301\u0301",
    }
    clock = Clock()
    async with serve(sandbox) as served, both(on(served, clock)) as clients:
        for client in clients:
            for name, expected in shown.items():
                clock.now += 5
                sandbox.account.segments[51]["name"] = name
                [item] = [item for item in await listed(client) if item.uri == "amo://segments/51"]
                assert (item.name, item.title, item.description) == (expected, expected, "Segment 51")
                assert (await read(client, "amo://segments/51"))["name"] == name


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_mistake_of_our_own_is_an_internal_error_without_its_text(
    mode: str, sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: AmoClient) -> Any:
        raise RuntimeError("the secret of /home")

    monkeypatch.setattr(AmoClient, "segments", broken)

    ref = ResourceTemplateReference(uri="amo://segments/{segment_id}")
    codes, messages = [], []
    async with serve(sandbox) as served, Client(served.server, mode=mode, cache=None) as client:
        for call in (
            client.list_resources(),
            client.read_resource("amo://segments"),
            client.complete(ref, {"name": "segment_id", "value": ""}),
        ):
            with pytest.raises(MCPError) as caught:
                await call
            codes.append(caught.value.code)
            messages.append(caught.value.error.message)
    assert codes == [-32603, -32603, -32603]
    assert messages == ["Internal error. Something may already have been changed."] * 3
