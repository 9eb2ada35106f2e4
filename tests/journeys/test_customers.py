"""Customers through a real client: who is in a segment or has a status, found by looking through."""

import json
from typing import Any

import pytest
from mcp import Client, MCPError

from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.server.app import AmoServer
from tests.conftest import ERAS, Serve, answer, error

pytestmark = pytest.mark.anyio

CUSTOMERS = "GET /api/v4/customers?page={}&limit=250"
FILTERED = f"{CUSTOMERS}&filter%5Bstatus_id%5D=4740013"


def members(sandbox: Sandbox, **wanted: int) -> list[dict[str, Any]]:
    """The customers of the sandbox in a segment or a status, as they are answered."""
    return [
        {name: customer[name] for name in ("id", "name", "segments", "status_id")}
        for customer in sandbox.account.customers.values()
        if wanted.get("segment_id", 0) in (0, *customer["segments"])
        and wanted.get("status_id", 0) in (0, customer["status_id"])
    ]


def crowd(sandbox: Sandbox, count: int, **more: Any) -> None:
    """Have the account `count` customers; each hundredth is in segment 51."""
    sandbox.account.customers = {
        number: {
            "id": number,
            "name": f"Покупатель {number}",
            "status_id": 4740010,
            "segments": [] if number % 100 else [51],
            "updated_at": 1_600_000_000,
            **more,
        }
        for number in range(1, count + 1)
    }


@pytest.mark.requirement("CUSTOMER-1")
async def test_the_members_of_a_segment_are_found_by_looking_through(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        answered = answer(await client.call_tool("list_customers", {"segment_id": 51}))
    assert answered == {"customers": members(sandbox, segment_id=51), "complete": True}
    assert len(answered["customers"]) == sandbox.account.segments[51]["customers_count"] == 48
    assert served.requests() == [CUSTOMERS.format(1), CUSTOMERS.format(2)]


@pytest.mark.requirement("CUSTOMER-1")
@pytest.mark.parametrize("api_filter", [False, True])
async def test_who_has_a_status_is_asked_of_the_api_and_checked(
    era: str, api_filter: bool, periodicity: Sandbox, serve: Serve
) -> None:
    periodicity.unknowns.api_filter = api_filter
    async with serve(periodicity) as served, served.client(era) as client:
        answered = answer(await client.call_tool("list_customers", {"status_id": 4740013}))
    assert answered == {"customers": members(periodicity, status_id=4740013), "complete": True}
    assert len(answered["customers"]) == 12
    assert served.requests() == [FILTERED.format(page) for page in ((1,) if api_filter else (1, 2))]


@pytest.mark.requirement("CUSTOMER-1", "TOOL-12")
async def test_customers_are_found_by_a_part_of_their_name(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        named = answer(await client.call_tool("list_customers", {"search": "СЕМЕНОВ"}))["customers"]
        both = answer(await client.call_tool("list_customers", {"search": "семёнов", "segment_id": 51}))["customers"]
    assert named == [customer for customer in members(sandbox) if "Семёнов" in customer["name"]]
    assert both == [customer for customer in named if 51 in customer["segments"]]
    assert 0 < len(both) < len(named)


@pytest.mark.requirement("CUSTOMER-2")
async def test_a_segment_of_five_thousand_customers_is_listed_in_twenty_requests(
    sandbox: Sandbox, serve: Serve
) -> None:
    crowd(sandbox, 5_000)
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        answered = answer(await client.call_tool("list_customers", {"segment_id": 51}, progress_callback=on_progress))
    assert answered == {"customers": members(sandbox, segment_id=51), "complete": True}
    assert len(answered["customers"]) == 50
    assert served.requests() == [CUSTOMERS.format(page) for page in range(1, 21)]
    assert told == [(page, 20, f"Looking through the customers, page {page + 1}") for page in range(1, 20)]


@pytest.mark.requirement("CUSTOMER-2")
async def test_a_call_reads_twenty_pages_and_its_cursor_goes_on(era: str, sandbox: Sandbox, serve: Serve) -> None:
    crowd(sandbox, 5_300)
    async with serve(sandbox) as served, served.client(era) as client:
        first = answer(await client.call_tool("list_customers", {"segment_id": 51}))
        rest = answer(await client.call_tool("list_customers", {"segment_id": 51, "cursor": first.pop("next_cursor")}))
    everybody = members(sandbox, segment_id=51)
    assert first == {"customers": everybody[:50], "complete": False}
    assert rest == {"customers": everybody[50:], "complete": True}
    assert served.requests() == [CUSTOMERS.format(page) for page in range(1, 23)]


@pytest.mark.requirement("CUSTOMER-2")
@pytest.mark.parametrize("limit", [1, 7, 48, 100, 250])
async def test_pages_of_any_size_have_every_customer_once(limit: int, sandbox: Sandbox, serve: Serve) -> None:
    listed: list[dict[str, Any]] = []
    arguments: dict[str, Any] = {"segment_id": 51, "limit": limit}
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        while True:
            answered = answer(await client.call_tool("list_customers", arguments))
            listed += answered["customers"]
            assert len(answered["customers"]) <= limit
            assert answered["complete"] is ("next_cursor" not in answered)
            if answered["complete"]:
                break
            arguments["cursor"] = answered["next_cursor"]
    assert listed == members(sandbox, segment_id=51)


@pytest.mark.requirement("CUSTOMER-2")
async def test_an_answer_is_cut_by_its_size_too(sandbox: Sandbox, serve: Serve) -> None:
    crowd(sandbox, 240, name="Я" * 255)
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        result = await client.call_tool("list_customers", {"limit": 250})
        first = answer(result)
        second = answer(await client.call_tool("list_customers", {"limit": 250, "cursor": first["next_cursor"]}))
    listed = [customer["id"] for answered in (first, second) for customer in answered["customers"]]
    assert listed[:80] == list(range(1, 81))
    assert len({*listed}) == len(listed)
    assert len(result.content[0].text.encode()) <= 50_000  # type: ignore[union-attr]
    assert first["complete"] is False


@pytest.mark.requirement("CUSTOMER-2")
async def test_where_pages_repeat_the_list_is_not_called_complete(sandbox: Sandbox, serve: Serve) -> None:
    again = {"_page": 1, "_embedded": {"customers": [{"id": 1299433, "name": "Лев Абрамов"}]}}
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        sandbox.faults.add(Fault("GET", "/api/v4/customers", skip=1, body=json.dumps(again)))
        answered = answer(await client.call_tool("list_customers", {"segment_id": 51, "limit": 250}))
    assert answered["complete"] is False
    assert answered["note"] == "amoCRM answers the same page of customers again, so the others cannot be read."
    assert "next_cursor" not in answered
    assert answered["customers"] == [one for one in members(sandbox, segment_id=51) if one["id"] < 1299433 + 2 * 250]


@pytest.mark.requirement("CUSTOMER-1", "ANSWER-6")
async def test_customers_that_cannot_be_read_are_told_by_their_ids(sandbox: Sandbox, serve: Serve) -> None:
    sandbox.account.customers[1299435]["status_id"] = "нет"
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        answered = answer(await client.call_tool("list_customers", {"segment_id": 51}))
    assert answered["unreadable"] == {"count": 1, "ids": [1299435]}


@pytest.mark.requirement("CUSTOMER-1", "ERROR-6")
async def test_of_a_segment_or_status_that_is_not_there_no_empty_list_is_answered(
    era: str, sandbox: Sandbox, periodicity: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        assert error(await client.call_tool("list_customers", {"segment_id": 1}))["code"] == "not_found"
        assert error(await client.call_tool("list_customers", {"status_id": 1}))["code"] == "mode_disabled"
        assert answer(await client.call_tool("list_customers", {"segment_id": 78})) == {
            "customers": [],
            "complete": True,
        }
    async with serve(periodicity) as served, served.client(era) as client:
        assert error(await client.call_tool("list_customers", {"status_id": 1}))["code"] == "not_found"


@pytest.mark.requirement("ERROR-6")
async def test_an_account_without_customers_says_which_modes_have_them(serve: Serve) -> None:
    async with serve(Sandbox(mode="disabled")) as served, served.client("2026-07-28") as client:
        failure = error(await client.call_tool("list_customers", {}))
    assert failure == {
        "code": "mode_disabled",
        "message": "This needs the customers mode `segments` or `periodicity`, and the account is in `disabled`. "
        "Nothing was changed.",
        "retryable": False,
        "hint": "Customers have to be switched on in amoCRM's settings.",
    }


@pytest.mark.requirement("CUSTOMER-1", "ARG-2")
@pytest.mark.parametrize(
    ("arguments", "path", "detail"),
    [
        ({"segment_id": 51, "status_id": 4740013}, "segment_id, status_id", "only one of them can be given"),
        ({"limit": 251}, "limit", "251 must be at most 250"),
        ({"cursor": "x"}, "cursor", "«x» is not a cursor from this tool; leave it out to start from the beginning"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_read(
    arguments: dict[str, Any], path: str, detail: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        failure = error(await client.call_tool("list_customers", arguments))
    assert (failure["code"], failure["fields"]) == ("invalid_arguments", [{"path": path, "detail": detail}])
    assert served.requests() == []


@pytest.mark.requirement("CUSTOMER-3")
async def test_where_only_ids_are_shown_no_name_leaves_the_server(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox, names_customers=False) as served, served.client(era) as client:
        answered = answer(await client.call_tool("list_customers", {"search": "семёнов"}))
    assert answered["customers"]
    assert all(customer.keys() == {"id", "segments", "status_id"} for customer in answered["customers"])
    assert "еменов" not in str(answered).replace("ё", "е")


@pytest.mark.requirement("CUSTOMER-3")
async def test_where_customers_are_switched_off_there_are_no_such_tools(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served:
        handlers = served.server.handlers
        server = AmoServer(lambda: (handlers.account, handlers.asker), read_only=False, has_customers=False)
        async with Client(server, mode=ERAS[era], cache=None) as client:
            await refuse_customers(client)
    assert served.requests() == []


async def refuse_customers(client: Client) -> None:
    """Check that the tools about customers are neither listed nor run."""
    listed = {tool.name for tool in (await client.list_tools()).tools}
    with pytest.raises(MCPError, match="There is no such tool"):
        await client.call_tool("list_customers", {})
    assert "list_segments" in listed
    assert not any("customers" in name for name in listed)
