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


@pytest.mark.parametrize("char", ["\u202e", "\x7f", "\u00ad", "\U000e0001"])
def test_what_nobody_sees_counts_as_the_escapes_that_are_written_for_it(char: str) -> None:
    assert fitted({"id": 1, "name": char * 9_000})["left_out"] == {"name": 8_800}


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


def test_of_steps_up_to_the_last_byte_all_are_told_and_of_one_byte_more_the_first_and_how_many_more() -> None:
    def plan(more: int) -> dict[str, Any]:
        return {"plan_id": "p1", "steps": ["x" * 96] * 499 + ["y" * more], "warnings": ["z"]}

    size = MAX_ANSWER_BYTES - bytes_of(plan(0))
    assert (fitted(plan(size)), bytes_of(plan(size))) == (plan(size), MAX_ANSWER_BYTES)
    assert fitted(plan(size + 1)) == {**plan(0), "steps": ["x" * 96] * 499, "left_out": {"steps": 1}}


def test_a_long_list_leaves_room_for_a_short_one_and_of_two_long_ones_each_gets_half() -> None:
    answer = fitted({"steps": ["x" * 996] * 100, "warnings": ["y" * 996] * 100, "seconds": 1})
    assert [len(answer[key]) for key in ("steps", "warnings")] == [24, 25]
    assert answer["left_out"] == {"steps": 76, "warnings": 75}


def test_of_one_entry_that_is_too_large_its_own_lists_are_shortened() -> None:
    change = {"change_id": "c1", "steps": [{"summary": "x" * 978}] * 100}
    answer = fitted({"changes": [change], "next_cursor": "n"})
    [shown] = answer["changes"]
    assert (len(shown["steps"]), shown["left_out"], "left_out" in answer) == (50, {"steps": 50}, False)
    assert bytes_of(answer) <= MAX_ANSWER_BYTES


def test_entities_that_are_too_many_to_be_cut_are_counted() -> None:
    not_moved = [{"id": number, "reason": "ф" * 200} for number in range(250)]
    answer = fitted({"moved": [1], "not_moved": not_moved, "change_id": "c1"})
    assert answer["not_moved"] == not_moved[: len(answer["not_moved"])]
    assert answer["left_out"] == {"not_moved": 250 - len(answer["not_moved"])}
    assert MAX_ANSWER_BYTES - 1_000 < bytes_of(answer) <= MAX_ANSWER_BYTES


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
