"""The state directory: only its owner may open it, and its list of signed-in accounts contains no secret."""

import errno
import json
import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.paths import StateDir, host_in_file_names

SHOP, CAFE = "https://shop.amocrm.ru", "https://cafe.kommo.com"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "deep" / "state")
    made.create()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_and_its_parents_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "a" / "b")
    state.create()
    assert mode(state.path) == 0o700
    state.create()
    assert state.path == tmp_path / "a" / "b"


@pytest.mark.requirement("ENV-4")
def test_by_default_the_directory_is_where_the_platform_keeps_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("platformdirs.user_state_path", lambda name, appauthor: tmp_path / f"{name}-{appauthor}")
    assert StateDir(None).path == tmp_path / "amo-mcp-False"


def test_asking_for_paths_makes_nothing(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    assert (state.path, state.signed_in()) == (tmp_path / "state", [])
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    taken = tmp_path / "state"
    taken.write_text("")
    with pytest.raises(OSError, match="File exists") as caught:
        StateDir(taken).create()
    assert caught.value.filename == str(taken)


def test_a_directory_that_cannot_be_written_to_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _, wanted: wanted != os.W_OK | os.X_OK)
    with pytest.raises(PermissionError) as caught:
        StateDir(tmp_path).create()
    assert (caught.value.errno, caught.value.filename) == (errno.EACCES, str(tmp_path))


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        (SHOP, "shop.amocrm.ru"),
        ("https://SHOP.amocrm.ru", "shop.amocrm.ru"),
        ("http://127.0.0.1:8901", "127.0.0.1_8901"),
        ("http://[::1]:8901", "[__1]_8901"),
    ],
)
def test_files_of_an_account_are_named_by_its_host(state: StateDir, base_url: str, host: str) -> None:
    assert host_in_file_names(base_url) == host
    assert state.rate_limit_file(base_url) == state.path / f"rate-limit-{host}.json"
    assert state.sign_in_file(base_url) == state.path / f"sign-in-{host}.json"
    assert state.unsaved_sign_in_file(base_url) == state.path / f"sign-in-{host}.unsaved.json"
    assert state.sign_in_lock(base_url) == state.path / f"sign-in-{host}.lock"
    assert state.legacy_journal_file(base_url) == state.path / f"journal-{host}.sqlite"


def test_the_journal_is_named_by_the_id_of_the_account(state: StateDir) -> None:
    assert state.journal_file(28805383) == state.path / "journal-28805383.sqlite"


def test_the_account_that_was_signed_in_to_last_is_listed_last(state: StateDir) -> None:
    seen = [state.signed_in()]
    for base_url in (SHOP, CAFE, SHOP, SHOP):
        state.remember(base_url)
        seen.append(state.signed_in())
    assert seen == [[], [SHOP], [SHOP, CAFE], [CAFE, SHOP], [CAFE, SHOP]]


def test_a_forgotten_account_is_not_signed_in(state: StateDir) -> None:
    for base_url in (SHOP, CAFE):
        state.remember(base_url)
    state.forget(CAFE)
    assert state.signed_in() == [SHOP]
    state.forget("https://never.amocrm.ru")
    assert state.signed_in() == [SHOP]
    state.forget(SHOP)
    assert state.signed_in() == []


def test_another_process_sees_a_sign_in_at_once(state: StateDir) -> None:
    state.remember(SHOP)
    assert StateDir(state.path).signed_in() == [SHOP]


def test_the_list_of_accounts_has_mode_0600_and_no_other_file_is_left(state: StateDir) -> None:
    state.remember(SHOP)
    assert {path.name: mode(path) for path in state.path.iterdir()} == {"accounts.json": 0o600}
    assert json.loads((state.path / "accounts.json").read_text()) == [SHOP]


@pytest.mark.parametrize("kept", [b"", b"{", b"{}", b'"x"', b"null", b"\xff"])
def test_a_list_that_cannot_be_read_is_told_as_that_and_made_anew_by_the_next_sign_in(
    state: StateDir, kept: bytes
) -> None:
    (state.path / "accounts.json").write_bytes(kept)
    told = "AMO_STATE_DIR: accounts.json in it cannot be read; run `amo-mcp login` to make it anew"
    with pytest.raises(ValueError, match=re.escape(told)):
        state.signed_in()
    state.remember(SHOP)
    assert state.signed_in() == [SHOP]


def test_a_list_in_whose_place_is_a_folder_is_told_as_that(state: StateDir) -> None:
    (state.path / "accounts.json").mkdir()
    with pytest.raises(ValueError, match="cannot be read"):
        state.signed_in()


def test_entries_of_the_list_that_are_no_text_are_left_out(state: StateDir) -> None:
    (state.path / "accounts.json").write_text(json.dumps([1, SHOP, None, [CAFE]]))
    assert state.signed_in() == [SHOP]


def test_a_half_written_list_of_a_killed_process_is_ignored(state: StateDir) -> None:
    state.remember(SHOP)
    (state.path / "accounts.json.new").write_text('["https://sh')
    assert state.signed_in() == [SHOP]
    state.remember(CAFE)
    assert state.signed_in() == [SHOP, CAFE]


@given(steps=st.lists(st.tuples(st.sampled_from(["remember", "forget"]), st.sampled_from("abc")), max_size=8))
def test_after_any_sequence_each_account_is_listed_once_in_the_order_of_signing_in(
    steps: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = StateDir(tmp_path_factory.mktemp("state"))
    expected: list[str] = []
    for step, base_url in steps:
        getattr(state, step)(base_url)
        expected = [other for other in expected if other != base_url] + [base_url] * (step == "remember")
    assert state.signed_in() == expected
