"""How a change is taken back: inverted, in reverse order, never over what somebody changed since."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.snapshot import Snapshot
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Step, Update, kind_of
from amo_mcp.changes.titles import summary_of
from amo_mcp.changes.undo import invert

VIP = Segment.model_validate(
    {
        "id": 51,
        "name": "VIP",
        "color": "6610f2",
        "customers_count": 48,
        "available_products_price_types": [288891],
        "custom_fields_values": [
            {"field_id": 1, "field_name": "Скидка", "field_type": "numeric", "values": [{"value": "15"}]},
            {
                "field_id": 2,
                "field_name": "Доставка",
                "field_type": "select",
                "values": [{"value": "Почта", "enum_id": 21, "enum_code": "E"}],
            },
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
KINDS: tuple[Kind, ...] = ("segment", "status")


@dataclass(frozen=True)
class Told:
    """An undo whose texts are in English."""

    steps: tuple[Step, ...] = ()
    not_restored: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def undone(*steps: Step, current: tuple[Entity, ...], recreated: RecreatedIds = NONE, **known: Any) -> Told:
    """How a change of these steps is undone in an account that has these entities."""
    record = ChangeRecord("c", 0.0, "tool", steps, "done")
    account = {kind: {entity.id: entity for entity in current if kind_of(entity) == kind} for kind in KINDS}
    undo = invert(record, Snapshot(account, **known), recreated)
    return Told(undo.steps, tuple(map(str, undo.not_restored)), undo.conflicts)


def created(entity: Entity) -> Create:
    draft = SegmentDraft(name="Новый") if isinstance(entity, Segment) else StatusDraft(name="Новый", sort=entity.sort)
    return Create(draft.model_copy(update={"name": entity.name})).done(entity)


def deleted(entity: Entity) -> Delete:
    return Delete(entity, outcome="done")


def updated(before: Entity, **changes: Any) -> Update:
    """An update as the API answers it, field by field."""
    patch = SegmentPatch(**changes) if isinstance(before, Segment) else StatusPatch(**changes)
    made = {name: value for name, value in changes.items() if name != "custom_fields_values"}
    if "custom_fields_values" in changes:
        assert isinstance(before, Segment)
        fields = {field["field_id"]: field for field in before.custom_fields_values}
        fields |= {
            field["field_id"]: {**fields.get(field["field_id"], {}), **field}
            for field in changes["custom_fields_values"]
        }
        made["custom_fields_values"] = [field for field in fields.values() if field["values"]]
    return Update(before, patch).done(type(before).model_validate({**before.model_dump(), **made}))


def after(step: Step, **changes: Any) -> Entity:
    """The entity as the step left it, but for what somebody changed since."""
    assert isinstance(step, Create | Update)
    assert step.after is not None
    return step.after.model_copy(update=changes)


def sent(undo: Told) -> list[Any]:
    """What the steps of an undo send."""
    return [
        step.draft.to_payload()
        if isinstance(step, Create)
        else step.patch.to_payload()
        if isinstance(step, Update)
        else None
        for step in undo.steps
    ]


@pytest.mark.parametrize("entity", [VIP, WARM], ids=["segment", "status"])
def test_what_was_created_is_deleted_as_it_is_now(entity: Entity) -> None:
    now = entity.model_copy(update={"customers_count": 1, "sort": 9})
    assert undone(created(entity), current=(now,)) == Told((Delete(now, undoes=0),))


@pytest.mark.parametrize(
    ("entity", "title"),
    [(VIP, "segment «VIP» (id 51)"), (WARM, "status «Тёплые» (id 7)")],
    ids=["segment", "status"],
)
def test_what_was_created_and_is_gone_already_needs_nothing(entity: Entity, title: str) -> None:
    undo = undone(created(entity), current=())
    assert undo == Told(not_restored=(f"{title} is no longer there; there is nothing to delete.",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Чужое"}, "name was set to «VIP» and is now «Чужое»."),
        ({"color": "ae003f"}, "colour was set to 6610f2 and is now ae003f."),
        (
            {"available_products_price_types": []},
            "price fields were set to 288891 and are now empty.",
        ),
        (
            {"custom_fields_values": [*VIP.custom_fields_values[1:], {"field_id": 9, "values": [{"value": "x"}]}]},
            "field «Скидка» was set to «15» and is now empty.\n"
            "segment «VIP» (id 51): field 9 was set to empty and is now «x».",
        ),
    ],
)
def test_what_was_created_and_changed_since_is_a_conflict_that_names_both_values(changes: Any, said: str) -> None:
    undo = undone(created(VIP), current=(after(created(VIP), **changes),))
    assert "\n".join(undo.conflicts) == f"segment «VIP» (id 51): {said}"


def test_a_status_that_could_not_be_read_back_is_compared_by_what_is_known_of_it() -> None:
    left = Status.model_validate({"name": "Новые", "sort": 1, "request_id": None, "id": 10})
    now = Status(id=10, name="Новые", sort=1, color="#fffeb2", account_id=5)
    assert undone(created(left), current=(now,)) == Told((Delete(now, undoes=0),))


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
    now = after(step, customers_count=3)
    assert undone(step, current=(now,)) == Told((Update(now, SegmentPatch(**back), undoes=0),))
    assert sent(undone(step, current=(now,))) == [back]


def test_prices_that_were_none_are_cleared_again() -> None:
    step = updated(Segment(id=1, name="A"), available_products_price_types=[1])
    assert sent(undone(step, current=(after(step),))) == [{"available_products_price_types": []}]


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
    assert undone(step, current=(now,)) == Told((Update(now, StatusPatch(**back), undoes=0),))


@pytest.mark.requirement("UNDO-3")
@pytest.mark.parametrize(
    ("changes", "since", "said"),
    [
        ({"name": "Лучшие"}, {"name": "Чужое"}, "name was set to «Лучшие» and is now «Чужое»."),
        ({"color": "ae003f"}, {"color": ""}, "colour was set to ae003f and is now empty."),
        (
            {"available_products_price_types": [1]},
            {"available_products_price_types": [3, 2]},
            "price fields were set to 1 and are now 3, 2.",
        ),
    ],
)
def test_a_setting_that_somebody_changed_since_is_a_conflict_that_names_both_values(
    changes: Any, since: Any, said: str
) -> None:
    step = updated(VIP, **changes)
    assert undone(step, current=(after(step, **since),)).conflicts == (f"segment «VIP» (id 51): {said}",)


def test_a_setting_that_the_change_did_not_touch_may_change_freely() -> None:
    step = updated(VIP, name="Лучшие")
    now = after(step, color="ae003f", custom_fields_values=[], customers_count=0)
    assert undone(step, current=(now,)) == Told((Update(now, SegmentPatch(name="VIP"), undoes=0),))


def test_a_field_that_the_change_did_not_touch_may_change_freely_and_one_that_it_did_may_not() -> None:
    step = updated(VIP, custom_fields_values=[{"field_id": 1, "values": [{"value": "20"}]}])
    assert isinstance(step.after, Segment)
    said = "segment «VIP» (id 51): field «Скидка» was set to «20» and is now empty."
    conflicts: dict[int, tuple[str, ...]] = {2: (), 1: (said,)}
    for field_id, expected in conflicts.items():
        fields = [field for field in step.after.custom_fields_values if field["field_id"] != field_id]
        undo = undone(step, current=(after(step, custom_fields_values=fields),))
        assert (sent(undo), undo.conflicts) == (
            [{"custom_fields_values": [{"field_id": 1, "values": [{"value": "15"}]}]}],
            expected,
        )


def test_names_and_orders_that_the_account_gives_otherwise_are_no_conflict() -> None:
    changes: list[dict[str, Any]] = [
        {"field_id": 1, "values": [{"value": "20"}]},
        {"field_id": 2, "values": [{"value": "Курьер", "enum_id": 22}]},
        {"field_id": 5, "values": [{"enum_id": 52}, {"enum_id": 53}]},
    ]
    step = updated(VIP, custom_fields_values=changes, available_products_price_types=[1, 2])
    assert isinstance(step.after, Segment)
    fields: list[Any] = [
        {**field, "field_name": "Другое", "field_code": "X"} for field in step.after.custom_fields_values
    ]
    for field in fields:
        if field["field_id"] in (2, 5):
            choices = [{**value, "value": "Иначе", "enum_code": "N"} for value in reversed(field["values"])]
            field["values"] = choices
    now = after(step, custom_fields_values=fields[::-1], available_products_price_types=[2, 1])
    for undo in (undone(step, current=(now,)), undone(created(step.after), current=(now,))):
        assert (len(undo.steps), undo.conflicts) == (1, ())


@pytest.mark.parametrize(
    ("field_type", "value", "now", "said"),
    [
        ("numeric", {"value": "20"}, {"value": "21"}, "was set to «20» and is now «21»"),
        ("checkbox", {"value": True}, {"value": False}, "was set to «yes» and is now «no»"),
        (
            "select",
            {"value": "Почта", "enum_id": 21},
            {"value": "Курьер", "enum_id": 22},
            "was set to «Почта» and is now «Курьер»",
        ),
        ("select", {"enum_id": 21}, {"enum_code": "E", "enum_id": 22}, "was set to «choice 21» and is now «E»"),
        (
            "date",
            {"value": 1700000000},
            {"value": 1700086400},
            "was set to «2023-11-14» and is now «2023-11-15»",
        ),
        ("date_time", {"value": "soon"}, {"value": 10**20}, "was set to «soon» and is now «100000000000000000000»"),
        ("text", {"value": None}, {"value": ["a", 1]}, "was set to «empty» and is now «a, 1»"),
        (
            "smart_address",
            {"value": "Омск", "enum_id": 1, "enum_code": "city"},
            {"value": "Томск", "enum_id": 1, "enum_code": "city", "home": {"of": ["A", True]}},
            "was set to «value: Омск, enum_id: 1, enum_code: city» "
            "and is now «value: Томск, enum_id: 1, enum_code: city, home: of: A, yes»",
        ),
        (
            "linked",
            {"value": "A", "catalog_id": 1},
            {"value": "B"},
            "was set to «value: A, catalog_id: 1» and is now «B»",
        ),
    ],
)
def test_the_values_of_a_field_that_somebody_changed_since_are_told_readably(
    field_type: str, value: dict[str, Any], now: dict[str, Any], said: str
) -> None:
    def with_value(content: dict[str, Any]) -> Segment:
        field = {"field_id": 8, "field_name": "Помол", "field_type": field_type, "values": [content]}
        return Segment.model_validate({"id": 51, "name": "VIP", "custom_fields_values": [field]})

    patch = SegmentPatch(custom_fields_values=[{"field_id": 8, "values": [value]}])
    step = Update(Segment(id=51, name="VIP"), patch).done(with_value(value))
    undo = undone(step, current=(with_value(now),))
    assert undo.conflicts == (f"segment «VIP» (id 51): field «Помол» {said}.",)


def test_of_many_values_some_are_told_and_the_rest_is_counted() -> None:
    choices = [{"field_id": 5, "values": [{"enum_id": number} for number in range(1, 8)]}]
    step = updated(VIP, custom_fields_values=choices)
    said = undone(step, current=(after(step, custom_fields_values=[]),)).conflicts
    shown = ", ".join(f"«choice {number}»" for number in range(1, 6))
    assert said == (f"segment «VIP» (id 51): field 5 was set to {shown} and 2 more and is now empty.",)


UNDOCUMENTED = {
    "field_id": 8,
    "field_name": "Адрес",
    "field_type": "smart_address",
    "values": [
        {"value": "Омск", "enum_id": 1, "enum_code": "city", "subtype": None},
        {"value": "Ленина, 1", "enum_id": 2, "enum_code": "address_line_1"},
    ],
}


def test_values_of_a_type_that_is_not_documented_are_sent_back_with_every_part() -> None:
    before = Segment.model_validate({"id": 51, "name": "VIP", "custom_fields_values": [UNDOCUMENTED]})
    step = updated(before, custom_fields_values=[{"field_id": 8, "values": None}])
    back = [{"field_id": 8, "values": UNDOCUMENTED["values"]}]
    assert sent(undone(step, current=(after(step),))) == [{"custom_fields_values": back}]
    assert sent(undone(deleted(before), current=())) == [{"name": "VIP", "custom_fields_values": back}]


@pytest.mark.parametrize("part", ["value", "enum_code", "subtype"])
def test_any_part_of_a_value_of_a_type_that_is_not_documented_counts(part: str) -> None:
    entity = Segment.model_validate({"id": 51, "name": "VIP", "custom_fields_values": [UNDOCUMENTED]})
    [field] = entity.custom_fields_values
    other: Any = {**field, "values": [{**field["values"][0], part: "other"}, field["values"][1]]}
    undo = undone(created(entity), current=(entity.model_copy(update={"custom_fields_values": [other]}),))
    assert len(undo.conflicts) == 1
    same: Any = {**field, "field_name": "Другое"}
    undo = undone(created(entity), current=(entity.model_copy(update={"custom_fields_values": [same]}),))
    assert undo.conflicts == ()


def test_values_that_look_the_same_in_a_conflict_are_said_to_differ_all_the_same() -> None:
    step = updated(VIP, name="Б" * 100)
    [said] = undone(step, current=(after(step, name="Б" * 100 + "В"),)).conflicts
    cut = f"«{'Б' * 79}…»"
    assert said == (
        f"segment «VIP» (id 51): name was set to {cut} and is now {cut}. "
        "They differ in invisible characters, or further on than is shown."
    )


def test_long_values_in_a_conflict_are_shortened() -> None:
    step = updated(VIP, name="Б" * 100)
    [said] = undone(step, current=(after(step, name="В" * 100),)).conflicts
    assert said == f"segment «VIP» (id 51): name was set to «{'Б' * 79}…» and is now «{'В' * 79}…»."


@pytest.mark.parametrize("entity", [VIP, WARM], ids=["segment", "status"])
def test_what_was_updated_and_is_gone_is_a_conflict(entity: Entity) -> None:
    title = f"{kind_of(entity)} «{entity.name}» (id {entity.id})"
    assert undone(updated(entity, name="A"), current=()) == Told(
        conflicts=(f"{title} is no longer there; it cannot be changed back.",)
    )


@pytest.mark.requirement("UNDO-2")
def test_a_deleted_segment_is_created_again_and_what_does_not_come_back_is_said() -> None:
    draft = SegmentDraft(
        name="VIP", color="6610f2", custom_fields_values=FIELDS_BACK, available_products_price_types=[288891]
    )
    assert undone(deleted(VIP), current=(Segment(id=54, name="Другой"),)) == Told(
        (Create(draft, undoes=0),),
        ("segment «VIP» (id 51) comes back with a new id, without its conditions and its members (48 customers).",),
    )


def test_what_was_deleted_and_came_back_through_another_undo_is_not_created_twice() -> None:
    back = VIP.model_copy(update={"id": 99})
    recreated = RecreatedIds([(2, "segment", 51, 96), (4, "segment", 51, 99)])
    for step, title in ((deleted(VIP), "«VIP» (id 51)"), (deleted(VIP.model_copy(update={"id": 96})), "«VIP» (id 96)")):
        sentence = f"segment {title} is there already as id 99; there is nothing to create."
        assert undone(step, current=(back,), recreated=recreated) == Told(not_restored=(sentence,))
        assert undone(step, current=(), recreated=recreated).steps != ()


def test_a_bare_segment_comes_back_bare() -> None:
    undo = undone(deleted(Segment(id=5, name="Пустой")), current=())
    assert sent(undo) == [{"name": "Пустой"}]
    assert undo == Told(
        (Create(SegmentDraft(name="Пустой"), undoes=0),),
        ("segment «Пустой» (id 5) comes back with a new id and without its conditions.",),
    )


def test_a_deleted_status_whose_neighbours_are_not_known_comes_back_at_its_old_number() -> None:
    assert undone(deleted(WARM), current=(SYSTEM,)) == Told(
        (Create(StatusDraft(name="Тёплые", sort=2, color="#fff000"), old_id=7, undoes=0),),
        (
            "status «Тёплые» (id 7) comes back with a new id and without its conditions; "
            "its customers were moved to other statuses.",
            "status «Тёплые» (id 7): the position may be another one.",
        ),
    )


def test_a_colour_outside_the_palette_is_left_out_and_said() -> None:
    faded = Segment(id=5, name="Старый", color="ffffff")
    step = updated(faded, name="Новый", color="ae003f")
    for undo in (undone(deleted(faded), current=()), undone(step, current=(after(step),))):
        assert sent(undo) == [{"name": "Старый"}]
        assert undo.not_restored[-1] == "segment «Старый» (id 5): the colour ffffff cannot be set through the API."


def test_nothing_is_sent_when_the_only_thing_to_restore_is_a_colour_outside_the_palette() -> None:
    step = updated(SYSTEM, color="#fff000")
    title = "status «Недавно купили» (id 1)"
    assert undone(step, current=(after(step),)) == Told(
        not_restored=(f"{title}: the colour #ccff66 cannot be set through the API.",)
    )


def test_a_line_break_in_a_name_becomes_a_space_when_it_comes_back() -> None:
    odd = Segment(id=5, name="Новые\r\nклиенты\tСПб", color="ae003f")
    assert sent(undone(deleted(odd), current=()))[0]["name"] == "Новые клиенты СПб"


@pytest.mark.parametrize("name", ["VIP\u200b", "VIP\n", "\u202eVIP", "VIP\x07", "\r\n\tVIP"])
def test_a_name_that_cannot_be_written_comes_back_without_the_invisible_characters_in_it(name: str) -> None:
    odd = Segment(id=5, name=name, color="ae003f")
    step = updated(odd, name="Новый")
    for undo in (undone(deleted(odd), current=()), undone(step, current=(after(step),))):
        assert sent(undo)[0]["name"] == "VIP"
        assert undo.not_restored[-1] == "segment «VIP» (id 5): the name cannot be set as it was; it becomes «VIP»."


def test_a_blank_name_comes_back_as_the_kind_and_the_id() -> None:
    blank = Segment(id=5, name=" ", color="ae003f")
    step = updated(blank, name="Новый")
    assert sent(undone(step, current=(after(step),))) == [{"name": "segment 5"}]
    assert sent(undone(deleted(blank), current=())) == [{"name": "segment 5", "color": "ae003f"}]


def test_steps_are_taken_back_in_reverse_order_and_only_those_that_were_done() -> None:
    new, renamed = Segment(id=96, name="Новый"), updated(WARM, name="Горячие")
    steps = (
        created(new),
        renamed,
        deleted(VIP),
        Delete(new, outcome="failed"),
        Delete(VIP, outcome="undone"),
        Create(SegmentDraft(name="C")),
    )
    undo = undone(*steps, current=(new, after(renamed)))
    assert [(step.undoes, str(summary_of(step))) for step in undo.steps] == [
        (2, "Create segment «VIP»"),
        (1, "Change status «Горячие» (id 7)"),
        (0, "Delete segment «Новый» (id 96)"),
    ]
    assert undo.conflicts == ()


@pytest.mark.parametrize("outcome", ["unknown", "pending"])
def test_of_a_step_whose_outcome_is_not_known_that_is_said_and_it_is_left_as_it_is(outcome: Any) -> None:
    steps = (
        replace(updated(WARM, name="Горячие"), after=None, outcome=outcome),
        Create(SegmentDraft(name="C"), outcome=outcome),
        Create(SegmentDraft(name="C"), after=Segment(id=96, name="C"), outcome=outcome),
        Delete(VIP, outcome=outcome),
    )
    assert undone(*steps, current=(VIP, WARM)) == Told(
        not_restored=(
            "It is not known whether this was made or undone, so it is left as it is: Delete segment «VIP» (id 51).",
            "It is not known whether this was made or undone, so it is left as it is: Create segment «C» (id 96).",
            "It is not known whether this was made, so it is left as it is: Create segment «C».",
            "It is not known whether this was made, so it is left as it is: Change status «Тёплые» (id 7).",
        )
    )


def test_a_step_that_is_done_but_left_nothing_known_is_left_as_it_is() -> None:
    step = Create(SegmentDraft(name="C"), outcome="done")
    said = "It is not known whether this was made, so it is left as it is: Create segment «C»."
    assert undone(step, current=(VIP,)) == Told(not_restored=(said,))


RECREATED = RecreatedIds([(2, "segment", 51, 96), (3, "status", 51, 13), (4, "segment", 96, 99)])


@pytest.mark.parametrize("entity_id", [51, 96, 99])
def test_what_was_deleted_since_and_came_back_under_a_new_id_is_taken_for_what_it_was(entity_id: int) -> None:
    renamed = VIP.model_copy(update={"id": 99, "name": "Лучшие"})
    update = updated(VIP.model_copy(update={"id": entity_id}), name="Лучшие")
    assert undone(update, current=(renamed,), recreated=RECREATED) == Told(
        (Update(renamed, SegmentPatch(name="VIP"), undoes=0),)
    )
    same = VIP.model_copy(update={"id": 99})
    creation = created(VIP.model_copy(update={"id": entity_id}))
    assert undone(creation, current=(same,), recreated=RECREATED) == Told((Delete(same, undoes=0),))
    somebodys = VIP.model_copy(update={"id": 99, "name": "Чужое"})
    assert len(undone(update, current=(somebodys,), recreated=RECREATED).conflicts) == 1


def test_conditions_that_were_set_since_on_a_created_status_are_a_conflict() -> None:
    new = Status(id=13, name="Новый", sort=1, conditions=[])
    undo = undone(created(new), current=(new.model_copy(update={"conditions": [["x"]]}),))
    assert undo.conflicts == ("status «Новый» (id 13): conditions were set to empty and are now ['x'].",)


@pytest.mark.parametrize("hidden", [(51,), (None,)])
def test_what_cannot_be_read_is_not_said_to_be_gone_and_nothing_is_undone(hidden: tuple[int | None]) -> None:
    said = Told(conflicts=("segment «VIP» (id 51) cannot be read, so it is left as it is.",))
    for step in (created(VIP), updated(VIP, name="А")):
        assert undone(step, current=(), unreadable={"segment": hidden}) == said


def test_a_deleted_segment_comes_back_also_beside_an_entry_without_an_id() -> None:
    assert undone(deleted(VIP), current=(), unreadable={"segment": (None,)}) == undone(deleted(VIP), current=())


DEFINED = [
    CustomField.model_validate({"id": key, "enums": [{"id": one, "value": ""} for one in choices]})
    for key, choices in {2: (22,), 3: (), 4: (), 5: (52,)}.items()
]
NO_FIELD = "segment «VIP» (id 51): the custom field «Скидка» is no longer there."
NO_CHOICES = (
    "segment «VIP» (id 51): a choice of the field «Доставка» is no longer there.",
    "segment «VIP» (id 51): a choice of the field «5» is no longer there.",
)


@pytest.mark.requirement("UNDO-2")
def test_fields_and_choices_that_are_no_longer_defined_are_left_out_and_said() -> None:
    defined = Listing(DEFINED)
    undo = undone(deleted(VIP), current=(), fields=defined, knows_fields=True)
    assert sent(undo)[0]["custom_fields_values"] == [
        {"field_id": 3, "values": [{"value": False}]},
        {"field_id": 4, "values": [{"value": 1700000000}]},
        {"field_id": 5, "values": [{"enum_id": 52}]},
    ]
    assert undo.not_restored[-3:] == (NO_FIELD, *NO_CHOICES)
    step = updated(VIP, name="А", custom_fields_values=[{"field_id": 1, "values": [{"value": "9"}]}])
    fields = [field for field in VIP.custom_fields_values if field["field_id"] != 1]
    now = after(step, custom_fields_values=fields)
    undo = undone(step, current=(now,), fields=defined, knows_fields=True)
    assert (sent(undo), undo.not_restored, undo.conflicts) == ([{"name": "VIP"}], (NO_FIELD,), ())


def test_a_definition_that_cannot_be_read_is_not_taken_for_gone() -> None:
    undo = undone(deleted(VIP), current=(), fields=Listing(DEFINED, [1]), knows_fields=True)
    assert NO_FIELD not in undo.not_restored
