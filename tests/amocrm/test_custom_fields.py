"""What a person writes for a custom field becomes what the field's type needs, or is refused before it is sent."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from amo_mcp.amocrm.custom_fields import FieldInput, InvalidValues, ValueInput, to_api_values
from amo_mcp.amocrm.errors import Problem
from amo_mcp.amocrm.models import CustomField
from amo_mcp.amocrm.zones import zone_of
from amo_mcp.text import quote_given

GRINDS: list[dict[str, Any]] = [
    {"id": 11, "value": "В зёрнах", "code": "BEANS"},
    {"id": 12, "value": " Для турки", "code": None},
    {"id": 13, "value": "Für Filter"},
]
DEFINITIONS = [
    CustomField.model_validate({"id": number, "name": kind, "type": kind, "code": kind.upper(), "enums": enums})
    for number, (kind, enums) in enumerate(
        {
            "text": None,
            "numeric": None,
            "checkbox": None,
            "select": GRINDS,
            "multiselect": GRINDS,
            "radiobutton": GRINDS,
            "date": None,
            "date_time": [],
            "url": None,
            "textarea": None,
            "streetaddress": None,
        }.items(),
        start=1,
    )
]
UTC_ZONE = zone_of("UTC", "")
BY_TYPE = {definition.type: definition for definition in DEFINITIONS}
CHOICES = ("select", "multiselect", "radiobutton")
PLAIN = ("text", "url", "textarea", "streetaddress")
CHOICE_TEXTS = {" ".join(grind["value"].split()).casefold() for grind in GRINDS}


def sent(kind: str, *values: dict[str, Any]) -> Any:
    """What is sent as `values` of the field of type `kind`."""
    field = FieldInput.model_validate({"field_code": kind.upper(), "values": list(values)})
    [sending] = to_api_values([field], DEFINITIONS, UTC_ZONE)
    assert sending.keys() == {"field_id", "values"}
    assert sending["field_id"] == BY_TYPE[kind].id
    return sending["values"]


def refused(kind: str, *values: dict[str, Any]) -> list[Problem]:
    with pytest.raises(InvalidValues) as caught:
        sent(kind, *values)
    return caught.value.problems


def field_inputs() -> st.SearchStrategy[list[FieldInput]]:
    """Fields as a model might name them, right and wrong."""
    ids = st.one_of(st.none(), st.integers(1, 13))
    codes = st.one_of(st.none(), st.sampled_from([*(kind.upper() for kind in BY_TYPE), "OTHER"]))
    texts = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["true", "12.5", "2026-11-22", "в зёрнах"]))
    enum_ids = st.one_of(st.none(), st.integers(10, 15))
    enum_codes = st.one_of(st.none(), st.sampled_from(["BEANS", "beans", ""]))
    values = st.builds(ValueInput, value=texts, enum_id=enum_ids, enum_code=enum_codes)
    return st.lists(
        st.builds(FieldInput, field_id=ids, field_code=codes, values=st.lists(values, max_size=3)), max_size=4
    )


def accepted(fields: list[FieldInput]) -> list[dict[str, Any]] | None:
    try:
        return to_api_values(fields, DEFINITIONS, UTC_ZONE)
    except InvalidValues:
        return None


@given(fields=field_inputs())
def test_whatever_is_asked_for_only_known_fields_and_choices_are_ever_sent(fields: list[FieldInput]) -> None:
    sending = accepted(fields)
    if sending is None:
        return
    known = {definition.id: definition for definition in DEFINITIONS}
    assert len({item["field_id"] for item in sending}) == len(sending) == len(fields)
    for item, field in zip(sending, fields, strict=True):
        definition = known[item["field_id"]]
        assert field.field_id in (None, definition.id)
        assert field.field_code in (None, definition.code)
        assert (item["values"] is None) == (field.values == [])
        for value in item["values"] or []:
            if definition.type in CHOICES:
                assert value.keys() == {"enum_id"}
                assert value["enum_id"] in {choice.id for choice in definition.enums}
            else:
                assert value.keys() == {"value"}
        assert len(item["values"] or []) <= 1 or definition.type == "multiselect"


@given(kind=st.sampled_from(CHOICES), text=st.text())
def test_a_text_that_is_no_choice_is_refused_with_the_choices(kind: str, text: str) -> None:
    if not text or text.strip().casefold() in {grind["value"].strip().casefold() for grind in GRINDS}:
        return
    named = f"field {BY_TYPE[kind].id} has no choice {quote_given(text)}"
    listed = f"{named}; the choices are: 11 «В зёрнах», 12 «Для турки», 13 «Für Filter»"
    assert refused(kind, {"value": text}) == [Problem("custom_fields_values.0.values.0", listed)]


@pytest.mark.requirement("ARG-7")
@pytest.mark.parametrize("kind", CHOICES)
@pytest.mark.parametrize(
    ("value", "enum_id"),
    [
        ({"enum_id": 11}, 11),
        ({"enum_id": "12"}, 12),
        ({"enum_code": "BEANS"}, 11),
        ({"value": "В ЗЁРНАХ "}, 11),
        ({"value": "для турки"}, 12),
        ({"value": "FÜR FILTER", "enum_id": None, "enum_code": None}, 13),
    ],
)
def test_a_choice_is_named_by_id_code_or_text_in_any_case(kind: str, value: dict[str, Any], enum_id: int) -> None:
    assert sent(kind, value) == [{"enum_id": enum_id}]


def test_only_a_multiselect_takes_several_choices() -> None:
    two = ({"enum_id": 13}, {"enum_code": "BEANS"})
    assert sent("multiselect", *two) == [{"enum_id": 13}, {"enum_id": 11}]
    for kind in ("select", "radiobutton"):
        problem = Problem(
            "custom_fields_values.0.values", f"field {BY_TYPE[kind].id} takes one value, not 2: it is of type {kind}"
        )
        assert refused(kind, *two) == [problem]


@pytest.mark.parametrize("value", [{}, {"value": "В зёрнах", "enum_id": 11}, {"enum_id": 11, "enum_code": "BEANS"}])
def test_a_choice_is_named_in_exactly_one_way(value: dict[str, Any]) -> None:
    problem = "field 4 needs exactly one of value, enum_id and enum_code"
    assert refused("select", value) == [Problem("custom_fields_values.0.values.0", problem)]


def test_of_very_many_choices_thirty_are_listed() -> None:
    enums = [{"id": number, "value": f"№{number}"} for number in range(1, 34)]
    definition = CustomField.model_validate({"id": 1, "type": "select", "enums": enums})
    with pytest.raises(InvalidValues) as caught:
        to_api_values(
            [FieldInput.model_validate({"field_id": 1, "values": [{"value": "№34"}]})], [definition], UTC_ZONE
        )
    listed = ", ".join(f"{number} «№{number}»" for number in range(1, 31))
    assert [problem.detail for problem in caught.value.problems] == [
        f"field 1 has no choice «№34»; the choices are: {listed} and 3 more"
    ]


@given(text=st.text())
def test_a_checkbox_takes_a_yes_or_a_no_and_nothing_else(text: str) -> None:
    words = {"true": True, "1": True, "yes": True, "да": True, "false": False, "0": False, "no": False, "нет": False}
    for word, meant in words.items():
        assert sent("checkbox", {"value": f" {word.upper()}"}) == [{"value": meant}]
    if text and text.strip().casefold() not in words:
        problem = f'field 3 cannot take {quote_given(text)}: it is a checkbox, and takes "true" or "false"'
        assert refused("checkbox", {"value": text}) == [Problem("custom_fields_values.0.values.0", problem)]


@pytest.mark.parametrize(
    ("kind", "value", "meant"),
    [("checkbox", True, True), ("checkbox", False, False), ("numeric", 15, "15"), ("numeric", -1.5, "-1.5")],
)
def test_a_json_boolean_or_number_is_taken_for_its_text(kind: str, value: Any, meant: Any) -> None:
    assert sent(kind, {"value": value}) == [{"value": meant}]


@given(number=st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True))
def test_a_number_travels_as_the_text_it_was_written_in(number: str) -> None:
    assert sent("numeric", {"value": f" {number}\n"}) == [{"value": number}]


@pytest.mark.parametrize(
    "text",
    ["много", "NaN", "-Infinity", "inf", "1,5", "1 000", "0x10", "1.2.3", "½", "1_000", "1e5", "١٢", "1" * 31],
)
def test_what_is_no_number_is_refused_for_a_numeric_field(text: str) -> None:
    problem = f'field 2 cannot take «{text}»: it takes a number such as "12.5"'
    assert refused("numeric", {"value": text}) == [Problem("custom_fields_values.0.values.0", problem)]


@pytest.mark.parametrize("kind", ["date", "date_time"])
@pytest.mark.parametrize(("zone", "seconds"), [("Europe/Moscow", 1_634_590_800), ("America/Bogota", 1_634_619_600)])
def test_a_day_is_sent_as_its_first_moment_in_the_zone_of_the_account(kind: str, zone: str, seconds: int) -> None:
    field = FieldInput.model_validate({"field_code": kind.upper(), "values": [{"value": " 2021-10-19 "}]})
    [sending] = to_api_values([field], DEFINITIONS, zone_of(zone, ""))
    assert sending["values"] == [{"value": seconds}]


ZONES = st.one_of(st.none(), st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))))


@given(moment=st.datetimes(timezones=ZONES).map(lambda moment: moment.replace(microsecond=0)))
def test_a_moment_is_sent_in_unix_seconds_and_without_an_offset_is_of_the_account(moment: datetime) -> None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = int((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    assert sent("date_time", {"value": moment.isoformat()}) == [{"value": seconds}]


@pytest.mark.parametrize("kind", ["date", "date_time"])
@pytest.mark.parametrize("text", ["завтра", "22.11.2026", "2026-02-30", "2026-11-22T25:00:00Z", "11/22/2026", "12:00"])
def test_what_is_no_date_is_refused(kind: str, text: str) -> None:
    named = f"field {BY_TYPE[kind].id} cannot take «{text}»"
    problem = f'{named}: it takes a date such as "2026-11-22", or with a time "2026-11-22T09:30:00Z"'
    assert refused(kind, {"value": text}) == [Problem("custom_fields_values.0.values.0", problem)]


@given(kind=st.sampled_from(PLAIN), text=st.text(min_size=1))
def test_text_is_sent_as_it_is(kind: str, text: str) -> None:
    assert sent(kind, {"value": text}) == [{"value": text}]


@pytest.mark.parametrize("kind", [kind for kind in BY_TYPE if kind not in CHOICES])
def test_a_field_without_choices_needs_a_value_and_takes_no_choice(kind: str) -> None:
    name = f"field {BY_TYPE[kind].id}"
    no_choice = f"{name} takes a value, not a choice: it is of type {kind}"
    assert refused(kind, {"enum_id": 11}) == [Problem("custom_fields_values.0.values.0", no_choice)]
    assert refused(kind, {"enum_code": "X", "value": "1"}) == [Problem("custom_fields_values.0.values.0", no_choice)]
    assert refused(kind, {}) == [Problem("custom_fields_values.0.values.0", f"{name} needs a value")]


@pytest.mark.parametrize("kind", BY_TYPE)
def test_no_values_clear_a_field(kind: str) -> None:
    assert sent(kind) is None


@pytest.mark.requirement("ARG-3")
@pytest.mark.parametrize("given", [{"values": None}, {"values": ""}, {}])
def test_only_a_list_clears_a_field(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FieldInput.model_validate({"field_id": 1, **given})


def test_every_problem_is_told_with_its_place() -> None:
    given_fields = [
        {"field_id": 1, "values": [{"value": "ok"}]},
        {"values": []},
        {"field_code": "TEXT", "values": []},
        {"field_id": 3, "field_code": "TEXT", "values": []},
        {"field_id": 5, "values": [{"enum_id": 11}, {"enum_id": 99}, {"value": "?"}]},
    ]
    definitions = [DEFINITIONS[0], CustomField(id=77), BY_TYPE["multiselect"]]
    with pytest.raises(InvalidValues, match="5 problems") as caught:
        to_api_values([FieldInput.model_validate(field) for field in given_fields], definitions, UTC_ZONE)
    listed = "the choices are: 11 «В зёрнах», 12 «Для турки», 13 «Für Filter»"
    assert caught.value.problems == [
        Problem("custom_fields_values.1", "needs a field_id or a field_code"),
        Problem("custom_fields_values.2", "repeats field 1"),
        Problem(
            "custom_fields_values.3",
            "field 3 with the code TEXT is not a field that segments of this account have; "
            "the fields are: 1 «text» (TEXT), 77 (no visible name), 5 «multiselect» (MULTISELECT)",
        ),
        Problem("custom_fields_values.4.values.1", f"field 5 has no choice 99; {listed}"),
        Problem("custom_fields_values.4.values.2", f"field 5 has no choice «?»; {listed}"),
    ]


def test_an_account_without_fields_says_so() -> None:
    with pytest.raises(InvalidValues) as caught:
        to_api_values([FieldInput(field_id=1, values=[])], [], UTC_ZONE)
    assert [problem.detail for problem in caught.value.problems] == [
        "field 1 is not a field that segments of this account have; the fields are: none"
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"field_id": -1, "values": []},
        {"field_id": True, "values": []},
        {"field_id": 1},
        {"field_id": 1, "value": "x"},
        {"field_id": 1, "values": [{"value": ["x"]}]},
        {"field_id": 1, "values": [{"value": "\ud83d"}]},
        {"field_id": 1, "values": [{"enum_id": -1}]},
        {"field_id": 1, "values": [{"enum": 1}]},
    ],
)
def test_fields_of_another_shape_are_no_fields(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FieldInput.model_validate(wrong)


@pytest.mark.requirement("ARG-3")
@pytest.mark.parametrize("filler", [0, "0", "", None, 0.0, " ", False])
@pytest.mark.parametrize("choice", [{"enum_id": 11, "enum_code": ""}, {"enum_id": 0, "enum_code": "BEANS"}])
def test_a_value_that_says_nothing_beside_a_choice_is_not_given(filler: Any, choice: dict[str, Any]) -> None:
    assert sent("select", {"value": filler, **choice}) == [{"enum_id": 11}]


@pytest.mark.requirement("ARG-3")
def test_fillers_beside_a_value_are_not_given_and_zero_alone_is_the_number() -> None:
    fillers = {"enum_id": 0, "enum_code": ""}
    assert sent("numeric", {"value": 0, **fillers}) == [{"value": "0"}]
    assert sent("select", {"value": "В зёрнах", **fillers}) == [{"enum_id": 11}]
    field = FieldInput.model_validate({"field_id": 0, "field_code": "TEXT", "values": [{"value": "0"}]})
    assert to_api_values([field], DEFINITIONS, UTC_ZONE) == [{"field_id": 1, "values": [{"value": "0"}]}]


@pytest.mark.parametrize("kind", BY_TYPE)
def test_an_empty_value_is_refused_with_how_a_field_is_cleared(kind: str) -> None:
    problem = f"field {BY_TYPE[kind].id} takes no empty value; values: [] clears it"
    assert refused(kind, {"value": "", "enum_id": 0}) == [Problem("custom_fields_values.0.values.0", problem)]
