"""Who reads a text about a change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amo_mcp.amocrm.zones import UNKNOWN, Zone, zone_of
from amo_mcp.language import SOURCE, Language, Texts, texts


@dataclass(frozen=True)
class Reader:
    """The person who is asked about the changes of an account.

    Attributes:
        account: the account's name.
        language: what they read.
        zone: where the account's days begin.
    """

    account: str = ""
    language: Language = SOURCE
    zone: Zone = UNKNOWN

    @property
    def texts(self) -> Texts:
        """The texts in their language."""
        return texts(self.language)


ANYBODY = Reader()
"""Somebody of whom nothing is known: told in English, with moments in UTC."""


def reader_to_record(reader: Reader) -> dict[str, Any]:
    """A reader as JSON, losing nothing."""
    return vars(reader) | {"zone": reader.zone.name if reader.zone.is_known else None}


def reader_from_record(record: Mapping[str, Any]) -> Reader:
    """The reader of a record that `reader_to_record` made."""
    name = record["zone"]
    return Reader(**{**record, "zone": UNKNOWN if name is None else zone_of(name, name)})
