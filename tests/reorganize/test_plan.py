"""A list of changes becomes a plan only when it fits the account, and its order never exceeds a limit."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.custom_fields import InvalidValues
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.changes.plan import Plan, new_id
from amo_mcp.changes.room import LIMITS
from amo_mcp.changes.snapshot import Snapshot
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Move, Step, Update, customers_affected
from amo_mcp.reorganize.audit import audit_segments, audit_statuses
from amo_mcp.reorganize.cost import Pace, cost_of
from amo_mcp.reorganize.plan import PlannedChange, make_plan
from tests.reorganize.test_audit import FIELDS, STEADY, accounts, status_accounts

VIP = Segment(id=51, name="VIP", color="6610f2", customers_count=48)
NEW = Segment(id=54, name="Новички", color="2176ff", customers_count=0, available_products_price_types=[7])
WARM = Status(id=10, name="Тёплые", sort=0, color="#fffeb2")
CLOSED = Status(id=13, name="Закрытые", sort=1, color="#d5d8db", is_default=True)
DISCOUNT = CustomField(id=7, name="Скидка", type="numeric", code="DISCOUNT")


def state(*entities: Entity, fields: Sequence[CustomField] = (DISCOUNT,)) -> Snapshot:
    by_kind: dict[Kind, dict[int, Entity]] = {"segment": {}, "status": {}}
    for entity in entities or (VIP, NEW, WARM, CLOSED):
        by_kind["segment" if isinstance(entity, Segment) else "status"][entity.id] = entity
    return Snapshot(by_kind, fields)


def many(kind: Kind, count: int) -> list[Entity]:
    if kind == "segment":
        return [Segment(id=number, name=f"{number}") for number in range(1, count + 1)]
    return [Status(id=number, name=f"{number}", sort=number) for number in range(1, count + 1)]


def change(words: str, **more: Any) -> dict[str, Any]:
    """A change said as "create segment" or "delete status 10"."""
    action, kind, *entity_id = words.split()
    return {"action": action, "kind": kind} | ({"id": int(entity_id[0])} if entity_id else {}) | more


def made(*changes: Mapping[str, Any], of: Snapshot | None = None) -> tuple[Plan, list[str]]:
    checked = [PlannedChange.model_validate(item) for item in changes]
    return make_plan(checked, of or state(), plan_id="p000000000001", made=1_800_000_000.0, owner="somebody")


def planned(*changes: Mapping[str, Any], of: Snapshot | None = None) -> Plan:
    return made(*changes, of=of)[0]


def refused(*changes: Mapping[str, Any], of: Snapshot | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidValues) as caught:
        planned(*changes, of=of)
    return [(problem.path, problem.detail) for problem in caught.value.problems]


def words(steps: Sequence[Step]) -> list[str]:
    return [f"{step.action} {step.name}" for step in steps]


def test_a_plan_holds_its_steps_whole_and_who_made_it_when() -> None:
    plan = planned(
        change("create segment", name="Гости", color="#10599D", available_products_price_types=[7]),
        change("update segment 51", custom_fields_values=[{"field_code": "DISCOUNT", "values": [{"value": "20"}]}]),
        change("delete segment 54"),
        change("create status", name="Новые", sort=3),
        change("update status 10", color="FFFD7F"),
        change("delete status 10") | {"id": 13, "action": "update", "sort": 0},
    )
    assert plan.steps == (
        Create(SegmentDraft(name="Гости", color="10599d", available_products_price_types=[7])),
        Update(VIP, SegmentPatch(custom_fields_values=[{"field_id": 7, "values": [{"value": "20"}]}])),
        Delete(NEW),
        Create(StatusDraft(name="Новые", sort=3)),
        Update(WARM, StatusPatch(color="#fffd7f")),
        Update(CLOSED, StatusPatch(sort=0), ((10, 0), (13, 1))),
    )
    assert (plan.made, plan.owner, plan.fields) == (1_800_000_000.0, "somebody", (DISCOUNT,))
    assert plan.id == "p000000000001"


def test_the_ids_of_plans_differ_and_begin_with_a_letter() -> None:
    # An id of digits alone, or like 12e456, is a number to some clients.
    assert re.fullmatch("p[0-9a-f]{12}", new_id())
    assert new_id() != new_id()


SET_NOTHING = "update needs at least one field"
DELETION = "delete takes no fields"
FIELD = [{"field_id": 7, "values": [{"value": "20"}]}]


@pytest.mark.requirement("PLAN-2")
@pytest.mark.parametrize(
    ("wrong", "problems"),
    [
        (change("delete segment 99"), [("changes.1.id", "99 is no segment of this account")]),
        (change("update status 51", sort=1), [("changes.1.id", "51 is no status of this account")]),
        (change("create segment 51", name="Гости"), [("changes.1.id", "is not for a creation")]),
        (change("delete segment"), [("changes.1.id", "is required to delete")]),
        (change("update status", sort=1), [("changes.1.id", "is required to update")]),
        (change("create segment"), [("changes.1.name", "is required to create a segment")]),
        (
            change("create status", color="#fffeb2"),
            [
                ("changes.1.name", "is required to create a status"),
                ("changes.1.sort", "is required to create a status"),
            ],
        ),
        (change("create segment", name="Гости", sort=1), [("changes.1.sort", "is not for a segment")]),
        (change("update segment 51", sort=0), [("changes.1.sort", "is not for a segment")]),
        (
            change("update status 10", name="А", custom_fields_values=FIELD, available_products_price_types=[]),
            [
                ("changes.1.custom_fields_values", "is not for a status"),
                ("changes.1.available_products_price_types", "is not for a status"),
            ],
        ),
        (change("update segment 51"), [("changes.1", SET_NOTHING)]),
        (change("update segment 51", custom_fields_values=[]), [("changes.1", SET_NOTHING)]),
        (change("update status 10"), [("changes.1", SET_NOTHING)]),
        (change("delete segment 54", name="Гости"), [("changes.1", DELETION)]),
        (change("delete segment 54", custom_fields_values=FIELD), [("changes.1", DELETION)]),
        (change("delete status 10", sort=0), [("changes.1", DELETION)]),
        (change("delete status 13"), [("changes.1.id", "13 is a system status, and those cannot be deleted")]),
        (
            change("update segment 51", custom_fields_values=[{"field_id": 8, "values": []}]),
            [
                (
                    "changes.1.custom_fields_values.0",
                    "field 8 is not a field that segments of this account have; the fields are: 7 «Скидка» (DISCOUNT)",
                )
            ],
        ),
        (
            change("update segment 51", custom_fields_values=[{"field_id": 7, "values": [{"value": "много"}]}]),
            [
                (
                    "changes.1.custom_fields_values.0.values.0",
                    'field 7 cannot take «много»: it takes a number such as "12.5"',
                )
            ],
        ),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_change_that_does_not_fit_is_refused_at_its_place(
    wrong: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    assert refused(change("create segment", name="Новые"), wrong) == problems


@pytest.mark.requirement("PLAN-2")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (change("create segment", name="Гости", color="#fffeb2"), "«#fffeb2» is not one of the 40 segment colours"),
        (change("update segment 51", color="#"), "«#» is not one of the 40 segment colours"),
        (change("update status 10", color="10599d"), "«10599d» is not one of the 21 status colours"),
    ],
)
def test_a_colour_outside_the_palette_is_refused_with_the_palette(wrong: dict[str, Any], said: str) -> None:
    [(path, detail)] = refused(wrong)
    assert (path, detail.partition(";")[0]) == ("changes.0.color", said)


def test_two_changes_to_one_entity_are_refused_and_the_same_id_of_the_other_kind_is_another_entity() -> None:
    of = state(VIP, Status(id=51, name="Тёплые"))
    twice = [change("update segment 51", name="А"), change("update status 51", name="Б"), change("delete segment 51")]
    assert refused(*twice, of=of) == [("changes.2.id", "51 is changed by another change of this plan")]
    assert words(planned(*twice[:2], of=of).steps) == ["update VIP", "update Тёплые"]


def test_everything_wrong_is_told_at_once_in_order() -> None:
    assert [path for path, _ in refused(*[change("delete segment 99")] * 2, change("create segment"))] == [
        "changes.0.id",
        "changes.1.id",
        "changes.2.name",
        "changes.1.id",
    ]


@pytest.mark.requirement("PLAN-2")
@pytest.mark.parametrize("kind", ["segment", "status"])
def test_what_would_be_too_many_at_the_end_is_refused(kind: Kind) -> None:
    full = state(*many(kind, LIMITS[kind]))
    new = change(f"create {kind}", name="Ещё", **({"sort": 1} if kind == "status" else {}))
    gone = change(f"delete {kind} 1")
    plural = {"segment": "segments", "status": "statuses"}[kind]
    said = f"there would be {LIMITS[kind] + 1} {plural}, and an account holds at most {LIMITS[kind]}"
    assert refused(new, of=full) == [("changes", said)]
    assert refused(new, gone, new | {"name": "И ещё"}, of=full) == [("changes", said)]
    assert words(planned(new, gone, of=full).steps) == ["delete 1", "create Ещё"]
    assert words(planned(new, of=state(*many(kind, LIMITS[kind] - 1))).steps) == ["create Ещё"]


def test_an_account_that_is_over_its_limit_can_still_be_tidied() -> None:
    over = state(*many("segment", 103))
    assert words(planned(change("delete segment 1"), of=over).steps) == ["delete 1"]


def test_the_given_order_is_kept_where_no_limit_is_in_the_way() -> None:
    given = [
        change("create segment", name="А"),
        change("delete segment 2"),
        change("update segment 1", name="Б"),
        change("create segment", name="В"),
        change("delete segment 3"),
    ]
    kept = ["create А", "delete 2", "update 1", "create В", "delete 3"]
    assert words(planned(*given, of=state(*many("segment", 99))).steps) == kept
    assert words(planned(*given[1:], of=state(*many("segment", 100))).steps) == kept[1:]
    first = ["delete 2", "delete 3", "create А", "update 1", "create В"]
    assert words(planned(*given, of=state(*many("segment", 100))).steps) == first


def test_only_the_kind_that_is_full_has_its_deletions_first() -> None:
    of = state(*many("segment", 100), *many("status", 3))
    given = [
        change("delete status 1"),
        change("create segment", name="А"),
        change("delete segment 2"),
        change("delete status 2"),
    ]
    steps = planned(*given, of=of).steps
    assert [f"{step.action} {step.kind} {step.name}" for step in steps] == [
        "delete segment 2",
        "delete status 1",
        "create segment А",
        "delete status 2",
    ]


@st.composite
def tight_plans(draw: st.DrawFn) -> tuple[Snapshot, list[dict[str, Any]]]:
    kinds: tuple[Kind, ...] = draw(st.sampled_from([("segment",), ("status",), ("segment", "status")]))
    entities = [entity for kind in kinds for entity in many(kind, LIMITS[kind] - draw(st.integers(0, 3)))]
    changes = []
    for kind in kinds:
        for number in draw(st.lists(st.integers(1, 20), unique=True, max_size=6)):
            name = {} if draw(st.booleans()) else {"name": "Другое"}
            changes.append(change(f"{'update' if name else 'delete'} {kind} {number}", **name))
        more = {"sort": 1} if kind == "status" else {}
        changes += [
            change(f"create {kind}", name=f"Новый {number}", **more) for number in range(draw(st.integers(0, 6)))
        ]
    return state(*entities), draw(st.permutations(changes))


@given(tight_plans())
@settings(STEADY, max_examples=150)
def test_no_limit_is_exceeded_at_any_point_and_the_rest_keeps_its_order(
    case: tuple[Snapshot, list[dict[str, Any]]],
) -> None:
    of, changes = case
    count = {kind: len(entities) for kind, entities in of.entities.items()}
    grows = {
        kind: sum({"create": 1, "delete": -1}.get(item["action"], 0) for item in changes if item["kind"] == kind)
        for kind in count
    }
    if any(count[kind] + grows[kind] > LIMITS[kind] for kind in count):
        assert {path for path, _ in refused(*changes, of=of)} == {"changes"}
        return
    steps = planned(*changes, of=of).steps
    for step in steps:
        count[step.kind] += {"create": 1, "delete": -1}.get(step.action, 0)
        assert step.action != "create" or count[step.kind] <= LIMITS[step.kind]
    given = [(item["action"], item["kind"], item.get("id") or item["name"]) for item in changes]
    ordered = [(step.action, step.kind, step.target_id or step.name) for step in steps]
    assert sorted(ordered, key=str) == sorted(given, key=str)
    for kind in count:
        for deleting in (True, False):
            assert [item for item in ordered if (item[1], item[0] == "delete") == (kind, deleting)] == [
                item for item in given if (item[1], item[0] == "delete") == (kind, deleting)
            ]


@pytest.mark.requirement("PLAN-2")
def test_a_person_is_warned_of_customers_collisions_and_changes_that_change_nothing() -> None:
    plan, warnings = made(
        change("delete segment 51"),
        change("update segment 54", color="2176FF", available_products_price_types=[7]),
        change("delete status 10"),
        change("create segment", name=" новички "),
        change("create status", name="закрытые", sort=1),
    )
    assert warnings == [
        "«VIP» has 48 customers; its members cannot be restored.",
        "«Новички» already has these values; nothing would change.",
        "The customers of the status «Тёплые» will move to others by their conditions.",
        "Two segments will be named «Новички».",
        "Two statuses will be named «Закрытые».",
    ]
    assert customers_affected(plan.steps) == 48


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ([change("delete segment 54")], ()),
        ([change("delete segment 54"), change("create segment", name="Новички")], ()),
        ([change("update segment 54", name="Гости"), change("create segment", name="Новички")], ()),
        ([change("update segment 54", name="Новички", color="10599d")], ()),
        ([change("update segment 54", name="Новички", custom_fields_values=FIELD)], ()),
        ([change("update status 13", sort=1)], ("«Закрытые» already has these values; nothing would change.",)),
        (
            [change("create segment", name="А"), change("create segment", name="А")],
            ("Two segments will be named «А».",),
        ),
        ([change("update segment 54", name="VIP")], ("Two segments will be named «VIP».",)),
        ([change("create segment", name="Тёплые")], ()),
    ],
)
def test_a_warning_is_given_only_where_there_is_something_to_know(
    changes: list[dict[str, Any]], warnings: tuple[str, ...]
) -> None:
    assert tuple(made(*changes)[1]) == warnings


def cost(*changes: Mapping[str, Any], of: Snapshot | None = None) -> int:
    """The requests of a plan, at seven a second."""
    return cost_of(planned(*changes, of=of).steps, Pace(7))[0]


def test_statuses_that_are_created_one_after_the_other_cost_one_request_and_one_reading() -> None:
    new = [change("create status", name=f"{number}", sort=number) for number in range(12)]
    assert cost(*new) == 2 + 2
    assert cost(*new[:6], change("update status 10", name="A"), *new[6:]) == 2 + 2 + 1 + 2


def test_a_plan_that_sets_custom_fields_costs_two_more_readings() -> None:
    assert cost(change("update segment 51", custom_fields_values=FIELD)) == 2 + 2 + 1
    assert cost(*[change(f"update segment {number}", custom_fields_values=FIELD) for number in (51, 54)]) == 2 + 2 + 2


def test_every_deletion_but_the_first_step_costs_one_more_reading() -> None:
    assert cost(change("delete segment 54")) == 2 + 1
    assert cost(change("delete segment 54"), change("create segment", name="А")) == 2 + 2
    assert cost(change("create segment", name="А"), change("delete segment 54"), change("delete segment 51")) == 2 + 5
    assert cost(change("delete segment 54"), change("delete status 10")) == 4 + 1 + 1 + 1


def test_every_move_costs_a_reading_and_after_another_change_of_statuses_one_more() -> None:
    moves = [change(f"update status {number}", sort=5) for number in (10, 13)]
    assert cost(moves[0]) == 2 + 2
    assert cost(*moves) == 2 + 2 + 3
    assert cost(moves[0], change("update status 13", name="A")) == 2 + 3


def test_a_long_plan_costs_one_more_reading_every_two_seconds() -> None:
    updates = [change(f"update segment {number}", name=f"A{number}") for number in range(1, 101)]
    account = state(*many("segment", 100))
    assert cost(*updates[:14], of=account) == 2 + 14
    assert cost(*updates[:15], of=account) == 2 + 15 + 1
    assert cost(*updates, of=account) == 2 + 100 + 7


@pytest.mark.requirement("TOOL-21")
@given(accounts(), status_accounts())
@STEADY
def test_the_suggestions_of_every_finding_are_a_plan_as_they_are(
    segments: list[Segment], statuses: list[Status]
) -> None:
    of = state(*segments, *statuses, fields=FIELDS) if segments or statuses else Snapshot({"segment": {}, "status": {}})
    for finding in [*audit_segments(segments, FIELDS), *audit_statuses(statuses)]:
        if finding.suggested_changes:
            steps = planned(*finding.suggested_changes, of=of).steps
            assert [(step.action, step.kind, step.target_id) for step in steps] == [
                sent for item in finding.suggested_changes for sent in sent_for(item)
            ]


def sent_for(change: Mapping[str, Any]) -> list[tuple[str, str, int | None]]:
    """The steps of a suggested change: a merge moves the customers, and then deletes."""
    kind, target = change["kind"], change["id"]
    return (
        [("move", kind, None), ("delete", kind, target)]
        if change["action"] == "merge"
        else [(change["action"], kind, target)]
    )


@given(st.data())
@STEADY
def test_whatever_is_asked_for_is_a_plan_or_refused_with_a_path_into_it(data: st.DataObject) -> None:
    ids = st.sampled_from([None, 10, 13, 51, 54, 99])
    colors = st.sampled_from([None, "red", SEGMENT_COLORS[0], STATUS_COLORS[0]])
    changes = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "action": st.sampled_from(["create", "update", "delete", "merge"]),
                    "kind": st.sampled_from(["segment", "status"]),
                },
                optional={
                    "id": ids,
                    "into": ids,
                    "name": st.sampled_from([None, "А", "VIP"]),
                    "sort": st.sampled_from([None, 0, 5]),
                    "color": colors,
                    "custom_fields_values": st.sampled_from([None, [], FIELD, FIELD * 2]),
                    "available_products_price_types": st.sampled_from([None, [], [7]]),
                },
            ),
            min_size=1,
            max_size=4,
        )
    )
    plan, paths = tried(changes)
    assert (plan is None) == bool(paths)
    for path in paths:
        head, index, *_ = path.split(".")
        assert (head, int(index) < len(changes)) == ("changes", True)
    for step in plan.steps if plan else ():
        assert isinstance(step, Create | Update | Delete | Move)


def tried(changes: Sequence[Mapping[str, Any]]) -> tuple[Plan | None, list[str]]:
    try:
        return planned(*changes), []
    except InvalidValues as error:
        return None, [problem.path for problem in error.problems]


@pytest.mark.requirement("PLAN-2")
def test_what_cannot_be_read_counts_for_the_limit_and_is_not_said_to_be_no_entity() -> None:
    entities = {one.id: one for one in many("segment", LIMITS["segment"] - 1)}
    full = Snapshot({"segment": entities, "status": {}}, unreadable={"segment": (999,)})
    [(path, said)] = refused(change("create segment", name="Гости"), of=full)
    assert (path, said) == ("changes", "there would be 101 segments, and an account holds at most 100")
    assert refused(change("delete segment 999"), of=full) == [("changes.0.id", "999 cannot be read")]
