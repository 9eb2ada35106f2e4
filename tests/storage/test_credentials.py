"""A sign-in is kept so that a crash at any moment leaves a whole one, and nobody but its owner reads it."""

import json
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import filelock
import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.compat import properties
from keyring.errors import KeyringLocked, PasswordDeleteError
from pydantic import SecretStr

from amo_mcp.amocrm.credentials import Credentials, CredentialStore
from amo_mcp.keys import Keys, new_key
from amo_mcp.paths import StateDir
from amo_mcp.storage.credentials import FileCredentialStore, KeychainCredentialStore, credential_store
from amo_mcp.storage.memory.credentials import MemoryCredentialStore
from amo_mcp.storage.postgres.credentials import PostgresCredentialStore

pytestmark = pytest.mark.anyio

BASE_URL = "https://shop.amocrm.ru"
ENTRY = ("amo-mcp", "shop.amocrm.ru")


def credentials(access: str = "access-1", refresh: str = "refresh-1", **changed: Any) -> Credentials:
    return Credentials(
        base_url=BASE_URL,
        client_id="client",
        client_secret=SecretStr("client-secret"),
        redirect_uri="http://127.0.0.1:8919/callback",
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh),
        expires=1_750_000_000.5,
    ).model_copy(update=changed)


KEYS = Keys.parse(SecretStr(new_key("first")))
FIRST = credentials()
SECOND = credentials("access-2", "refresh-2")
THIRD = credentials("access-3", "refresh-3")


class MemoryKeychain(KeyringBackend):
    """A keychain that lives as long as the test, and fails when it is told to."""

    priority: float = 5

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.failure: Exception | None = None
        self.is_read_only = False

    def get_password(self, service: str, username: str) -> str | None:
        self._work()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._work(writes=True)
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._work()
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")

    def _work(self, *, writes: bool = False) -> None:
        if self.failure is not None or (writes and self.is_read_only):
            raise self.failure or KeyringLocked("dismissed")


FAILURES = [KeyringLocked("dismissed"), OSError(1783, "the stub received bad data"), RuntimeError("no bus")]
"""What a keychain's backend raises: its owner does not unlock it, Windows takes no long entries, a plugin breaks."""


def no_keychain() -> KeyringBackend:
    """What the library gives on a machine without one."""
    backend: Callable[[], KeyringBackend] = fail.Keyring
    return backend()


@pytest.fixture(autouse=True)
def _keychain_as_before() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(no_keychain())
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


@pytest.fixture
def spill(file: Path) -> Path:
    return file.with_name("sign-in-shop.amocrm.ru.unsaved.json")


@pytest.fixture(params=["memory", "file", "keychain", "spill", "postgres"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, file: Path, spill: Path, keychain: MemoryKeychain
) -> CredentialStore:
    """Every store; "spill" is a keychain that cannot be written."""
    match request.param:
        case "memory":
            return MemoryCredentialStore()
        case "file":
            return FileCredentialStore(file)
        case "postgres":
            return PostgresCredentialStore(request.getfixturevalue("database"), KEYS, "28805383:1")
        case "spill":
            keychain.is_read_only = True
    return KeychainCredentialStore("shop.amocrm.ru", spill, tmp_path / "sign-in.lock")


async def sign_in(store: CredentialStore, credentials: Credentials) -> None:
    """Save the first; the sign-in of one of several people is begun, so that no refresh brings back what was ended."""
    await (store.begin if isinstance(store, PostgresCredentialStore) else store.save)(credentials)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def read(file: Path) -> str:
    return file.read_text()


def write(file: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)


class TestEveryStore:
    @pytest.mark.requirement("PG-1")
    async def test_what_is_saved_last_is_loaded_whole(self, store: CredentialStore) -> None:
        assert await store.load() is None
        await sign_in(store, credentials("access-1" * 500))
        assert await store.load() == credentials("access-1" * 500)
        await store.save(SECOND)
        assert await store.load() == SECOND

    async def test_what_is_deleted_is_gone(self, store: CredentialStore) -> None:
        await sign_in(store, FIRST)
        assert await store.delete() is True
        assert await store.load() is None
        assert await store.delete() is False

    async def test_one_at_a_time_is_in_its_exclusive_context(self, store: CredentialStore) -> None:
        inside: list[int] = []

        async def enter() -> None:
            async with store.exclusive():
                inside.append(len(inside) % 2)
                await anyio.lowlevel.checkpoint()
                inside.append(len(inside) % 2)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(enter)
        assert inside == [0, 1] * 3

    async def test_a_context_that_ends_in_an_error_lets_the_next_one_in(self, store: CredentialStore) -> None:
        with pytest.raises(ValueError, match="wrong"):
            async with store.exclusive():
                raise ValueError("wrong")
        with anyio.fail_after(1):
            async with store.exclusive():
                await anyio.lowlevel.checkpoint()


class TestFile:
    async def test_what_a_file_store_saves_is_in_the_file_alone(self, file: Path) -> None:
        store = FileCredentialStore(file)
        await store.save(FIRST)
        assert await FileCredentialStore(file).load() == FIRST
        assert names(file.parent) == [file.name]
        assert store.place == str(file)

    async def test_loading_makes_no_file(self, file: Path) -> None:
        assert await FileCredentialStore(file).load() is None
        assert names(file.parent) == []

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    async def test_only_its_owner_can_read_the_file(self, file: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            await FileCredentialStore(file).save(FIRST)
        finally:
            os.umask(before)
        assert mode(file) == 0o600

    async def test_only_its_owner_can_read_the_file_also_when_another_lay_beside(
        self, file: Path, beside: Path
    ) -> None:
        write(beside, "", mode=0o644)
        await FileCredentialStore(file).save(FIRST)
        assert mode(file) == 0o600

    async def test_the_file_is_never_seen_half_written(
        self, file: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await FileCredentialStore(file).save(FIRST)
        seen = []
        monkeypatch.setattr(os, "fsync", lambda _: seen.append((file.read_text(), beside.exists())))
        await FileCredentialStore(file).save(SECOND)
        # Synced once while it lies beside, and once the folder, when it has its name.
        assert seen == [(FIRST.model_dump_json(), True), (SECOND.model_dump_json(), False)]

    async def test_a_folder_that_cannot_be_synced_does_no_harm(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = os.open

        def refuses_folders(path: Any, flags: int, mode: int = 0o777) -> int:
            if Path(path).is_dir():
                raise PermissionError
            return opened(path, flags, mode)

        monkeypatch.setattr(os, "open", refuses_folders)
        await FileCredentialStore(file).save(FIRST)
        assert await FileCredentialStore(file).load() == FIRST

    async def test_a_whole_pair_left_beside_by_a_crash_is_taken(self, file: Path, beside: Path) -> None:
        await FileCredentialStore(file).save(FIRST)
        write(beside, SECOND.model_dump_json())
        assert await FileCredentialStore(file).load() == SECOND
        assert names(file.parent) == [file.name]
        assert await FileCredentialStore(file).load() == SECOND

    async def test_a_whole_pair_beside_is_taken_also_when_it_was_the_first(self, file: Path, beside: Path) -> None:
        write(beside, FIRST.model_dump_json())
        assert await FileCredentialStore(file).load() == FIRST

    @given(cut=st.integers(0, len(SECOND.model_dump_json()) - 1))
    def test_a_pair_left_beside_half_written_is_ignored(
        self, cut: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        file = tmp_path_factory.getbasetemp() / "half.json"
        beside = file.with_name(file.name + ".new")

        async def crash_and_go_on() -> None:
            store = FileCredentialStore(file)
            await store.save(FIRST)
            write(beside, SECOND.model_dump_json()[:cut])
            assert await store.load() == FIRST
            await store.save(THIRD)
            assert await store.load() == THIRD

        anyio.run(crash_and_go_on)
        assert not beside.exists()

    @pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"base_url": 1}', b"\xff\xfe", b"null"])
    async def test_a_file_that_cannot_be_read_is_as_none(
        self, file: Path, kept: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(file, kept)
        assert await FileCredentialStore(file).load() is None
        assert {record.getMessage() for record in caplog.records} <= {"What is kept of the sign-in cannot be read"}

    async def test_what_cannot_be_read_is_not_logged(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        write(file, FIRST.model_dump_json().replace("1750000000.5", '"soon"'))
        assert await FileCredentialStore(file).load() is None
        assert [record.getMessage() for record in caplog.records] == ["What is kept of the sign-in cannot be read"]

    async def test_deleting_removes_also_what_lies_beside(self, file: Path, beside: Path) -> None:
        store = FileCredentialStore(file)
        await store.save(FIRST)
        write(beside, SECOND.model_dump_json())
        assert await store.delete() is True
        assert names(file.parent) == []

    async def test_deleting_what_only_lies_beside_is_a_deletion(self, file: Path, beside: Path) -> None:
        write(beside, FIRST.model_dump_json())
        assert await FileCredentialStore(file).delete() is True
        assert names(file.parent) == []

    async def test_the_lock_is_one_that_any_process_can_hold(self, file: Path) -> None:
        store, entered = FileCredentialStore(file), anyio.Event()
        lock = filelock.FileLock(file.with_name("sign-in-shop.amocrm.ru.lock"))
        async with store.exclusive():
            assert mode(Path(lock.lock_file)) == 0o600

        async def enter() -> None:
            async with store.exclusive():
                entered.set()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                with lock:
                    group.start_soon(enter)
                    await anyio.wait_all_tasks_blocked()
                    assert not entered.is_set()
                await entered.wait()


class TestFirstRelease:
    """What the first release kept: the address under the name `root`."""

    @pytest.fixture
    def kept(self) -> str:
        named = json.loads(FIRST.model_dump_json())
        return json.dumps({"root": named.pop("base_url"), **named})

    async def test_a_file_of_the_first_release_is_loaded_and_saved_as_today(self, file: Path, kept: str) -> None:
        write(file, kept)
        store = credential_store(BASE_URL, StateDir(file.parent))
        loaded = await store.load()
        assert loaded == FIRST
        await store.save(FIRST)
        assert json.loads(read(file))["base_url"] == BASE_URL

    async def test_an_entry_of_the_first_release_is_loaded(
        self, tmp_path: Path, keychain: MemoryKeychain, kept: str
    ) -> None:
        keychain.entries[ENTRY] = kept
        assert await credential_store(BASE_URL, StateDir(tmp_path)).load() == FIRST


class TestKeychain:
    @pytest.fixture
    def store(self, tmp_path: Path, keychain: MemoryKeychain) -> CredentialStore:
        return credential_store(BASE_URL, StateDir(tmp_path))

    async def test_what_is_saved_is_an_entry_of_the_account(
        self, store: CredentialStore, tmp_path: Path, keychain: MemoryKeychain
    ) -> None:
        await store.save(FIRST)
        assert keychain.entries == {ENTRY: FIRST.model_dump_json()}
        assert await credential_store("https://other.amocrm.ru", StateDir(tmp_path)).load() is None
        assert (store.place, names(tmp_path)) == ("the system's keychain", [])

    async def test_an_entry_that_cannot_be_read_is_as_none(
        self, store: CredentialStore, keychain: MemoryKeychain, caplog: pytest.LogCaptureFixture
    ) -> None:
        keychain.entries[ENTRY] = "client-secret"
        assert await store.load() is None
        assert [record.getMessage() for record in caplog.records] == ["What is kept of the sign-in cannot be read"]

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_a_keychain_that_cannot_be_used_is_told_as_that_when_it_is_read_and_deleted_from(
        self, store: CredentialStore, keychain: MemoryKeychain, failure: Exception
    ) -> None:
        await store.save(FIRST)
        keychain.failure = failure
        for use in (store.load, store.delete):
            with pytest.raises(PermissionError) as caught:
                await use()
            assert caught.value.filename == "the system's keychain"

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_what_the_keychain_does_not_take_is_kept_in_a_file_that_only_its_owner_can_read(
        self, store: CredentialStore, keychain: MemoryKeychain, failure: Exception, spill: Path
    ) -> None:
        await store.save(FIRST)
        keychain.failure = failure
        await store.save(SECOND)
        assert await store.load() == SECOND
        assert await credential_store(BASE_URL, StateDir(spill.parent)).load() == SECOND
        assert (store.place, mode(spill), names(spill.parent)) == (str(spill), 0o600, [spill.name])

    async def test_when_the_keychain_works_again_the_sign_in_moves_back(
        self, store: CredentialStore, keychain: MemoryKeychain, tmp_path: Path
    ) -> None:
        keychain.failure = FAILURES[0]
        await store.save(SECOND)
        keychain.failure = None
        assert await credential_store(BASE_URL, StateDir(tmp_path)).load() == SECOND
        assert (keychain.entries, names(tmp_path)) == ({ENTRY: SECOND.model_dump_json()}, [])
        assert await store.load() == SECOND

    async def test_a_later_save_ends_the_time_of_the_file(
        self, store: CredentialStore, keychain: MemoryKeychain, tmp_path: Path
    ) -> None:
        keychain.failure = FAILURES[0]
        await store.save(SECOND)
        keychain.failure = None
        await store.save(THIRD)
        assert (keychain.entries, names(tmp_path)) == ({ENTRY: THIRD.model_dump_json()}, [])

    async def test_the_file_is_never_older_than_the_entry(
        self, store: CredentialStore, keychain: MemoryKeychain, spill: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keychain.failure = FAILURES[0]
        await store.save(SECOND)
        keychain.failure = None
        seen: list[str] = []
        written = keychain.set_password

        def set_password(service: str, username: str, password: str) -> None:
            written(service, username, password)
            seen.append(read(spill))

        monkeypatch.setattr(keychain, "set_password", set_password)
        await store.save(THIRD)
        assert seen == [THIRD.model_dump_json()]

    async def test_a_deletion_takes_the_file_along(
        self, store: CredentialStore, keychain: MemoryKeychain, tmp_path: Path
    ) -> None:
        keychain.failure = FAILURES[0]
        await store.save(SECOND)
        keychain.failure = None
        assert await store.delete() is True
        assert names(tmp_path) == []

    async def test_a_failure_is_logged_without_a_secret(
        self, store: CredentialStore, keychain: MemoryKeychain, spill: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        keychain.failure = RuntimeError("refresh-1")
        await store.save(FIRST)
        assert [record.getMessage() for record in caplog.records] == [
            f"The system's keychain cannot be written: RuntimeError; until it can, the sign-in is kept in {spill}"
        ]

    async def test_where_not_even_the_file_can_be_written_saving_fails_and_the_old_pair_stays(
        self, store: CredentialStore, keychain: MemoryKeychain, tmp_path: Path
    ) -> None:
        await store.save(FIRST)
        keychain.failure = FAILURES[0]
        with no_folder(tmp_path), pytest.raises(OSError, match="No such file"):
            await store.save(SECOND)
        keychain.failure = None
        assert await store.load() == FIRST


@contextmanager
def no_folder(folder: Path) -> Iterator[None]:
    """The state folder is away for a moment."""
    away = folder.with_name("away")
    folder.rename(away)
    yield
    away.rename(folder)


class BrokenPriority(MemoryKeychain):
    """A backend that was chosen by name, and cannot work on this machine."""

    @properties.classproperty
    def priority(self) -> float:
        raise RuntimeError("no bus")


class TestChoice:
    @pytest.mark.parametrize("backend", [no_keychain, BrokenPriority])
    def test_without_a_keychain_the_store_is_a_file_in_the_folder(
        self, backend: Callable[[], KeyringBackend], tmp_path: Path
    ) -> None:
        keyring.set_keyring(backend())
        store = credential_store(BASE_URL, StateDir(tmp_path))
        assert (type(store), store.place) == (FileCredentialStore, str(tmp_path / "sign-in-shop.amocrm.ru.json"))

    def test_a_port_is_part_of_the_files_name(self, tmp_path: Path) -> None:
        store = credential_store("http://127.0.0.1:8901", StateDir(tmp_path))
        assert store.place == str(tmp_path / "sign-in-127.0.0.1_8901.json")

    async def test_with_a_keychain_the_store_is_an_entry_named_by_host_and_port(
        self, tmp_path: Path, keychain: MemoryKeychain
    ) -> None:
        store = credential_store("http://127.0.0.1:8901", StateDir(tmp_path))
        await store.save(FIRST)
        assert isinstance(store, KeychainCredentialStore)
        assert list(keychain.entries) == [("amo-mcp", "127.0.0.1_8901")]
        assert names(tmp_path) == []

    @pytest.mark.parametrize("suffix", ["", ".new"])
    async def test_a_file_that_is_there_wins_over_the_keychain(
        self, suffix: str, tmp_path: Path, keychain: MemoryKeychain
    ) -> None:
        kept = tmp_path / f"sign-in-shop.amocrm.ru.json{suffix}"
        write(kept, FIRST.model_dump_json())
        store = credential_store(BASE_URL, StateDir(tmp_path))
        assert isinstance(store, FileCredentialStore)
        assert await store.load() == FIRST
        assert keychain.entries == {}

    async def test_what_the_keychain_did_not_take_is_found_also_where_there_is_none(
        self, tmp_path: Path, keychain: MemoryKeychain, spill: Path
    ) -> None:
        keychain.failure = FAILURES[0]
        await credential_store(BASE_URL, StateDir(tmp_path)).save(SECOND)
        keyring.set_keyring(no_keychain())
        store = credential_store(BASE_URL, StateDir(tmp_path))
        assert (await store.load(), store.place) == (SECOND, str(spill))

    def test_all_stores_of_an_account_share_one_lock(self, tmp_path: Path, keychain: MemoryKeychain) -> None:
        """A process with a keychain and one without exclude each other."""

        async def enter() -> None:
            async with credential_store(BASE_URL, StateDir(tmp_path)).exclusive():
                assert names(tmp_path) == ["sign-in-shop.amocrm.ru.lock"]

        anyio.run(enter)
        keyring.set_keyring(no_keychain())
        anyio.run(enter)


TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=60).map("~~{}".format)


@given(access=TOKENS, refresh=TOKENS, secret=TOKENS)
def test_no_secret_is_seen_in_what_is_printed_or_logged(access: str, refresh: str, secret: str) -> None:
    kept = credentials(access, refresh, client_secret=SecretStr(secret))
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r %s", (kept, kept, vars(kept)), None)
    printed = [repr(kept), str(kept), repr(vars(kept)), record.getMessage(), repr(kept.model_dump()), f"{kept}"]
    assert not [text for text in printed for word in (access, refresh, secret) if word in text]


@given(access=TOKENS, refresh=TOKENS, secret=TOKENS)
def test_every_secret_is_kept_as_it_is(access: str, refresh: str, secret: str) -> None:
    kept = credentials(access, refresh, client_secret=SecretStr(secret))
    assert Credentials.model_validate_json(kept.model_dump_json()) == kept
