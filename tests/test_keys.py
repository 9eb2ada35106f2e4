"""The key ring: what is accepted as one, a key for each purpose, and what only the right place can read."""

import base64

import pytest
from pydantic import SecretStr

from amo_mcp.keys import CannotDecrypt, Encrypted, InvalidKeys, Keys, new_key

OLD, NEW = f"old:{base64.b64encode(b'o' * 32).decode()}", f"new-1:{base64.b64encode(b'n' * 48).decode()}"


def ring(*keys: str, between: str = ",") -> Keys:
    return Keys.parse(SecretStr(between.join(keys)))


@pytest.mark.requirement("PG-6")
def test_what_the_newest_key_encrypts_is_read_back_by_every_ring_that_has_it() -> None:
    encrypted = ring(NEW, OLD).encrypt("Пароль".encode(), "credentials/1")
    assert encrypted.key_id == "new-1"
    assert "Пароль".encode() not in encrypted.ciphertext
    for keys in (ring(NEW), ring(OLD, NEW, between="\n "), ring(NEW, OLD, between=", ")):
        assert keys.decrypt(encrypted, "credentials/1").decode() == "Пароль"


@pytest.mark.requirement("PG-6")
@pytest.mark.parametrize("how", ["another place", "another id", "changed", "cut", "empty", "a ring without the key"])
def test_what_is_not_as_it_was_encrypted_cannot_be_read(how: str) -> None:
    keys = ring(OLD, NEW)
    encrypted, place = keys.encrypt(b"token", "credentials/1"), "credentials/1"
    match how:
        case "another place":
            place = "credentials/2"
        case "another id":
            encrypted = Encrypted("new-1", encrypted.ciphertext)
        case "changed":
            encrypted = Encrypted("old", encrypted.ciphertext[:-1] + bytes([encrypted.ciphertext[-1] ^ 1]))
        case "cut":
            encrypted = Encrypted("old", encrypted.ciphertext[:-1])
        case "empty":
            encrypted = Encrypted("old", b"")
        case "a ring without the key":
            keys = ring(NEW)
    with pytest.raises(CannotDecrypt):
        keys.decrypt(encrypted, place)


def test_the_same_text_is_encrypted_differently_each_time() -> None:
    keys = ring(OLD)
    assert len({keys.encrypt(b"token", "place").ciphertext for _ in range(10)}) == 10


@pytest.mark.requirement("PG-6")
def test_every_purpose_has_a_key_of_its_own_from_every_secret_the_newest_first() -> None:
    one, both = ring(NEW), ring(NEW, OLD)
    assert (both.newest, len(both.sealing), len(both.cookies)) == ("new-1", 2, 2)
    assert (both.sealing[:1], both.cookies[:1]) == (one.sealing, one.cookies)
    derived = {*both.sealing, *both.cookies}
    assert len(derived) == 4
    assert {len(key) for key in derived} == {32}
    assert not derived & {b"o" * 32, b"n" * 48}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "key 1 has to be id:base64, the id of letters, digits, `_`, `.` and `-`"),
        ("c2VjcmV0", "key 1 has to be id:base64, the id of letters, digits, `_`, `.` and `-`"),
        ("ключ:c2VjcmV0", "key 1 has to be id:base64, the id of letters, digits, `_`, `.` and `-`"),
        (f"{OLD},new:s?cret", "key 2 is not base64 after its id"),
        (f"{OLD},new:{base64.b64encode(b'n' * 31).decode()}", "key 2 has 31 bytes, and at least 32 are needed"),
        (
            f"{OLD},new:{base64.b64encode(bytes(32)).decode()}",
            "key 2 is all zeros: make one with amo-mcp team keys new",
        ),
        (f"{OLD},{OLD}", "key 2 is there twice"),
        (f"{OLD},{OLD.replace('old', 'other')}", "key 2 is there twice"),
        (f"{OLD},old:{NEW.partition(':')[2]}", "key 2 is there twice"),
    ],
)
def test_what_is_no_ring_is_refused_without_a_word_of_it(text: str, problem: str) -> None:
    with pytest.raises(InvalidKeys) as caught:
        ring(text)
    assert str(caught.value) == problem


def test_a_ring_shows_no_secret() -> None:
    assert repr(ring(OLD, NEW)) == "Keys()"


def test_base64_for_addresses_is_the_same_key() -> None:
    secret = bytes([0xFB, 0xFF] * 16)
    plain, for_addresses = base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()
    assert plain != for_addresses
    assert ring(f"a:{plain}").sealing == ring(f"a:{for_addresses}").sealing


def test_a_new_key_is_a_ring() -> None:
    assert ring(new_key("2026-11"), new_key("old")).newest == "2026-11"
