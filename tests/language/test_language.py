"""Which language a person is spoken to in, and how texts get their values."""

import pytest

from amo_mcp.language import Message, counted_message, known_language, language_of_country, message, texts


@pytest.mark.parametrize(
    ("country", "language"),
    [
        *((country, "ru") for country in ("RU", "BY", "KZ", "KG", "AM", "UZ", "ru")),
        *((country, "pt") for country in ("BR", "PT")),
        *((country, "es") for country in ("ES", "MX", "AR", "CO", "CL", "PE", "DO", "PR")),
        *((country, "en") for country in ("US", "GB", "DE", "UA", "AZ", "GQ", "", "??")),
    ],
)
def test_the_language_of_a_country(country: str, language: str) -> None:
    assert language_of_country(country) == language


@pytest.mark.parametrize(
    ("name", "language"),
    [
        *(("ru", "ru"), ("RU", "ru"), ("ru_RU.UTF-8", "ru"), ("pt_BR", "pt"), ("pt-PT", "pt"), ("es_419", "es")),
        *(("en_GB.UTF-8", "en"), ("rus", None), ("de", None), ("C", None), ("", None), ("C.UTF-8", None)),
    ],
)
def test_the_language_of_a_code(name: str, language: str | None) -> None:
    assert known_language(name) == language


def test_values_are_data_and_never_read_as_placeholders() -> None:
    name = "{count} {0} %s"
    english = texts("en")
    assert english("Delete {name}", name=name) == f"Delete {name}"
    assert english.plural("{count} thing in {name}", "{count} things in {name}", 2, name=name) == f"2 things in {name}"


def test_a_message_is_english_until_its_reader_is_known_and_survives_json() -> None:
    things = counted_message("{count} thing", "{count} things", 1)
    whole = message("{title} holds {things}", title=message("the box {name}", name="«A»"), things=things)
    assert str(whole) == "the box «A» holds 1 thing"
    assert Message.from_record(whole.to_record()) == whole
