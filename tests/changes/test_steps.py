"""A step comes back from the journal as it went in, whatever the account says."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.steps import Step, status_of

RENAME = Step("update", "segment", before=Segment(id=51, name="VIP"), sent=SegmentPatch(name="Лучшие"))

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
outcomes = st.sampled_from(["planned", "intent", "done", "failed", "unknown"])
steps = st.one_of(
    st.builds(
        lambda before, patch, outcome: Step("update", "segment", before, SegmentPatch(**patch), (), before, outcome),
        segments,
        segment_patches,
        outcomes,
    ),
    st.builds(
        lambda after, patch, known: Step(
            "create", "segment", None, SegmentDraft(**{**patch, "name": "A"}), tuple(known), after, "done", "e"
        ),
        st.none() | segments,
        segment_patches,
        st.lists(ids),
    ),
    st.builds(lambda before, outcome: Step("delete", "segment", before, outcome=outcome), segments, outcomes),
    st.builds(
        lambda before, patch, outcome: Step("update", "status", before, StatusPatch(**patch), (), before, outcome),
        statuses,
        status_patches,
        outcomes,
    ),
    st.builds(
        lambda after, patch: Step(
            "create", "status", None, StatusDraft(**{**patch, "name": "A", "sort": 5}), (1,), after
        ),
        st.none() | statuses,
        status_patches,
    ),
    st.builds(lambda before: Step("delete", "status", before), statuses),
)


@settings(max_examples=60)
@given(steps)
def test_a_step_comes_back_from_the_journal_as_it_went_in(step: Step) -> None:
    text = json.dumps(step.recorded(), ensure_ascii=False)
    again = Step.read(json.loads(text))
    assert again == step
    assert json.dumps(again.recorded(), ensure_ascii=False) == text
    for thing, kept in ((step.before, again.before), (step.after, again.after)):
        assert (thing and thing.model_dump(mode="json", exclude_unset=True)) == (
            kept and kept.model_dump(mode="json", exclude_unset=True)
        )


@settings(max_examples=40)
@given(st.lists(outcomes, min_size=1, max_size=5))
def test_a_change_is_done_only_when_every_step_is_and_never_failed_while_one_is_open(told: list[Any]) -> None:
    status = status_of(tuple(RENAME.came(outcome) for outcome in told))
    assert (status == "done") == (set(told) == {"done"})
    assert (status == "failed") == ("failed" in told and not {"unknown", "intent"} & set(told))
    assert status in {"done", "failed", "interrupted"}


def test_a_step_says_what_it_does_in_a_few_words() -> None:
    create = Step("create", "status", sent=StatusDraft(name="Новые", sort=1))
    told = [step.summary for step in (RENAME, create, create.came("done", Status(id=7, name="Новые")))]
    assert told == [
        "Change segment «VIP» (id 51)",
        "Create status «Новые»",
        "Create status «Новые» (id 7)",
    ]
