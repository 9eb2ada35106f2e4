"""Whatever the CRM holds, a question is plain lines of visible characters, and one change is worded one way."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusPatch
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.changes.pending import PendingChange, pending_from_record, pending_to_record
from amo_mcp.changes.steps import Create, Delete, Step, Update
from amo_mcp.confirmation.diff import on_one_line, setting_lines
from amo_mcp.confirmation.question import question_of

FIELDS = (
    CustomField(id=1, name="Заметка", type="text"),
    CustomField(id=2, name="Скидка, %", type="numeric"),
    CustomField(id=3, name="Опт", type="checkbox"),
    CustomField.model_validate(
        {
            "id": 4,
            "name": "Помол",
            "type": "select",
            "enums": [{"id": 41, "value": "В зёрнах"}, {"id": 42, "value": "Для турки"}],
        }
    ),
    CustomField.model_validate(
        {
            "id": 5,
            "name": "Каналы",
            "type": "multiselect",
            "enums": [{"id": 51, "value": "Почта"}, {"id": 52, "value": "Телефон"}],
        }
    ),
    CustomField(id=6, name="Начало акции", type="date"),
    CustomField(id=7, name="Созвон", type="date_time"),
    CustomField(id=8, name="Сайт", type="url"),
    CustomField(id=9, name="Описание", type="textarea"),
    CustomField.model_validate({"id": 10, "name": "Пол", "type": "radiobutton", "enums": [{"id": 101, "value": "Ж"}]}),
    CustomField(id=11, name="Адрес", type="streetaddress"),
)


def field(field_id: int, *values: Any) -> dict[str, Any]:
    return {"field_id": field_id, "values": list(values)}


SEGMENT = Segment.model_validate(
    {
        "id": 51,
        "name": "VIP",
        "color": "6610f2",
        "customers_count": 48,
        "available_products_price_types": [288891],
        "custom_fields_values": [
            field(1, {"value": "Старая"}),
            field(2, {"value": "15"}),
            field(3, {"value": False}),
            field(4, {"value": "В зёрнах", "enum_id": 41}),
            field(5, {"value": "Почта", "enum_id": 51}),
            field(6, {"value": 1_634_601_600}),
            field(7, {"value": 1_634_637_600}),
            field(8, {"value": "https://example.com"}),
            field(9, {"value": "Много\nстрок"}),
            field(11, {"value": "Тверская, 1"}),
        ],
    }
)
PATCHES = {
    "text": (field(1, {"value": "Новая"}), "Field «Заметка»: was «Старая» → will be «Новая»"),
    "numeric": (field(2, {"value": "20"}), "Field «Скидка, %»: was «15» → will be «20»"),
    "checkbox": (field(3, {"value": True}), "Field «Опт»: was «no» → will be «yes»"),
    "select": (field(4, {"enum_id": 42}), "Field «Помол»: was «В зёрнах» → will be «Для турки»"),
    "multiselect": (
        field(5, {"enum_id": 51}, {"enum_id": 52}),
        "Field «Каналы»: was «Почта» → will be «Почта», «Телефон»",
    ),
    "date": (field(6, {"value": 1_637_539_200}), "Field «Начало акции»: was «2021-10-19» → will be «2021-11-22»"),
    "date_time": (
        field(7, {"value": 1_637_573_400}),
        "Field «Созвон»: was «2021-10-19T10:00:00Z» → will be «2021-11-22T09:30:00Z»",
    ),
    "url": (
        field(8, {"value": "https://example.org"}),
        "Field «Сайт»: was «https://example.com» → will be «https://example.org»",
    ),
    "textarea": (field(9, {"value": "Одна"}), "Field «Описание»: was «Много строк» → will be «Одна»"),
    "radiobutton": (field(10, {"enum_id": 101}), "Field «Пол»: was empty → will be «Ж»"),
    "streetaddress": (field(11) | {"values": None}, "Field «Адрес»: was «Тверская, 1» → will be empty"),
}


def three_questions(step: Step) -> list[list[str]]:
    """What the person is asked about a step alone, in a plan and in an undo: the lines that say what it sets."""
    steps = (step,)
    alone = question_of(PendingChange(steps, FIELDS)).lines[1:]
    plan = question_of(PendingChange(steps, FIELDS, plan_id="p1")).lines[2:]
    taken_back = PendingChange(steps, FIELDS, undoes="c1", undone_tool="update_segment", undone_at=1_800_000_000.0)
    undo = question_of(taken_back).lines[1:]
    return [list(alone), [line.removeprefix("– ") for line in plan], [line.removeprefix("– ") for line in undo]]


@pytest.mark.requirement("CONFIRM-2")
@pytest.mark.parametrize("kind", PATCHES)
def test_every_type_of_field_is_worded_alike_alone_in_a_plan_and_in_an_undo(kind: str) -> None:
    patch, line = PATCHES[kind]
    step = Update(SEGMENT, SegmentPatch(custom_fields_values=[patch]))
    assert three_questions(step) == [[line]] * 3
    assert on_one_line(step, FIELDS) == f"Change segment «VIP» (id 51): {line}"


@pytest.mark.requirement("CONFIRM-2")
def test_names_colours_prices_and_positions_are_worded_alike_alone_in_a_plan_and_in_an_undo() -> None:
    segment = Update(SEGMENT, SegmentPatch(name="Лучшие", color="ae003f", available_products_price_types=[]))
    assert (
        three_questions(segment)
        == [
            [
                "Name: was «VIP» → will be «Лучшие»",
                "Colour: was 6610f2 → will be ae003f",
                "Price fields: was 288891 → will be empty",
            ]
        ]
        * 3
    )
    status = Update(Status(id=5, name="Тёплые", sort=3, color="#fffeb2"), StatusPatch(sort=0, color="#fff000"))
    assert three_questions(status) == [["Position: was 3 → will be 0", "Colour: was #fffeb2 → will be #fff000"]] * 3


def test_a_field_whose_definition_is_gone_is_named_by_what_the_segment_says_of_it() -> None:
    value = {"field_id": 77, "field_name": "Старое поле", "field_type": "text", "values": [{"value": "а"}]}
    segment = Segment.model_validate({"id": 1, "name": "А", "custom_fields_values": [value]})
    patches = [field(77, {"value": "б"}), field(78, {"enum_id": 9})]
    assert setting_lines(Update(segment, SegmentPatch(custom_fields_values=patches)), ()) == [
        "Field «Старое поле»: was «а» → will be «б»",
        "Field 78: was empty → will be «choice 9»",
    ]


def test_what_differs_at_the_end_of_two_long_texts_is_shown() -> None:
    same = "одно и то же " * 40
    step = Update(SEGMENT, SegmentPatch(custom_fields_values=[field(1, {"value": same + "новый конец"})]))
    before = SEGMENT.model_copy(update={"custom_fields_values": [field(1, {"value": same + "старый конец"})]})
    [line] = setting_lines(Update(before, step.patch), FIELDS)
    assert "старый конец" in line.partition(" → ")[0]
    assert "новый конец" in line.partition(" → ")[2]
    assert "(of 532 characters, from 501)" in line


def test_what_differs_in_two_long_lists_is_shown_and_the_rest_is_counted() -> None:
    before = SEGMENT.model_copy(update={"available_products_price_types": [1, 2, 3, 4, 5, 6]})
    [line] = setting_lines(Update(before, SegmentPatch(available_products_price_types=[1, 2, 3, 4, 5, 7])), ())
    assert line == "Price fields: was 6, 5 unchanged → will be 7, 5 unchanged"
    [line] = setting_lines(Update(before, SegmentPatch(available_products_price_types=[6, 5, 4, 3, 2, 1])), ())
    assert line == "Price fields: the same 6 in another order or number"
    [line] = setting_lines(Update(before, SegmentPatch(available_products_price_types=list(range(11, 18)))), ())
    assert line == "Price fields: was 1, 2, 3, 4, 5, 1 more → will be 11, 12, 13, 14, 15, 2 more"


@given(st.text(max_size=400), st.text(max_size=400))
def test_two_texts_that_differ_never_look_the_same(before: str, after: str) -> None:
    segment = Segment.model_validate({"id": 1, "name": "А", "custom_fields_values": [field(1, {"value": before})]})
    patch = SegmentPatch(custom_fields_values=[field(1, {"value": after})])
    [line] = setting_lines(Update(segment, patch), FIELDS)
    was, _, will = line.partition(": was ")[2].partition(" → will be ")
    assert before == after or was != will or will.endswith("(they differ only in invisible characters)")


def test_names_that_look_alike_are_said_to_differ() -> None:
    step = Update(Segment(id=1, name="VI\u200bP"), SegmentPatch(name="VIP"))
    assert setting_lines(step, ()) == ["Name: was «VIP» → will be «VIP» (they differ only in invisible characters)"]


def test_before_and_after_have_words_between_them_that_keep_their_order() -> None:
    step = Update(Segment(id=1, name="אבג"), SegmentPatch(name="דהו"))
    assert setting_lines(step, ()) == ["Name: was «אבג» → will be «דהו»"]


def test_a_creation_is_told_with_what_it_sets() -> None:
    draft = SegmentDraft(name="Гости", color="10599d", custom_fields_values=[PATCHES["select"][0]])
    assert on_one_line(Create(draft), FIELDS) == ("Create segment «Гости»: Colour: 10599d; Field «Помол»: «Для турки»")


@pytest.mark.parametrize(
    "change",
    [
        PendingChange((Delete(SEGMENT),)),
        PendingChange(
            (Update(SEGMENT, SegmentPatch(custom_fields_values=[PATCHES["select"][0]])),), FIELDS, plan_id="p1"
        ),
        PendingChange(
            (Create(SegmentDraft(name="А"), (1, 2)),), (), None, "c1", "delete_segment", 1.5, ("It is lost.",)
        ),
    ],
)
def test_a_pending_change_is_data_to_json_and_back(change: PendingChange) -> None:
    assert pending_from_record(pending_to_record(change)) == change


@pytest.mark.requirement("CONFIRM-12")
@given(st.text(max_size=300))
def test_a_name_of_any_characters_brings_no_line_and_no_invisible_character_into_a_question(name: str) -> None:
    question = question_of(PendingChange((Delete(Segment(id=1, name=name, color=name)),)))
    assert len(question.text.split("\n")) == 4
    assert not [char for char in question.text if char != "\n" and unicodedata.category(char)[0] in "C"]
