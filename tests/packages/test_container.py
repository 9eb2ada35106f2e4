"""The Dockerfile keeps its properties. Nobody can build it here; `make linters` also asks a linter of Dockerfiles."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", "", (ROOT / "deploy" / "Dockerfile").read_text("utf-8")).splitlines()
    if line and not line.startswith("#")
]
LAST = [number for number, (word, *_) in enumerate(INSTRUCTIONS) if word == "FROM"][-1]
FINAL = INSTRUCTIONS[LAST:]


def final(word: str) -> str:
    """The only instruction of this kind in the final stage."""
    [text] = [text for kind, text in FINAL if kind == word]
    return text


@pytest.mark.requirement("INSTALL-3")
def test_what_builds_stays_behind_in_a_stage_of_its_own() -> None:
    stages = [text for word, text in INSTRUCTIONS if word == "FROM"]
    assert stages == ["python:3.13-slim AS build", "python:3.13-slim"]
    assert final("COPY") == "--from=build /opt/amo-mcp /opt/amo-mcp"
    assert not any("pip" in text for _, text in FINAL)


@pytest.mark.requirement("INSTALL-3")
def test_the_container_runs_as_a_user_without_rights_who_owns_only_the_state() -> None:
    user = final("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    owner, group = user.split(":")
    assert final("RUN") == f"install --directory --owner {owner} --group {group} --mode 0700 /state"
    order = [word for word, _ in FINAL]
    assert order.index("USER") < order.index("VOLUME") < order.index("ENTRYPOINT")


@pytest.mark.requirement("INSTALL-3")
def test_nothing_but_the_volume_is_written_to() -> None:
    assert final("VOLUME") == "/state"
    assert "AMO_STATE_DIR=/state" in final("ENV").split()
    assert "PYTHONDONTWRITEBYTECODE=1" in final("ENV").split()
    assert "--read-only" in (ROOT / "docs" / "install.md").read_text("utf-8")


@pytest.mark.requirement("INSTALL-3")
def test_health_is_asked_of_the_server_where_the_container_listens_by_default() -> None:
    assert final("CMD") == '["serve", "--http"]'
    assert "http://127.0.0.1:8000/healthz" in final("HEALTHCHECK")
    assert re.search(r"--interval=\S+ --timeout=\S+ --start-period=\S+", final("HEALTHCHECK"))


@pytest.mark.requirement("INSTALL-3")
def test_everything_is_installed_from_pins_with_hashes() -> None:
    build = " ".join(text for word, text in INSTRUCTIONS[:LAST] if word == "RUN")
    assert f"uv=={version('uv')}" in build
    assert "--build-constraints constraints.txt --require-hashes" in build
    assert "--constraints constraints.txt --verify-hashes" in build
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    assert f"pipx run uv=={version('uv')} publish" in release


@pytest.mark.requirement("INSTALL-3")
def test_the_build_is_sent_what_it_copies_and_nothing_else() -> None:
    copied = {name for word, text in INSTRUCTIONS[:LAST] if word == "COPY" for name in text.split()[:-1]}
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert lines[0] == "*"
    assert [name for name in copied if not (ROOT / name).exists()] == []
