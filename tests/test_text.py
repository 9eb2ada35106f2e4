"""A code of the CRM is bare in a sentence only when it cannot be read as one."""

import pytest

from amo_mcp.text import quote_unless_code


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
