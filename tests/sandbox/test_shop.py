import json
from collections import Counter

import pytest

from amo_mcp.sandbox import Sandbox
from amo_mcp.sandbox.api.custom_fields import Changes, merged, validate
from amo_mcp.sandbox.api.segments import SEGMENT_COLORS
from amo_mcp.sandbox.api.statuses import STATUS_COLORS
from amo_mcp.sandbox.api.validation import Validation


def test_every_segment_of_the_example_is_valid_for_the_api() -> None:
    account = Sandbox().account
    for segment in account.segments.values():
        validation = Validation(segment)
        validation.name()
        validation.color(SEGMENT_COLORS)
        if segment["available_products_price_types"] is not None:
            validation.price_types(account.price_types)
        validate(account, validation)
        changes: Changes | None = validation.values["custom_fields_values"]
        assert validation.errors == []
        assert merged(account, [], changes) == (segment["custom_fields_values"] or [])


def test_the_example_has_duplicates_empty_segments_and_repeated_colors() -> None:
    segments = Sandbox().account.segments.values()
    names = [segment["name"] for segment in segments]
    colors = [segment["color"] for segment in segments]
    assert any(name != name.strip() for name in names)
    assert len({name.strip().casefold() for name in names}) == len(names)
    assert len(set(colors)) < len(colors)
    assert sum(segment["customers_count"] == 0 for segment in segments) >= 3
    assert {type(segment["custom_fields_values"]) for segment in segments} == {list, type(None)}


def test_every_segment_of_the_example_has_as_many_customers_as_it_counts() -> None:
    account = Sandbox().account
    members = Counter(segment_id for customer in account.customers.values() for segment_id in customer["segments"])
    assert {segment_id: segment["customers_count"] for segment_id, segment in account.segments.items()} == {
        segment_id: members[segment_id] for segment_id in account.segments
    }
    assert {customer["status_id"] for customer in account.customers.values()} == account.statuses.keys()
    assert (len(account.customers), Sandbox(empty=True).account.customers) == (400, {})


def test_the_example_has_a_filled_field_of_every_type() -> None:
    account = Sandbox().account
    filled = {
        value["field_type"] for segment in account.segments.values() for value in segment["custom_fields_values"] or []
    }
    assert {field["type"] for field in account.fields.values()} == filled
    assert len(filled) == 11


@pytest.mark.parametrize(("empty", "kinds"), [(False, [4, 0, 0, 0, 1, 2, 3]), (True, [4, 1, 2, 3])])
def test_the_example_has_all_four_system_statuses_in_order(empty: bool, kinds: list[int]) -> None:
    statuses = Sandbox(empty=empty).account.statuses.values()
    assert [status["type"] for status in statuses] == kinds
    assert [status["sort"] for status in statuses] == list(range(len(kinds)))
    assert all(status["is_default"] is (status["type"] != 0) for status in statuses)


def test_the_palettes_have_the_sizes_of_the_reference() -> None:
    assert (len(set(STATUS_COLORS)), len(set(SEGMENT_COLORS))) == (21, 40)


def test_two_sandboxes_do_not_share_state() -> None:
    before = json.dumps(Sandbox().account.document())
    one = Sandbox().account
    one.segments[51]["name"] = "другое"
    one.fields[272441]["enums"].clear()
    one.profile["name"] = "другая"
    one.statuses[4740019]["conditions"][0].clear()
    one.price_types.clear()
    one.users[504141]["rights"].clear()
    one.customers[1299433]["segments"].clear()
    assert json.dumps(Sandbox().account.document()) == before
