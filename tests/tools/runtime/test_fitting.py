"""Answers with entities that are too large: the largest parts are left out, and counted."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_mcp.tools.runtime.fitting import MAX_ANSWER_BYTES, bytes_of, fitted


def field(number: int, size: int) -> dict[str, Any]:
    return {"field_id": number, "values": [{"value": "x" * size}]}


def segment(*sizes: int, **others: Any) -> dict[str, Any]:
    fields = [field(number, size) for number, size in enumerate(sizes, 1)]
    return {"id": 51, "name": "VIP", "custom_fields_values": fields, **others}


def test_an_answer_of_the_last_byte_is_whole_and_one_byte_more_is_too_much() -> None:
    size = MAX_ANSWER_BYTES - bytes_of(segment(0))
    whole, larger = segment(size), segment(size + 1)
    assert (fitted(whole), bytes_of(whole)) == (whole, MAX_ANSWER_BYTES)
    assert fitted(larger) == {
        "id": 51,
        "name": "VIP",
        "custom_fields_values": [],
        "left_out": {"custom_fields_values": 1},
    }


def test_of_a_list_the_largest_entries_are_left_out_and_the_others_keep_their_order() -> None:
    cut = fitted(segment(10, 60_000, 5, 20_000, 30_000, 7))
    assert [field["field_id"] for field in cut["custom_fields_values"]] == [1, 3, 4, 6]
    assert cut["left_out"] == {"custom_fields_values": 2}


def test_texts_are_cut_and_anything_else_is_left_out_whole_the_largest_first() -> None:
    whole = segment(10, note="ф" * 50_000, extra={"a": "x" * 45_000}, sort=1)
    cut = fitted(whole)
    assert cut == {**whole, "note": "ф" * 200, "left_out": {"note": 49_800}}
    whole["more"] = {"b": "y" * 30_000}
    cut = fitted(whole)
    del whole["extra"]
    assert cut == {**whole, "note": "ф" * 200, "left_out": {"note": 49_800, "extra": 1}}


def test_what_nobody_sees_counts_as_the_escapes_that_are_written_for_it() -> None:
    assert fitted({"id": 1, "name": "\u202e" * 20_000})["left_out"] == {"name": 19_800}


def test_the_entities_of_an_answer_have_equal_shares_and_only_those_above_it_are_cut() -> None:
    small, large = segment(10_000), segment(15_000, 30_000)
    answer = fitted({"before": large, "after": small, "change_id": "c1"})
    assert (answer["after"], answer["change_id"]) == (small, "c1")
    assert answer["before"]["left_out"] == {"custom_fields_values": 1}
    listed = fitted({"statuses": [{"id": 1, "conditions": [["x" * 60_000]]}, {"id": 2, "conditions": []}], "total": 2})
    assert listed == {
        "statuses": [
            {"id": 1, "conditions": [], "left_out": {"conditions": 1}},
            {"id": 2, "conditions": []},
        ],
        "total": 2,
    }


def test_what_is_no_entity_is_left_as_it_is() -> None:
    answer = {"steps": ["x" * 60_000], "requests": 1}
    assert fitted(answer) == answer


entities = st.lists(st.integers(0, 70_000), max_size=4).map(lambda sizes: segment(*sizes))


@pytest.mark.parametrize("key", ["segment", "segments"])
@settings(max_examples=50)
@given(st.lists(entities, min_size=1, max_size=3))
def test_whatever_the_entities_are_the_answer_fits_and_says_what_it_leaves_out(
    key: str, whole: list[dict[str, Any]]
) -> None:
    given: dict[str, Any] = {key: whole[0] if key == "segment" else whole, "change_id": "c"}
    answer = fitted(given)
    assert bytes_of(answer) <= MAX_ANSWER_BYTES
    cut = [answer["segment"]] if key == "segment" else answer["segments"]
    for was, now in zip(whole, cut, strict=False):
        left = len(was["custom_fields_values"]) - len(now["custom_fields_values"])
        assert now.get("left_out", {}).get("custom_fields_values", 0) == left
        assert all(field in was["custom_fields_values"] for field in now["custom_fields_values"])
