"""How a change is taken back: inverted, in reverse order, never over what somebody changed since."""

from typing import Any

import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.steps import Change, Entity, Kind, Step
from amo_mcp.changes.undo import Undo, invert

VIP = Segment.model_validate(
    {
        "id": 51,
        "name": "VIP",
        "color": "6610f2",
        "customers_count": 48,
        "available_products_price_types": [288891],
        "custom_fields_values": [
            {"field_id": 1, "field_type": "numeric", "values": [{"value": "15"}]},
            {"field_id": 2, "field_type": "select", "values": [{"value": "Почта", "enum_id": 21, "enum_code": "E"}]},
            {"field_id": 3, "field_type": "checkbox", "values": [{"value": False}]},
            {"field_id": 4, "field_type": "date", "values": [{"value": 1700000000}]},
            {"field_id": 5, "field_type": "multiselect", "values": [{"enum_id": 51}, {"enum_id": 52}]},
            {"field_id": 6, "field_type": "text", "values": []},
        ],
    }
)
WARM = Status(id=7, name="Тёплые", sort=2, color="#fff000", conditions=[["x"]])
SYSTEM = Status(id=1, name="Недавно купили", sort=0, color="#ccff66", type=4, is_default=True)


NONE = RecreatedIds()


def kind_of(thing: Entity) -> Kind:
    return "segment" if isinstance(thing, Segment) else "status"


def undone(*steps: Step, now: tuple[Entity, ...], successors: RecreatedIds = NONE) -> Undo:
    change = Change("c", 0.0, "tool", steps, "done")
    things = {kind: {thing.id: thing for thing in now if kind_of(thing) == kind} for kind in _KINDS}
    return invert(change, things, successors)


_KINDS: tuple[Kind, ...] = ("segment", "status")


def created(thing: Entity) -> Step:
    return Step("create", kind_of(thing), after=thing, outcome="done")


def deleted(thing: Entity) -> Step:
    return Step("delete", kind_of(thing), before=thing, outcome="done")


def updated(before: Entity, **changes: Any) -> Step:
    """An update as the API answers it, field by field."""
    patch = SegmentPatch(**changes) if isinstance(before, Segment) else StatusPatch(**changes)
    made = {name: value for name, value in changes.items() if name != "custom_fields_values"}
    if "custom_fields_values" in changes:
        assert isinstance(before, Segment)
        held = {field["field_id"]: field for field in before.custom_fields_values}
        held |= {field["field_id"]: field for field in changes["custom_fields_values"]}
        made["custom_fields_values"] = [field for field in held.values() if field["values"]]
    after = type(before).model_validate({**before.model_dump(), **made})
    return Step("update", kind_of(before), before=before, sent=patch, after=after, outcome="done")


def after(step: Step, **changes: Any) -> Entity:
    assert step.after is not None
    return step.after.model_copy(update=changes)


def sent(undo: Undo) -> list[Any]:
    return [step.sent.to_payload() if step.sent else None for step in undo.steps]


@pytest.mark.parametrize("thing", [VIP, WARM], ids=["segment", "status"])
def test_what_was_created_is_deleted_as_it_is_now(thing: Entity) -> None:
    now = thing.model_copy(update={"customers_count": 1, "sort": 9})
    assert undone(created(thing), now=(now,)) == Undo([Step("delete", kind_of(thing), before=now, undoes=0)])


@pytest.mark.parametrize(
    ("thing", "title"), [(VIP, "segment «VIP» (id 51)"), (WARM, "status «Тёплые» (id 7)")], ids=["segment", "status"]
)
def test_what_was_created_and_is_gone_already_needs_nothing(thing: Entity, title: str) -> None:
    step = Step("create", kind_of(thing), after=thing, outcome="done", sent=SegmentDraft(name=thing.name))
    undo = undone(step, now=())
    assert undo == Undo(not_restored=[f"{title} is gone already; there is nothing to take away."])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("name", "Чужое", "name was left as «VIP» and is «Чужое» now."),
        ("color", "ae003f", "color was left as 6610f2 and is ae003f now."),
        (
            "available_products_price_types",
            [],
            "available_products_price_types was left as «[288891]» and is empty now.",
        ),
    ],
)
def test_what_was_created_and_changed_since_is_a_conflict_that_names_both(name: str, value: Any, said: str) -> None:
    step = Step("create", "segment", sent=SegmentDraft(name="VIP"), after=VIP, outcome="done")
    undo = undone(step, now=(after(step, **{name: value}),))
    assert undo.conflicts == [f"segment «VIP» (id 51): {said}"]


def test_a_status_that_could_not_be_read_back_is_compared_by_what_is_known_of_it() -> None:
    left = Status.model_validate({"name": "Новые", "sort": 1, "request_id": None, "id": 10})
    now = Status(id=10, name="Новые", sort=1, color="#fffeb2", account_id=5)
    assert undone(created(left), now=(now,)) == Undo([Step("delete", "status", before=now, undoes=0)])


FIELDS_BACK = [
    {"field_id": 1, "values": [{"value": "15"}]},
    {"field_id": 2, "values": [{"enum_id": 21}]},
    {"field_id": 3, "values": [{"value": False}]},
    {"field_id": 4, "values": [{"value": 1700000000}]},
    {"field_id": 5, "values": [{"enum_id": 51}, {"enum_id": 52}]},
]


@pytest.mark.parametrize(
    ("changes", "back"),
    [
        ({"name": "Лучшие"}, {"name": "VIP"}),
        ({"color": "ae003f"}, {"color": "6610f2"}),
        ({"available_products_price_types": [1]}, {"available_products_price_types": [288891]}),
        (
            {"custom_fields_values": [{**field, "values": None} for field in FIELDS_BACK]},
            {"custom_fields_values": FIELDS_BACK},
        ),
        (
            {"custom_fields_values": [{"field_id": number, "values": [{"value": "x"}]} for number in (6, 7)]},
            {"custom_fields_values": [{"field_id": number, "values": None} for number in (6, 7)]},
        ),
        ({"name": "A", "color": "ae003f"}, {"name": "VIP", "color": "6610f2"}),
    ],
)
def test_an_update_of_a_segment_gives_exactly_what_it_changed_its_old_value(changes: Any, back: Any) -> None:
    step = updated(VIP, **changes)
    undo = undone(step, now=(after(step, customers_count=3),))
    assert (sent(undo), undo.not_restored, undo.conflicts) == ([back], [], [])
    assert undo.steps[0].before == after(step, customers_count=3)


def test_prices_that_were_none_are_cleared_again() -> None:
    step = updated(Segment(id=1, name="A"), available_products_price_types=[1])
    assert sent(undone(step, now=(after(step),))) == [{"available_products_price_types": []}]


@pytest.mark.parametrize(
    ("changes", "back"),
    [
        ({"name": "Горячие"}, {"name": "Тёплые"}),
        ({"color": "#ccc8f9"}, {"color": "#fff000"}),
        ({"sort": 5}, {"sort": 2}),
        ({"name": "Горячие", "sort": 0}, {"name": "Тёплые", "sort": 2}),
    ],
)
def test_an_update_of_a_status_gives_exactly_what_it_changed_its_old_value(changes: Any, back: Any) -> None:
    step = updated(WARM, **changes)
    now = after(step, sort=9)
    put_back = Step("update", "status", before=now, sent=StatusPatch(**back), undoes=0)
    assert undone(step, now=(now,)) == Undo([put_back])


@pytest.mark.parametrize(
    ("changes", "since", "said"),
    [
        ({"name": "Лучшие"}, {"name": "Чужое"}, "name was left as «Лучшие» and is «Чужое» now."),
        ({"color": "ae003f"}, {"color": ""}, "color was left as ae003f and is empty now."),
        (
            {"available_products_price_types": [1]},
            {"available_products_price_types": [2]},
            "available_products_price_types was left as «[1]» and is «[2]» now.",
        ),
    ],
)
def test_a_setting_that_somebody_changed_since_is_a_conflict_that_names_both_values(
    changes: Any, since: Any, said: str
) -> None:
    step = updated(VIP, **changes)
    assert undone(step, now=(after(step, **since),)).conflicts == [f"segment «VIP» (id 51): {said}"]


def test_a_setting_that_the_change_did_not_touch_may_change_freely() -> None:
    step = updated(VIP, name="Лучшие")
    undo = undone(step, now=(after(step, color="ae003f", custom_fields_values=[], customers_count=0),))
    assert (sent(undo), undo.conflicts) == ([{"name": "VIP"}], [])


def test_a_field_that_the_change_did_not_touch_may_change_freely_and_one_that_it_did_may_not() -> None:
    step = updated(VIP, custom_fields_values=[{"field_id": 1, "values": [{"value": "20"}]}])
    assert isinstance(step.after, Segment)
    for field_id, conflicts in ((2, 0), (1, 1)):
        held = [field for field in step.after.custom_fields_values if field["field_id"] != field_id]
        undo = undone(step, now=(after(step, custom_fields_values=held),))
        assert (sent(undo), len(undo.conflicts)) == (
            [{"custom_fields_values": [{"field_id": 1, "values": [{"value": "15"}]}]}],
            conflicts,
        )


def test_long_values_in_a_conflict_are_shortened() -> None:
    step = updated(VIP, name="Б" * 100)
    [said] = undone(step, now=(after(step, name="В" * 100),)).conflicts
    assert said == f"segment «VIP» (id 51): name was left as «{'Б' * 79}…» and is «{'В' * 79}…» now."


@pytest.mark.parametrize("thing", [VIP, WARM], ids=["segment", "status"])
def test_what_was_updated_and_is_gone_is_a_conflict(thing: Entity) -> None:
    undo = undone(updated(thing, name="A"), now=())
    title = f"{kind_of(thing)} «{thing.name}» (id {thing.id})"
    assert undo == Undo(conflicts=[f"{title} is gone; it cannot be changed back."])


def test_a_deleted_segment_is_made_again_and_what_does_not_come_back_is_said() -> None:
    other = Segment(id=54, name="Другой")
    undo = undone(deleted(VIP), now=(other,))
    assert sent(undo) == [
        {
            "name": "VIP",
            "color": "6610f2",
            "custom_fields_values": FIELDS_BACK,
            "available_products_price_types": [288891],
        }
    ]
    assert [(step.action, step.kind) for step in undo.steps] == [("create", "segment")]
    assert undo.not_restored == [
        "segment «VIP» (id 51) comes back with a new id.",
        "Its 48 customers do not come back into it, nor do its conditions.",
    ]


def test_a_bare_segment_comes_back_bare() -> None:
    undo = undone(deleted(Segment(id=5, name="Пустой")), now=())
    assert undo == Undo(
        [Step("create", "segment", sent=SegmentDraft(name="Пустой"), undoes=0)],
        ["segment «Пустой» (id 5) comes back with a new id.", "Its conditions do not come back."],
    )


def test_a_deleted_status_comes_back_in_its_place() -> None:
    undo = undone(deleted(WARM), now=(SYSTEM,))
    assert undo == Undo(
        [Step("create", "status", sent=StatusDraft(name="Тёплые", sort=2, color="#fff000"), undoes=0)],
        [
            "status «Тёплые» (id 7) comes back with a new id.",
            "Its customers have moved on, and its conditions do not come back.",
            "It may stand one place away from where it stood.",
        ],
    )


def test_a_colour_outside_the_palette_is_left_out_and_said() -> None:
    faded = Segment(id=5, name="Старый", color="ffffff")
    step = updated(faded, name="Новый", color="ae003f")
    for undo in (undone(deleted(faded), now=()), undone(step, now=(after(step),))):
        assert sent(undo) == [{"name": "Старый"}]
        assert undo.not_restored[-1] == "The colour ffffff of segment «Старый» (id 5) cannot be set through the API."


def test_nothing_is_sent_when_the_only_thing_to_put_back_is_a_colour_outside_the_palette() -> None:
    step = updated(SYSTEM, color="#fff000")
    title = "status «Недавно купили» (id 1)"
    assert undone(step, now=(after(step),)) == Undo(
        not_restored=[f"The colour #ccff66 of {title} cannot be set through the API."]
    )


@pytest.mark.parametrize("name", ["VIP\u200b", "VIP\n", "\u202eVIP", "VIP\x07"])
def test_a_name_that_cannot_be_written_comes_back_without_what_is_unseen_in_it(name: str) -> None:
    odd = Segment(id=5, name=name, color="ae003f")
    step = updated(odd, name="Новый")
    for undo in (undone(deleted(odd), now=()), undone(step, now=(after(step),))):
        assert sent(undo)[0]["name"] == "VIP"
        assert undo.not_restored[-1] == "The name of segment «VIP» (id 5) cannot be set as it was; it becomes «VIP»."


def test_a_blank_name_comes_back_as_the_kind_and_the_id() -> None:
    blank = Segment(id=5, name=" ", color="ae003f")
    step = updated(blank, name="Новый")
    assert sent(undone(step, now=(after(step),))) == [{"name": "segment 5"}]
    assert sent(undone(deleted(blank), now=())) == [{"name": "segment 5", "color": "ae003f"}]


def test_steps_are_taken_back_in_reverse_order_and_only_those_that_were_done() -> None:
    new, renamed = Segment(id=96, name="Новый"), updated(WARM, name="Горячие")
    steps = (
        created(new),
        renamed,
        deleted(VIP),
        Step("delete", "segment", before=new, outcome="failed"),
        Step("update", "status", before=WARM, sent=StatusPatch(name="B"), outcome="unknown"),
        Step("create", "segment", sent=SegmentDraft(name="C")),
    )
    undo = undone(*steps, now=(new, after(renamed)))
    assert [(step.undoes, step.summary) for step in undo.steps] == [
        (2, "Create segment «VIP»"),
        (1, "Change status «Горячие» (id 7)"),
        (0, "Delete segment «Новый» (id 96)"),
    ]
    assert undo.conflicts == []


AGAIN = RecreatedIds([(2, "segment", 51, 96), (3, "status", 51, 13), (4, "segment", 96, 99)])


@pytest.mark.parametrize("left", [51, 96, 99])
def test_what_was_deleted_since_and_came_back_under_a_new_id_is_taken_for_what_it_was(left: int) -> None:
    there = VIP.model_copy(update={"id": 99, "name": "Лучшие"})
    update, creation = updated(VIP.model_copy(update={"id": left}), name="Лучшие"), created(after(updated(VIP)))
    assert undone(update, now=(there,), successors=AGAIN) == Undo(
        [Step("update", "segment", before=there, sent=SegmentPatch(name="VIP"), undoes=0)]
    )
    there = VIP.model_copy(update={"id": 99})
    assert undone(creation, now=(there,), successors=AGAIN) == Undo([Step("delete", "segment", before=there, undoes=0)])
    somebodys = VIP.model_copy(update={"id": 99, "name": "Чужое"})
    assert len(undone(update, now=(somebodys,), successors=AGAIN).conflicts) == 1
