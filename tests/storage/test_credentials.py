"""A sign-in is kept so that a crash at any moment leaves a whole one, and nobody but its owner reads it."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked, PasswordDeleteError
from pydantic import SecretStr

from amo_mcp.storage.credentials import Credentials, FileStore, KeychainStore, credential_store

ROOT = "https://shop.amocrm.ru"


def signed_in(access: str = "access-1", refresh: str = "refresh-1", **changed: Any) -> Credentials:
    return Credentials(
        root=ROOT,
        client_id="client",
        client_secret=SecretStr("client-secret"),
        redirect_uri="http://127.0.0.1:8919/callback",
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh),
        expires=1_750_000_000.5,
    ).model_copy(update=changed)


class MemoryKeychain(KeyringBackend):
    """A keychain that lives as long as the test."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")


class LockedKeychain(MemoryKeychain):
    """A keychain that its owner does not unlock."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("dismissed")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("dismissed")


@pytest.fixture(autouse=True)
def _keychain_as_before() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def keychain() -> MemoryKeychain:
    made = MemoryKeychain()
    keyring.set_keyring(made)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sign-in-shop.amocrm.ru.json"


@pytest.fixture
def beside(file: Path) -> Path:
    return file.with_name(file.name + ".new")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFile:
    def test_what_is_saved_is_loaded_whole(self, file: Path) -> None:
        FileStore(file).save(signed_in())
        assert FileStore(file).load() == signed_in()
        assert names(file.parent) == [file.name]
        assert FileStore(file).place == str(file)

    def test_the_latest_is_what_is_kept(self, file: Path) -> None:
        store = FileStore(file)
        store.save(signed_in("access-1" * 500, "refresh-1"))
        store.save(signed_in("access-2", "refresh-2"))
        assert store.load() == signed_in("access-2", "refresh-2")

    def test_nothing_is_loaded_where_nothing_was_saved(self, file: Path) -> None:
        assert FileStore(file).load() is None
        assert names(file.parent) == []

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_only_its_owner_can_read_it(self, file: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            FileStore(file).save(signed_in())
        finally:
            os.umask(before)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_only_its_owner_can_read_it_also_when_a_file_lay_beside(self, file: Path, beside: Path) -> None:
        beside.write_text("")
        beside.chmod(0o644)
        FileStore(file).save(signed_in())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_it_is_never_seen_half_written(self, file: Path, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        FileStore(file).save(signed_in())
        seen = []
        monkeypatch.setattr(os, "fsync", lambda _: seen.append((file.read_text(), beside.exists())))
        FileStore(file).save(signed_in("access-2", "refresh-2"))
        old, new = signed_in().model_dump_json(), signed_in("access-2", "refresh-2").model_dump_json()
        # Synced once while it lies beside, and once the folder, when it has its name.
        assert seen == [(old, True), (new, False)]

    def test_a_folder_that_cannot_be_synced_does_no_harm(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = os.open

        def refuses_folders(path: Any, flags: int, mode: int = 0o777) -> int:
            if Path(path).is_dir():
                raise PermissionError
            return opened(path, flags, mode)

        monkeypatch.setattr(os, "open", refuses_folders)
        FileStore(file).save(signed_in())
        assert FileStore(file).load() == signed_in()

    def test_a_whole_pair_left_beside_by_a_crash_is_taken(self, file: Path, beside: Path) -> None:
        FileStore(file).save(signed_in())
        beside.write_text(signed_in("access-2", "refresh-2").model_dump_json())
        assert FileStore(file).load() == signed_in("access-2", "refresh-2")
        assert names(file.parent) == [file.name]
        assert FileStore(file).load() == signed_in("access-2", "refresh-2")

    def test_a_whole_pair_beside_is_taken_also_when_it_was_the_first(self, file: Path, beside: Path) -> None:
        beside.write_text(signed_in().model_dump_json())
        assert FileStore(file).load() == signed_in()

    @given(cut=st.integers(0, len(signed_in("access-2", "refresh-2").model_dump_json()) - 1))
    def test_a_pair_left_beside_half_written_is_left_aside(
        self, cut: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        file = tmp_path_factory.getbasetemp() / "half.json"
        FileStore(file).save(signed_in())
        beside = file.with_name(file.name + ".new")
        beside.write_text(signed_in("access-2", "refresh-2").model_dump_json()[:cut])
        assert FileStore(file).load() == signed_in()
        FileStore(file).save(signed_in("access-3", "refresh-3"))
        assert FileStore(file).load() == signed_in("access-3", "refresh-3")
        assert not beside.exists()

    @pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"root": 1}', b"\xff\xfe", b"null"])
    def test_a_file_that_cannot_be_read_is_as_none(
        self, file: Path, kept: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        file.write_bytes(kept)
        assert FileStore(file).load() is None
        assert {record.getMessage() for record in caplog.records} <= {"What is kept of the sign-in cannot be read"}

    def test_what_cannot_be_read_is_not_told(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        file.write_text(signed_in().model_dump_json().replace("1750000000.5", '"soon"'))
        assert FileStore(file).load() is None
        assert [record.getMessage() for record in caplog.records] == ["What is kept of the sign-in cannot be read"]

    def test_deleted_it_is_gone(self, file: Path, beside: Path) -> None:
        store = FileStore(file)
        store.save(signed_in())
        beside.write_text(signed_in("access-2").model_dump_json())
        assert store.delete() is True
        assert names(file.parent) == []
        assert store.load() is None
        assert store.delete() is False

    def test_deleting_what_lies_beside_is_a_deletion(self, file: Path, beside: Path) -> None:
        beside.write_text(signed_in().model_dump_json())
        assert FileStore(file).delete() is True
        assert names(file.parent) == []


class TestKeychain:
    def test_what_is_saved_is_loaded_whole_and_deleted_it_is_gone(self, keychain: MemoryKeychain) -> None:
        store = KeychainStore("shop.amocrm.ru")
        assert store.place == "the system's keychain"
        assert store.load() is None
        store.save(signed_in())
        assert keychain.entries == {("amo-mcp", "shop.amocrm.ru"): signed_in().model_dump_json()}
        assert store.load() == signed_in()
        assert KeychainStore("other.amocrm.ru").load() is None
        assert store.delete() is True
        assert store.load() is None
        assert store.delete() is False

    def test_an_entry_that_cannot_be_read_is_as_none(
        self, keychain: MemoryKeychain, caplog: pytest.LogCaptureFixture
    ) -> None:
        keychain.entries["amo-mcp", "shop.amocrm.ru"] = "client-secret"
        assert KeychainStore("shop.amocrm.ru").load() is None
        assert [record.getMessage() for record in caplog.records] == ["What is kept of the sign-in cannot be read"]

    def test_a_keychain_that_stays_locked_holds_nothing_that_can_be_read(self) -> None:
        keyring.set_keyring(LockedKeychain())
        assert KeychainStore("shop.amocrm.ru").load() is None


class TestChoice:
    def test_without_a_keychain_it_is_a_file_in_the_folder(self, tmp_path: Path) -> None:
        store = credential_store(ROOT, tmp_path)
        assert (type(store), store.place) == (FileStore, str(tmp_path / "sign-in-shop.amocrm.ru.json"))

    def test_a_port_is_part_of_the_files_name(self, tmp_path: Path) -> None:
        store = credential_store("http://127.0.0.1:8901", tmp_path)
        assert store.place == str(tmp_path / "sign-in-127.0.0.1_8901.json")

    def test_with_a_keychain_it_is_an_entry_of_it(self, tmp_path: Path, keychain: MemoryKeychain) -> None:
        store = credential_store("http://127.0.0.1:8901", tmp_path)
        store.save(signed_in())
        assert isinstance(store, KeychainStore)
        assert list(keychain.entries) == [("amo-mcp", "127.0.0.1_8901")]
        assert names(tmp_path) == []

    @pytest.mark.parametrize("suffix", ["", ".new"])
    def test_a_file_that_is_there_wins_over_the_keychain(
        self, suffix: str, tmp_path: Path, keychain: MemoryKeychain
    ) -> None:
        kept = tmp_path / f"sign-in-shop.amocrm.ru.json{suffix}"
        kept.write_text(signed_in().model_dump_json())
        store = credential_store(ROOT, tmp_path)
        assert isinstance(store, FileStore)
        assert store.load() == signed_in()
        assert keychain.entries == {}


TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=60).map("~~{}".format)


@given(access=TOKENS, refresh=TOKENS, secret=TOKENS)
def test_no_secret_is_seen_in_what_is_printed_or_logged(access: str, refresh: str, secret: str) -> None:
    kept = signed_in(access, refresh, client_secret=SecretStr(secret))
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r %s", (kept, kept, vars(kept)), None)
    told = [repr(kept), str(kept), repr(vars(kept)), record.getMessage(), repr(kept.model_dump()), f"{kept}"]
    assert not [text for text in told for word in (access, refresh, secret) if word in text]


@given(access=TOKENS, refresh=TOKENS, secret=TOKENS)
def test_every_secret_is_kept_as_it_is(access: str, refresh: str, secret: str) -> None:
    kept = signed_in(access, refresh, client_secret=SecretStr(secret))
    assert Credentials.model_validate_json(kept.model_dump_json()) == kept
