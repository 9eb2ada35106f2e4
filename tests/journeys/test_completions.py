"""Ids are completed by what is typed of the id or of the name, for templates and for prompts alike."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp_types import Completion, PromptReference, ResourceTemplateReference
from typing_extensions import override

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Segment
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.server.completions import complete
from amo_mcp.storage.memory.events import MemoryChangeEvents
from amo_mcp.storage.sqlite.database import MemoryDatabase
from amo_mcp.storage.sqlite.journal import SqliteJournal
from amo_mcp.storage.sqlite.plans import SqlitePlanStore
from amo_mcp.text import fold
from tests.conftest import Person, Serve, answer, both

pytestmark = pytest.mark.anyio

SEGMENTS = ResourceTemplateReference(uri="amo://segments/{segment_id}")
STATUSES = ResourceTemplateReference(uri="amo://statuses/{status_id}")
EXPLAIN = PromptReference(name="explain_segment")
NONE = Completion(values=[], total=0, has_more=False)


def shop(*segments: tuple[int, str]) -> Sandbox:
    """An account with these segments and no others."""
    sandbox = Sandbox()
    pattern = sandbox.account.segments[54]
    sandbox.account.segments.clear()
    for segment_id, name in segments:
        sandbox.account.segments[segment_id] = {**pattern, "id": segment_id, "name": name}
    return sandbox


async def completed(client: Client, value: str, ref: Any = SEGMENTS, argument: str = "segment_id") -> Completion:
    return (await client.complete(ref, {"name": argument, "value": value})).completion


async def ids(client: Client, value: str, ref: Any = SEGMENTS, argument: str = "segment_id") -> list[int]:
    """The ids, when they are all of them."""
    completion = await completed(client, value, ref, argument)
    assert (completion.total, completion.has_more) == (len(completion.values), False)
    return [int(item) for item in completion.values]


@pytest.mark.requirement("RESOURCE-2")
async def test_completions_are_ranked_by_how_well_id_and_name_fit(serve: Serve) -> None:
    sandbox = shop(
        (900, "15th"),
        (901, "go to 5"),
        (902, "5 a"),
        (903, "a 5"),
        (904, "5"),
        (51, "z"),
        (52, "b"),
        (5, "last of all"),
        (7, "none of it"),
    )
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            assert await ids(client, "5") == [5, 52, 51, 904, 902, 903, 901, 900]


@pytest.mark.requirement("RESOURCE-2")
async def test_a_segment_is_completed_by_any_part_of_its_name_in_any_case(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            assert await ids(client, "vip") == await ids(client, "ViP") == [51, 54]
            assert await ids(client, "ПОКУПАТЕЛИ") == [57, 60]
            assert await ids(client, "вички") == [66, 63]
            assert await ids(client, "дней без") == [75]
            assert await ids(client, " зерно ") == [81, 84]
            assert await ids(client, "☕") == [63]
            assert await ids(client, "5") == [51, 54, 57]
            assert await ids(client, "51") == [51]
            assert await ids(client, "051") == []
            assert await ids(client, "нет такого") == []
            assert set(await ids(client, "")) == set(sandbox.account.segments)


@pytest.mark.requirement("RESOURCE-2")
async def test_statuses_are_completed_like_segments(periodicity: Sandbox, serve: Serve) -> None:
    async with serve(periodicity) as served, both(served.server) as clients:
        for client in clients:
            assert await ids(client, "купили", STATUSES, "status_id") == [4740028, 4740010]
            assert await ids(client, "474001", STATUSES, "status_id") == [4740016, 4740013, 4740010, 4740019]
            assert await ids(client, "4740031", STATUSES, "status_id") == [4740031]
    assert served.requests() == ["GET /api/v4/customers/statuses"]


async def test_the_argument_of_a_prompt_is_completed_like_that_of_a_template(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for value in ("", "5", "vip", "нет такого"):
                assert await completed(client, value, EXPLAIN) == await completed(client, value, SEGMENTS)
    assert len(served.requests()) == 1


async def test_a_completion_has_at_most_a_hundred_values_and_the_total(serve: Serve) -> None:
    sandbox = shop(*((1000 + number, f"Группа {number:03}") for number in range(150)), (7, "Другая"))
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            assert await completed(client, "группа") == Completion(
                values=[str(1000 + number) for number in range(100)], total=150, has_more=True
            )
            assert (await completed(client, "")).total == 151
            assert await ids(client, "группа 0") == [1000 + number for number in range(100)]
            assert await ids(client, "группа 14") == [*range(1140, 1150)]


async def test_an_argument_that_is_not_known_has_no_values(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            for argument in ("goal", "segmentid", "SEGMENT_ID", "", "x" * 10_000):
                assert await completed(client, "vip", argument=argument) == NONE
            assert await completed(client, "x", PromptReference(name="reorganize_segments"), "goal") == NONE
    assert served.requests() == []


async def test_an_account_that_cannot_be_read_has_no_values(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            assert await completed(client, "", STATUSES, "status_id") == NONE
            for fault in (Fault(status=500, times=4), Fault(status=401), Fault(status=429, times=4), Fault(body="[]")):
                sandbox.faults.add(fault)
                assert await completed(client, "vip") == NONE
        assert [await ids(client, "vip") for client in clients] == [[51, 54], [51, 54]]


async def test_a_change_through_this_server_is_completed_at_once(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, served.client(era, Person()) as client:
        assert await ids(client, "новые") == []
        created = answer(await client.call_tool("create_segment", {"name": "Новые"}))["segment"]["id"]
        assert await ids(client, "новые") == [created]
        await client.call_tool("delete_segment", {"segment_id": created})
        assert await ids(client, "новые") == []


async def test_hostile_names_and_input_are_completed_like_any_other(serve: Serve) -> None:
    names = ("VIP\x00\x1b[31m\nIgnore", "\u202ePIV\u2066", "x" * 5000, "", ".*")
    sandbox = shop(*enumerate(names, 11))
    async with serve(sandbox) as served, both(served.server) as clients:
        for client in clients:
            assert await ids(client, "ignore") == [11]
            assert await ids(client, "piv") == [12]
            assert await ids(client, "x" * 5000) == [13]
            assert await ids(client, "x" * 5001) == []
            assert await ids(client, ".*") == [15]
            assert await ids(client, "\u202e\x00") == await ids(client, "")
            for value in ("%", "[", "١١", "1.1", "-11", "9" * 400):
                assert set(await ids(client, value)) <= {11, 12}


NAMES = st.text(max_size=30)


class ListingClient(AmoClient):
    """A client whose account has these segments and no others."""

    def __init__(self, listed: list[Segment]) -> None:
        self._listed = listed

    @override
    async def segments(self) -> Listing[Segment]:
        return Listing(self._listed)


@given(names=st.lists(NAMES, max_size=8), typed=NAMES)
async def test_a_completion_has_what_contains_the_input_and_nothing_else(names: list[str], typed: str) -> None:
    segments = [Segment(id=number, name=name) for number, name in enumerate(names, 1)]
    journal, plans = SqliteJournal(MemoryDatabase()), SqlitePlanStore(MemoryDatabase())
    account = AmoAccount.of(ListingClient(segments), journal, plans, MemoryChangeEvents())
    part = fold(typed)
    fitting = {str(one.id) for one in segments if part in fold(one.name) or str(one.id).startswith(part)}
    completion = await complete(account, "segment_id", typed)
    assert set(completion.values) == fitting
    assert (len(completion.values), completion.total, completion.has_more) == (len(fitting), len(fitting), False)
