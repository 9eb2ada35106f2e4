"""Brings the texts of the code into the catalogues: `make messages`.

A new text comes without a translation, and a test fails until every language has one.
"""

from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from hatch_build import CATALOGUES, compile_catalogues

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "amo_mcp"

_METHODS = [("**.py", "python"), ("**.html", "jinja2")]
_KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "texts": None,
    "message": None,
    "plural": (1, 2),
    "counted_message": (1, 2),
}


def extracted() -> Catalog:
    """Every text of the package that is translated."""
    catalog = Catalog()
    for file, _, text, comments, context in extract_from_dir(PACKAGE, _METHODS, keywords=_KEYWORDS):
        catalog.add(text, None, [(f"amo_mcp/{file}", 0)], auto_comments=comments, context=context)
    return catalog


def updated(file: Path) -> Catalog:
    """The catalogue of a file with exactly the texts of the code."""
    with file.open("rb") as source:
        catalog = read_po(source, locale=file.stem)
    catalog.update(extracted(), no_fuzzy_matching=True, update_header_comment=False, update_creation_date=False)
    catalog.obsolete.clear()
    return catalog


def is_translated(item: Message) -> bool:
    """Whether a text has a translation, in every plural form."""
    given = item.string
    return all(given) if isinstance(given, tuple | list) else bool(given)


def main() -> None:
    """Update and compile all catalogues."""
    for file in sorted((ROOT / CATALOGUES).glob("*.po")):
        catalog = updated(file)
        with file.open("wb") as target:
            write_po(target, catalog, width=120, sort_by_file=True, include_lineno=False)
        missing = [item for item in catalog if item.id and not is_translated(item)]
        print(f"{file.name}: {len(catalog)} texts, {len(missing)} without a translation")
    compile_catalogues(ROOT)


if __name__ == "__main__":
    main()
