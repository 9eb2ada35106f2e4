import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from amo_mcp.sandbox import Account, Sandbox
from amo_mcp.sandbox.state_file import StateFile
from tests.sandbox.conftest import client_of

SEGMENTS = "/api/v4/customers/segments"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "account.json"


def test_a_new_state_file_is_written_at_once_from_the_example(path: Path) -> None:
    sandbox = Sandbox(state_file=path)
    assert json.loads(path.read_text(encoding="utf-8")) == sandbox.account.document() == Sandbox().account.document()


def test_a_state_file_of_the_first_release_is_loaded() -> None:
    path = Path(__file__).with_name("first_release.json")
    sandbox, document = Sandbox(state_file=path), json.loads(path.read_text(encoding="utf-8"))
    assert {**sandbox.account.document(), "oauth": sandbox.oauth.state().model_dump()} == {
        **document,
        "customers": [],
        "moves": [],
        "removed_users": [],
        "oauth": {**document["oauth"], "granted_by": {}},
    }
    assert (sandbox.account.mode, list(sandbox.account.statuses)) == ("periodicity", [4740010, 4740025, 5649280])


@pytest.mark.anyio
async def test_a_restart_keeps_the_whole_account_and_ignores_mode_and_empty(path: Path) -> None:
    async with client_of(Sandbox(state_file=path)) as client:
        await client.post(SEGMENTS, json={"name": "Первый"})
        await client.delete(f"{SEGMENTS}/96")
        await client.patch(f"{SEGMENTS}/51", json={"name": "Другое"})
        await client.put("/_sandbox/mode", json={"mode": "periodicity"})
        await client.post("/api/v4/customers/statuses", json=[{"name": "Статус", "sort": 1}])
        await client.delete("/api/v4/customers/statuses/4740013")
        await client.patch("/api/v4/customers/statuses/4740016", json={"sort": 0})
        await client.patch("/api/v4/customers/1299433", json={"status_id": 4740016, "_embedded": {"segments": []}})
        before = (await client.get("/_sandbox/state")).json()
    again = Sandbox(state_file=path, mode="segments", empty=True)
    assert again.account.document() == before
    assert (again.account.mode, again.account.segments[51]["name"]) == ("periodicity", "Другое")
    assert (again.account.next_segment_id, again.account.next_status_id) == (99, 5649283)


@pytest.mark.anyio
async def test_a_refused_request_does_not_write_the_state_file(path: Path) -> None:
    async with client_of(Sandbox(state_file=path)) as client:
        await anyio.Path(path).unlink()
        await client.post(SEGMENTS, json={"name": ""})
        await client.get(SEGMENTS)
    assert not await anyio.Path(path).exists()


def test_a_failed_write_leaves_the_old_state_file_and_no_temporary_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = Sandbox(state_file=path)
    before = path.read_bytes()
    sandbox.account.mode = "periodicity"

    def full(_descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        StateFile(path).save(sandbox.account, sandbox.oauth.state())
    assert [file.name for file in path.parent.iterdir()] == ["account.json"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON: EOF while parsing"),
        (b"\xff", "Invalid JSON: expected value"),
        (b"{", "Invalid JSON: EOF while parsing an object"),
        (b"[" * 200_000, "recursion limit exceeded"),
        (b"[]", "Input should be an object"),
        (b'{"version": 2}', "version: Input should be 1"),
        (b'{"version": 1}', "profile: Field required"),
    ],
)
def test_a_broken_state_file_is_named_and_left_unchanged(path: Path, content: bytes, reason: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        Sandbox(state_file=path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mode": "both"}, "mode is 'both'"),
        ({"mode": 5}, "mode: Input should be a valid string"),
        ({"segments": [5]}, "segments.0: Input should be an object"),
        ({"segments": [{"name": "Без номера"}]}, "segments.0.id: Field required"),
        ({"segments": [{"id": True, "name": "н"}]}, "segments.0.id: Input should be a valid integer"),
        ({"statuses": [{"id": 1, "name": "н"}]}, "statuses.0.sort: Field required"),
        ({"users": [{"id": 1, "name": "н"}]}, "users.0.rights: Field required"),
        (
            {"fields": [{"id": 1, "name": "н", "type": "text"}] * 31},
            "fields: List should have at most 30 items after validation, not 31",
        ),
        ({"profile": {}}, "profile.id: Field required"),
        ({"customers": [{"id": 1, "name": "н"}]}, "customers.0.status_id: Field required"),
        ({"moves": [{"at": 1, "customer_id": 1, "kind": "status", "to": 1}]}, "moves.0.from: Field required"),
        ({"next_segment_id": 93}, "next_segment_id is already taken"),
        ({"next_status_id": 4740031}, "next_status_id is already taken"),
    ],
)
def test_an_invalid_account_document_is_refused_with_the_reason(change: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Account.read(json.dumps({**Sandbox().account.document(), **change}))


def test_an_account_document_is_read_back_whole() -> None:
    document = Sandbox(mode="dynamic").account.document()
    assert Account.read(json.dumps(document)).document() == document
