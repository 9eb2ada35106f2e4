import json
import os

import pytest

from amo_mcp.sandbox import Account, Sandbox
from amo_mcp.sandbox.state_file import StateFile

SEGMENTS = "/api/v4/customers/segments"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "account.json"


def test_a_new_file_is_made_from_the_example_at_once(path):
    sandbox = Sandbox(state_file=path)
    assert json.loads(path.read_text(encoding="utf-8")) == sandbox.account.document() == Sandbox().account.document()


@pytest.mark.anyio
async def test_a_restart_keeps_everything_and_asks_for_nothing_again(path, connect):
    async with connect(Sandbox(state_file=path)) as client:
        await client.post(SEGMENTS, json={"name": "Первый"})
        await client.delete(f"{SEGMENTS}/96")
        await client.patch(f"{SEGMENTS}/51", json={"name": "Другое"})
        await client.put("/_sandbox/mode", json={"mode": "periodicity"})
        await client.post("/api/v4/customers/statuses", json=[{"name": "Статус", "sort": 1}])
        await client.delete("/api/v4/customers/statuses/4740013")
        await client.patch("/api/v4/customers/statuses/4740016", json={"sort": 0})
        before = (await client.get("/_sandbox/state")).json()
    again = Sandbox(state_file=path, mode="segments", empty=True)
    assert again.account.document() == before
    assert (again.account.mode, again.account.segments[51]["name"]) == ("periodicity", "Другое")
    assert (again.account.next_segment_id, again.account.next_status_id) == (99, 5649283)


@pytest.mark.anyio
async def test_a_refused_request_does_not_write_the_file(path, connect):
    async with connect(Sandbox(state_file=path)) as client:
        path.unlink()
        await client.post(SEGMENTS, json={"name": ""})
        await client.get(SEGMENTS)
    assert not path.exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    sandbox = Sandbox(state_file=path)
    before = path.read_bytes()
    sandbox.account.mode = "periodicity"

    def full(_descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        StateFile(path).save(sandbox.account)
    assert [file.name for file in path.parent.iterdir()] == ["account.json"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"\xff", "can't decode byte"),
        (b"{", "Expecting property name"),
        (b"[" * 200_000, "recursion"),
        (b"[]", "not a state of version 1"),
        (b'{"version": 2}', "not a state of version 1"),
        (b'{"version": 1}', "profile is NoneType, not dict"),
    ],
)
def test_a_broken_file_is_named_and_left_as_it_is(path, content, reason):
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
        ({"mode": 5}, "mode is int, not str"),
        ({"segments": [5]}, "segments holds int, not dict"),
        ({"segments": [{"name": "Без номера"}]}, "id is NoneType, not int"),
        ({"segments": [{"id": True, "name": "н"}]}, "id is bool, not int"),
        ({"statuses": [{"id": 1, "name": "н"}]}, "sort is NoneType, not int"),
        ({"users": [{"id": 1, "name": "н"}]}, "rights is NoneType, not dict"),
        (
            {"fields": [{"id": 1, "name": "н", "type": "text"}] * 31},
            "31 custom fields, where segments can have at most 30",
        ),
        ({"profile": {}}, "id is NoneType, not int"),
        ({"next_segment_id": 93}, "next_segment_id is already taken"),
        ({"next_status_id": 4740031}, "next_status_id is already taken"),
    ],
)
def test_a_document_that_no_sandbox_wrote_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        Account.read({**Sandbox().account.document(), **change})


def test_a_document_is_read_back_whole():
    document = Sandbox(mode="dynamic").account.document()
    assert Account.read(json.loads(json.dumps(document))).document() == document
