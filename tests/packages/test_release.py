"""A tag releases only what is ready: its own version, described in the changelog, of the repository that is named."""

import json
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from amo_mcp import __version__
from scripts.packages import release

TAG = f"v{__version__}"


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A project that has an owner."""
    monkeypatch.setattr(release, "OWNER", "somebody")
    monkeypatch.setattr(release, "REPOSITORY", "https://github.com/somebody/amo-mcp")
    root = tmp_path_factory.mktemp("root")
    monkeypatch.setattr(release, "ROOT", root)
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n## {__version__} (2026-12-01)\n", "utf-8")
    return "somebody/amo-mcp"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder with a wheel."""
    with ZipFile(tmp_path / f"amo_mcp-{__version__}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("amo_mcp/__init__.py", "")
        wheel.writestr("amo_mcp-0.1.0.dist-info/METADATA", "")
    return tmp_path


@pytest.mark.requirement("INSTALL-5")
def test_nothing_is_released_while_the_owner_is_a_placeholder(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "OWNER", "OWNER")
    with pytest.raises(SystemExit, match=r"project\.urls in pyproject\.toml still has the placeholder OWNER"):
        release.main(TAG, "OWNER/amo-mcp", dist)
    assert [file.suffix for file in dist.iterdir()] == [".whl"]


@pytest.mark.requirement("INSTALL-5")
def test_another_repository_another_version_and_a_missing_section_are_all_named(owned: str) -> None:
    assert release.problems("v9.9.9", "somebody/fork") == [
        "project.urls in pyproject.toml names https://github.com/somebody/amo-mcp, and this is somebody/fork",
        f"the tag is v9.9.9, and the version of the package {__version__}",
    ]


@pytest.mark.requirement("INSTALL-5")
def test_the_version_of_the_package_needs_a_dated_section_in_the_changelog(
    owned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert release.problems(TAG, owned) == []
    monkeypatch.setattr(release, "VERSION", "9.9.9")
    assert release.problems("v9.9.9", owned) == ["CHANGELOG.md has no section for 9.9.9 with a date"]


def test_a_release_has_the_bundle_and_tells_the_registry_its_hash(owned: str, dist: Path) -> None:
    release.main(TAG, owned, dist)
    bundle = dist / f"amo-mcp-{__version__}.mcpb"
    packages = json.loads((dist / "server.json").read_text("utf-8"))["packages"]
    assert packages[1] == {
        "registryType": "mcpb",
        "identifier": f"https://github.com/somebody/amo-mcp/releases/download/{TAG}/{bundle.name}",
        "version": __version__,
        "fileSha256": sha256(bundle.read_bytes()).hexdigest(),
        "transport": {"type": "stdio"},
    }
    before = bundle.read_bytes()
    release.main(TAG, owned, dist)
    assert bundle.read_bytes() == before
