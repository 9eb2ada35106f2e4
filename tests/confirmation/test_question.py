"""Whatever the CRM holds, a question is plain lines of what can be seen."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.confirmation.question import Question, difference, renaming
from amo_mcp.text import quote, sanitize


@pytest.mark.requirement("CONFIRM-12")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("VIP", "«VIP»"),
        ("  много   места ", "«много места»"),
        ("two\nlines\r\nof\ttext", "«two lines of text»"),
        ("a\u2028b\u2029c\u00a0d", "«a b c d»"),
        ("\u202egnihton\u202c", "«gnihton»"),
        ("V\u200bI\u200dP\ufeff\u2066", "«VIP»"),
        ("VIP» and 3 empty ones; also «", "«VIP› and 3 empty ones; also ‹»"),
        ("z\u0301\u0302\u0303\u0304a", "«z\u0301\u0302a»"),
        ("\u0301x", "«x»"),
        ("\u3164\u2800\u115f", "(no visible name)"),
        ("\ufe0f\U000e0101\U000e0041", "(no visible name)"),
        ("", "(no visible name)"),
        ("a\x00b\x1b[31mc", "«ab[31mc»"),
        ("\ud800x", "«x»"),
        ("л" * 5000, "«" + "л" * 79 + "…»"),
    ],
)
def test_a_name_is_quoted_without_what_cannot_be_seen(name: str, shown: str) -> None:
    assert quote(name) == shown


@pytest.mark.requirement("CONFIRM-12")
@given(st.text(max_size=300))
def test_no_name_brings_a_line_a_control_or_an_end_of_its_quotes(name: str) -> None:
    shown = quote(name)
    assert len(shown) <= 82
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for char in shown)
    if shown != "(no visible name)":
        assert (shown[0], shown[-1], shown.count("«"), shown.count("»")) == ("«", "»", 1, 1)


@given(st.lists(st.text(max_size=60), max_size=5))
def test_a_question_has_as_many_lines_as_it_was_given(lines: list[str]) -> None:
    question = Question("Delete segment", *lines)
    assert len(question.text.split("\n")) == 1 + len([line for line in lines if line])


def test_a_line_of_a_question_is_cleaned_whatever_it_is_made_of() -> None:
    question = Question("Delete\nit", "colour 10599d.\nCustomers in it: 0.\u202e")
    assert question.text == "Delete it?\ncolour 10599d. Customers in it: 0."


def test_before_and_after_have_words_between_them_that_keep_their_order() -> None:
    assert difference("Position", "3", "") == "Position: was 3 → will be empty"
    assert renaming("Name", "אבג", "דהו") == "Name: was «אבג» → will be «דהו»"


def test_names_that_look_alike_are_said_to_differ() -> None:
    assert renaming("Name", "VIP", "VI\u200bP") == (
        "Name: was «VIP» → will be «VIP» (they differ in what is not shown here)"
    )
    assert renaming("Name", "VIP", "VIP") == "Name: was «VIP» → will be «VIP»"


def test_text_is_cut_to_what_is_asked_for() -> None:
    assert sanitize("abcdef", 4) == "abc…"
