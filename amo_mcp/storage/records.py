"""Steps and fields as the JSON text that a backend keeps of them."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from amo_mcp.amocrm.models import CustomField
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.changes.steps import Step, from_record, to_record

_T = TypeVar("_T")


def dump_step(step: Step) -> str:
    """A step as an object.

    Raises:
        TypeError: it has something in it that is no JSON.
    """
    return _dump(to_record(step))


def load_step(text: str) -> Step:
    """The step of a text that `dump_step` made.

    Raises:
        JournalUnusable: it is none.
    """
    return _load(text, from_record)


def dump_steps(steps: Iterable[Step]) -> str:
    """Steps as a list of objects."""
    return _dump([to_record(step) for step in steps])


def load_steps(text: str) -> Sequence[Step]:
    """The steps of a text that `dump_steps` made.

    Raises:
        JournalUnusable: it is none.
    """
    return _load(text, lambda records: tuple(map(from_record, records)))


def dump_fields(fields: Iterable[CustomField]) -> str:
    """Definitions of custom fields as a list of objects."""
    return _dump([field.model_dump(mode="json", exclude_unset=True) for field in fields])


def load_fields(text: str) -> Sequence[CustomField]:
    """The definitions of a text that `dump_fields` made.

    Raises:
        JournalUnusable: it is none.
    """
    return _load(text, lambda records: tuple(map(CustomField.model_validate, records)))


def _dump(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can have and UTF-8 cannot, is kept as an escape.
        return json.dumps(value, separators=(",", ":"))
    return text


def _load(text: str, build: Callable[[Any], _T]) -> _T:
    try:
        return build(json.loads(text))
    except (ValueError, LookupError, TypeError) as error:
        raise JournalUnusable(f"a record cannot be read ({type(error).__name__})") from error
