"""A step comes back from the journal as it went in, whatever the account says."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.positions import Place
from amo_mcp.changes.records import from_record, overall_status, to_record
from amo_mcp.changes.room import exceeds_limit
from amo_mcp.changes.steps import Create, Delete, Move, Outcome, Step, Update
from amo_mcp.changes.titles import summary_of

RENAME = Update(Segment(id=51, name="VIP"), SegmentPatch(name="Лучшие"))

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
moments = st.none() | st.integers(-(2**62), 2**62) | st.integers(-60_000_000_000, 250_000_000_000) | st.text(max_size=3)
ids = st.integers(1, 2**62)
field_values = st.fixed_dictionaries(
    {"field_id": ids},
    optional={
        "field_name": st.none() | st.text(),
        "field_type": st.sampled_from(["date", "date_time", "text", "select"]),
        "values": st.none()
        | st.just({})
        | st.lists(st.fixed_dictionaries({}, optional={"value": json_values, "enum_id": st.none() | ids}), max_size=2),
        "later": json_values,
    },
)
extra = st.dictionaries(st.text("abc_", min_size=1, max_size=6), json_values, max_size=3)
segments = st.builds(
    lambda known, unknown: Segment.model_validate({**unknown, **known}),
    st.fixed_dictionaries(
        {"id": ids, "name": st.none() | st.text()},
        optional={
            "color": st.none() | st.text(max_size=6),
            "customers_count": st.none() | st.integers(0, 10**6),
            "created_at": moments,
            "updated_at": moments,
            "account_id": st.none() | ids,
            "custom_fields_values": st.none() | st.just({}) | st.lists(field_values, max_size=2),
            "available_products_price_types": st.none() | st.lists(ids, max_size=2),
        },
    ),
    extra,
)
statuses = st.builds(
    lambda known, unknown: Status.model_validate({**unknown, **known}),
    st.fixed_dictionaries(
        {"id": ids, "name": st.none() | st.text()},
        optional={
            "sort": st.none() | st.integers(),
            "color": st.none() | st.text(max_size=7),
            "type": st.none() | st.integers(0, 4),
            "is_default": st.none() | st.booleans(),
            "conditions": st.none() | st.lists(json_values, max_size=2),
        },
    ),
    extra,
)
names = st.none() | st.text("абвab Z☕", min_size=1).filter(str.strip)
segment_patches = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "color": st.none() | st.sampled_from(SEGMENT_COLORS),
        "custom_fields_values": st.none() | st.lists(st.fixed_dictionaries({"field_id": ids, "values": json_values})),
        "available_products_price_types": st.none() | st.lists(ids, max_size=2),
    },
)
status_patches = st.fixed_dictionaries(
    {}, optional={"name": names, "sort": st.none() | st.integers(0, 99), "color": st.sampled_from(STATUS_COLORS)}
)
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["planned", "pending", "done", "failed", "unknown"])
undone = st.none() | st.integers(0, 129)
positions = st.lists(st.tuples(ids, st.integers(0, 99)), max_size=3).map(tuple)
places = st.none() | st.builds(Place, st.none() | ids, st.none() | ids)


def creations(of_segments: bool) -> st.SearchStrategy[Create]:
    drafts = (
        segment_patches.map(lambda patch: SegmentDraft(**{**patch, "name": "A"}))
        if of_segments
        else status_patches.map(lambda patch: StatusDraft(**{**patch, "name": "A", "sort": 5}))
    )
    existing = st.lists(ids, max_size=3).map(tuple)
    after = st.none() | (segments if of_segments else statuses)
    known: dict[str, Any] = {"outcome": outcomes, "undoes": undone, "misplaced": st.booleans(), "left": positions}
    return st.builds(
        Create,
        drafts,
        existing,
        after=after,
        place=places,
        old_id=st.none() | ids,
        **known,
    )


def updates(of_segments: bool) -> st.SearchStrategy[Update]:
    entities = segments if of_segments else statuses
    patches = (
        segment_patches.map(lambda patch: SegmentPatch(**patch))
        if of_segments
        else status_patches.map(lambda patch: StatusPatch(**patch))
    )
    known: dict[str, Any] = {"outcome": outcomes, "undoes": undone, "misplaced": st.booleans(), "left": positions}
    return st.builds(Update, entities, patches, positions, places, after=st.none() | entities, **known)


steps: st.SearchStrategy[Step] = st.one_of(
    creations(of_segments=True),
    creations(of_segments=False),
    updates(of_segments=True),
    updates(of_segments=False),
    st.builds(Delete, segments | statuses, places=positions, outcome=outcomes, undoes=undone),
)


def entities(step: Step) -> list[Segment | Status | None]:
    match step:
        case Create():
            return [step.after]
        case Update():
            return [step.before, step.after]
        case Delete():
            return [step.before]
        case Move():
            return [*step.places]


@settings(max_examples=60)
@given(steps)
def test_a_step_comes_back_from_the_journal_as_it_went_in(step: Step) -> None:
    text = json.dumps(to_record(step), ensure_ascii=False)
    again = from_record(json.loads(text))
    assert again == step
    assert json.dumps(to_record(again), ensure_ascii=False) == text
    for entity, kept in zip(entities(step), entities(again), strict=True):
        assert (entity and entity.model_dump(mode="json", exclude_unset=True)) == (
            kept and kept.model_dump(mode="json", exclude_unset=True)
        )


@settings(max_examples=40)
@given(st.lists(outcomes, min_size=1, max_size=5))
def test_a_change_is_done_only_when_every_step_is_and_never_failed_while_one_is_open(known: list[Outcome]) -> None:
    status = overall_status([RENAME.with_outcome(outcome) for outcome in known])
    assert (status == "done") == (set(known) == {"done"})
    assert (status == "failed") == ("failed" in known and not {"unknown", "pending"} & set(known))
    assert status in {"done", "failed", "interrupted"}


def test_a_change_is_undone_when_everything_that_was_done_is_undone() -> None:
    done, undone, failed = (RENAME.with_outcome(outcome) for outcome in ("done", "undone", "failed"))
    assert [overall_status(steps) for steps in ([undone], [undone, failed], [undone, done])] == [
        "undone",
        "undone",
        "done",
    ]


def test_a_step_says_what_it_does_in_a_few_words() -> None:
    create = Create(StatusDraft(name="Новые", sort=1))
    said = [str(summary_of(step)) for step in (RENAME, create, create.done(Status(id=7, name="Новые")))]
    assert said == [
        "Change segment «VIP» (id 51)",
        "Create status «Новые»",
        "Create status «Новые» (id 7)",
    ]
    assert str(summary_of(Delete(Status(id=7, name="Новые")))) == "Delete status «Новые» (id 7)"


def test_a_limit_is_exceeded_at_any_point_on_the_way() -> None:
    create, delete = Create(SegmentDraft(name="A")), Delete(Segment(id=51, name="VIP"))
    orders: list[list[Step]] = [[create, delete], [delete, create], [RENAME], [delete]]
    assert [exceeds_limit("segment", 100, steps) for steps in orders] == [True, False, False, False]
    assert not exceeds_limit("status", 30, [create])


def test_a_step_that_is_done_has_what_it_left_behind() -> None:
    after = Segment(id=51, name="Лучшие")
    assert RENAME.done(after) == replace(RENAME, outcome="done", after=after)
