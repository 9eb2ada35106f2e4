"""What an audit finds, with which certainty, and what it suggests."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_SEGMENTS, MAX_STATUSES, SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.reorganize.audit import Confidence, Finding, audit_segments, audit_statuses
from amo_mcp.text import quote

settings.register_profile("audit", derandomize=True)
STEADY = settings(settings.get_profile("audit"), max_examples=100)


def segment(segment_id: int, name: str, customers: int | None = 5, color: str = "", **more: Any) -> Segment:
    return Segment.model_validate(
        {"id": segment_id, "name": name, "customers_count": customers, "color": color} | more,
    )


def status(status_id: int, name: str, sort: int | None = None, color: str = "", *, system: bool = False) -> Status:
    place = status_id - 1 if sort is None else sort
    return Status(id=status_id, name=name, sort=place, color=color, is_default=system)


def in_english(findings: Sequence[Finding]) -> list[Finding]:
    return [replace(finding, reason=str(finding.reason)) for finding in findings]


def found(problem: str, findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.problem == problem]


def of_names(*names: str) -> list[tuple[int, ...]]:
    """The groups of near-duplicates among segments of these names, whose ids are 1, 2, …"""
    segments = [segment(number, name) for number, name in enumerate(names, 1)]
    return [finding.ids for finding in found("near_duplicate_names", audit_segments(segments, []))]


def merge(kind: str, entity_id: int, into: int) -> dict[str, Any]:
    return {"action": "merge", "kind": kind, "id": entity_id, "into": into}


def delete(kind: str, entity_id: int) -> dict[str, Any]:
    return {"action": "delete", "kind": kind, "id": entity_id}


def test_an_account_that_is_in_order_has_no_findings() -> None:
    segments = [segment(1, "VIP", color="10599d"), segment(2, "Оптовики", color="2176ff")]
    assert audit_segments(segments, []) == []
    assert audit_statuses([status(1, "Новые", color="#fffeb2"), status(2, "Тёплые", color="#fffd7f")]) == []
    assert audit_segments([], []) == []
    assert audit_statuses([]) == []


def test_of_two_that_mean_the_same_the_empty_one_is_offered_for_deletion_and_not_told_twice() -> None:
    assert audit_segments([segment(1, "Новички", 0), segment(2, "новички", 9)], []) == [
        Finding(
            problem="near_duplicate_names",
            kind="segment",
            ids=(1, 2),
            reason="«Новички», «новички» are one name; «новички» (id 2) is the one to keep.",
            confidence="high",
            suggested_changes=(delete("segment", 1),),
        )
    ]


@pytest.mark.requirement("TOOL-20", "PLAN-7")
@pytest.mark.parametrize("customers", [3, None])
def test_of_two_that_are_one_name_the_one_with_fewer_customers_is_offered_for_a_merge(customers: int | None) -> None:
    [finding] = audit_segments([segment(1, "Новички", customers), segment(2, "новички", 9)], [])
    assert (finding.ids, finding.suggested_changes) == ((1, 2), (merge("segment", 1, into=2),))


def test_of_two_with_as_many_customers_the_older_one_is_kept() -> None:
    [finding] = audit_segments([segment(2, "новички", 0), segment(1, "Новички", 0)], [])
    assert finding.suggested_changes == (delete("segment", 2),)


def test_of_two_one_whose_customers_are_unknown_is_kept() -> None:
    [finding] = audit_segments([segment(1, "новички", 0), segment(2, "Новички", None)], [])
    assert finding.suggested_changes == (delete("segment", 1),)


def test_an_empty_one_of_two_that_read_alike_is_offered_for_deletion_because_it_is_empty() -> None:
    near, empty = audit_segments([segment(1, "Новичок", 0), segment(2, "Новички", 9)], [])
    assert (near.reason, near.suggested_changes) == (
        "«Новичок», «Новички» may mean the same; ask before one of them is deleted.",
        (),
    )
    assert (empty.problem, empty.suggested_changes) == ("empty_segment", (delete("segment", 1),))


def test_two_groups_are_two_findings_in_the_order_of_their_oldest() -> None:
    assert of_names("VIP", "Оптовики", "оптовики", "vip") == [(1, 4), (2, 3)]


def test_a_system_status_is_kept_and_never_offered_for_deletion() -> None:
    statuses = [status(1, "закрытые"), status(2, "Закрытые", system=True), status(3, "ЗАКРЫТЫЕ", system=True)]
    assert found("near_duplicate_names", audit_statuses(statuses)) == [
        Finding(
            problem="near_duplicate_names",
            kind="status",
            ids=(1, 2, 3),
            reason="«закрытые», «Закрытые», «ЗАКРЫТЫЕ» are one name; «Закрытые» (id 2) is the one to keep.",
            confidence="high",
            suggested_changes=(merge("status", 1, into=2),),
        )
    ]


@pytest.mark.requirement("TOOL-20")
def test_an_empty_segment_is_offered_for_deletion_and_one_whose_customers_are_unknown_is_not() -> None:
    assert audit_segments([segment(1, "ТЕСТ", 0), segment(2, "Гости", None)], []) == [
        Finding(
            problem="empty_segment",
            kind="segment",
            ids=(1,),
            reason="«ТЕСТ» has no customers.",
            confidence="medium",
            suggested_changes=(delete("segment", 1),),
        )
    ]


@pytest.mark.requirement("TOOL-20")
def test_all_but_the_first_of_one_colour_are_offered_colours_that_nobody_has() -> None:
    color = SEGMENT_COLORS[1]
    segments = [segment(3, "Гости", color=color), segment(1, "VIP", color=color), segment(2, "Опт", color=color)]
    assert audit_segments(segments, []) == [
        Finding(
            problem="color_clash",
            kind="segment",
            ids=(1, 2, 3),
            reason=f"3 of one colour ({color}): «VIP», «Опт», «Гости».",
            confidence="low",
            suggested_changes=(
                {"action": "update", "kind": "segment", "id": 2, "color": SEGMENT_COLORS[0]},
                {"action": "update", "kind": "segment", "id": 3, "color": SEGMENT_COLORS[2]},
            ),
        )
    ]


def test_when_every_colour_is_taken_a_clash_is_told_without_a_suggestion() -> None:
    names = [f"{number:03}" for number in range(len(SEGMENT_COLORS) + 1)]
    colors = [*SEGMENT_COLORS, SEGMENT_COLORS[0]]
    segments = [segment(i, name, color=color) for i, (name, color) in enumerate(zip(names, colors, strict=True), 1)]
    [finding] = audit_segments(segments, [])
    assert (finding.problem, finding.ids, finding.suggested_changes) == ("color_clash", (1, 41), ())


@pytest.mark.requirement("TOOL-20")
@pytest.mark.parametrize(
    ("name", "reason", "confidence", "clean"),
    [
        (" VIP ", "stray spaces", "high", "VIP"),
        ("VIP  клуб", "stray spaces", "high", "VIP клуб"),
        ("VIP\tклуб\n", "stray spaces", "high", "VIP клуб"),
        ("Опт_СТАРЫЙ", "underscores", "medium", "Опт СТАРЫЙ"),
        ("Кофе ☕", "emoji", "medium", "Кофе"),
        ("👩🏽‍🚀️ Полёт", "emoji", "medium", "Полёт"),
        ("Oптовики", "Latin and Cyrillic letters in one word", "medium", "Оптовики"),
        ("OПТ", "Latin and Cyrillic letters in one word", "medium", "ОПТ"),
        (" a_b", "stray spaces and underscores", "medium", "a b"),
        ("_\u2065VIP\U000e0002", "underscores", "medium", "VIP"),
    ],
)
def test_a_name_that_drifts_is_offered_cleaned(name: str, reason: str, confidence: Confidence, clean: str) -> None:
    assert audit_segments([segment(1, name)], []) == [
        Finding(
            problem="naming_drift",
            kind="segment",
            ids=(1,),
            reason=f"{quote(name)} has {reason}.",
            confidence=confidence,
            suggested_changes=({"action": "update", "kind": "segment", "id": 1, "name": clean},),
        )
    ]


@pytest.mark.parametrize("name", ["Dни рождения", "ßизнес", "Dни"])
def test_a_word_that_does_not_look_cyrillic_all_through_is_told_without_a_suggestion(name: str) -> None:
    [finding] = audit_segments([segment(1, name)], [])
    assert (finding.problem, finding.suggested_changes) == ("naming_drift", ())


@pytest.mark.parametrize("name", ["Группа №1", "Скидка 5 %", "Кофе 90°", "A/B", "Йод", "VIP & Ко", "☕", "__"])
def test_a_sign_that_belongs_to_writing_is_no_drift_and_what_is_only_signs_is_left_alone(name: str) -> None:
    assert audit_segments([segment(1, name)], []) == []


@pytest.mark.requirement("TOOL-20")
def test_a_field_that_hardly_anybody_fills_is_told_and_nothing_is_suggested() -> None:
    filled = [{"field_id": 7, "values": [{"value": "да"}]}, {"field_id": 8, "values": []}]
    segments = [
        segment(number, f"{number:02}", custom_fields_values=filled if number == 1 else None) for number in range(1, 11)
    ]
    segments += [segment(11, "Ещё", custom_fields_values=[{"field_id": 9, "values": [{"value": 1}]}] * 2)]
    fields = [CustomField(id=9, name="Часто"), CustomField(id=8, name="Пусто"), CustomField(id=7, name="Редко")]
    assert in_english(audit_segments(segments, fields)) == [
        Finding("unused_field", "field", (7,), "The field «Редко» is filled in 1 of 11 segments.", "low"),
        Finding("unused_field", "field", (8,), "The field «Пусто» is filled in 0 of 11 segments.", "medium"),
    ]
    assert audit_segments([], fields) == []


def test_positions_with_gaps_are_told_in_their_order() -> None:
    statuses = [status(2, "Тёплые", 4, "#fffeb2"), status(1, "Новые", 0, "#fffd7f")]
    assert audit_statuses(statuses) == [
        Finding("sort_gaps", "status", (1, 2), "The positions are not one after the other: 0, 4.", "low")
    ]
    assert audit_statuses([status(2, "Тёплые", 11, "#fffeb2"), status(1, "Новые", 10, "#fffd7f")]) == []


def test_unused_colours_are_told_when_statuses_share_one() -> None:
    statuses = [status(1, "Новые", color=STATUS_COLORS[0]), status(2, "Тёплые", color=STATUS_COLORS[0])]
    assert in_english(audit_statuses(statuses)) == [
        Finding(
            "color_clash",
            "status",
            (1, 2),
            f"2 of one colour ({STATUS_COLORS[0]}): «Новые», «Тёплые».",
            "low",
            ({"action": "update", "kind": "status", "id": 2, "color": STATUS_COLORS[1]},),
        ),
        Finding(
            "unused_colors",
            "status",
            (),
            f"Not used, though some statuses share a colour: {', '.join(STATUS_COLORS[1:])}.",
            "low",
        ),
    ]


def test_statuses_without_a_colour_share_none() -> None:
    assert found("unused_colors", audit_statuses([status(1, "Новые", color=""), status(2, "Тёплые", color="")])) == []


@pytest.mark.requirement("TOOL-20")
def test_a_limit_is_close_from_nine_tenths_on() -> None:
    segments = [segment(number, f"{number:03}") for number in range(1, MAX_SEGMENTS + 1)]
    fields = [CustomField(id=number) for number in range(1, MAX_SEGMENT_FIELDS + 1)]
    statuses = [status(number, f"{number:03}", color=f"#{number:06}") for number in range(1, MAX_STATUSES + 1)]
    assert found("limit_close", audit_segments(segments[:89], fields[:26])) == []
    assert in_english(found("limit_close", audit_segments(segments[:90], fields[:27]))) == [
        Finding("limit_close", "segment", (), "90 of at most 100 segments are used.", "high"),
        Finding("limit_close", "field", (), "27 of at most 30 fields are used.", "high"),
    ]
    assert audit_statuses(statuses[:26]) == []
    [full] = in_english(audit_statuses(statuses))
    assert full == Finding("limit_close", "status", (), "30 of at most 30 statuses are used.", "high")


ODD = " _ \t\u200d\u2065\ufe0f\U000e0002☕👩🏽№ОоOoВвBЁёйŉßİ①²0129aаcс()/%«»"
names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text(ODD, max_size=8),
    st.sampled_from(["VIP", "вип", "vip ", "Новички", "новички_", "Оптовики", "Oптовики", "Акция 1", "Акция 2"]),
)
some_values: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(dict, field_id=st.integers(1, 4), values=st.sampled_from([None, [], [{"value": "да"}]])), max_size=3
)


@st.composite
def accounts(draw: st.DrawFn) -> list[Segment]:
    ids = draw(st.lists(st.integers(1, 99), unique=True, max_size=8))
    colors = st.sampled_from(["", "abcdef", *SEGMENT_COLORS[:3]])
    counts = st.sampled_from([None, 0, 0, 1, 7])
    return [
        segment(entity_id, draw(names), draw(counts), draw(colors), custom_fields_values=draw(some_values))
        for entity_id in ids
    ]


@st.composite
def status_accounts(draw: st.DrawFn) -> list[Status]:
    ids = draw(st.lists(st.integers(1, 99), unique=True, max_size=8))
    colors = st.sampled_from(["", "#abcdef", *STATUS_COLORS[:3]])
    return [
        status(entity_id, draw(names), draw(st.integers(0, 9)), draw(colors), system=draw(st.booleans()))
        for entity_id in ids
    ]


FIELDS = [CustomField(id=number, name=f"Поле {number}") for number in (3, 1, 2)]


def check_suggestions(entities: Sequence[Segment] | Sequence[Status], findings: Sequence[Finding]) -> None:
    by_id: dict[int, Any] = {entity.id: entity for entity in entities}
    for finding in findings:
        assert finding.problem == "sort_gaps" or list(finding.ids) == sorted(finding.ids)
        changed = [change["id"] for change in finding.suggested_changes]
        assert len(set(changed)) == len(changed)
        assert set(changed) <= set(finding.ids)
        for change in finding.suggested_changes:
            entity = by_id[change["id"]]
            if change["action"] == "merge":
                assert not getattr(entity, "is_default", False)
                assert getattr(entity, "customers_count", None) != 0
                assert {change["id"], change["into"]} <= {*finding.ids}
                assert change["into"] not in changed
            elif change["action"] == "delete":
                assert not getattr(entity, "is_default", False)
                assert not getattr(entity, "customers_count", 0)
            else:
                [(name, value)] = {key: change[key] for key in change.keys() - {"action", "kind", "id"}}.items()
                assert getattr(entity, name) != value
        deleted = [change for change in finding.suggested_changes if change["action"] == "delete"]
        assert finding.problem == "empty_segment" or len(deleted) < len(finding.ids) or not deleted


@given(accounts(), st.randoms(use_true_random=False))
@STEADY
def test_whatever_segments_there_are_the_findings_are_sound_and_in_a_steady_order(
    segments: list[Segment], chance: random.Random
) -> None:
    findings = audit_segments(segments, FIELDS)
    check_suggestions(segments, findings)
    chance.shuffle(segments)
    assert audit_segments(segments, chance.sample(FIELDS, 3)) == findings


@given(status_accounts(), st.randoms(use_true_random=False))
@STEADY
def test_whatever_statuses_there_are_the_findings_are_sound_and_in_a_steady_order(
    statuses: list[Status], chance: random.Random
) -> None:
    findings = audit_statuses(statuses)
    check_suggestions(statuses, findings)
    chance.shuffle(statuses)
    assert audit_statuses(statuses) == findings
