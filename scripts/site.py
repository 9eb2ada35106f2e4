"""Lays the site's pages out in `build/docs` (`make docs`): every Markdown page and picture, at its place.

So a link between pages is the same for the site and for a reader of the repository. A link to another file leads
to the repository on the site, and the file that an excerpt names becomes its title.
"""

import re
import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "docs"

_EXCERPT = re.compile(r"(?m)^```(\w+) (\S+)$")
_LINK = re.compile(r"(?<=\]\()(?!https?:)([^)#\s]+)")


def pages() -> list[Path]:
    """The pages, relative to the repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def pictures() -> list[Path]:
    """The pictures of the pages, relative to the repository."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.png"))


def laid_out(page: Path, repository: str) -> str:
    """The text of a page for the site."""
    known = {*pages(), *pictures()}

    def link(match: re.Match[str]) -> str:
        target = (ROOT / page.parent / match[0]).resolve()
        if not target.exists() or target.relative_to(ROOT) in known:
            return match[0]
        return f"{repository}/blob/main/{target.relative_to(ROOT)}"

    return _EXCERPT.sub(r'```\1 title="\2"', _LINK.sub(link, (ROOT / page).read_text("utf-8")))


def main() -> None:
    """Lay all of them out anew."""
    repository = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
    shutil.rmtree(PAGES, ignore_errors=True)
    for page in pages():
        (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / page).write_text(laid_out(page, repository), "utf-8")
    for picture in pictures():
        (PAGES / picture).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / picture, PAGES / picture)


if __name__ == "__main__":
    main()
