"""The catalogues have every text of the code, whole, in every language, and what is installed was made of them."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from amo_mcp.language import LANGUAGES, SOURCE
from hatch_build import CATALOGUES
from scripts.messages import ROOT, extracted, is_translated

FILES = [ROOT / CATALOGUES / f"{language}.po" for language in LANGUAGES if language != SOURCE]
REMEDY = "run `make messages`, and translate what is new"


def catalogue(file: Path) -> Catalog:
    with file.open("rb") as source:
        return read_po(source, locale=file.stem)


def keys(catalog: Iterable[Message]) -> set[object]:
    return {item.id for item in catalog if item.id}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_catalogue_has_exactly_the_texts_of_the_code(file: Path) -> None:
    assert keys(catalogue(file)) == keys(extracted()), REMEDY


@pytest.mark.requirement("LANGUAGE-3")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_text_is_translated_in_every_plural_form_with_the_same_placeholders(file: Path) -> None:
    wrong = [item.id for item in catalogue(file) if item.id and not (is_translated(item) and _same_placeholders(item))]
    assert wrong == [], REMEDY


def _same_placeholders(item: Message) -> bool:
    sources = [item.id] if isinstance(item.id, str) else item.id
    translations = [item.string] if isinstance(item.string, str) else item.string or ()
    expected = set[str]().union(*map(placeholders, sources))
    return all(placeholders(str(translation)) == expected for translation in translations)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_installed_catalogue_is_made_of_the_source(file: Path) -> None:
    compiled = BytesIO()
    write_mo(compiled, catalogue(file))
    assert file.with_suffix(".mo").read_bytes() == compiled.getvalue(), "run `make .venv/catalogues`"
