"""Whatever the CRM holds, a question is plain lines of visible characters, and one change is worded one way."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusPatch
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.amocrm.zones import zone_of
from amo_mcp.changes.field_values import DOCUMENTED_TYPES
from amo_mcp.changes.pending import PendingChange, pending_from_record, pending_to_record
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Create, Delete, Step, Update
from amo_mcp.confirmation.diff import Setting, Value, on_one_line, settings_of
from amo_mcp.confirmation.question import Question, question_of
from amo_mcp.language import LANGUAGES, Language, message

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
            field(6, {"value": 1_634_590_800}),
            field(7, {"value": 1_634_637_600}),
            field(8, {"value": "https://example.com"}),
            field(9, {"value": "Много\nстрок"}),
            field(11, {"value": "Тверская, 1"}),
        ],
    }
)
MOSCOW = zone_of("Europe/Moscow", "+03:00")
READERS = {language: Reader("Зерно", language, MOSCOW) for language in LANGUAGES}
ENGLISH = READERS["en"]

PATCHES = {
    "text": field(1, {"value": "Новая"}),
    "numeric": field(2, {"value": "20"}),
    "checkbox": field(3, {"value": True}),
    "select": field(4, {"enum_id": 42}),
    "multiselect": field(5, {"enum_id": 51}, {"enum_id": 52}),
    "date": field(6, {"value": 1_637_528_400}),
    "date_time": field(7, {"value": 1_637_573_400}),
    "url": field(8, {"value": "https://example.org"}),
    "textarea": field(9, {"value": "Одна"}),
    "radiobutton": field(10, {"enum_id": 101}),
    "streetaddress": field(11) | {"values": None},
}
WORDED: dict[Language, dict[str, str]] = {
    "en": {
        "text": "Field «Заметка»: was «Старая» → will be «Новая»",
        "numeric": "Field «Скидка, %»: was «15» → will be «20»",
        "checkbox": "Field «Опт»: was «no» → will be «yes»",
        "select": "Field «Помол»: was «В зёрнах» → will be «Для турки»",
        "multiselect": "Field «Каналы»: was «Почта» → will be «Почта», «Телефон»",
        "date": "Field «Начало акции»: was «2021-10-19» → will be «2021-11-22»",
        "date_time": "Field «Созвон»: was «2021-10-19 13:00 (UTC+03:00)» → will be «2021-11-22 12:30 (UTC+03:00)»",
        "url": "Field «Сайт»: was «https://example.com» → will be «https://example.org»",
        "textarea": "Field «Описание»: was «Много строк» → will be «Одна»",
        "radiobutton": "Field «Пол»: was empty → will be «Ж»",
        "streetaddress": "Field «Адрес»: was «Тверская, 1» → will be empty",
    },
    "ru": {
        "text": "Поле «Заметка»: было «Старая» → станет «Новая»",
        "numeric": "Поле «Скидка, %»: было «15» → станет «20»",
        "checkbox": "Поле «Опт»: было «нет» → станет «да»",
        "select": "Поле «Помол»: было «В зёрнах» → станет «Для турки»",
        "multiselect": "Поле «Каналы»: было «Почта» → станет «Почта», «Телефон»",
        "date": "Поле «Начало акции»: было «2021-10-19» → станет «2021-11-22»",
        "date_time": "Поле «Созвон»: было «2021-10-19 13:00 (UTC+03:00)» → станет «2021-11-22 12:30 (UTC+03:00)»",
        "url": "Поле «Сайт»: было «https://example.com» → станет «https://example.org»",
        "textarea": "Поле «Описание»: было «Много строк» → станет «Одна»",
        "radiobutton": "Поле «Пол»: было пусто → станет «Ж»",
        "streetaddress": "Поле «Адрес»: было «Тверская, 1» → станет пусто",
    },
    "es": {
        "text": "Campo «Заметка»: antes «Старая» → después «Новая»",
        "numeric": "Campo «Скидка, %»: antes «15» → después «20»",
        "checkbox": "Campo «Опт»: antes «no» → después «sí»",
        "select": "Campo «Помол»: antes «В зёрнах» → después «Для турки»",
        "multiselect": "Campo «Каналы»: antes «Почта» → después «Почта», «Телефон»",
        "date": "Campo «Начало акции»: antes «2021-10-19» → después «2021-11-22»",
        "date_time": "Campo «Созвон»: antes «2021-10-19 13:00 (UTC+03:00)» → después «2021-11-22 12:30 (UTC+03:00)»",
        "url": "Campo «Сайт»: antes «https://example.com» → después «https://example.org»",
        "textarea": "Campo «Описание»: antes «Много строк» → después «Одна»",
        "radiobutton": "Campo «Пол»: antes vacío → después «Ж»",
        "streetaddress": "Campo «Адрес»: antes «Тверская, 1» → después vacío",
    },
    "pt": {
        "text": "Campo «Заметка»: antes «Старая» → depois «Новая»",
        "numeric": "Campo «Скидка, %»: antes «15» → depois «20»",
        "checkbox": "Campo «Опт»: antes «não» → depois «sim»",
        "select": "Campo «Помол»: antes «В зёрнах» → depois «Для турки»",
        "multiselect": "Campo «Каналы»: antes «Почта» → depois «Почта», «Телефон»",
        "date": "Campo «Начало акции»: antes «2021-10-19» → depois «2021-11-22»",
        "date_time": "Campo «Созвон»: antes «2021-10-19 13:00 (UTC+03:00)» → depois «2021-11-22 12:30 (UTC+03:00)»",
        "url": "Campo «Сайт»: antes «https://example.com» → depois «https://example.org»",
        "textarea": "Campo «Описание»: antes «Много строк» → depois «Одна»",
        "radiobutton": "Campo «Пол»: antes vazio → depois «Ж»",
        "streetaddress": "Campo «Адрес»: antes «Тверская, 1» → depois vazio",
    },
}


def lines(step: Step, fields: tuple[CustomField, ...] = FIELDS, reader: Reader = ENGLISH) -> list[str]:
    return [setting.line for setting in settings_of(step, fields, reader)]


def three_questions(step: Step, reader: Reader) -> list[tuple[Setting, ...]]:
    """What the person is asked about a step alone, in a plan and in an undo: what it sets."""
    steps = (step,)
    alone = question_of(PendingChange(steps, FIELDS), reader)
    taken_back = PendingChange(steps, FIELDS, undoes="c1", undone_at=1_800_000_000.0)
    several = [question_of(change, reader) for change in (PendingChange(steps, FIELDS, plan_id="p1"), taken_back)]
    for question in several:
        assert [f"– {setting.line}" for setting in alone.settings] == [
            line for line in question.text.splitlines() if line.startswith("– ")
        ]
    return [alone.settings, *(question.steps[0].settings for question in several)]


@pytest.mark.requirement("CONFIRM-2")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", PATCHES)
def test_every_type_of_field_is_worded_alike_alone_in_a_plan_and_in_an_undo(kind: str, language: Language) -> None:
    reader, line = READERS[language], WORDED[language][kind]
    step = Update(SEGMENT, SegmentPatch(custom_fields_values=[PATCHES[kind]]))
    asked = three_questions(step, reader)
    assert [[setting.line for setting in settings] for settings in asked] == [[line]] * 3
    assert asked[0] == asked[1] == asked[2]
    assert on_one_line(step, FIELDS, reader).endswith(f"«VIP» (id 51): {line}")


def test_every_documented_type_of_field_is_in_the_table() -> None:
    assert set(PATCHES) == DOCUMENTED_TYPES


@pytest.mark.requirement("CONFIRM-2")
@pytest.mark.parametrize(
    ("language", "worded"),
    [
        ("en", ["Name: was «VIP» → will be «Лучшие»", "Colour: was 6610f2 → will be ae003f"]),
        ("ru", ["Название: было «VIP» → станет «Лучшие»", "Цвет: было 6610f2 → станет ae003f"]),
        ("es", ["Nombre: antes «VIP» → después «Лучшие»", "Color: antes 6610f2 → después ae003f"]),
        ("pt", ["Nome: antes «VIP» → depois «Лучшие»", "Cor: antes 6610f2 → depois ae003f"]),
    ],
)
def test_names_and_colours_are_worded_alike_alone_in_a_plan_and_in_an_undo(
    language: Language, worded: list[str]
) -> None:
    asked = three_questions(Update(SEGMENT, SegmentPatch(name="Лучшие", color="ae003f")), READERS[language])
    assert [[setting.line for setting in settings] for settings in asked] == [worded] * 3


def test_prices_and_positions_are_worded_and_a_colour_can_be_painted() -> None:
    prices = Update(SEGMENT, SegmentPatch(available_products_price_types=[]))
    assert lines(prices) == ["Price fields: was 288891 → will be empty"]
    status = Update(Status(id=5, name="Тёплые", sort=3, color="#fffeb2"), StatusPatch(sort=0, color="#fff000"))
    position, color = settings_of(status, (), ENGLISH)
    assert position == Setting("Position", Value("3"), Value("0"), "", "Position: was 3 → will be 0")
    assert (color.before, color.after) == (Value("#fffeb2", "#fffeb2"), Value("#fff000", "#fff000"))


def test_a_colour_that_is_none_is_not_painted() -> None:
    odd = Segment(id=1, name="А", color="red;background:url(x)")
    [color] = settings_of(Update(odd, SegmentPatch(color="ae003f")), (), ENGLISH)
    assert (color.before, color.after) == (Value("«red;background:url(x)»"), Value("ae003f", "#ae003f"))


def test_a_field_whose_definition_is_gone_is_named_by_what_the_segment_says_of_it() -> None:
    value = {"field_id": 77, "field_name": "Старое поле", "field_type": "text", "values": [{"value": "а"}]}
    segment = Segment.model_validate({"id": 1, "name": "А", "custom_fields_values": [value]})
    patches = [field(77, {"value": "б"}), field(78, {"enum_id": 9})]
    assert lines(Update(segment, SegmentPatch(custom_fields_values=patches)), ()) == [
        "Field «Старое поле»: was «а» → will be «б»",
        "Field 78: was empty → will be «choice 9»",
    ]


def test_what_differs_at_the_end_of_two_long_texts_is_shown() -> None:
    same = "одно и то же " * 40
    step = Update(SEGMENT, SegmentPatch(custom_fields_values=[field(1, {"value": same + "новый конец"})]))
    before = SEGMENT.model_copy(update={"custom_fields_values": [field(1, {"value": same + "старый конец"})]})
    [line] = lines(Update(before, step.patch))
    assert "старый конец" in line.partition(" → ")[0]
    assert "новый конец" in line.partition(" → ")[2]
    assert "(characters 501 to 532 of 532)" in line.partition(" → ")[0]
    assert "(characters 501 to 531 of 531)" in line.partition(" → ")[2]


def test_what_differs_in_two_long_lists_is_shown_and_the_rest_is_counted() -> None:
    before = SEGMENT.model_copy(update={"available_products_price_types": [1, 2, 3, 4, 5, 6]})
    [line] = lines(Update(before, SegmentPatch(available_products_price_types=[1, 2, 3, 4, 5, 7])), ())
    assert line == "Price fields: was 6, 5 unchanged → will be 7, 5 unchanged"
    [line] = lines(Update(before, SegmentPatch(available_products_price_types=[6, 5, 4, 3, 2, 1])), ())
    assert line == "Price fields: the same 6 in another order or number"
    [line] = lines(Update(before, SegmentPatch(available_products_price_types=list(range(11, 18)))), ())
    assert line == "Price fields: was 1, 2, 3, 4, 5, 1 more → will be 11, 12, 13, 14, 15, 2 more"


def test_choices_that_differ_further_on_than_is_shown_are_said_to_differ() -> None:
    long = "Очень длинный вариант " * 10
    choices = [{"id": number, "value": f"{long}{number}"} for number in (1, 2, 3)]
    definition = CustomField.model_validate({"id": 5, "name": "Каналы", "type": "multiselect", "enums": choices})
    before = SEGMENT.model_copy(update={"custom_fields_values": [field(5, {"enum_id": 1}, {"enum_id": 2})]})
    patch = SegmentPatch(custom_fields_values=[field(5, {"enum_id": 1}, {"enum_id": 3})])
    [line] = lines(Update(before, patch), (definition,))
    assert line.endswith("(they differ in what is not shown here)")


@given(st.text(max_size=400), st.text(max_size=400))
def test_two_texts_that_differ_never_look_the_same(before: str, after: str) -> None:
    segment = Segment.model_validate({"id": 1, "name": "А", "custom_fields_values": [field(1, {"value": before})]})
    patch = SegmentPatch(custom_fields_values=[field(1, {"value": after})])
    [line] = lines(Update(segment, patch))
    was, _, will = line.partition(": was ")[2].partition(" → will be ")
    assert before == after or was != will or will.endswith("(they differ only in spaces or invisible characters)")


def test_names_that_look_alike_are_said_to_differ() -> None:
    step = Update(Segment(id=1, name="VI\u200bP"), SegmentPatch(name="VIP"))
    assert lines(step, ()) == ["Name: was «VIP» → will be «VIP» (they differ only in spaces or invisible characters)"]


@pytest.mark.requirement("CONFIRM-2")
@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        ("VIP", "VIР", "they look alike, and differ first in P (U+0050) and Р (U+0420)"),
        ("Йога", "И\u0306ога", "they look alike, and differ first in Й (U+0419) and И (U+0418)"),
        ("«VIP»", "‹VIP›", "they look alike, and differ first in « (U+00AB) and ‹ (U+2039)"),
        ("A  B", "A B", "they differ only in spaces or invisible characters"),
    ],
)
def test_texts_that_look_alike_are_said_to_differ_and_where(before: str, after: str, note: str) -> None:
    [line] = lines(Update(Segment(id=1, name=before), SegmentPatch(name=after)), ())
    assert line.endswith(f"({note})")


def test_the_end_of_a_very_long_text_is_compared_too() -> None:
    same = "слово " * 30_000
    before = SEGMENT.model_copy(update={"custom_fields_values": [field(1, {"value": same + "скидка 10 %"})]})
    patch = SegmentPatch(custom_fields_values=[field(1, {"value": same + "скидка 90 %"})])
    [line] = lines(Update(before, patch))
    assert "скидка 10 %" in line.partition(" → ")[0]
    assert "скидка 90 %" in line.partition(" → ")[2]


def test_choices_of_one_text_and_fields_of_one_name_are_told_apart_by_id() -> None:
    choices = [{"id": 41, "value": "Зерно"}, {"id": 42, "value": "Зерно"}, {"id": 43, "value": "Молотый"}]
    select = CustomField.model_validate({"id": 4, "name": "Помол", "type": "select", "enums": choices})
    other = CustomField(id=5, name="Помол", type="text")
    before = SEGMENT.model_copy(update={"custom_fields_values": [field(4, {"enum_id": 41})]})
    patch = SegmentPatch(custom_fields_values=[field(4, {"enum_id": 42}), field(5, {"value": "а"})])
    assert lines(Update(before, patch), (select, other)) == [
        "Field «Помол» (id 4): was «Зерно (41)» → will be «Зерно (42)»",
        "Field «Помол» (id 5): was empty → will be «а»",
    ]


def test_many_choices_that_differ_further_on_than_is_shown_are_said_to_differ() -> None:
    long = "Очень длинный вариант " * 10
    choices = [{"id": number, "value": f"{long}{number}"} for number in range(1, 9)]
    definition = CustomField.model_validate({"id": 5, "name": "Каналы", "type": "multiselect", "enums": choices})
    kept = [{"enum_id": number} for number in range(1, 7)]
    before = SEGMENT.model_copy(update={"custom_fields_values": [field(5, *kept, {"enum_id": 7})]})
    patch = SegmentPatch(custom_fields_values=[field(5, *kept, {"enum_id": 8})])
    [line] = lines(Update(before, patch), (definition,))
    assert line.endswith("(they differ in what is not shown here)")


def test_an_unknown_number_of_customers_is_never_told_as_none() -> None:
    unknown = Delete(Segment(id=52, name="Гости", customers_count=None))
    question = question_of(PendingChange((VIP, unknown), plan_id="p1"), ENGLISH)
    assert question.losses[1] == "Of some of these segments the number of customers is unknown."
    assert question.steps[1].headline == "Delete segment «Гости» (id 52), number of customers unknown"


def test_before_and_after_have_words_between_them_that_keep_their_order() -> None:
    step = Update(Segment(id=1, name="אבג"), SegmentPatch(name="דהו"))
    assert lines(step, ()) == ["Name: was «אבג» → will be «דהו»"]


def test_a_creation_is_told_with_what_it_sets() -> None:
    draft = SegmentDraft(name="Гости", color="10599d", custom_fields_values=[PATCHES["select"]])
    assert on_one_line(Create(draft), FIELDS, ENGLISH) == (
        "Create segment «Гости»: Colour: 10599d; Field «Помол»: «Для турки»"
    )


@pytest.mark.parametrize(
    "change",
    [
        PendingChange((Delete(SEGMENT),)),
        PendingChange((Update(SEGMENT, SegmentPatch(custom_fields_values=[PATCHES["select"]])),), FIELDS, plan_id="p1"),
        PendingChange((Create(SegmentDraft(name="А"), (1, 2)),), (), None, "c1", 1.5, (message("It is lost."),)),
    ],
)
def test_a_pending_change_is_data_to_json_and_back(change: PendingChange) -> None:
    assert pending_from_record(pending_to_record(change)) == change


VIP = Delete(SEGMENT)
WARM = Delete(Status(id=7, name="Тёплые", sort=2, color="#fff000", conditions=[["x"]]))


@pytest.mark.requirement("CONFIRM-1", "CONFIRM-2")
def test_a_deletion_says_first_what_is_lost_and_what_stops() -> None:
    assert question_of(PendingChange((VIP,)), ENGLISH) == Question(
        title="Delete segment «VIP»",
        asked="Delete segment «VIP»?",
        verb="Delete",
        refusal="Do not delete",
        losses=(
            "Customers in the segment: 48. They stay in the account, without this segment.",
            "Who they are will not be known: the account has too many customers.",
            "The members and conditions of the segment cannot be restored.",
            "Triggers, mailings, filters and integrations that use the id 51 stop working. "
            "What an undo brings back has another id.",
        ),
        facts=("Segment id 51, customers: 48, filled fields: 10.", "Account: «Зерно»."),
        settings=(Setting("Colour", None, Value("6610f2", "#6610f2"), "", "Colour: 6610f2"),),
    )
    assert question_of(PendingChange((WARM,)), ENGLISH) == Question(
        title="Delete status «Тёплые»",
        asked="Delete status «Тёплые»?",
        verb="Delete",
        refusal="Do not delete",
        losses=(
            "The customers of the status will be moved to other statuses by their conditions, within some time; "
            "how many is not known.",
            "Who they are will not be known: the account has too many customers.",
            "The conditions of the status cannot be set again through the API.",
            "Triggers, mailings, filters and integrations that use the id 7 stop working. "
            "What an undo brings back has another id.",
        ),
        facts=("Status id 7, position 2.", "Account: «Зерно»."),
        settings=(Setting("Colour", None, Value("#fff000", "#fff000"), "", "Colour: #fff000"),),
    )


@pytest.mark.parametrize("undo", [False, True], ids=["plan", "undo"])
def test_deletions_in_a_plan_and_in_an_undo_say_what_is_lost(undo: bool) -> None:
    steps = (VIP, WARM, Create(SegmentDraft(name="Новый")))
    change = PendingChange(steps, undoes="c1", undone_at=0.0) if undo else PendingChange(steps, plan_id="p1")
    question = question_of(change, ENGLISH)
    assert question.losses == (
        "Customers of the deleted segments: 48. Their members and conditions cannot be restored.",
        "The customers of the deleted statuses will be moved to other statuses by their conditions; "
        "how many is not known.",
        "The conditions of the deleted statuses cannot be set again through the API.",
        "Triggers, mailings, filters and integrations that use the ids of what is deleted stop working. "
        "What an undo brings back has another id.",
    )
    assert [step.headline for step in question.steps] == [
        "Delete segment «VIP» (id 51), 48 customers",
        "Delete status «Тёплые» (id 7)",
        "Create segment «Новый»",
    ]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "ru",
            """\
Удалить сегмент «VIP»?
Покупателей в сегменте: 48. Они останутся в аккаунте, но уже без этого сегмента.
Кто они, известно не будет: в аккаунте слишком много покупателей.
Состав сегмента и его условия восстановить нельзя.
Триггеры, рассылки, фильтры и интеграции, в которых указан id 51, перестанут работать. \
После отмены удаления id будет другим.
Сегмент: id 51, покупателей: 48, заполненных полей: 10.
Аккаунт: «Зерно».
Цвет: 6610f2""",
        ),
        (
            "es",
            """\
¿Eliminar el segmento «VIP»?
Clientes en el segmento: 48. Permanecen en la cuenta, sin este segmento.
No se sabrá quiénes son: la cuenta tiene demasiados clientes.
Los miembros y las condiciones del segmento no se pueden recuperar.
Los disparadores, envíos masivos, filtros e integraciones que usan el id 51 dejarán de funcionar. \
Lo que luego se recupere tendrá otro id.
Segmento: id 51, clientes: 48, campos completados: 10.
Cuenta: «Зерно».
Color: 6610f2""",
        ),
        (
            "pt",
            """\
Excluir o segmento «VIP»?
Clientes no segmento: 48. Eles continuam na conta, sem este segmento.
Não se saberá quem são: a conta tem clientes demais.
Os membros e as condições do segmento não podem ser restaurados.
Gatilhos, envios em massa, filtros e integrações que usam o id 51 deixam de funcionar. \
O que for restaurado depois terá outro id.
Segmento: id 51, clientes: 48, campos preenchidos: 10.
Conta: «Зерно».
Cor: 6610f2""",
        ),
    ],
)
def test_a_whole_question_is_in_the_language_of_the_person(language: Language, text: str) -> None:
    assert question_of(PendingChange((VIP,)), READERS[language]).text == text


@pytest.mark.requirement("LANGUAGE-3")
@pytest.mark.parametrize(
    ("language", "titles", "deletions"),
    [
        (
            "en",
            [f"Apply a plan of {n} change{'s' * (n > 1)}" for n in (1, 2, 5, 21)],
            ["1 customer", "2 customers", "5 customers", "21 customers"],
        ),
        (
            "ru",
            [f"Применить план: {changes}" for changes in ("1 изменение", "2 изменения", "5 изменений", "21 изменение")],
            ["1 покупатель", "2 покупателя", "5 покупателей", "21 покупатель"],
        ),
        (
            "es",
            [f"Aplicar un plan de {n} cambio{'s' * (n > 1)}" for n in (1, 2, 5, 21)],
            ["1 cliente", "2 clientes", "5 clientes", "21 clientes"],
        ),
        (
            "pt",
            [f"Aplicar um plano de {n} alteraç{'ões' if n > 1 else 'ão'}" for n in (1, 2, 5, 21)],
            ["1 cliente", "2 clientes", "5 clientes", "21 clientes"],
        ),
    ],
)
def test_what_is_counted_has_the_right_plural(language: Language, titles: list[str], deletions: list[str]) -> None:
    counted = {
        count: question_of(
            PendingChange((Delete(SEGMENT.model_copy(update={"customers_count": count})),) * count, plan_id="p1"),
            READERS[language],
        )
        for count in (1, 2, 5, 21)
    }
    assert [question.title for question in counted.values()] == titles
    assert [question.steps[0].headline.rpartition(", ")[2] for question in counted.values()] == deletions


def test_days_of_an_account_that_tells_no_zone_are_said_to_be_in_utc() -> None:
    step = Update(SEGMENT, SegmentPatch(custom_fields_values=[PATCHES["date"]]))
    told = "The account's time zone is not known: days and times are in UTC."
    assert told in question_of(PendingChange((step,), FIELDS), Reader()).facts
    assert told not in question_of(PendingChange((step,), FIELDS), ENGLISH).facts
    assert told not in question_of(PendingChange((step,), FIELDS[:1]), Reader()).facts


def test_no_setting_is_left_out_and_none_hides_what_it_becomes() -> None:
    """Twenty long fields and lists: a line each, with both sides."""
    fields = tuple(CustomField(id=n, name=f"{n} {'имя ' * 30}", type="text") for n in range(1, 21))
    old, new = ([field(n, {"value": f"{'x' * 300}{side}{'y' * 300}"}) for n in range(1, 21)] for side in "аб")
    before = SEGMENT.model_copy(update={"custom_fields_values": old})
    shown = lines(Update(before, SegmentPatch(custom_fields_values=new)), fields)
    assert len(shown) == 20
    for line in shown:
        was, _, will = line.partition(" → will be ")
        assert f"{'x' * 20}а{'y' * 20}" in was
        assert f"{'x' * 20}б{'y' * 20}" in will


def test_of_a_difference_that_is_too_long_both_ends_are_shown_and_the_rest_is_counted() -> None:
    before = SEGMENT.model_copy(update={"custom_fields_values": [field(1, {"value": "а" * 1000})]})
    [line] = lines(Update(before, SegmentPatch(custom_fields_values=[field(1, {"value": "б" * 1000})])))
    assert line == (
        f"Field «Заметка»: was «{'а' * 100}» … 800 characters … «{'а' * 100}» → "
        f"will be «{'б' * 100}» … 800 characters … «{'б' * 100}»"
    )


@pytest.mark.requirement("CONFIRM-12")
@pytest.mark.parametrize("language", LANGUAGES)
@given(name=st.text(max_size=300))
def test_a_name_of_any_characters_brings_no_line_and_no_invisible_character_into_a_question(
    language: Language, name: str
) -> None:
    change = PendingChange((Delete(Segment(id=1, name=name, color=name)),))
    question = question_of(change, Reader(name or "-", language))
    assert len(question.text.split("\n")) == 8
    assert not [char for char in question.text if char != "\n" and unicodedata.category(char)[0] in "C"]


@pytest.mark.requirement("CONFIRM-2")
def test_of_an_empty_segment_no_customers_are_told_as_lost() -> None:
    empty = Segment(id=66, name="Новички", color="6610f2", customers_count=0)
    stops = (
        "Triggers, mailings, filters and integrations that use the {} stop working. "
        "What an undo brings back has another id."
    )
    alone = question_of(PendingChange((Delete(empty),)), ENGLISH)
    assert alone.losses == ("The conditions of the segment cannot be restored.", stops.format("id 66"))
    assert alone.facts[0] == "Segment id 66, customers: 0, filled fields: 0."
    several = question_of(PendingChange((Delete(empty), Create(SegmentDraft(name="А"))), plan_id="p1"), ENGLISH)
    assert several.losses == (
        "The conditions of the deleted segments cannot be restored.",
        stops.format("ids of what is deleted"),
    )


@pytest.mark.requirement("CONFIRM-2")
@pytest.mark.parametrize("kind", [kind for kind in PATCHES if kind not in ("radiobutton", "streetaddress")])
def test_a_field_that_gets_the_value_that_it_has_is_no_change(kind: str) -> None:
    sent = PATCHES[kind]
    before = SEGMENT.model_copy(update={"custom_fields_values": [sent]})
    patch = SegmentPatch(
        name="VIP", color="ae003f", available_products_price_types=[288891], custom_fields_values=[sent]
    )
    changed = [settings[0].line for settings in three_questions(Update(before, patch), ENGLISH)]
    assert changed == ["Colour: was 6610f2 → will be ae003f"] * 3
    assert [len(settings) for settings in three_questions(Update(before, patch), ENGLISH)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "Nothing changes: it has these values already"),
        ("ru", "Ничего не изменится: значения уже такие"),
        ("es", "Nada cambia: ya tiene estos valores"),
        ("pt", "Nada muda: os valores já são esses"),
    ],
)
def test_a_change_to_what_is_so_already_says_that_nothing_changes(language: Language, line: str) -> None:
    step = Update(Status(id=5, name="Тёплые", sort=3), StatusPatch(sort=3, name="Тёплые"))
    assert [[setting.line for setting in settings] for settings in three_questions(step, READERS[language])] == [
        [line]
    ] * 3
