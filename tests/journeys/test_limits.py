"""The limits of the reference: how many there can be, which colours, and how long lists come."""

import json
import unicodedata
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult, ResourceTemplateReference, TextContent, TextResourceContents

from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import Person, Serve, answer, error

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"
NOTHING = "Nothing was changed."


GROUPS = (
    "Постоянные покупатели",
    "Новички",
    "Оптовики",
    "Спящие 90 дней",
    "ВИП",
    "Подписка на зерно",
    "День рождения",
    "Ушли к конкурентам",
    "Купили один раз",
    "Ждут скидку",
)
PLACES = ("Москва", "Казань", "Тула", "Санкт-Петербург", "Пермь", "Тверь", "Нижний Новгород")


def filled(sandbox: Sandbox, count: int) -> Sandbox:
    """The sandbox with exactly `count` segments, ids 1 to `count`, put in by hand; the API allows 100."""
    model = sandbox.account.segments[54]
    sandbox.account.segments = {
        number: {
            **model,
            "id": number,
            "name": f"{GROUPS[number % 10]} {PLACES[number % 7]}",
            "customers_count": number,
        }
        for number in range(1, count + 1)
    }
    sandbox.account.next_segment_id = count + 1
    return sandbox


def ids(answered: dict[str, Any]) -> list[int]:
    return [segment["id"] for segment in answered["segments"]]


@pytest.mark.requirement("LIMIT-1")
async def test_an_account_takes_thirty_statuses_and_not_one_more(era: str, periodicity: Sandbox, serve: Serve) -> None:
    drafts = [{"name": f"Этап {number}", "sort": number} for number in range(24)]
    async with serve(periodicity) as served, served.client(era) as client:
        assert error(await client.call_tool("create_statuses", {"statuses": drafts})) == {
            "code": "limit_reached",
            "message": f"The account has 7 of at most 30 statuses: 24 more would not fit. {NOTHING}",
            "retryable": False,
            "hint": "Delete statuses that are not needed, or create fewer.",
        }
        assert served.requests() == [f"GET {STATUSES}"]
        created = answer(await client.call_tool("create_statuses", {"statuses": drafts[1:]}))
        assert [status["name"] for status in created["statuses"]] == [draft["name"] for draft in drafts[1:]]
        answered = error(await client.call_tool("create_statuses", {"statuses": drafts[:1]}))
    assert answered["message"] == f"The account has 30 of at most 30 statuses: 1 more would not fit. {NOTHING}"
    assert served.writes() == [f"POST {STATUSES}"]
    assert len(periodicity.account.statuses) == 30


@pytest.mark.requirement("TOOL-8")
async def test_a_batch_has_one_to_thirty_statuses(era: str, periodicity: Sandbox, serve: Serve) -> None:
    bounds = {0: "must not be empty", 31: "must have at most 30 entries, not 31"}
    async with serve(periodicity) as served, served.client(era) as client:
        for count, detail in bounds.items():
            drafts = [{"name": "Х", "sort": 1}] * count
            assert error(await client.call_tool("create_statuses", {"statuses": drafts})) == {
                "code": "invalid_arguments",
                "message": f"statuses {detail}. {NOTHING}",
                "retryable": False,
                "hint": "Correct the arguments as fields says and call the tool again.",
                "fields": [{"path": "statuses", "detail": detail}],
            }
    assert served.requests() == []


async def test_a_status_limit_that_only_the_account_knows_of_is_a_rejection(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    for number in range(23):
        periodicity.account.statuses[number + 1] = {**periodicity.account.statuses[4740013], "id": number + 1}
    before = deepcopy(periodicity.account.document())
    periodicity.faults.add(Fault(path="*/statuses", status=204))
    async with serve(periodicity) as served, served.client(era) as client:
        answered = error(await client.call_tool("create_statuses", {"statuses": [{"name": "Х", "sort": 1}]}))
    assert answered == {
        "code": "rejected",
        "message": f"amoCRM did not accept the request (status 422). {NOTHING}",
        "retryable": False,
        "hint": "See fields for what amoCRM said of each part.",
        "fields": [{"path": "", "detail": "Limit of 30 statuses exceeded"}],
    }
    assert periodicity.account.document() == before


@pytest.mark.requirement("LIMIT-2")
async def test_an_account_takes_a_hundred_segments_and_not_one_more(era: str, sandbox: Sandbox, serve: Serve) -> None:
    filled(sandbox, 99)
    async with serve(sandbox) as served, served.client(era) as client:
        created = answer(await client.call_tool("create_segment", {"name": "Сотый"}))
        assert (created["segment"]["id"], created["segment"]["name"]) == (100, "Сотый")
        assert error(await client.call_tool("create_segment", {"name": "Сто первый"})) == {
            "code": "limit_reached",
            "message": f"The account has 100 of at most 100 segments: 1 more would not fit. {NOTHING}",
            "retryable": False,
            "hint": "Delete segments that are not needed, or create fewer.",
        }
    assert served.writes() == [f"POST {SEGMENTS}"]
    assert len(sandbox.account.segments) == 100


async def test_a_hundred_segments_cost_one_request_and_fourteen_kilobytes(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    filled(sandbox, 100)
    async with serve(sandbox) as served, served.client(era) as client:
        result = await client.call_tool("list_segments", {})
    answered = answer(result)
    assert (ids(answered), answered["total"], answered["limit"]) == (list(range(1, 101)), 100, 100)
    assert "next_cursor" not in answered
    [block] = result.content
    assert isinstance(block, TextContent)
    assert len(block.text.encode()) <= 14_000
    assert served.requests() == [f"GET {SEGMENTS}?page=1&limit=250"]


async def test_more_segments_than_fit_on_a_page_are_all_listed_once(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        for count, pages in ((249, 1), (250, 1), (251, 2), (600, 3)):
            filled(sandbox, count)
            sandbox.requests.clear()
            answered = answer(await client.call_tool("list_segments", {}))
            # A page that is full may not be the last, whatever the API says of the number of pages.
            asked = pages + (count == 250)
            assert served.requests() == [f"GET {SEGMENTS}?page={page}&limit=250" for page in range(1, asked + 1)]
            listed = ids(answered)
            if count == 600:
                # So many more than the API allows take a second answer, by its size.
                listed += ids(answer(await client.call_tool("list_segments", {"cursor": answered["next_cursor"]})))
            assert (listed, answered["total"]) == (list(range(1, count + 1)), count)


async def test_listing_ends_when_the_api_ignores_the_page_number(era: str, sandbox: Sandbox, serve: Serve) -> None:
    full = [{"id": number, "name": "Х"} for number in range(1, 251)]
    links = {"next": {"href": "https://shard151.amocrm.ru/api/v4/customers/segments?page=2"}}
    few = {"_page_count": 9, "_links": links, "_embedded": {"segments": full[:3]}}
    async with serve(sandbox) as served, served.client(era) as client:
        for body, listed in (({"_embedded": {"segments": full}}, 250), (few, 3)):
            sandbox.faults.clear()
            sandbox.faults.add(Fault(times=0, body=json.dumps(body)))
            sandbox.requests.clear()
            answered = answer(await client.call_tool("list_segments", {}))
            assert (ids(answered), answered["total"]) == (list(range(1, listed + 1)), listed)
            assert served.requests() == [f"GET {SEGMENTS}?page={page}&limit=250" for page in (1, 2)]


@pytest.mark.requirement("TOOL-13")
async def test_pages_of_a_list_neither_skip_nor_repeat_when_segments_come_and_go(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    filled(sandbox, 12)
    segments = sandbox.account.segments
    async with serve(sandbox) as served, served.client(era) as client:
        first = answer(await client.call_tool("list_segments", {"limit": 4}))
        for gone in (1, 4, 5):
            del segments[gone]
        second = answer(await client.call_tool("list_segments", {"limit": "4", "cursor": first["next_cursor"]}))
        segments[13] = {**segments[12], "id": 13}
        third = answer(await client.call_tool("list_segments", {"limit": 4, "cursor": second["next_cursor"]}))
    assert [ids(page) for page in (first, second, third)] == [[1, 2, 3, 4], [6, 7, 8, 9], [10, 11, 12, 13]]
    assert [page["total"] for page in (first, second, third)] == [12, 9, 10]
    assert "next_cursor" not in third


@pytest.mark.requirement("TOOL-13")
async def test_a_search_is_listed_in_pages_too(era: str, sandbox: Sandbox, serve: Serve) -> None:
    filled(sandbox, 40)
    arguments: dict[str, Any] = {"search": "новички", "limit": 3, "detail": "concise"}
    async with serve(sandbox) as served, served.client(era) as client:
        first = answer(await client.call_tool("list_segments", arguments))
        second = answer(await client.call_tool("list_segments", {**arguments, "cursor": first["next_cursor"]}))
    assert (ids(first), first["total"]) == ([1, 11, 21], 4)
    assert (ids(second), second["total"], "next_cursor" in second) == ([31], 4, False)


async def test_a_cursor_or_page_size_that_makes_no_sense_is_refused_before_anything_is_sent(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    foreign = "is not a cursor from this tool; leave it out to start from the beginning"
    wrong: list[tuple[str, Any, str]] = [
        ("cursor", "2", f"«2» {foreign}"),
        ("cursor", "YWZ0ZXI6eA", f"«YWZ0ZXI6eA» {foreign}"),
        ("cursor", "я", f"«я» {foreign}"),
        ("limit", -1, "-1 must be at least 1"),
        ("limit", 101, "101 must be at most 100"),
        ("limit", "many", "«many» must be a whole number"),
        ("detail", "short", "«short» must be 'concise' or 'full'"),
    ]
    async with serve(sandbox) as served, served.client(era) as client:
        for name, value, detail in wrong:
            answered = error(await client.call_tool("list_segments", {name: value}))
            assert (answered["code"], answered["fields"]) == ("invalid_arguments", [{"path": name, "detail": detail}])
            assert answered["message"] == f"{name} {detail}. {NOTHING}"
    assert served.requests() == []


async def full_pages(client: Client, sandbox: Sandbox, between: Callable[[], None] = lambda: None) -> list[list[int]]:
    """The ids on each page of a full list; that each has at most 50,000 bytes is checked here."""
    pages: list[list[int]] = []
    cursor = None
    while cursor is not None or not pages:
        result = await client.call_tool("list_segments", {"detail": "full", "cursor": cursor})
        page, [block] = answer(result), result.content
        assert isinstance(block, TextContent)
        assert len(block.text.encode()) <= 50_000
        assert page["total"] == len(sandbox.account.segments)
        pages.append(ids(page))
        cursor = page.get("next_cursor")
        between()
    return pages


@pytest.mark.requirement("TOOL-13")
async def test_a_full_list_is_cut_into_pages_by_its_size(era: str, sandbox: Sandbox, serve: Serve) -> None:
    filled(sandbox, 100)
    description = {"field_id": 272439, "field_name": "Описание сегмента", "field_type": "textarea"}
    for number, segment in sandbox.account.segments.items():
        text = "Звонить только по делу \u202e" * (number if number != 50 else 2_000)
        sandbox.account.segments[number] = segment | {
            "custom_fields_values": [description | {"values": [{"value": text}]}]
        }
    async with serve(sandbox) as served, served.client(era) as client:
        pages = await full_pages(client, sandbox)
        assert [number for page in pages for number in page] == [*range(1, 101)]
        assert [50] in pages
        assert 4 < len(pages) < 12
        first = answer(await client.call_tool("list_segments", {"detail": "full", "limit": 3}))
        assert (ids(first), "next_cursor" in first) == ([1, 2, 3], True)
        concise = answer(await client.call_tool("list_segments", {}))
        assert (len(concise["segments"]), "next_cursor" in concise) == (100, False)


@pytest.mark.requirement("ANSWER-7")
async def test_an_answer_about_one_segment_is_bounded_and_says_what_it_leaves_out(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    filled(sandbox, 2)
    described = {"field_id": 272439, "field_name": "Описание сегмента", "field_type": "textarea"}
    for segment_id, size in ((1, 40_000), (2, 480_000)):
        sandbox.account.segments[segment_id]["custom_fields_values"] = [described | {"values": [{"value": "x" * size}]}]
    calls: list[tuple[str, dict[str, Any], dict[str | None, int]]] = [
        ("get_segment", {"segment_id": 1}, {None: 1}),
        ("get_segment", {"segment_id": 2}, {None: 0}),
        ("update_segment", {"segment_id": 1, "name": "А"}, {"before": 0, "after": 0}),
        ("update_segment", {"segment_id": 2, "name": "Б"}, {"before": 0, "after": 0}),
        ("delete_segment", {"segment_id": 2}, {"deleted": 0}),
    ]
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        [resource] = (await client.read_resource("amo://segments/2")).contents
        assert isinstance(resource, TextResourceContents)
        assert resource.text == served_text(await client.call_tool("get_segment", {"segment_id": 2}))
        for tool, arguments, kept in calls:
            result = await client.call_tool(tool, arguments)
            told = answer(result)
            assert len(served_text(result).encode()) <= 50_000
            for key, count in kept.items():
                entity = told if key is None else told[key]
                assert len(entity["custom_fields_values"]) == count, (tool, key)
                assert entity.get("left_out") == (None if count else {"custom_fields_values": 1})


def served_text(result: CallToolResult) -> str:
    [block] = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.requirement("TOOL-13")
async def test_pages_of_a_full_list_miss_nothing_that_stays_while_it_changes(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    filled(sandbox, 60)
    segments = sandbox.account.segments
    for number, segment in segments.items():
        segments[number] = segment | {"note": "x" * 4_000}
    gone: list[int] = []

    def change() -> None:
        gone.append(min(segments.keys() - {*gone}) + 7 * len(gone))
        segments.pop(gone[-1])
        segments[max(segments)]["note"] += "y" * 20_000

    async with serve(sandbox) as served, served.client(era) as client:
        seen = [number for page in await full_pages(client, sandbox, change) for number in page]
    assert sorted({*seen}) == seen
    assert {*range(1, 61)} - {*gone} <= {*seen}


@pytest.mark.requirement("TOOL-12")
async def test_search_and_completion_find_another_spelling_of_a_part(era: str, sandbox: Sandbox, serve: Serve) -> None:
    names = {51: "Чёрный  список", 54: unicodedata.normalize("NFD", "Тёплый йогурт"), 57: "São\u00a0Paulo"}
    for number, name in names.items():
        sandbox.account.segments[number]["name"] = name
    parts = {51: "ЧЕРНЫЙ СПИСОК", 54: "теплый йог", 57: unicodedata.normalize("NFD", "sãopaulo")}
    template = ResourceTemplateReference(uri="amo://segments/{segment_id}")
    async with serve(sandbox) as served, served.client(era) as client:
        for number, part in parts.items():
            assert ids(answer(await client.call_tool("list_segments", {"search": part}))) == [number]
            completion = (await client.complete(template, {"name": "segment_id", "value": part})).completion
            assert completion.values == [str(number)]
        changes = [{"action": "create", "kind": "segment", "name": part} for part in parts.values()]
        plan = answer(await client.call_tool("plan_changes", {"changes": changes}))
    assert sorted(plan["warnings"]) == [
        "Two segments will be named «São Paulo».",
        "Two segments will be named «Чёрный список».",
    ]


@pytest.mark.requirement("TOOL-12")
async def test_segments_are_found_by_part_of_their_name_in_any_case(era: str, sandbox: Sandbox, serve: Serve) -> None:
    found = {"vip": [51, 54], " НОВИЧКИ ": [63, 66], "подписка_на": [84], "nobody": [], "": [21, *range(51, 88, 3), 93]}
    async with serve(sandbox) as served, served.client(era) as client:
        for search, expected in found.items():
            answered = answer(await client.call_tool("list_segments", {"search": search}))
            assert (ids(answered), answered["total"]) == (expected, len(expected))


@pytest.mark.requirement("ARG-5")
async def test_a_segment_colour_outside_the_palette_is_refused_before_anything_is_sent(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    palette = (
        "10599d 2176ff 006acc 07a0c3 247ba0 177e89 046e8f 598381 0c7c59 495f41 00a44b 08605f bf2600 06d6a0 "
        "e14945 79b473 ae003f a2ad59 cd0f53 8e936d 832161 2e5339 bf126f 6f7c12 ff5376 dd1c1a bb304e 631d76 "
        "9d2b32 4a001f b118c8 6a0f49 6610f2 b38a58 8963ba 4b3666 932f6d 6b2d5c 6461a0 4f517d"
    )
    async with serve(sandbox) as served, served.client(era, person) as client:
        for color in ("fffeb2", "ffffff", "#fff", "красный", "#"):
            refused = {
                "code": "invalid_arguments",
                "message": f"color «{color}» is not one of the 40 segment colours. Nothing was changed.",
                "retryable": False,
                "hint": "Correct the arguments as fields says and call the tool again.",
                "fields": [
                    {"path": "color", "detail": f"«{color}» is not one of the 40 segment colours; they are: {palette}"}
                ],
            }
            assert error(await client.call_tool("create_segment", {"name": "Х", "color": color})) == refused
            assert error(await client.call_tool("update_segment", {"segment_id": 51, "color": color})) == refused
    assert (person.asked, served.requests()) == ([], [])


@pytest.mark.requirement("ARG-6")
async def test_a_segment_colour_is_taken_however_it_is_written(era: str, sandbox: Sandbox, serve: Serve) -> None:
    forms = ("b118c8", "#b118c8", "B118C8", " #b118C8 ", "##B118c8")
    async with serve(sandbox) as served, served.client(era) as client:
        for form in forms:
            answered = answer(await client.call_tool("create_segment", {"name": "Х", "color": form}))
            assert answered["segment"]["color"] == "b118c8"
    assert [item.body["color"] for item in sandbox.requests if item.method == "POST"] == ["b118c8"] * len(forms)
