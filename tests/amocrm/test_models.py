"""What the API says is read with tolerance and kept whole; what it accepts is checked before it is sent."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.models import Account, CreatedStatus, CustomField, Segment, Status, comparable, iso_utc
from amo_mcp.text import sanitize

rule = settings(max_examples=60)

LAST_SECOND = 253402300799
"""Of the year 9999."""


def example_status(
    status_id: int, name: str, sort: int, color: str, kind: int, conditions: list[Any], account_id: int = 28805383
) -> dict[str, Any]:
    return {
        "id": status_id,
        "name": name,
        "sort": sort,
        "is_default": kind != 0,
        "conditions": conditions,
        "color": color,
        "type": kind,
        "account_id": account_id,
    }


BEFORE_PURCHASE = [[{"type": "before_purchase", "match": {"value": 0}, "conditions": [{"value": 0}]}]]
AFTER_TODAY = [[{"type": "after_today", "match": {"value": 60}, "conditions": [{"value": 60}]}]]
TAG = {
    "type": "tag",
    "options": {"name": "Теги"},
    "logic_operator": "or",
    "conditions": [{"id": 174727, "name": "Условие"}],
    "match": {"value": [174727], "logic": "or"},
    "tmpl": "tag_customers",
}
STATUSES = [
    example_status(4740010, "Recently purchased", 0, "#ccff66", 4, []),
    example_status(4740013, "Stage 1", 1, "#fd5598", 0, []),
    example_status(4740025, "Expected purchase", 2, "#99ccff", 3, BEFORE_PURCHASE),
    example_status(4740028, "Did not purchase", 4, "#fd5598", 2, []),
    example_status(4740031, "Closed", 5, "#d5d8db", 3, AFTER_TODAY),
    example_status(4051135, "Статус покупателя для примера", 2, "#ccc8f9", 0, [[TAG], []], 321321),
    {**example_status(5649280, "Новое название для статуса", 5, "#c1e0ff", 0, []), "request_id": "0"},
]
FILLED = [
    {
        "values": [{"value": True}],
        "field_id": 269471,
        "field_name": "Поле Чекбокс",
        "field_code": "MYSUPERCHECKBOX",
        "field_type": "checkbox",
    },
    {
        "values": [{"value": "Значение 1", "enum_id": 381857}],
        "field_id": 269473,
        "field_name": "Поле Список",
        "field_code": None,
        "field_type": "select",
    },
    {
        "values": [{"value": "12424"}],
        "field_id": 272427,
        "field_name": "Поле текст",
        "field_code": None,
        "field_type": "text",
    },
]
DESCRIBED = {
    "values": [{"value": "Этот сегмент создан для примера"}],
    "field_id": 245035,
    "field_name": "Описание сегмента",
    "field_code": None,
    "field_type": "text",
}
MULTISELECT = {
    "values": [{"value": "Значение мультиселекта", "enum_id": 387477}],
    "field_id": 245351,
    "field_name": "Мультиселект поле",
    "field_code": None,
    "field_type": "multiselect",
}


def example_segment(
    segment_id: int,
    name: str,
    color: str,
    dates: tuple[int, int],
    prices: list[int],
    fields: list[dict[str, Any]],
    account_id: int = 28805383,
) -> dict[str, Any]:
    return {
        "id": segment_id,
        "created_at": dates[0],
        "updated_at": dates[1],
        "account_id": account_id,
        "name": name,
        "color": color,
        "available_products_price_types": prices,
        "customers_count": 0,
        "custom_fields_values": fields,
    }


SEGMENTS = [
    (
        example_segment(51, "Сегмент 1", "6610f2", (1589615328, 1591089010), [288891], FILLED),
        ("2020-05-16T07:48:48Z", "2020-06-02T09:10:10Z"),
    ),
    (
        example_segment(21, "Сегмент 2", "4a001f", (1587376544, 1587376544), [271211], []),
        ("2020-04-20T09:55:44Z", "2020-04-20T09:55:44Z"),
    ),
    (
        example_segment(
            17, "Сегмент для примера", "ae003f", (1589462149, 1589462149), [], [DESCRIBED, MULTISELECT], 123123
        ),
        ("2020-05-14T13:15:49Z", "2020-05-14T13:15:49Z"),
    ),
    (
        example_segment(17, "Новое имя для сегмента", "ae003f", (1589462149, 1589463844), [], [DESCRIBED], 123123),
        ("2020-05-14T13:15:49Z", "2020-05-14T13:44:04Z"),
    ),
]


def dumped(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_unset=True)


def with_field(field: dict[str, Any]) -> Segment:
    return Segment.model_validate({"id": 1, "name": "а", "custom_fields_values": [field]})


@pytest.mark.parametrize("example", STATUSES, ids=lambda example: example["name"])
def test_a_status_of_the_reference_is_read_whole(example: dict[str, Any]) -> None:
    assert dumped(Status.model_validate(example)) == example


@pytest.mark.parametrize(("example", "times"), SEGMENTS, ids=[example["name"] for example, _ in SEGMENTS])
def test_a_segment_of_the_reference_is_read_whole_with_its_times_in_utc(
    example: dict[str, Any], times: tuple[str, str]
) -> None:
    segment = Segment.model_validate(example)
    assert dumped(segment) == {**example, "created_at": times[0], "updated_at": times[1]}
    assert segment.created_at is not None
    assert segment.created_at.utcoffset() == timedelta()


def test_created_statuses_of_the_reference_are_their_ids_and_echoes() -> None:
    created = [{"id": 5649280, "request_id": "0"}, {"id": 5649283, "request_id": "1"}]
    read = [CreatedStatus.model_validate(item) for item in created]
    assert [dumped(item) for item in read] == created


def test_what_is_missing_has_the_emptiest_value_and_is_not_told() -> None:
    status, segment = Status(id=1, name="а"), Segment(id=2, name="б")
    assert (status.sort, status.color, status.type, status.is_default, status.conditions) == (0, "", 0, False, [])
    assert (segment.color, segment.customers_count, segment.created_at, segment.custom_fields_values) == (
        "",
        None,
        None,
        [],
    )
    assert (dumped(status), dumped(segment)) == ({"id": 1, "name": "а"}, {"id": 2, "name": "б"})


@pytest.mark.parametrize("empty", [None, []])
def test_null_and_an_empty_list_are_the_same(empty: Any) -> None:
    nothing = {"custom_fields_values": empty, "available_products_price_types": empty}
    segment = Segment.model_validate({"id": 1, "name": "а", **nothing})
    assert (segment.custom_fields_values, segment.available_products_price_types) == ([], [])
    assert Status.model_validate({"id": 1, "name": "а", "conditions": empty}).conditions == []
    for field in ({"field_id": 1, "values": empty}, {"field_id": 1}):
        assert with_field(field).custom_fields_values == [{"field_id": 1, "values": []}]
    assert CustomField.model_validate({"id": 1, "enums": empty}).enums == []


def test_the_empty_map_of_a_language_without_lists_is_an_empty_list_and_null_is_an_empty_text() -> None:
    segment = Segment.model_validate({"id": 1, "name": None, "color": None, "available_products_price_types": {}})
    assert (segment.name, segment.color, segment.available_products_price_types) == ("", "", [])
    status = Status.model_validate({"id": 1, "name": None, "color": None, "conditions": {}})
    assert (status.name, status.color, status.conditions) == ("", "", [])


@pytest.mark.parametrize("time", [None, LAST_SECOND + 1, 10**15, 10**30, -(10**30), True, "soon", "1589615328", 1.5])
def test_a_time_that_is_none_is_no_time_and_does_not_cost_the_segment(time: Any) -> None:
    segment = Segment.model_validate({"id": 1, "name": "а", "created_at": time, "updated_at": 0})
    assert dumped(segment) == {"id": 1, "name": "а", "created_at": None, "updated_at": "1970-01-01T00:00:00Z"}


@pytest.mark.requirement("ANSWER-2")
def test_dates_of_fields_are_told_in_iso_and_other_numbers_as_they_are() -> None:
    rows = [
        ("date", 1671494400, "2022-12-20T00:00:00Z"),
        ("date_time", 0, "1970-01-01T00:00:00Z"),
        ("date_time", -1, "1969-12-31T23:59:59Z"),
        ("date", 10**17, 10**17),
        ("date", 10**30, 10**30),
        ("date", None, None),
        ("date", "soon", "soon"),
        ("numeric", 1671494400, 1671494400),
        (None, 1671494400, 1671494400),
    ]
    for kind, value, shown in rows:
        field = {"field_id": 1, "field_type": kind, "values": [{"value": value}]}
        read = with_field(field)
        assert dumped(read)["custom_fields_values"] == [{**field, "values": [{"value": shown}]}]
        assert read.custom_fields_values == [field]


def test_an_account_and_a_field_keep_what_is_not_named() -> None:
    account = {"id": 1, "name": "Лавка", "subdomain": "example", "customers_mode": "segments", "country": "RU"}
    assert dumped(Account.model_validate(account)) == account
    field = {"id": 1, "name": "Помол", "type": "select", "code": None, "sort": 500, "remind": None}
    enums = [{"id": 2, "value": "В зёрнах", "sort": 1, "code": "BEANS"}]
    assert dumped(CustomField.model_validate({**field, "enums": enums})) == {**field, "enums": enums}


def json_values() -> st.SearchStrategy[Any]:
    plain = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    )
    return st.recursive(
        plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3))
    )


def unknown_keys(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.text().filter(lambda key: key not in model.model_fields)
    return st.dictionaries(keys, json_values(), max_size=4)


@rule
@given(extra=unknown_keys(Status), conditions=st.lists(st.lists(json_values(), max_size=2), max_size=2), name=st.text())
def test_a_status_is_dumped_as_it_was_read(extra: dict[str, Any], conditions: list[Any], name: str) -> None:
    record = {**extra, "id": 7, "name": name, "sort": 1, "color": name, "conditions": conditions, "type": 9}
    status = Status.model_validate(record)
    assert dumped(status) == record
    assert Status.model_validate(dumped(status)) == status


@rule
@given(
    extra=unknown_keys(Segment),
    times=st.tuples(*[st.one_of(st.none(), st.integers(-62135596800, LAST_SECOND))] * 2),
    value=json_values(),
    prices=st.lists(st.integers()),
)
def test_a_segment_is_dumped_as_it_was_read_but_for_its_times(
    extra: dict[str, Any], times: tuple[int | None, int | None], value: Any, prices: list[int]
) -> None:
    fields = [{"field_id": 1, "field_type": "text", "values": [{"value": value, "kind": value}], "extra": value}]
    record = {**extra, "id": 7, "name": "а", "custom_fields_values": fields, "available_products_price_types": prices}
    segment = Segment.model_validate({**record, "created_at": times[0], "updated_at": times[1]})
    said = dumped(segment)
    read_back = [
        None if time is None else datetime.fromisoformat(time) for time in (said["created_at"], said["updated_at"])
    ]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert [time and int((time - epoch).total_seconds()) for time in read_back] == [
        time and int(time) for time in times
    ]
    assert said == {**record, "created_at": said["created_at"], "updated_at": said["updated_at"]}


PLACES: dict[str, Callable[[Any], BaseModel]] = {
    "an unknown key": lambda free: Segment.model_validate({"id": 1, "name": "а", "extra": free}),
    "a value of a field": lambda free: with_field({"field_id": 1, "values": [{"value": free}]}),
    "a key of a value": lambda free: with_field({"field_id": 1, "values": [{"extra": free}]}),
    "a key of a field": lambda free: with_field({"field_id": 1, "values": [], "extra": free}),
    "a condition": lambda free: Status.model_validate({"id": 1, "name": "а", "conditions": [free]}),
}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ("[1,{},", ',"]"]')])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_nested_deeper_than_can_be_passed_on_is_refused(place: str, opening: str, closing: str) -> None:
    def nested(levels: int) -> Any:
        return json.loads(opening * levels + "{}" + closing * levels)

    deepest = nested(29)
    assert json.dumps(deepest) in json.dumps(dumped(PLACES[place](deepest)))
    for levels in (36, 200):
        with pytest.raises(ValidationError, match="nested too deep"):
            PLACES[place](nested(levels))


@pytest.mark.parametrize("wrong", [None, [], "x", {}, {"id": 1}, {"name": "а"}, {"id": "x", "name": "а"}])
@pytest.mark.parametrize("model", [Status, Segment])
def test_what_has_no_id_or_no_name_is_neither_a_status_nor_a_segment(model: type[BaseModel], wrong: Any) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(wrong)


@pytest.mark.requirement("ANSWER-2")
def test_a_moment_is_told_in_utc_to_the_second() -> None:
    moscow = timezone(timedelta(hours=3))
    assert iso_utc(datetime(2026, 11, 22, 12, 0, 0, 999999, moscow)) == "2026-11-22T09:00:00Z"


def test_only_what_was_set_is_sent() -> None:
    assert StatusDraft(name="а", sort=0).to_payload() == {"name": "а", "sort": 0}
    whole = {"name": "а", "sort": 1, "color": "#fffeb2", "request_id": "x"}
    assert StatusDraft.model_validate({**whole, "color": "FFFEB2"}).to_payload() == whole
    assert StatusPatch().to_payload() == {}
    assert StatusPatch(sort=0).to_payload() == {"sort": 0}
    assert SegmentPatch().to_payload() == {}
    assert SegmentPatch(available_products_price_types=[]).to_payload() == {"available_products_price_types": []}
    cleared = [{"field_id": 1, "values": None}]
    assert SegmentDraft(name="а", color="#AE003F", custom_fields_values=cleared).to_payload() == {
        "name": "а",
        "color": "ae003f",
        "custom_fields_values": cleared,
    }


STATUS_DRAFT = {"name": "а", "sort": 1}


@pytest.mark.parametrize(
    ("model", "given_fields", "place", "message"),
    [
        (StatusDraft, {"name": "а"}, "sort", "Field required"),
        (StatusDraft, {"sort": 1}, "name", "Field required"),
        (SegmentDraft, {"color": "ae003f"}, "name", "Field required"),
        (StatusDraft, {**STATUS_DRAFT, "name": " \u00a0"}, "name", "must not be blank"),
        (SegmentDraft, {"name": ""}, "name", "must not be blank"),
        (SegmentDraft, {"name": "а\nб"}, "name", "must not have control characters or line breaks"),
        (SegmentPatch, {"name": "а\x9f"}, "name", "must not have control characters or line breaks"),
        (SegmentPatch, {"name": "VI\u200bP"}, "name", "must not have zero-width, bidirectional or other invisible"),
        (SegmentPatch, {"name": "\u2800\u3164\u00ad"}, "name", "must not be blank"),
        (StatusPatch, {"name": "VI\u034fP"}, "name", "must not have zero-width, bidirectional or other invisible"),
        (StatusPatch, {"name": "\u202eVIP"}, "name", "must not have zero-width, bidirectional or other invisible"),
        (StatusPatch, {"sort": "5_1"}, "sort", "must be a whole number"),
        (StatusPatch, {"sort": "51.0"}, "sort", "must be a whole number"),
        (StatusPatch, {"sort": "٣"}, "sort", "must be a whole number"),
        (SegmentPatch, {"name": "\ud83d"}, "name", "has half of a surrogate pair, which is not text"),
        (StatusDraft, {**STATUS_DRAFT, "request_id": "\udc00"}, "request_id", "has half of a surrogate pair"),
        (StatusDraft, {**STATUS_DRAFT, "sort": -1}, "sort", "must be from 0 to 2147483647"),
        (StatusPatch, {"sort": 2**31}, "sort", "must be from 0 to 2147483647"),
        (StatusPatch, {"sort": True}, "sort", "must be a whole number"),
        (StatusPatch, {"sort": 1.5}, "sort", "valid integer"),
        (StatusPatch, {"color": "ae003f"}, "color", "is not one of the 21 status colours"),
        (SegmentPatch, {"color": "#fffeb2"}, "color", "is not one of the 40 segment colours"),
        (SegmentPatch, {"available_products_price_types": [0]}, "available_products_price_types", "positive"),
        (SegmentPatch, {"available_products_price_types": [2**63]}, "available_products_price_types", "positive"),
        (SegmentPatch, {"available_products_price_types": [True]}, "available_products_price_types", "whole number"),
        (StatusPatch, {"is_default": False}, "is_default", "Extra inputs are not permitted"),
        (SegmentPatch, {"conditions": []}, "conditions", "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_right_is_not_accepted(
    model: type[BaseModel], given_fields: dict[str, Any], place: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given_fields)
    [problem] = caught.value.errors()
    assert problem["loc"][0] == place
    assert message in problem["msg"]


@rule
@given(name=st.text(st.characters(exclude_categories=("Cs", "Cf", "Cn"))))
def test_a_name_is_sent_letter_for_letter_or_not_at_all(name: str) -> None:
    unfit = {*map(chr, range(32)), *map(chr, range(127, 160)), *"\u034f\u115f\u1160\u2800\u3164\uffa0"}
    fit = bool(sanitize(name)) and not unfit & {*name}
    try:
        sent = SegmentDraft(name=name).to_payload()
    except ValidationError:
        sent = None
    assert sent == ({"name": name} if fit else None)


@pytest.mark.parametrize("largest", [2**31 - 1, 0, "12", 3.0])
def test_a_position_is_any_whole_number_that_the_account_can_count(largest: Any) -> None:
    assert StatusPatch.model_validate({"sort": largest}).to_payload() == {"sort": int(largest)}


@rule
@given(moment=st.integers(0, LAST_SECOND))
def test_a_segment_that_was_written_as_json_is_read_back_the_same(moment: int) -> None:
    record = {"id": 7, "name": "а", "created_at": moment, "custom_fields_values": FILLED, "extra": [1]}
    segment = Segment.model_validate(record)
    assert Segment.model_validate_json(segment.model_dump_json()) == segment


def test_entities_are_compared_by_what_a_person_sets_in_them() -> None:
    segment = Segment.model_validate({"id": 1, "name": "а", "customers_count": 5, "updated_at": 7, "created_at": 6})
    moved = Segment.model_validate(
        {"id": 1, "name": "а", "customers_count": 9, "updated_at": 8, "created_at": 6, "x": 1}
    )
    renamed = segment.model_copy(update={"name": "б"})
    again = segment.model_copy(update={"created_at": datetime(2026, 11, 22, tzinfo=UTC)})
    assert comparable(segment) == comparable(moved)
    assert comparable(renamed) != comparable(segment) != comparable(again)
    status = Status.model_validate({"id": 1, "name": "а", "sort": 1, "x": None})
    assert comparable(status) == comparable(Status.model_validate({"id": 1, "name": "а", "sort": 1}))
    assert comparable(status) != comparable(status.model_copy(update={"sort": 2}))
