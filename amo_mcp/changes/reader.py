"""Who reads a text about a change."""

from dataclasses import dataclass

from amo_mcp.amocrm.zones import UNKNOWN, Zone
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
