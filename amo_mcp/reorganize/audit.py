"""What is wrong with an account's segments and statuses: findings, each with what could be done, in a steady order.

Plain functions over what was read; nothing here asks the account.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, Self

from amo_mcp.amocrm.limits import (
    ALMOST_FULL,
    MAX_SEGMENT_FIELDS,
    MAX_SEGMENTS,
    MAX_STATUSES,
    SEGMENT_COLORS,
    STATUS_COLORS,
)
from amo_mcp.amocrm.models import CustomField, Segment, Status
from amo_mcp.changes.steps import Entity, Kind
from amo_mcp.text import counted, quote, quote_unless_code

NEAR = 86.0
"""Likeness of two names, from 0 to 100, from which they count as near-duplicates."""

_RARELY_FILLED = 0.1
_MIN_NEAR_LENGTH = 5
_LOOKALIKES = str.maketrans("abcehkmoptxy", "авсенкмортху")
_TRANSLITERATED = str.maketrans(
    dict(zip("абвгдезийклмнопрстуфхцыэ", "abvgdezijklmnoprstufhcye", strict=True))
    | {"ж": "zh", "ч": "ch", "ш": "sh", "щ": "sch", "ъ": "", "ь": "", "ю": "yu", "я": "ya"}
)
_WORD = re.compile(r"[^\W_]+")
_PLURAL = re.compile(r"(ами|ями|ов|ев|ей|ах|ях|ам|ям|ы|и|а|я|es|s)$")
_MIN_STEM = 3
_FIRST_PICTURE = "\u2190"


FindingProblem = Literal[
    "near_duplicate_names",
    "empty_segment",
    "color_clash",
    "naming_drift",
    "unused_field",
    "sort_gaps",
    "unused_colors",
    "limit_close",
]
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class Finding:
    """One way in which the account could be better.

    Attributes:
        ids: what it is about.
        reason: a sentence.
        suggested_changes: what could be done, as `plan_changes` takes it.
    """

    problem: FindingProblem
    kind: Literal["segment", "status", "field"]
    ids: tuple[int, ...]
    reason: str
    confidence: Confidence
    suggested_changes: tuple[Mapping[str, Any], ...] = ()


def audit_segments(segments: Sequence[Segment], fields: Sequence[CustomField]) -> list[Finding]:
    """The findings about segments and their custom fields."""
    ordered = sorted(segments, key=lambda segment: segment.id)
    near = [*_near_duplicates("segment", ordered)]
    return [
        *near,
        *_empty(ordered, {segment_id for finding in near for segment_id in finding.ids}),
        *_color_clashes("segment", ordered, SEGMENT_COLORS),
        *_naming_drift("segment", ordered),
        *_unused_fields(ordered, fields),
        *_full("segment", len(segments), MAX_SEGMENTS),
        *_full("field", len(fields), MAX_SEGMENT_FIELDS),
    ]


def audit_statuses(statuses: Sequence[Status]) -> list[Finding]:
    """The findings about statuses."""
    ordered = sorted(statuses, key=lambda status: (status.sort, status.id))
    return [
        *_near_duplicates("status", ordered),
        *_color_clashes("status", ordered, STATUS_COLORS),
        *_naming_drift("status", ordered),
        *_sort_gaps(ordered),
        *_unused_colors(ordered),
        *_full("status", len(statuses), MAX_STATUSES),
    ]


def key_of(name: str) -> str:
    """A name without what makes two spellings of one name: case, spaces, signs, look-alike letters, order, plural."""
    words = _WORD.findall(unicodedata.normalize("NFKC", name).casefold().replace("ё", "е"))
    return " ".join(sorted(_singular(_one_script(word)) for word in words))


def _one_script(word: str) -> str:
    """A word whose Latin letters stand among Cyrillic ones, with the Cyrillic letters that they look like."""
    return word.translate(_LOOKALIKES) if _is_mixed(word) else word


def _singular(word: str) -> str:
    stem = _PLURAL.sub("", word)
    return stem if len(stem) >= _MIN_STEM else word


def _is_mixed(word: str) -> bool:
    return any("а" <= char <= "я" for char in word) and any("a" <= char <= "z" for char in word)


def _near_duplicates(kind: Kind, entities: Sequence[Entity]) -> Iterator[Finding]:
    """Groups of names that mean the same; the first of each, by customers and then by id, is the one to keep."""
    group = list(range(len(entities)))
    likeness: dict[int, float] = defaultdict(lambda: 100.0)
    for first, second, score in _alike([_ComparableName.of(entity.name) for entity in entities]):
        old, new = group[second], group[first]
        group = [new if item == old else item for item in group]
        likeness[new] = min(likeness[new], score, likeness.pop(old, 100.0))
    members: dict[int, list[Entity]] = defaultdict(list)
    for entity, belongs in zip(entities, group, strict=True):
        members[belongs].append(entity)
    for belongs, alike in sorted(members.items()):
        if len(alike) > 1:
            yield _near(kind, alike, likeness[belongs])


@dataclass(frozen=True)
class _ComparableName:
    """A name as it is compared: by its letters, by its sound in Latin letters, and by its numbers."""

    key: str
    spoken: str
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, name: str) -> Self:
        key = key_of(name)
        spoken = " ".join(sorted(key.translate(_TRANSLITERATED).split()))
        return cls(key, spoken, tuple(re.findall(r"\d+", key)))


def _alike(names: Sequence[_ComparableName]) -> Iterator[tuple[int, int, float]]:
    """The places of two names that mean the same, and their likeness; short ones must be the same, or sound so."""
    from rapidfuzz.fuzz import ratio

    for (first, one), (second, other) in combinations(enumerate(names), 2):
        if not one.key or not other.key:
            continue
        if one.key == other.key or one.spoken == other.spoken:
            yield first, second, 100.0
        elif one.numbers == other.numbers and min(len(one.key), len(other.key)) >= _MIN_NEAR_LENGTH:
            score = ratio(one.key, other.key, score_cutoff=NEAR) or ratio(one.spoken, other.spoken, score_cutoff=NEAR)
            if score:
                yield first, second, score


def _near(kind: Kind, alike: Sequence[Entity], score: float) -> Finding:
    kept = min(alike, key=lambda entity: (-_customers(entity), not _is_system(entity), entity.id))
    empty = [entity for entity in alike if entity is not kept and not _is_system(entity) and not _customers(entity)]
    return Finding(
        "near_duplicate_names",
        kind,
        _ids(alike),
        f"{_names(alike)} mean the same; {quote(kept.name)} (id {kept.id}) is the one to keep.",
        "high" if score == 100.0 else "medium",
        tuple({"action": "delete", "kind": kind, "id": entity.id} for entity in empty),
    )


def _empty(segments: Sequence[Segment], reported: set[int]) -> Iterator[Finding]:
    for segment in segments:
        if segment.customers_count == 0 and segment.id not in reported:
            deletion = {"action": "delete", "kind": "segment", "id": segment.id}
            reason = f"{quote(segment.name)} has no customers."
            yield Finding("empty_segment", "segment", (segment.id,), reason, "medium", (deletion,))


def _color_clashes(kind: Kind, entities: Sequence[Entity], palette: Sequence[str]) -> Iterator[Finding]:
    """Different entities of one colour; colours that nobody has are offered to all but the first."""
    by_color: dict[str, list[Entity]] = defaultdict(list)
    for entity in entities:
        by_color[entity.color].append(entity)
    free = iter([color for color in palette if color not in by_color])
    for color, same in by_color.items():
        if len(same) > 1 and color:
            offered = zip(same[1:], free, strict=False)
            changes = tuple({"action": "update", "kind": kind, "id": one.id, "color": new} for one, new in offered)
            reason = f"{len(same)} of one colour ({quote_unless_code(color)}): {_names(same)}."
            yield Finding("color_clash", kind, _ids(same), reason, "low", changes)


def _naming_drift(kind: Kind, entities: Sequence[Entity]) -> Iterator[Finding]:
    """Names with stray spaces, underscores, emoji or words of two scripts, and how they would be clean."""
    for entity in entities:
        drifts = [*_drifts(entity.name)]
        clean = _cleaned(entity.name)
        if drifts and clean:
            renaming = {"action": "update", "kind": kind, "id": entity.id, "name": clean}
            yield Finding(
                "naming_drift",
                kind,
                (entity.id,),
                f"{quote(entity.name)} has {' and '.join(drifts)}.",
                "high" if drifts == ["stray spaces"] else "medium",
                (renaming,) if clean != entity.name else (),
            )


def _drifts(name: str) -> Iterator[str]:
    if name != " ".join(name.split()):
        yield "stray spaces"
    if "_" in name:
        yield "underscores"
    if any(_is_emoji(char) for char in name):
        yield "emoji"
    if any(_is_mixed(word.casefold()) for word in _WORD.findall(name)):
        yield "Latin and Cyrillic letters in one word"


def _is_emoji(char: str) -> bool:
    """Whether it is a picture; signs such as «№» and «°» are writing."""
    return char >= _FIRST_PICTURE and unicodedata.category(char) in ("So", "Sk", "Cs")


def _cleaned(name: str) -> str:
    spaced = "".join(" " if char == "_" or char.isspace() else char for char in name)
    kept = "".join(
        char
        for char in spaced
        if not _is_emoji(char) and unicodedata.category(char)[0] != "C" and not "\ufe00" <= char <= "\ufe0f"
    )
    return " ".join(_cyrillic(word) for word in kept.split())


def _cyrillic(word: str) -> str:
    """The word in one script, with its capitals where they were."""
    if not _is_mixed(word.casefold()):
        return word
    lower = word.casefold().translate(_LOOKALIKES)
    if len(lower) != len(word) or any("a" <= char <= "z" for char in lower):
        return word
    return "".join(new.upper() if old.isupper() else new for old, new in zip(word, lower, strict=True))


def _unused_fields(segments: Sequence[Segment], fields: Sequence[CustomField]) -> Iterator[Finding]:
    filled = Counter(field["field_id"] for one in segments for field in one.custom_fields_values if field["values"])
    for definition in sorted(fields, key=lambda item: item.id):
        count = filled[definition.id]
        if segments and count <= len(segments) * _RARELY_FILLED:
            reason = f"The field {quote(definition.name)} is filled in {count} of {counted(len(segments), 'segment')}."
            yield Finding("unused_field", "field", (definition.id,), reason, "low" if count else "medium")


def _sort_gaps(statuses: Sequence[Status]) -> Iterator[Finding]:
    places = [status.sort for status in statuses]
    if places and places != list(range(places[0], places[0] + len(places))):
        reason = f"The positions are not one after the other: {', '.join(map(str, places))}."
        yield Finding("sort_gaps", "status", tuple(status.id for status in statuses), reason, "low")


def _unused_colors(statuses: Sequence[Status]) -> Iterator[Finding]:
    used = [status.color for status in statuses if status.color]
    free = [color for color in STATUS_COLORS if color not in used]
    if free and len({*used}) < len(used):
        reason = f"Not used, though some statuses share a colour: {', '.join(free)}."
        yield Finding("unused_colors", "status", (), reason, "low")


def _full(kind: Literal["segment", "status", "field"], count: int, limit: int) -> Iterator[Finding]:
    if count >= limit * ALMOST_FULL:
        yield Finding("limit_close", kind, (), f"{count} of at most {limit} are used.", "high")


def _ids(entities: Sequence[Entity]) -> tuple[int, ...]:
    return tuple(sorted(entity.id for entity in entities))


def _is_system(entity: Entity) -> bool:
    return isinstance(entity, Status) and entity.is_default


def _names(entities: Sequence[Entity]) -> str:
    return ", ".join(quote(entity.name) for entity in entities)


def _customers(entity: Entity) -> int:
    return (entity.customers_count or 0) if isinstance(entity, Segment) else 0
