"""The account as it was read at one moment, and how it differs from what the steps were made for."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusPatch
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.differences import Difference, described
from amo_mcp.changes.snapshot import Snapshot, drift, read_snapshot, read_targets
from amo_mcp.changes.steps import Create, Delete, Update
from amo_mcp.sandbox import Sandbox
from tests.conftest import session_at

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
VIP = Segment(id=51, name="VIP", color="6610f2", customers_count=48, available_products_price_types=[4, 5])
WARM = Status(id=7, name="Тёплые", sort=2, color="#fff000")


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AmoClient]:
    http = HttpTransport(timeout=20, app=sandbox.app)
    yield AmoClient(session_at("http://127.0.0.1", http))
    await http.aclose()


def snapshot(*entities: Segment | Status) -> Snapshot:
    return Snapshot(
        {
            "segment": {entity.id: entity for entity in entities if isinstance(entity, Segment)},
            "status": {entity.id: entity for entity in entities if isinstance(entity, Status)},
        }
    )


async def test_a_single_update_or_deletion_reads_only_its_target(sandbox: Sandbox, client: AmoClient) -> None:
    read = await read_targets(client, [Delete(VIP)])
    assert [request.path for request in sandbox.requests] == [f"{SEGMENTS}/51"]
    assert read.ids("segment") == (51,)


async def test_a_target_that_is_gone_is_missing_from_what_was_read(sandbox: Sandbox, client: AmoClient) -> None:
    del sandbox.account.segments[51]
    read = await read_targets(client, [Delete(VIP)])
    assert read.target(Delete(VIP)) is None
    assert drift([Delete(VIP)], read) == [Difference(VIP, None)]


@pytest.mark.parametrize("steps", [[Create(SegmentDraft(name="А"))], [Delete(VIP), Create(SegmentDraft(name="А"))]])
async def test_a_creation_and_several_steps_read_everything_of_their_kinds(
    steps: Any, sandbox: Sandbox, client: AmoClient
) -> None:
    read = await read_targets(client, steps)
    assert [request.path.partition("?")[0] for request in sandbox.requests] == [SEGMENTS]
    assert {*read.ids("segment")} == {*sandbox.account.segments}


async def test_custom_fields_are_read_only_where_they_are_asked_for(sandbox: Sandbox, client: AmoClient) -> None:
    assert (await read_snapshot(client, ["segment"])).fields == ()
    assert len((await read_snapshot(client, ["segment"], with_fields=True)).fields) == len(sandbox.account.fields)
    assert len((await read_targets(client, [Delete(VIP)], with_fields=True)).fields) == len(sandbox.account.fields)


@pytest.mark.parametrize(("count", "settings"), [(0, ()), (47, ()), (48, ()), (49, ("customers_count",)), (None, ())])
async def test_a_segment_that_is_to_be_deleted_may_have_fewer_customers_than_were_shown_but_not_more(
    count: int | None, settings: tuple[str, ...]
) -> None:
    now = VIP.model_copy(update={"customers_count": count})
    found = [difference.settings for difference in drift([Delete(VIP)], snapshot(now))]
    assert found == ([settings] if settings else [])
    assert drift([Update(VIP, SegmentPatch(name="А"))], snapshot(now)) == []


async def test_a_segment_whose_count_was_not_shown_is_not_deleted_once_it_has_customers() -> None:
    shown = VIP.model_copy(update={"customers_count": None})
    assert [difference.settings for difference in drift([Delete(shown)], snapshot(VIP))] == [("customers_count",)]


@pytest.mark.parametrize(
    ("edit", "settings"),
    [
        ({"name": "Чужое"}, ("name",)),
        ({"color": "ae003f", "name": "Чужое"}, ("color", "name")),
        ({"available_products_price_types": [1]}, ("available_products_price_types",)),
        ({"custom_fields_values": [{"field_id": 1, "values": [{"value": "1"}]}]}, ("custom_fields_values",)),
        ({"available_products_price_types": [5, 4]}, ()),
        ({"updated_at": None, "account_id": 7}, ()),
    ],
)
async def test_a_segment_differs_by_what_a_person_set_in_it_and_by_nothing_else(
    edit: dict[str, Any], settings: tuple[str, ...]
) -> None:
    now = VIP.model_copy(update=edit)
    for step in (Delete(VIP), Update(VIP, SegmentPatch(name="А"))):
        found = [(item.before, item.now, {*item.settings}) for item in drift([step], snapshot(now))]
        assert found == ([(VIP, now, {*settings})] if settings else [])


COLD = Status(id=8, name="Холодные", sort=5, color="#fff000")
LOST = Status(id=9, name="Ушли", sort=7, color="#fff000")
MOVE = Update(WARM, StatusPatch(sort=9), ((7, 2), (8, 5), (9, 7)))


@pytest.mark.parametrize(
    ("sorts", "differs"),
    [
        ((12, 15, 17), []),
        ((0, 1, 2), []),
        ((0, 2, 1), []),
        ((6, 5, 7), ["position was before «Холодные» and is now after «Холодные» and before «Ушли»"]),
        ((9, 5, 7), ["position was before «Холодные» and is now after «Ушли»"]),
    ],
)
async def test_of_a_position_that_is_set_the_place_among_the_others_counts_and_not_the_number(
    sorts: tuple[int, int, int], differs: list[str]
) -> None:
    now = [item.model_copy(update={"sort": sort}) for item, sort in zip((WARM, COLD, LOST), sorts, strict=True)]
    found = drift([MOVE], snapshot(*now))
    assert described(found, 5) == [f"status «Тёплые» (id 7): {sentence}." for sentence in differs]
    assert drift([MOVE], snapshot(*now), among=[MOVE, replace(MOVE, before=COLD), replace(MOVE, before=LOST)]) == []
    assert drift([Update(WARM, StatusPatch(name="А")), Delete(COLD)], snapshot(*now)) == []


async def test_a_creation_never_differs_and_a_kind_that_was_not_read_has_no_entities() -> None:
    assert drift([Create(SegmentDraft(name="А"))], Snapshot({})) == []
    assert Snapshot({}).ids("segment") == ()
    assert drift([Delete(VIP)], Snapshot({"status": {51: WARM}})) == [Difference(VIP, None)]


async def test_a_target_that_cannot_be_read_is_not_said_to_be_gone(sandbox: Sandbox, client: AmoClient) -> None:
    sandbox.account.segments[51]["customers_count"] = "many"
    read = await read_snapshot(client, ["segment"])
    for seen in (read, Snapshot({"segment": {}}, unreadable={"segment": (None,)})):
        assert described(drift([Delete(VIP)], seen), 5) == ["segment «VIP» (id 51) cannot be read."]
    assert read.count("segment") == len(sandbox.account.segments)
