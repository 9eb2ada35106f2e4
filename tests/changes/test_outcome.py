"""What came of a write whose answer was lost, told by looking: made, surely not made, or not to be told."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.errors import NotFound, Unavailable
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Listing, Segment, Status, comparable
from amo_mcp.changes.outcome import Indeterminate, look
from amo_mcp.changes.steps import Entity, Step

pytestmark = pytest.mark.anyio

FIELDS = [
    {"field_id": 1, "values": [{"value": "15"}]},
    {"field_id": 2, "values": [{"value": "Почта", "enum_id": 21, "enum_code": "EMAIL"}]},
]
VIP = Segment.model_validate(
    {"id": 51, "name": "VIP", "color": "6610f2", "customers_count": 48, "created_at": 5, "custom_fields_values": FIELDS}
)
WARM = Status(id=7, name="Тёплые", sort=2, color="#fff000")


class Account:
    """A client whose account has these things; `failure` instead, when there is one."""

    def __init__(self, *things: Entity, failure: Exception | None = None) -> None:
        self.things = things
        self.failure = failure
        self.unreadable: tuple[int, ...] = ()

    async def segments(self) -> Listing[Entity]:
        if self.failure:
            raise self.failure
        return Listing(self.things, self.unreadable)

    async def segment(self, thing_id: int) -> Entity:
        for thing in await self.segments():
            if thing.id == thing_id:
                return thing
        raise NotFound(404)

    statuses, status = segments, segment


async def told(account: Account, *steps: Step) -> Any:
    """What looking tells; "cannot tell" when it does not."""
    try:
        return await look(account, steps)  # type: ignore[arg-type]
    except Indeterminate:
        return "cannot tell"


def create(name: str, *, known: Sequence[int] = (51,), color: str | None = None) -> Step:
    return Step("create", "segment", sent=SegmentDraft(name=name, color=color), known=tuple(known))


def create_status(name: str, color: str | None = None) -> Step:
    return Step("create", "status", sent=StatusDraft(name=name, sort=1, color=color), known=(7,))


def update(patch: SegmentPatch | StatusPatch, before: Entity = VIP) -> Step:
    return Step("update", "status" if isinstance(before, Status) else "segment", before=before, sent=patch)


NEW = Segment(id=96, name="Новые", color="10599d")


@pytest.mark.parametrize(
    ("now", "step", "outcome"),
    [
        ((VIP, NEW), create("Новые"), [NEW]),
        ((VIP, NEW), create("Новые", color="10599d"), [NEW]),
        ((VIP,), create("Новые"), None),
        ((), create("Новые"), None),
        ((VIP,), create("VIP"), None),
        ((VIP, NEW), create("Новые", color="ae003f"), "cannot tell"),
        ((VIP, Segment(id=96, name="Чужие")), create("Новые"), "cannot tell"),
        ((NEW, Segment(id=99, name="Новые")), create("Новые"), "cannot tell"),
        ((NEW, Segment(id=99, name="Чужие")), create("Новые"), "cannot tell"),
    ],
)
async def test_a_creation_is_found_by_what_is_new_and_of_its_name_and_colour(
    now: Any, step: Step, outcome: Any
) -> None:
    assert await told(Account(*now), step) == outcome


async def test_several_statuses_are_found_together_in_the_order_in_which_they_were_sent() -> None:
    one, two = Status(id=10, name="Один", color="#fffeb2"), Status(id=13, name="Два", color="#fff000")
    steps = create_status("Один"), create_status("Два", "#fff000")
    assert await told(Account(WARM, two, one), *steps) == [one, two]
    assert await told(Account(WARM), *steps) is None
    assert await told(Account(WARM, one), *steps) == "cannot tell"
    assert await told(Account(one, two, Status(id=16, name="Чужой")), *steps) == "cannot tell"
    assert await told(Account(one, two), create_status("Один"), create_status("Один")) == "cannot tell"
    assert await told(Account(one, Status(id=13, name="Два", color="#ccc8f9")), *steps) == "cannot tell"


CHANGED = [{"field_id": 1, "values": [{"value": "20"}]}, {"field_id": 2, "values": None}]


@pytest.mark.parametrize(
    ("patch", "sent"),
    [
        ({"name": "Лучшие"}, {"name": "Лучшие"}),
        ({"color": "ae003f"}, {"color": "ae003f"}),
        ({"available_products_price_types": [1, 2]}, {"available_products_price_types": [1, 2]}),
        ({"custom_fields_values": [{"field_id": 1, "values": [{"value": "20"}]}]}, {"custom_fields_values": CHANGED}),
        ({"custom_fields_values": []}, {"custom_fields_values": [{**field, "values": None} for field in FIELDS]}),
        (
            {"custom_fields_values": [FIELDS[0], {"field_id": 2, "values": [{"value": "Телефон", "enum_id": 22}]}]},
            {"custom_fields_values": [{"field_id": 2, "values": [{"enum_id": 22}]}]},
        ),
    ],
)
async def test_an_update_is_made_when_the_segment_is_what_the_patch_makes_of_it(patch: Any, sent: Any) -> None:
    now = Segment.model_validate({**VIP.model_dump(), **patch, "customers_count": 3, "updated_at": 9})
    step = update(SegmentPatch(**sent))
    assert await told(Account(now), step) == [now]
    assert await told(Account(VIP.model_copy(update={"customers_count": 3})), step) is None


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "A"},
        {"color": "ae003f"},
        {"available_products_price_types": [1]},
        {"custom_fields_values": CHANGED},
    ],
)
async def test_a_segment_that_is_neither_as_it_was_nor_as_it_was_to_become_tells_nothing(sent: Any) -> None:
    somebodys = VIP.model_copy(update={"name": "Чужое"})
    assert await told(Account(somebodys), update(SegmentPatch(**sent))) == "cannot tell"


async def test_a_creation_may_have_made_what_cannot_be_read() -> None:
    account = Account(VIP)
    account.unreadable = (7,)
    assert await told(account, create("Новый", known=(VIP.id,))) == "cannot tell"


async def test_a_null_that_comes_or_goes_changes_nothing() -> None:
    telling = {"values": [{"value": "15", "enum_id": None, "enum_code": None}], "field_code": None, "field_id": 1}
    now = Segment.model_validate({**VIP.model_dump(), "custom_fields_values": [telling, FIELDS[1]]})
    assert await told(Account(now), update(SegmentPatch(name="A"))) is None
    assert comparable(now) == comparable(VIP)


async def test_an_update_of_what_is_gone_tells_nothing() -> None:
    assert await told(Account(), update(SegmentPatch(name="A"))) == "cannot tell"


@pytest.mark.parametrize(
    ("now", "patch", "outcome"),
    [
        ({"name": "Горячие"}, {"name": "Горячие"}, "made"),
        ({"name": "Горячие", "sort": 0}, {"name": "Горячие", "sort": 1}, "made"),
        ({"color": "#ccc8f9"}, {"color": "#ccc8f9"}, "made"),
        ({}, {"name": "Горячие"}, None),
        ({}, {"sort": 5}, None),
        ({"sort": 5}, {"sort": 5}, "cannot tell"),
        ({"name": "Чужие"}, {"name": "Горячие"}, "cannot tell"),
    ],
)
async def test_a_status_is_known_by_its_name_and_colour_and_its_position_alone_tells_nothing(
    now: Any, patch: Any, outcome: Any
) -> None:
    there = WARM.model_copy(update=now)
    expected = [there] if outcome == "made" else outcome
    assert await told(Account(there), update(StatusPatch(**patch), WARM)) == expected


@pytest.mark.parametrize("thing", [VIP, WARM], ids=["segment", "status"])
async def test_a_deletion_is_made_when_the_thing_is_gone_and_surely_not_while_it_is_there(thing: Entity) -> None:
    step = Step("delete", "status" if isinstance(thing, Status) else "segment", before=thing)
    assert await told(Account(), step) == [None]
    assert await told(Account(thing), step) is None
    assert await told(Account(thing.model_copy(update={"name": "Чужое"})), step) is None


@pytest.mark.parametrize("step", [create("A"), update(SegmentPatch(name="A")), Step("delete", "segment", before=VIP)])
async def test_when_looking_is_not_possible_that_is_what_is_said(step: Step) -> None:
    with pytest.raises(Unavailable):
        await look(Account(failure=Unavailable("did not answer")), [step])  # type: ignore[arg-type]


names = st.sampled_from(["A", "B"])
things = st.lists(st.builds(Segment, id=st.integers(1, 8), name=names), unique_by=lambda thing: thing.id, max_size=5)


@settings(max_examples=150)
@given(things, things, names)
async def test_a_namesake_that_was_there_before_is_never_taken_for_the_new_one(
    before: list[Segment], now: list[Segment], name: str
) -> None:
    step = create(name, known=[thing.id for thing in before])
    new = [thing for thing in now if thing.id not in step.known]
    found = await told(Account(*now), step)
    if not new:
        assert found is None
    elif [thing.name for thing in new] == [name]:
        assert found == new
    else:
        assert found == "cannot tell"
