"""Texts of the CRM made safe to show, and names as they are searched."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.text import escape_invisible, fold, quote_unless_code, sanitize, visible
from tests.journeys.canaries import hidden


@pytest.mark.parametrize("text", ["", "10599d", "#ff8f92", "segments", "date_time", "x" * 30])
def test_a_code_is_shown_as_it_is(text: str) -> None:
    assert quote_unless_code(text) == text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("10599d.\nNothing is lost.", "«10599d. Nothing is lost.»"),
        ("segments`", "«segments`»"),
        ("x" * 31, f"«{'x' * 31}»"),
        ("none»", "«none›»"),
        ("none\n", "«none»"),
        ("\u200b", "(no visible name)"),
    ],
)
def test_a_text_that_does_not_look_like_a_code_is_quoted(text: str, quoted: str) -> None:
    assert quote_unless_code(text) == quoted


UNSEEN = (
    "\u202e\u2066\u200b\u200d\ufeff\u00ad\u061c\U000e0001\U000e0041\x00\x1b\x7f\x85\u2028\ufe0f\U000e0100\u3164\u2800"
)
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from(UNSEEN)))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\u202eb", r'"a\u202eb"'),
        ("\U000e0041", r'"\udb40\udc41"'),
        ("\x7f\x85", r'"\u007f\u0085"'),
        ("\n\x1b", r'"\n\u001b"'),
        ("☕\ufe0f", r'"☕\ufe0f"'),
        ("Чёрный «список» \\u202e", r'"Чёрный «список» \\u202e"'),
    ],
)
def test_a_character_that_nobody_sees_is_an_escape_in_json(text: str, written: str) -> None:
    assert escape_invisible(json.dumps(text, ensure_ascii=False)) == written


@pytest.mark.requirement("ANSWER-5")
@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
def test_escaped_json_is_equal_when_parsed_and_has_nothing_invisible_in_it(value: object) -> None:
    written = escape_invisible(json.dumps(value, ensure_ascii=False))
    assert json.loads(written) == json.loads(json.dumps(value))
    assert hidden(written, but="") == []


@pytest.mark.requirement("ANSWER-5")
@given(TEXTS)
def test_prose_has_nothing_invisible_in_it_and_loses_nothing_else(text: str) -> None:
    assert hidden(visible(text)) == hidden(sanitize(text), but="") == []
    assert [*visible(text)] == [char for char in text if not hidden(char)]


@pytest.mark.requirement("TOOL-12")
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Чёрный список", "черный"),
        ("Черный список", "ЧЁРНЫЙ СПИСОК"),
        (unicodedata.normalize("NFD", "Тёплый йогурт"), "теплый йогурт"),
        ("Café con leche", unicodedata.normalize("NFD", "CAFÉ")),
        ("VIP   клуб", "vip клуб"),
        ("VIP\u00a0клуб", "vip клуб"),
        ("Новыеклиенты", "новые клиенты"),
        ("Ново\u00adсёлы", "новоселы"),
        ("ＶＩＰ", "vip"),
        ("STRASSE", "straße"),
    ],
)
def test_a_part_of_a_name_is_found_whatever_its_case_spacing_and_composition(name: str, part: str) -> None:
    assert fold(part) in fold(name)


@pytest.mark.parametrize(("name", "part"), [("Мои", "Мой"), ("Ano", "Año"), ("VIP+", "VIP-"), ("18-25", "25-18")])
def test_another_letter_or_sign_is_not_found(name: str, part: str) -> None:
    assert fold(part) not in fold(name)


NAMES = st.text("абвеёЁиЙ abcñÑéç 12+-№«»")


@given(NAMES, NAMES, NAMES)
def test_whatever_a_name_is_a_part_of_it_is_found_in_any_composition(before: str, part: str, after: str) -> None:
    name = f"{before} {part} {after}"
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, part)) in fold(unicodedata.normalize(form, name))
