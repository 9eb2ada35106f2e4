"""Answers made to fit: what is left out is counted.

Of entities that are too large the largest parts go, of other lists (steps, warnings, findings) the last entries.
"""

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from amo_mcp.text import escape_invisible

MAX_ANSWER_BYTES = 50_000
"""Bytes of an answer; a client may cut a longer one anywhere."""

_MAX_CUT_TEXT = 200
"""Characters that are left of a text that is cut."""

_Json = dict[str, Any]


def bytes_of(value: Any) -> int:
    """How many bytes a value takes in an answer, as text."""
    return len(escape_invisible(to_json(value).decode()).encode())


def fits(value: Any, most: int = MAX_ANSWER_BYTES) -> bool:
    """Whether a value takes no more bytes than that in an answer."""
    json = to_json(value)
    # Looking for what is escaped takes longer than the rest. An escape has three times the bytes of its character at
    # most, and six of the one byte of DEL.
    return 3 * (len(json) + json.count(b"\x7f")) <= most or bytes_of(value) <= most


def fitted(answer: _Json) -> _Json:
    """An answer in which the entities have equal shares of `MAX_ANSWER_BYTES`, where it would take more than that.

    An entity has an `id`; it is the answer itself, or a value in it, or an entry of a list in it. One that is larger
    than its share gets a key `left_out`: of which keys how much is left out, entries of lists or characters of texts.
    Where that is not enough, the answer gets one too, for lists of which only the first entries are left.
    """
    if fits(answer):
        return answer
    if "id" in answer:
        return _cut(answer, MAX_ANSWER_BYTES)
    found = [one for value in answer.values() for one in _entities(value)]
    share = (MAX_ANSWER_BYTES - bytes_of(answer) + sum(map(bytes_of, found))) // max(1, len(found))
    cut = {key: _with_cut(value, share) for key, value in answer.items()} if share > 0 else answer
    return cut if fits(cut) else _shortened(cut, MAX_ANSWER_BYTES)


def _entities(value: Any) -> Sequence[_Json]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict) and "id" in one]


def _with_cut(value: Any, most: int) -> Any:
    if isinstance(value, list):
        return [_with_cut(one, most) for one in value]
    return _cut(value, most) if _entities(value) else value


def _cut(entity: _Json, most: int) -> _Json:
    """An entity without the largest entries of its largest values, as many as are too many."""
    cut, left_out = {**entity}, dict[str, int]()
    for key in sorted(entity.keys() - {"id"}, key=lambda key: bytes_of(entity[key]), reverse=True):
        if bytes_of(cut) <= most:
            break
        if isinstance(entity[key], str) and len(entity[key]) <= _MAX_CUT_TEXT:
            continue
        value = cut.pop(key)
        # What the rest leaves to it. Its count is written with as many digits as its bytes are, at most.
        room = most - bytes_of(cut | {key: "", "left_out": left_out | {key: bytes_of(value)}})
        if isinstance(value, list):
            cut[key] = _smallest(value, room)
            left_out[key] = len(value) - len(cut[key])
        elif isinstance(value, str):
            cut[key] = value[:_MAX_CUT_TEXT]
            left_out[key] = len(value) - len(cut[key])
        else:
            left_out[key] = 1
        cut["left_out"] = left_out
    return {key: cut[key] for key in (*entity, "left_out") if key in cut}


def _shortened(answer: _Json, most: int) -> _Json:
    """An answer with the first entries of its lists; what a short list does not take of its share the others have."""
    lists = sorted((key for key in answer if isinstance(answer[key], list)), key=lambda key: bytes_of(answer[key]))
    short = answer | {key: [] for key in lists}
    room = most - bytes_of(short | {"left_out": {key: len(answer[key]) for key in lists}})
    for place, key in enumerate(lists):
        short[key] = _first(answer[key], room // (len(lists) - place))
        room -= bytes_of(short[key]) - len("[]")
    left_out = {key: len(answer[key]) - len(short[key]) for key in lists if len(answer[key]) > len(short[key])}
    return short | ({"left_out": left_out} if left_out else {})


def _first(entries: Sequence[Any], most: int) -> list[Any]:
    """The first of the entries that fit; the very first one shortened where it does not."""
    kept: list[Any] = []
    for entry in entries:
        fits = kept or not isinstance(entry, dict) or bytes_of(entry) < most
        one = entry if fits else _shortened(entry, most - 1)
        most -= bytes_of(one) + 1
        if most < 0:
            break
        kept.append(one)
    return kept


def _smallest(entries: Sequence[Any], most: int) -> list[Any]:
    """The smallest of the entries that fit, in their order."""
    kept: set[int] = set()
    for place in sorted(range(len(entries)), key=lambda place: bytes_of(entries[place])):
        most -= bytes_of(entries[place]) + 1
        if most < 0:
            break
        kept.add(place)
    return [entry for place, entry in enumerate(entries) if place in kept]
