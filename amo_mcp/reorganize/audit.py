"""What is wrong with an account's segments and statuses: findings, each with what could be done, in a steady order.

Plain functions over what was read; nothing here asks the account.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, WithJsonSchema

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
from amo_mcp.language import Message, counted_message, message
from amo_mcp.reorganize.names import LOOKALIKES, Reading, is_mixed, is_picture, reduced
from amo_mcp.text import quote, quote_unless_code

_RARELY_FILLED = 0.1
_WORD = re.compile(r"[^\W_]+")

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
Reason = Annotated[str | Message, PlainSerializer(str), WithJsonSchema({"type": "string"})]


@dataclass(frozen=True)
class Finding:
    """One way in which the account could be better.

    Attributes:
        ids: what it is about.
        reason: a sentence; one that says more than the problem and the ids is a message, for a person to read too.
        suggested_changes: what could be done, as `plan_changes` takes it.
    """

    problem: FindingProblem
    kind: Literal["segment", "status", "field"]
    ids: tuple[int, ...]
    reason: Reason
    confidence: Confidence
    suggested_changes: tuple[Mapping[str, Any], ...] = ()


def audit_segments(segments: Sequence[Segment], fields: Sequence[CustomField]) -> list[Finding]:
    """The findings about segments and their custom fields."""
    ordered = sorted(segments, key=lambda segment: segment.id)
    near = [*_near_duplicates("segment", ordered)]
    return [
        *near,
        *_empty(
            ordered, {segment_id for finding in near if finding.confidence == "high" for segment_id in finding.ids}
        ),
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


def _near_duplicates(kind: Kind, entities: Sequence[Entity]) -> Iterator[Finding]:
    """Names that are one, and then names that read alike, each group with the one to keep.

    Of names that are one a merge is suggested, or a deletion where nobody is in it. Names that read alike are reported
    with the one that each stands for.
    """
    groups: dict[str, list[Entity]] = defaultdict(list)
    for entity in entities:
        groups[reduced(entity.name) or f"\0{entity.id}"].append(entity)
    for same in groups.values():
        if len(same) > 1:
            yield _same(kind, same)
    kept = [_kept(same) for same in groups.values()]
    for alike in _alike([Reading.of(entity.name) for entity in kept]):
        yield _perhaps_same(kind, [kept[place] for place in alike])


def _alike(readings: Sequence[Reading]) -> Iterator[tuple[int, ...]]:
    """Groups of names that are all like each other, by their places; every two that are alike share a group."""
    places = range(len(readings))
    pairs = {pair for pair in combinations(places, 2) if readings[pair[0]].is_like(readings[pair[1]])}
    left = sorted(pairs, reverse=True)
    together: set[tuple[int, int]] = set()
    while left:
        pair = left.pop()
        if pair in together:
            continue
        group = list(pair)
        for place in places[pair[1] + 1 :]:
            if all((member, place) in pairs for member in group):
                group.append(place)
        together.update(combinations(group, 2))
        yield tuple(group)


def _same(kind: Kind, same: Sequence[Entity]) -> Finding:
    kept = _kept(same)
    others = [entity for entity in same if entity is not kept and not _is_system(entity)]
    return Finding(
        "near_duplicate_names",
        kind,
        _ids(same),
        f"{_names(same)} are one name; {quote(kept.name)} (id {kept.id}) is the one to keep.",
        "high",
        tuple(_away_with(kind, entity, kept) for entity in others),
    )


def _away_with(kind: Kind, entity: Entity, kept: Entity) -> Mapping[str, Any]:
    """What is suggested for one of several names: a deletion where nobody is in it, else a merge."""
    if isinstance(entity, Segment) and entity.customers_count == 0:
        return {"action": "delete", "kind": kind, "id": entity.id}
    return {"action": "merge", "kind": kind, "id": entity.id, "into": kept.id}


def _perhaps_same(kind: Kind, alike: Sequence[Entity]) -> Finding:
    reason = f"{_names(alike)} may mean the same; ask before one of them is deleted."
    return Finding("near_duplicate_names", kind, _ids(alike), reason, "medium")


def _kept(same: Sequence[Entity]) -> Entity:
    return min(same, key=lambda entity: (-_customers(entity), not _is_system(entity), _is_deletable(entity), entity.id))


def _is_deletable(entity: Entity) -> bool:
    """Whether nothing is lost with it that is known: a segment without customers, or a status of one's own."""
    return entity.customers_count == 0 if isinstance(entity, Segment) else not entity.is_default


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
    if any(is_picture(char) for char in name):
        yield "emoji"
    if any(is_mixed(word.casefold()) for word in _WORD.findall(name)):
        yield "Latin and Cyrillic letters in one word"


def _cleaned(name: str) -> str:
    spaced = "".join(" " if char == "_" or char.isspace() else char for char in name)
    kept = "".join(
        char
        for char in spaced
        if not is_picture(char) and unicodedata.category(char)[0] != "C" and not "\ufe00" <= char <= "\ufe0f"
    )
    return " ".join(_cyrillic(word) for word in kept.split())


def _cyrillic(word: str) -> str:
    """The word in one script, with its capitals where they were."""
    if not is_mixed(word.casefold()):
        return word
    lower = word.casefold().translate(LOOKALIKES)
    if len(lower) != len(word) or any("a" <= char <= "z" for char in lower):
        return word
    return "".join(new.upper() if old.isupper() else new for old, new in zip(word, lower, strict=True))


def _unused_fields(segments: Sequence[Segment], fields: Sequence[CustomField]) -> Iterator[Finding]:
    filled = Counter(field["field_id"] for one in segments for field in one.custom_fields_values if field["values"])
    for definition in sorted(fields, key=lambda item: item.id):
        count = filled[definition.id]
        if segments and count <= len(segments) * _RARELY_FILLED:
            reason = counted_message(
                "The field {field} is filled in {filled} of {count} segment.",
                "The field {field} is filled in {filled} of {count} segments.",
                len(segments),
                field=quote(definition.name),
                filled=count,
            )
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
        reason = message("Not used, though some statuses share a colour: {colors}.", colors=", ".join(free))
        yield Finding("unused_colors", "status", (), reason, "low")


def _full(kind: Literal["segment", "status", "field"], count: int, limit: int) -> Iterator[Finding]:
    if count >= limit * ALMOST_FULL:
        reason = {
            "segment": message("{count} of at most {limit} segments are used.", count=count, limit=limit),
            "status": message("{count} of at most {limit} statuses are used.", count=count, limit=limit),
            "field": message("{count} of at most {limit} fields are used.", count=count, limit=limit),
        }[kind]
        yield Finding("limit_close", kind, (), reason, "high")


def _ids(entities: Sequence[Entity]) -> tuple[int, ...]:
    return tuple(sorted(entity.id for entity in entities))


def _is_system(entity: Entity) -> bool:
    return isinstance(entity, Status) and entity.is_default


def _names(entities: Sequence[Entity]) -> str:
    return ", ".join(quote(entity.name) for entity in entities)


def _customers(entity: Entity) -> int:
    return (entity.customers_count or 0) if isinstance(entity, Segment) else 0
