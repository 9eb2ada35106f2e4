"""The `.mcpb` bundle for desktop clients: a zip with a manifest (0.4), the package, and what uv needs to start it."""

import json
import sys
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from amo_mcp.tools.runtime.catalog import catalog
from scripts.packages.facts import AUTHOR, NAME, PROJECT, REPOSITORY, ROOT, SUMMARY, TITLE, VERSION
from scripts.packages.files import asked_for, environment

FILE = f"{NAME}-{VERSION}.mcpb"
ICON = ROOT / "deploy" / "icon.png"
_ENTRY_POINT = "server.py"
_SERVER = '''\
"""Starts the server of this bundle."""

from amo_mcp.cli import main

if __name__ == "__main__":
    main()
'''
_LONG = """\
Typed tools for every documented endpoint of customer segments and statuses. Before anything is changed or deleted, a \
page in your browser shows what will happen and asks you. Many changes become one plan with one question; every change \
is kept in a journal on this machine and can be taken back."""


def manifest() -> dict[str, Any]:
    """The manifest. Its `mcp_config` says what a host for uv does by itself, for hosts that read nothing else."""
    args = ["run", "--directory", "${__dirname}", _ENTRY_POINT]
    return {
        "manifest_version": "0.4",
        "name": NAME,
        "display_name": TITLE,
        "version": VERSION,
        "description": SUMMARY,
        "long_description": _LONG,
        "author": {"name": AUTHOR},
        "repository": {"type": "git", "url": f"{REPOSITORY}.git"},
        "homepage": REPOSITORY,
        "support": f"{REPOSITORY}/issues",
        "icon": ICON.name,
        "server": {
            "type": "uv",
            "entry_point": _ENTRY_POINT,
            "mcp_config": {"command": "uv", "args": args, "env": environment()},
        },
        "tools": [{"name": name, "description": entry.listed.description} for name, entry in catalog().items()],
        "prompts_generated": True,
        "keywords": PROJECT["keywords"],
        "license": PROJECT["license"],
        "compatibility": {
            "platforms": ["darwin", "linux", "win32"],
            "runtimes": {"python": PROJECT["requires-python"]},
        },
        "user_config": asked_for(),
    }


def requirements() -> str:
    """The bundle's own pyproject.toml, by which uv installs what the package needs, and not the package itself."""
    dependencies = "\n".join(f"    {json.dumps(item)}," for item in PROJECT["dependencies"])
    head = f'[project]\nname = "{NAME}"\nversion = "{VERSION}"\nrequires-python = "{PROJECT["requires-python"]}"\n'
    return f"{head}dependencies = [\n{dependencies}\n]\n\n[tool.uv]\npackage = false\n"


def build(wheel: Path, folder: Path) -> Path:
    """Write the bundle of `wheel` into `folder`; the same wheel makes the same bytes."""
    with ZipFile(wheel) as built:
        package = {name: built.read(name) for name in built.namelist() if name.startswith("amo_mcp/")}
    files = {
        "manifest.json": json.dumps(manifest(), ensure_ascii=False, indent=2).encode(),
        "pyproject.toml": requirements().encode(),
        _ENTRY_POINT: _SERVER.encode(),
        ICON.name: ICON.read_bytes(),
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        **package,
    }
    with ZipFile(folder / FILE, "w") as bundle:
        for name in sorted(files):
            bundle.writestr(ZipInfo(name), files[name], ZIP_DEFLATED)
    return folder / FILE


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[1]).parent))
