"""Both READMEs say the same: each fact that needs no translation stands in both, in the same order."""

import re
from pathlib import Path

import pytest

from amo_mcp.settings import LoginSettings
from amo_mcp.tools.runtime.catalog import catalog

ROOT = Path(__file__).parent.parent
ENGLISH, RUSSIAN = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.ru.md"))

_DEMO = re.compile(r"<!-- demo -->.*<!-- /demo -->", re.DOTALL)
_COMMENT = re.compile(r"(?m)[ \t]+#.*$")


def facts(text: str, pattern: str) -> list[str]:
    """What a README says that no translation changes; the picture is told in its language."""
    return sorted(re.findall(pattern, _COMMENT.sub("", _DEMO.sub("", text)), re.MULTILINE))


def same_in_both(pattern: str) -> list[str]:
    english, russian = facts(ENGLISH, pattern), facts(RUSSIAN, pattern)
    assert english == [fact.replace("--language ru", "--language en") for fact in russian]
    assert english
    return english


@pytest.mark.requirement("DOC-2")
def test_both_readmes_show_the_same_commands() -> None:
    assert {"$ amo-mcp config cursor --sandbox", "make demo"} <= set(same_in_both(r"^\$ .*$|^make \w+"))


@pytest.mark.requirement("DOC-2")
def test_both_readmes_name_the_same_things_in_code() -> None:
    named = same_in_both(r"`[^`\n]+`")
    assert {f"`{tool}`" for tool in catalog()} <= set(named)


@pytest.mark.requirement("DOC-2")
def test_both_readmes_name_the_same_variables_and_each_exists() -> None:
    named = same_in_both(r"\bAMO_[A-Z_]+")
    assert set(named) <= {f"AMO_{name.upper()}" for name in LoginSettings.model_fields}


@pytest.mark.requirement("DOC-2")
def test_both_readmes_lead_to_the_same_places() -> None:
    links = same_in_both(r"\]\(((?!README)[^)]+)\)")
    assert "docs/kommo.md" in links
    assert "(README.ru.md)" in ENGLISH
    assert "(README.md)" in RUSSIAN


@pytest.mark.requirement("DOC-2")
def test_both_readmes_give_the_same_numbers() -> None:
    assert "37" in same_in_both(r"\d[\d.-]*\b")


@pytest.mark.requirement("DOC-2")
def test_both_readmes_have_the_same_parts() -> None:
    def parts(text: str) -> list[str]:
        return [line.partition(" ")[0] for line in text.splitlines() if re.match(r"#|- |\||```", line)]

    assert parts(_DEMO.sub("", ENGLISH)) == parts(_DEMO.sub("", RUSSIAN))
