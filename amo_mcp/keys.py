"""The key ring of a team's server: from every secret of `AMO_SECRET_KEY` one key for each purpose, by HKDF-SHA256.

The first secret is the newest, and what is made is made with it; whatever any other one made can still be read.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

MIN_BYTES = 32

_NONCE_BYTES = 12
_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class InvalidKeys(ValueError):
    """The ring is not one; the text says what is wrong and never what was given."""


class CannotDecrypt(Exception):
    """It was encrypted with a key that the ring does not have, or for another place, or it was changed."""


@dataclass(frozen=True)
class Encrypted:
    """What is kept of a secret.

    Attributes:
        key_id: which secret of the ring encrypted it.
        ciphertext: a nonce of 12 bytes, and what AES-256-GCM made.
    """

    key_id: str
    ciphertext: bytes


@dataclass(frozen=True)
class Keys:
    """A ring of secrets by their ids, newest first."""

    _secrets: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: SecretStr) -> "Keys":
        """The ring of `AMO_SECRET_KEY`: `id:base64`, more of them after commas or spaces.

        Raises:
            InvalidKeys: it is none.
        """
        found: dict[str, bytes] = {}
        for number, part in enumerate(re.split(r"[\s,]+", text.get_secret_value().strip()), 1):
            key_id, colon, encoded = part.partition(":")
            if not colon or not _ID.fullmatch(key_id):
                raise InvalidKeys(f"key {number} has to be id:base64, the id of letters, digits, `_`, `.` and `-`")
            try:
                secret = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
            except (binascii.Error, ValueError) as error:
                raise InvalidKeys(f"key {number} is not base64 after its id") from error
            if len(secret) < MIN_BYTES:
                raise InvalidKeys(f"key {number} has {len(secret)} bytes, and at least {MIN_BYTES} are needed")
            if not any(secret):
                raise InvalidKeys(f"key {number} is all zeros: make one with amo-mcp team keys new")
            if key_id in found or secret in found.values():
                raise InvalidKeys(f"key {number} is there twice")
            found[key_id] = secret
        return cls(found)

    @property
    def newest(self) -> str:
        """The id of the secret that everything new is made with."""
        return next(iter(self._secrets))

    @property
    def ids(self) -> list[str]:
        """The ids of all secrets, newest first."""
        return [*self._secrets]

    @property
    def sealing(self) -> list[bytes]:
        """The keys that seal the state of a question while it is with a client, newest first."""
        return [_derived(secret, "sealing") for secret in self._secrets.values()]

    @property
    def refreshing(self) -> dict[str, bytes]:
        """The keys that make the successors of refresh tokens, by the ids of their secrets, newest first."""
        return {key_id: _derived(secret, "refreshing") for key_id, secret in self._secrets.items()}

    @property
    def cookies(self) -> list[bytes]:
        """The keys that sign what a browser keeps, newest first."""
        return [_derived(secret, "cookies") for secret in self._secrets.values()]

    def encrypt(self, plaintext: bytes, place: str) -> Encrypted:
        """Encrypt with the newest key, for one place, such as the row that it is kept in."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return Encrypted(self.newest, nonce + self._cipher(self.newest).encrypt(nonce, plaintext, place.encode()))

    def decrypt(self, encrypted: Encrypted, place: str) -> bytes:
        """What was encrypted for that place.

        Raises:
            CannotDecrypt: it cannot be read, or was not for that place.
        """
        nonce, ciphertext = encrypted.ciphertext[:_NONCE_BYTES], encrypted.ciphertext[_NONCE_BYTES:]
        try:
            return self._cipher(encrypted.key_id).decrypt(nonce, ciphertext, place.encode())
        except KeyError:
            raise CannotDecrypt("the ring has no key of that id") from None
        except (InvalidTag, ValueError):
            raise CannotDecrypt("it was not encrypted so") from None

    def _cipher(self, key_id: str) -> AESGCM:
        return AESGCM(_derived(self._secrets[key_id], "encryption"))


def new_key(key_id: str) -> str:
    """A new secret, as it stands in `AMO_SECRET_KEY`."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(MIN_BYTES)).decode()}"


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=f"amo-mcp {purpose} v1".encode()).derive(secret)
