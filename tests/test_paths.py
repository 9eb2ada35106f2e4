"""The shared folder: its owner's alone, and remembering who is signed in without knowing any secret."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.paths import StateDir

SHOP, CAFE = "https://shop.amocrm.ru", "https://cafe.kommo.com"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "deep" / "state")
    made.create()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_with_what_leads_to_it_for_its_owner_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "a" / "b")
    state.create()
    assert mode(state.path) == 0o700
    state.create()
    assert state.path == tmp_path / "a" / "b"


@pytest.mark.requirement("ENV-4")
def test_by_default_it_is_where_the_platform_keeps_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_state_path", lambda name, appauthor: tmp_path / f"{name}-{appauthor}")
    assert StateDir(None).path == tmp_path / "amo-mcp-False"


def test_naming_it_makes_nothing(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    assert (state.path, state.signed_in()) == (tmp_path / "state", [])
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    taken = tmp_path / "state"
    taken.write_text("")
    with pytest.raises(OSError, match="File exists") as caught:
        StateDir(taken).create()
    assert caught.value.filename == str(taken)


def test_so_is_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _, wanted: wanted != os.W_OK | os.X_OK)
    with pytest.raises(PermissionError) as caught:
        StateDir(tmp_path).create()
    assert (caught.value.errno, caught.value.filename) == (errno.EACCES, str(tmp_path))


@pytest.mark.parametrize(
    ("root", "host"),
    [
        (SHOP, "shop.amocrm.ru"),
        ("https://SHOP.amocrm.ru", "shop.amocrm.ru"),
        ("http://127.0.0.1:8901", "127.0.0.1_8901"),
        ("http://[::1]:8901", "[__1]_8901"),
    ],
)
def test_each_account_has_its_files_named_by_its_host(state: StateDir, root: str, host: str) -> None:
    assert state.rate_limit_file(root) == state.path / f"rate-limit-{host}.sqlite"
    assert state.sign_in_lock(root) == state.path / f"sign-in-{host}.lock"
    assert state.sign_in_file(root) == state.path / f"sign-in-{host}.json"


def test_who_signed_in_last_is_last(state: StateDir) -> None:
    seen = [state.signed_in()]
    for root in (SHOP, CAFE, SHOP, SHOP):
        state.remember(root)
        seen.append(state.signed_in())
    assert seen == [[], [SHOP], [SHOP, CAFE], [CAFE, SHOP], [CAFE, SHOP]]


def test_who_is_forgotten_is_not_signed_in(state: StateDir) -> None:
    for root in (SHOP, CAFE):
        state.remember(root)
    state.forget(CAFE)
    assert state.signed_in() == [SHOP]
    state.forget("https://never.amocrm.ru")
    assert state.signed_in() == [SHOP]
    state.forget(SHOP)
    assert state.signed_in() == []


def test_others_of_the_machine_see_it_at_once(state: StateDir) -> None:
    state.remember(SHOP)
    assert StateDir(state.path).signed_in() == [SHOP]


def test_what_is_remembered_is_its_owners_alone_and_nothing_is_left_beside(state: StateDir) -> None:
    state.remember(SHOP)
    assert {path.name: mode(path) for path in state.path.iterdir()} == {"accounts.json": 0o600}
    assert json.loads((state.path / "accounts.json").read_text()) == [SHOP]


@pytest.mark.parametrize("kept", [b"", b"{", b"{}", b'"x"', b"null", b"\xff"])
def test_a_list_that_cannot_be_read_is_an_empty_one(state: StateDir, kept: bytes) -> None:
    (state.path / "accounts.json").write_bytes(kept)
    assert state.signed_in() == []
    state.remember(SHOP)
    assert state.signed_in() == [SHOP]


def test_of_a_list_with_other_things_in_it_the_addresses_are_taken(state: StateDir) -> None:
    (state.path / "accounts.json").write_text(json.dumps([1, SHOP, None, [CAFE]]))
    assert state.signed_in() == [SHOP]


def test_a_list_left_half_written_beside_is_not_looked_at(state: StateDir) -> None:
    state.remember(SHOP)
    (state.path / "accounts.json.new").write_text('["https://sh')
    assert state.signed_in() == [SHOP]
    state.remember(CAFE)
    assert state.signed_in() == [SHOP, CAFE]


@given(steps=st.lists(st.tuples(st.sampled_from(["remember", "forget"]), st.sampled_from("abc")), max_size=8))
def test_whatever_happens_everybody_is_listed_once_and_in_the_order_of_signing_in(
    steps: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = StateDir(tmp_path_factory.mktemp("state"))
    expected: list[str] = []
    for step, root in steps:
        getattr(state, step)(root)
        expected = [other for other in expected if other != root] + [root] * (step == "remember")
    assert state.signed_in() == expected
