"""Compiles the catalogues of `amo_mcp/language`, so that every installation, editable or not, has them."""

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CATALOGUES = Path("amo_mcp", "language")


def compile_catalogues(root: Path) -> None:
    """Write an `.mo` file beside each `.po` file."""
    for source in (root / CATALOGUES).glob("*.po"):
        with source.open("rb") as read, source.with_suffix(".mo").open("wb") as written:
            write_mo(written, read_po(read, locale=source.stem))


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs before a wheel is built, and before the tree is installed to be edited."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add what was compiled to the wheel."""
        compile_catalogues(Path(self.root))
        build_data["artifacts"].append(f"/{CATALOGUES.as_posix()}/*.mo")


if __name__ == "__main__":
    compile_catalogues(Path(__file__).parent)
