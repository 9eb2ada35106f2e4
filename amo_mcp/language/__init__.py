"""What a person reads, in their language: gettext catalogues, with the English texts of the code as their keys.

Code writes a text where it is needed, `texts("Delete segment {name}", name=quote(name))`, or as a `Message` where it is
not known yet who reads it. `make messages` brings new texts into the catalogues; the build compiles these.
"""

import gettext
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

Language = Literal["ru", "en", "es", "pt"]
"""The languages that a person can be spoken to in; `pt` is Brazilian."""

LANGUAGES: tuple[Language, ...] = get_args(Language)

SOURCE: Language = "en"
"""The language of the texts in the code, and of every reader whose language is unknown."""

_COUNTRIES: Mapping[Language, Sequence[str]] = {
    "ru": "RU BY KZ KG AM UZ".split(),
    "pt": "BR PT".split(),
    "es": "ES AR BO CL CO CR CU DO EC GT HN MX NI PA PE PR PY SV UY VE".split(),
}
"""Where a language is spoken; Spanish in Spain and in Spanish America."""


@dataclass(frozen=True)
class Message:
    """A text whose reader is not known yet; `str` gives it in English.

    Attributes:
        text: the English text, with a named placeholder for each value.
        values: what the placeholders stand for.
        many: the English text for a `count` in `values` that is not one; empty when nothing is counted.
    """

    text: str
    values: Mapping[str, "str | int | Message"] = field(default_factory=dict)
    many: str = ""

    def __str__(self) -> str:
        """The message in English."""
        return texts(SOURCE).of(self)

    def to_record(self) -> dict[str, Any]:
        """The message as JSON."""
        values = {key: value.to_record() if isinstance(value, Message) else value for key, value in self.values.items()}
        return {"text": self.text, "values": values, "many": self.many}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Message":
        """The message of a record that `to_record` made."""
        values = {k: cls.from_record(v) if isinstance(v, Mapping) else v for k, v in record["values"].items()}
        return cls(record["text"], values, record["many"])


def message(text: str, /, **values: str | int | Message) -> Message:
    """A text that is put into words later."""
    return Message(text, values)


def counted_message(one: str, many: str, count: int, /, **values: str | int | Message) -> Message:
    """A text about `count` things, which is one of the values, that is put into words later."""
    return Message(one, {"count": count, **values}, many)


class Texts:
    """The texts of one language."""

    def __init__(self, language: Language, catalogue: gettext.NullTranslations) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, message: str, /, **values: object) -> str:
        """The English text `message` in this language, with its values."""
        return self._catalogue.gettext(message).format(**self._worded(values))

    def plural(self, one: str, many: str, count: int, /, **values: object) -> str:
        """The text that this language has for `count` things, with its values, of which `count` is one."""
        return self._catalogue.ngettext(one, many, count).format(count=count, **self._worded(values))

    def of(self, message: Message) -> str:
        """A message in this language."""
        if not message.many:
            return self(message.text, **message.values)
        values = {**message.values}
        return self.plural(message.text, message.many, cast("int", values.pop("count")), **values)

    def _worded(self, values: Mapping[str, object]) -> dict[str, object]:
        return {name: self.of(value) if isinstance(value, Message) else value for name, value in values.items()}


@cache
def texts(language: Language) -> Texts:
    """The texts of a language; its catalogue is read with the first one that is wanted."""
    if language == SOURCE:
        return Texts(language, gettext.NullTranslations())
    with (Path(__file__).parent / f"{language}.mo").open("rb") as compiled:
        return Texts(language, gettext.GNUTranslations(compiled))


def known_language(name: str) -> Language | None:
    """The language that a code such as `pt`, `pt_BR` or `es-419.UTF-8` begins with, if it is one of ours."""
    return next((language for language in LANGUAGES if name[:2].lower() == language and not name[2:3].isalpha()), None)


def language_of_country(country: str) -> Language:
    """The language to speak in an account of a country, by its code such as `RU`."""
    return next((language for language, own in _COUNTRIES.items() if country.upper() in own), SOURCE)
