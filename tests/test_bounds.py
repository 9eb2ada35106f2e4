"""The table of bounds says what the code has, and each bound is held from both sides."""

import re
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from amo_mcp.amocrm.inputs import SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.journal import Retention
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Delete, Update
from amo_mcp.confirmation.question import MAX_SHOWN_BYTES, Question, question_of
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.settings import MAX_RATE_LIMIT, MAX_TIMEOUT, InvalidSettings, ServingSettings, load_settings
from amo_mcp.text import quote
from amo_mcp.transports.limits import MAX_MESSAGE_BYTES
from amo_mcp.transports.outbox import MAX_UNREAD_BYTES, ClientReadsNothing, Outbox
from tests.confirmation.test_question import ENGLISH
from tests.conftest import Serve, answer, error
from tests.journeys.lossy import opened
from tests.journeys.test_completions import completed, shop
from tests.transports.test_http import served as served_over_http

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "amo_mcp"
_ROW = re.compile(r"\| (?P<bound>[^|]+) \| (?P<figure>[\d,.]+)[^|]* \| `(?P<constant>[^`]+)` \| (?P<tests>[^|]+) \|")

Row = dict[str, str]


def table() -> list[Row]:
    lines = (ROOT / "docs" / "bounds.md").read_text("utf-8").splitlines()
    return [found.groupdict() for line in lines if (found := _ROW.fullmatch(line))]


def named_tests() -> set[str]:
    return {name for file in (ROOT / "tests").rglob("test_*.py") for name in _functions(file)}


def _functions(file: Path) -> list[str]:
    return re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))


def constant(place: str) -> float:
    file, _, names = place.partition(":")
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    module = import_module(name if name.startswith("scripts.") else f"amo_mcp.{name}")
    return float(reduce(getattr, names.split("."), module))


@pytest.mark.parametrize("row", table(), ids=lambda row: row["constant"])
def test_a_figure_of_the_table_is_the_constant_and_its_tests_exist(row: Row) -> None:
    assert float(row["figure"].replace(",", "")) == constant(row["constant"])
    tests = re.findall(r"`(test_\w+|make bench)`", row["tests"])
    assert tests
    assert {*tests} <= {*named_tests(), "make bench"}


def test_every_line_of_the_tables_is_read_and_no_bound_is_left_out() -> None:
    lines = (ROOT / "docs" / "bounds.md").read_text("utf-8").splitlines()
    assert len(table()) == sum(line.startswith("| ") and not line.startswith("| bound") for line in lines)
    declared = {
        f"{file.relative_to(PACKAGE).as_posix()}:{name}"
        for file in PACKAGE.rglob("*.py")
        if "sandbox" not in file.relative_to(PACKAGE).parts
        for name in re.findall(r"^(MAX_\w+)\b.* = ", file.read_text("utf-8"), re.MULTILINE)
    }
    assert declared <= {row["constant"] for row in table()}


def statuses(count: int) -> dict[str, Any]:
    return {"statuses": [{"name": f"С {number}", "sort": 1} for number in range(count)]}


def fields(count: int) -> dict[str, Any]:
    values = [{"value": "да"}]
    return {
        "name": "А",
        "custom_fields_values": [{"field_id": 1 + number, "values": values} for number in range(count)],
    }


def values(count: int) -> dict[str, Any]:
    return {"name": "А", "custom_fields_values": [{"field_id": 1, "values": [{"value": "да"}] * count}]}


def prices(count: int) -> dict[str, Any]:
    return {"name": "А", "available_products_price_types": [1 + number for number in range(count)]}


def customers(count: int) -> dict[str, Any]:
    return {"customer_ids": [1_000_000 + number for number in range(count)], "add_to": [51]}


def changes(count: int) -> dict[str, Any]:
    return {"changes": [{"action": "create", "kind": "segment", "name": f"С {number}"} for number in range(count)]}


def entries_refused(failure: dict[str, Any], bound: int) -> bool:
    return any(f"must have at most {bound} entries" in field["detail"] for field in failure.get("fields", []))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tool", "arguments", "bound"),
    [
        ("create_statuses", statuses, 30),
        ("move_customers", customers, 250),
        ("create_segment", fields, 30),
        ("create_segment", values, 250),
        ("create_segment", prices, 250),
        ("plan_changes", changes, 130),
    ],
)
async def test_a_list_of_arguments_may_be_as_long_as_its_bound_and_no_longer(
    tool: str, arguments: Callable[[int], dict[str, Any]], bound: int, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        within = error(await client.call_tool(tool, arguments(bound)))
        above = error(await client.call_tool(tool, arguments(bound + 1)))
    assert not entries_refused(within, bound)
    assert (above["code"], entries_refused(above, bound)) == ("invalid_arguments", True)


@pytest.mark.anyio
@pytest.mark.parametrize(("tool", "bound"), [("list_segments", 100), ("list_changes", 100), ("list_customers", 250)])
async def test_a_page_may_be_as_large_as_its_bound_and_no_larger(
    tool: str, bound: int, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        answer(await client.call_tool(tool, {"limit": bound}))
        above = error(await client.call_tool(tool, {"limit": bound + 1}))
    assert above["fields"] == [{"path": "limit", "detail": f"{bound + 1} must be at most {bound}"}]


@pytest.mark.parametrize(("name", "bound"), [("AMO_RATE_LIMIT", MAX_RATE_LIMIT), ("AMO_TIMEOUT", MAX_TIMEOUT)])
def test_a_setting_may_be_as_high_as_its_bound_and_no_higher(
    name: str, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMO_SANDBOX", "1")
    monkeypatch.setenv(name, str(bound))
    load_settings(ServingSettings)
    monkeypatch.setenv(name, str(bound + 1))
    with pytest.raises(InvalidSettings, match=name):
        load_settings(ServingSettings)


def test_a_text_of_eighty_characters_is_quoted_whole_and_a_longer_one_is_cut() -> None:
    assert quote("я" * 80) == f"«{'я' * 80}»"
    assert len(quote("я" * 81)) == 82


def test_the_journal_keeps_ten_thousand_changes_and_a_thousand_whatever_their_age() -> None:
    kept, year = Retention(), 365 * 86_400.0
    over = {number: kept.is_over(number, 0.0, last=20_000, now=year) for number in (10_000, 10_001)}
    old = {number: kept.is_over(number, 0.0, last=20_000, now=2 * year) for number in (19_000, 19_001)}
    assert (over, old) == ({10_000: True, 10_001: False}, {19_000: True, 19_001: False})


@pytest.mark.anyio
async def test_a_hundred_completions_are_all_of_them_and_of_one_more_a_hundred_are_shown(serve: Serve) -> None:
    found = []
    for count in (100, 101):
        account = shop(*((1000 + number, f"Группа {number:03}") for number in range(count)))
        async with serve(account) as served, served.client("2026-07-28") as client:
            completion = await completed(client, "группа")
            found.append((len(completion.values), completion.total, completion.has_more))
    assert found == [(100, 100, False), (100, 101, True)]


@pytest.mark.anyio
async def test_fifty_problems_are_all_told_and_of_one_more_the_first_fifty(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        failures = [
            error(await client.call_tool("list_segments", {f"x{number}": 1 for number in range(count)}))
            for count in (50, 51)
        ]
    assert [len(failure["fields"]) for failure in failures] == [50, 50]
    assert ["and 49 more" in failures[0]["message"], "and 50 more" in failures[1]["message"]] == [True, True]


@pytest.mark.anyio
@pytest.mark.parametrize(("seconds", "code"), [(10, None), (11, "rate_limited")])
async def test_a_pause_of_ten_seconds_is_waited_for_and_a_longer_one_is_told(
    seconds: int, code: str | None, era: str
) -> None:
    async with opened(era) as bench:
        sandbox = bench.reset("segments")
        sandbox.faults.add(Fault("GET", retry_after=seconds))
        answered = answer(await bench.clients[False].call_tool("list_segments", {}))
    assert answered.get("error", {}).get("code") == code
    assert bench.slept == ([] if code else [seconds])


@pytest.mark.anyio
@pytest.mark.parametrize(("failures", "code"), [(3, None), (4, "unavailable")])
async def test_a_request_is_tried_four_times_and_not_a_fifth(
    failures: int, code: str | None, sandbox: Sandbox, serve: Serve
) -> None:
    sandbox.faults.add(Fault("GET", status=503, times=failures))
    async with serve(sandbox) as served, served.client("2026-07-28") as client:
        answered = answer(await client.call_tool("list_segments", {}))
    assert (answered.get("error", {}).get("code"), len(served.requests())) == (code, 4)


@pytest.mark.anyio
async def test_refusals_may_wait_unread_up_to_the_limit() -> None:
    outbox, line = Outbox(), b"x" * 1024
    for _ in range(MAX_UNREAD_BYTES // len(line) + 1):
        outbox.refuse(line)
    with pytest.raises(ClientReadsNothing):
        outbox.refuse(line)
    outbox.close()
    written: list[bytes] = []

    async def write(data: bytes) -> None:
        written.append(data)

    await outbox.write_with(write)
    assert len(written) == MAX_UNREAD_BYTES // len(line) + 1


@pytest.mark.anyio
async def test_a_body_of_a_mebibyte_is_read_and_a_longer_one_is_refused() -> None:
    async with served_over_http() as caller:
        within, above = [await caller.post("x" * (MAX_MESSAGE_BYTES - 2 + more)) for more in (0, 1)]
    assert (within.status, above.status) == (400, 413)


def told(**patch: Any) -> str:
    step = Update(Segment(id=51, name="VIP"), SegmentPatch(**patch))
    return question_of(PendingChange((step,)), ENGLISH).text


def test_a_value_of_two_hundred_characters_is_shown_whole_and_of_a_longer_one_the_rest_is_counted() -> None:
    assert "я" * 200 in told(name="я" * 200)
    assert "я" * 201 not in told(name="я" * 201)
    assert "1 character" in told(name="я" * 201)


def test_five_entries_are_shown_and_of_one_more_it_is_said_how_many_are_left_out() -> None:
    assert "5" in told(available_products_price_types=[1, 2, 3, 4, 5])
    assert "more" not in told(available_products_price_types=[1, 2, 3, 4, 5])
    assert "1 more" in told(available_products_price_types=[1, 2, 3, 4, 5, 6])


def test_a_question_shows_twenty_five_steps_and_counts_the_others() -> None:
    def asked(count: int) -> str:
        steps = tuple(Delete(Segment(id=1 + number, name=f"С{number}")) for number in range(count))
        return question_of(PendingChange(steps, plan_id="p"), ENGLISH).text

    assert ("«С24»" in asked(25), "more" in asked(25)) == (True, False)
    assert ("«С25»" in asked(26), "1 more" in asked(26)) == (False, True)


def test_the_steps_of_a_question_take_thirty_thousand_bytes_and_of_the_others_the_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At most: the first one is shown however long it is."""
    patch = SegmentPatch(name="я" * 200, available_products_price_types=[10**9 + number for number in range(5)])
    steps = tuple(Update(Segment(id=1 + number, name=f"С{number}" + "ю" * 197), patch) for number in range(25))

    def asked() -> Question:
        return question_of(PendingChange(steps, plan_id="p"), ENGLISH)

    def size(question: Question) -> int:
        return len("".join(f"{line}\n" for step in question.steps for line in step.lines).encode())

    whole = size(asked())
    assert (len(asked().steps), size(asked()) <= MAX_SHOWN_BYTES) == (25, True)
    monkeypatch.setattr("amo_mcp.confirmation.question.MAX_SHOWN_BYTES", whole)
    assert (len(asked().steps), asked().more) == (25, "")
    monkeypatch.setattr("amo_mcp.confirmation.question.MAX_SHOWN_BYTES", whole - 1)
    assert (len(asked().steps), asked().more) == (24, "and 1 more, none with more customers affected")
    monkeypatch.setattr("amo_mcp.confirmation.question.MAX_SHOWN_BYTES", 0)
    assert (len(asked().steps), asked().more) == (1, "and 24 more, none with more customers affected")


def test_every_attack_on_signing_in_that_is_told_of_is_held_by_tests_that_exist() -> None:
    lines = (ROOT / "docs" / "signing-in.md").read_text("utf-8").splitlines()
    attacks = [line for line in lines if line.startswith("| ") and not line.startswith("| attack ")]
    held = [re.findall(r"`(test_\w+)`", attack.rpartition(" | ")[2]) for attack in attacks]
    assert len(attacks) > 20
    assert all(held)
    assert {test for tests in held for test in tests} <= named_tests()
