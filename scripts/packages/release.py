"""What a tag releases: `python -m scripts.packages.release TAG REPOSITORY FOLDER`, with the wheel in the folder.

Refuses what is not ready; else adds the bundle, and the `server.json` that names it, to the folder.
"""

import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from scripts.packages import bundle
from scripts.packages.facts import NAME, OWNER, PLACEHOLDER, REPOSITORY, ROOT, VERSION
from scripts.packages.files import server_json


def problems(tag: str, repository: str) -> list[str]:
    """Why `tag` of `repository` (`owner/name`) cannot be released."""
    wrong = []
    if OWNER == PLACEHOLDER:
        wrong.append(f"project.urls in pyproject.toml still has the placeholder {PLACEHOLDER}")
    elif f"https://github.com/{repository}" != REPOSITORY:
        wrong.append(f"project.urls in pyproject.toml names {REPOSITORY}, and this is {repository}")
    if tag != f"v{VERSION}":
        wrong.append(f"the tag is {tag}, and the version of the package {VERSION}")
    dated = rf"^## {re.escape(VERSION)} \(\d{{4}}-\d\d-\d\d\)$"
    if not re.search(dated, (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        wrong.append(f"CHANGELOG.md has no section for {VERSION} with a date")
    return wrong


def package(file: Path, tag: str) -> dict[str, Any]:
    """The bundle as a package of `server.json`."""
    return {
        "registryType": "mcpb",
        "identifier": f"{REPOSITORY}/releases/download/{tag}/{file.name}",
        "version": VERSION,
        "fileSha256": sha256(file.read_bytes()).hexdigest(),
        "transport": {"type": "stdio"},
    }


def main(tag: str, repository: str, folder: Path) -> None:
    """Check, and write.

    Raises:
        SystemExit: it is not ready; nothing was written.
    """
    if wrong := problems(tag, repository):
        raise SystemExit("\n".join([f"{NAME} is not ready to be released:", *(f"  {problem}" for problem in wrong)]))
    [wheel] = folder.glob("*.whl")
    file = bundle.build(wheel, folder)
    (folder / "server.json").write_text(
        json.dumps(server_json(package(file, tag)), ensure_ascii=False, indent=2), "utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
