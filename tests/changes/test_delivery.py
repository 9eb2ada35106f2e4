"""What came of a write whose answer was lost: the account shows that it was made, that it was not, or neither."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import NotFound, OutcomeUnknown, Unavailable
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Segment, Status, comparable
from amo_mcp.changes.delivery import Indeterminate, deliver, spans, verify_write, was_read_back
from amo_mcp.changes.leases import Others
from amo_mcp.changes.positions import places_of
from amo_mcp.changes.steps import Create, Delete, Entity, Step, Update
from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import session_at

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
    """A client whose account has these entities; `failure` instead, when there is one."""

    def __init__(self, *entities: Entity, failure: Exception | None = None) -> None:
        self.entities = entities
        self.failure = failure
        self.unreadable: tuple[int, ...] = ()

    async def segments(self) -> Listing[Entity]:
        if self.failure:
            raise self.failure
        return Listing(self.entities, self.unreadable)

    async def segment(self, entity_id: int) -> Entity:
        for entity in await self.segments():
            if entity.id == entity_id:
                return entity
        raise NotFound(404)

    statuses, status = segments, segment


async def verified(account: Account, *steps: Step) -> Any:
    """What the account shows of the steps: None when they were not made, "indeterminate" when it does not show it."""
    try:
        return await verify_write(cast("AmoClient", account), steps)
    except Indeterminate:
        return "indeterminate"


def done(*steps: Create | Update, after: Sequence[Entity]) -> list[Create | Update]:
    """The steps, done, each with what it left behind."""
    return [step.done(entity) for step, entity in zip(steps, after, strict=True)]


def create(name: str, *, existing: Sequence[int] = (51,), color: str | None = None) -> Create:
    return Create(SegmentDraft(name=name, color=color), tuple(existing))


def create_status(name: str, color: str | None = None) -> Create:
    return Create(StatusDraft(name=name, sort=1, color=color), (7,))


def update(patch: SegmentPatch | StatusPatch, before: Entity = VIP) -> Update:
    return Update(before, patch)


NEW = Segment(id=96, name="Новые", color="10599d")


@pytest.mark.parametrize(
    ("now", "step", "outcome"),
    [
        ((VIP, NEW), create("Новые"), [NEW]),
        ((VIP, NEW), create("Новые", color="10599d"), [NEW]),
        ((VIP,), create("Новые"), None),
        ((), create("Новые"), None),
        ((VIP,), create("VIP"), None),
        ((VIP, NEW), create("Новые", color="ae003f"), "indeterminate"),
        ((VIP, Segment(id=96, name="Чужие")), create("Новые"), "indeterminate"),
        ((NEW, Segment(id=99, name="Новые")), create("Новые"), "indeterminate"),
        ((NEW, Segment(id=99, name="Чужие")), create("Новые"), "indeterminate"),
    ],
)
async def test_a_creation_is_found_by_what_is_new_and_of_its_name_and_colour(
    now: Sequence[Entity], step: Create, outcome: Any
) -> None:
    expected = done(step, after=outcome) if isinstance(outcome, list) else outcome
    assert await verified(Account(*now), step) == expected


@pytest.mark.parametrize(
    "lacking", [{"custom_fields_values": FIELDS}, {"available_products_price_types": [5, 7]}], ids=["prices", "fields"]
)
async def test_a_new_entity_without_the_fields_or_the_price_fields_that_were_sent_may_be_somebody_elses(
    lacking: dict[str, Any],
) -> None:
    draft = SegmentDraft(
        name="Новые",
        custom_fields_values=[{"field_id": 1, "values": [{"value": "15"}]}],
        available_products_price_types=[5, 7],
    )
    step = Create(draft, (51,))
    theirs = Segment.model_validate({"id": 96, "name": "Новые", **lacking})
    assert await verified(Account(VIP, theirs), step) == "indeterminate"
    ours = Segment.model_validate(
        {"id": 96, "name": "Новые", "custom_fields_values": FIELDS, "available_products_price_types": [7, 5]}
    )
    assert await verified(Account(VIP, ours), step) == done(step, after=[ours])


async def test_a_creation_may_have_made_what_cannot_be_read() -> None:
    account = Account(VIP)
    account.unreadable = (96,)
    assert await verified(account, create("Новые")) == "indeterminate"


async def test_what_other_changes_create_at_the_same_time_is_theirs() -> None:
    theirs, also_theirs = Segment(id=97, name="Чужие"), Segment(id=98, name="Новые")

    async def beside(_: str) -> Others:
        return Others({98}, {"Чужие", "Новые"})

    async def found(*now: Segment) -> Any:
        try:
            return await verify_write(cast("AmoClient", Account(*now)), [create("Новые")], beside)
        except Indeterminate:
            return "indeterminate"

    assert await found(VIP, theirs, also_theirs) is None
    assert await found(VIP, theirs, NEW, also_theirs) == done(create("Новые"), after=[NEW])
    assert await found(VIP, NEW, Segment(id=99, name="Новые")) == "indeterminate"
    assert await found(VIP, Segment(id=99, name="Ничьи")) == "indeterminate"


async def test_several_statuses_are_found_together_in_the_order_in_which_they_were_sent() -> None:
    one, two = Status(id=10, name="Один", color="#fffeb2"), Status(id=13, name="Два", color="#fff000")
    steps = create_status("Один"), create_status("Два", "#fff000")
    places = places_of((WARM, two, one))
    found = [replace(step, left=places) for step in done(*steps, after=[one, two])]
    assert await verified(Account(WARM, two, one), *steps) == found
    assert await verified(Account(WARM), *steps) is None
    assert await verified(Account(WARM, one), *steps) == "indeterminate"
    assert await verified(Account(one, two, Status(id=16, name="Чужой")), *steps) == "indeterminate"
    assert await verified(Account(one, two), create_status("Один"), create_status("Один")) == "indeterminate"
    assert await verified(Account(one, Status(id=13, name="Два", color="#ccc8f9")), *steps) == "indeterminate"


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
    assert await verified(Account(now), step) == done(step, after=[now])
    assert await verified(Account(VIP.model_copy(update={"customers_count": 3})), step) is None


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "A"},
        {"color": "ae003f"},
        {"available_products_price_types": [1]},
        {"custom_fields_values": CHANGED},
    ],
)
async def test_a_segment_that_is_neither_as_it_was_nor_as_it_was_to_become_leaves_an_update_indeterminate(
    sent: Any,
) -> None:
    edited = VIP.model_copy(update={"name": "Чужое"})
    assert await verified(Account(edited), update(SegmentPatch(**sent))) == "indeterminate"


async def test_a_null_that_comes_or_goes_is_no_difference_of_a_segment() -> None:
    with_nulls = {"values": [{"value": "15", "enum_id": None, "enum_code": None}], "field_code": None, "field_id": 1}
    now = Segment.model_validate({**VIP.model_dump(), "custom_fields_values": [with_nulls, FIELDS[1]]})
    assert await verified(Account(now), update(SegmentPatch(name="A"))) is None
    assert comparable(now) == comparable(VIP)


async def test_an_update_of_an_entity_that_is_gone_is_indeterminate() -> None:
    assert await verified(Account(), update(SegmentPatch(name="A"))) == "indeterminate"


@pytest.mark.parametrize(
    ("now", "patch", "outcome"),
    [
        ({"name": "Горячие"}, {"name": "Горячие"}, "made"),
        ({"name": "Горячие", "sort": 0}, {"name": "Горячие", "sort": 1}, "made"),
        ({"color": "#ccc8f9"}, {"color": "#ccc8f9"}, "made"),
        ({}, {"name": "Горячие"}, None),
        ({}, {"sort": 5}, None),
        ({"sort": 5}, {"sort": 5}, "indeterminate"),
        ({"name": "Чужие"}, {"name": "Горячие"}, "indeterminate"),
    ],
)
async def test_a_status_shows_an_update_by_its_name_and_colour_and_not_by_its_position_alone(
    now: Any, patch: Any, outcome: Any
) -> None:
    status, step = WARM.model_copy(update=now), update(StatusPatch(**patch), WARM)
    expected = done(step, after=[status]) if outcome == "made" else outcome
    assert await verified(Account(status), step) == expected


@pytest.mark.parametrize("entity", [VIP, WARM], ids=["segment", "status"])
async def test_a_deletion_was_made_when_the_entity_is_gone_and_not_while_it_is_there(entity: Entity) -> None:
    step = Delete(entity)
    assert await verified(Account(), step) == [step.with_outcome("done")]
    assert await verified(Account(entity), step) is None
    assert await verified(Account(entity.model_copy(update={"name": "Чужое"})), step) is None


@pytest.mark.parametrize("step", [create("A"), update(SegmentPatch(name="A")), Delete(VIP)])
async def test_an_account_that_cannot_be_read_raises_what_reading_raises(step: Step) -> None:
    with pytest.raises(Unavailable):
        await verified(Account(failure=Unavailable("did not answer")), step)


names = st.sampled_from(["A", "B"])
entities = st.lists(
    st.builds(Segment, id=st.integers(1, 8), name=names), unique_by=lambda entity: entity.id, max_size=5
)


@settings(max_examples=150)
@given(entities, entities, names)
async def test_a_namesake_that_was_there_before_is_never_taken_for_the_new_one(
    before: list[Segment], now: list[Segment], name: str
) -> None:
    step = create(name, existing=[entity.id for entity in before])
    new = [entity for entity in now if entity.id not in step.existing_ids]
    found = await verified(Account(*now), step)
    if not new:
        assert found is None
    elif [entity.name for entity in new] == [name]:
        assert found == done(step, after=new)
    else:
        assert found == "indeterminate"


@dataclass
class Sent:
    """What delivering steps to a sandbox came to.

    Attributes:
        methods: the requests that were sent.
        result: the steps, done; or the error.
    """

    methods: list[str]
    result: list[Step] | Exception


async def delivered(sandbox: Sandbox, *steps: Step) -> Sent:
    http = HttpTransport(timeout=20, app=sandbox.app)
    result: list[Step] | Exception
    try:
        result, _ = await deliver(AmoClient(session_at("http://127.0.0.1", http)), steps)
    except (OutcomeUnknown, Unavailable) as error:
        result = error
    finally:
        await http.aclose()
    return Sent([request.method for request in sandbox.requests], result)


def new_segment(sandbox: Sandbox) -> Create:
    return create("Новые", existing=[*sandbox.account.segments])


async def test_a_creation_that_was_not_made_is_sent_once_more_and_then_given_up(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("POST", status=500))
    sent = await delivered(sandbox, new_segment(sandbox))
    assert sent.methods == ["POST", "GET", "POST"]
    assert isinstance(sent.result, list)
    assert [step.target_id for step in sent.result] == [96]
    sandbox.requests.clear()
    sandbox.faults.add(Fault("POST", status=500, times=2))
    sent = await delivered(sandbox, new_segment(sandbox))
    assert sent.methods == ["POST", "GET", "POST", "GET"]
    assert isinstance(sent.result, Unavailable)


async def test_a_creation_that_was_made_and_whose_answer_was_lost_is_not_sent_again(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("POST", status=500, after_effect=True))
    sent = await delivered(sandbox, new_segment(sandbox))
    assert sent.methods == ["POST", "GET"]
    assert isinstance(sent.result, list)
    assert [(step.outcome, step.target_id) for step in sent.result] == [("done", 96)]


async def test_a_write_that_the_gateway_may_still_pass_on_is_unknown_and_not_sent_again(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("POST", status=504))
    sent = await delivered(sandbox, new_segment(sandbox))
    assert sent.methods == ["POST", "GET"]
    assert isinstance(sent.result, OutcomeUnknown)


async def test_a_lost_answer_is_unknown_where_the_account_cannot_be_read(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("POST", status=500, after_effect=True))
    sandbox.faults.add(Fault("GET", status=403, times=0))
    sent = await delivered(sandbox, new_segment(sandbox))
    assert isinstance(sent.result, OutcomeUnknown)
    assert len(sandbox.account.segments) == 16


async def test_created_statuses_are_read_back_and_left_as_they_were_sent_where_that_fails(
    periodicity: Sandbox,
) -> None:
    existing = tuple(periodicity.account.statuses)
    read = await delivered(periodicity, *[Create(StatusDraft(name=name, sort=1), existing) for name in "АБ"])
    periodicity.faults.add(Fault("GET", status=503, times=0))
    existing = tuple(periodicity.account.statuses)
    unread = await delivered(periodicity, Create(StatusDraft(name="В", sort=1), existing))
    created = [step.after for item in (read, unread) for step in cast("list[Create]", item.result)]
    assert [(status.name, was_read_back(status)) for status in created if isinstance(status, Status)] == [
        ("А", True),
        ("Б", True),
        ("В", False),
    ]


def test_only_creations_of_statuses_in_a_row_go_in_one_request() -> None:
    rename, deletion, status, segment = (
        update(StatusPatch(name="А"), WARM),
        Delete(WARM),
        create_status("А"),
        create("А"),
    )
    steps: list[Step] = [status, status, rename, status, deletion, segment, segment, status]
    assert [(span.start, span.stop) for span in spans(steps)] == [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 5),
        (5, 6),
        (6, 7),
        (7, 8),
    ]
    assert [*spans([])] == []


@pytest.mark.parametrize(("patch", "before"), [(StatusPatch(name="А"), VIP), (SegmentPatch(name="А"), WARM)])
async def test_a_patch_of_the_other_kind_is_never_sent(
    patch: SegmentPatch | StatusPatch, before: Entity, sandbox: Sandbox
) -> None:
    with pytest.raises(TypeError):
        await delivered(sandbox, update(patch, before))
    assert sandbox.requests == []
