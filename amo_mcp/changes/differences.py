"""How an entity differs from what it was, and what a model reads of that: a sentence for each setting."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from amo_mcp.amocrm.models import comparable
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.field_values import field_label, fields_by_id, readable_values, same_values
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Entity, kind_of
from amo_mcp.text import quote, quote_unless_code, sanitize

_FIELDS = "custom_fields_values"
_PRICES = "available_products_price_types"
_MAX_NAMED_FIELDS = 5
_LABELS = {
    "color": "colour",
    "sort": "position",
    "available_products_price_types": "price fields",
    "customers_count": "customer count",
}


@dataclass(frozen=True)
class Difference:
    """How an entity is no longer what a step was made for.

    Attributes:
        before: the entity as the step knows it.
        now: the entity as it is; None when it is gone.
        settings: the names of what differs, such as `color`.
        places: where a status that moved stood and stands, for a sentence.
        zone: where the account's days begin.
        is_unreadable: whether the entity may be there and only could not be read.
    """

    before: Entity
    now: Entity | None
    settings: tuple[str, ...] = ()
    places: tuple[str, str] = ("", "")
    zone: Zone = UNKNOWN
    is_unreadable: bool = False

    @property
    def sentences(self) -> list[str]:
        """What was and what is, such as "segment «VIP» (id 51): name was «VIP» and is now «Лучшие»."."""
        title = f"{kind_of(self.before)} {quote(self.before.name)} (id {self.before.id})"
        if self.now is None:
            return [f"{title} {'cannot be read' if self.is_unreadable else 'is no longer there'}."]
        told = []
        for name in self.settings:
            if name == "sort":
                told.append(sentence(title, label_of(name), *self.places))
            elif name != _FIELDS:
                was, now = (readable_setting(name, getattr(one, name, None)) for one in (self.before, self.now))
                told.append(sentence(title, label_of(name), was, now))
        was_fields, now_fields = fields_by_id(self.before), fields_by_id(self.now)
        reader = Reader(zone=self.zone)
        differing = differing_fields(self.before, self.now)
        for key in differing[:_MAX_NAMED_FIELDS]:
            one, other = was_fields.get(key), now_fields.get(key)
            was, now = readable_values(one, reader), readable_values(other, reader)
            told.append(sentence(title, field_label(key, other, one), was, now))
        if (more := len(differing) - _MAX_NAMED_FIELDS) > 0:
            told.append(f"{title}: {more} more custom fields have changed.")
        return told


def sentence(title: str, label: str, was: str, now: str, *, left: bool = False) -> str:
    """What a setting was and what it is; with `left`, what it was set to."""
    alike = " They differ in invisible characters, or further on than is shown." if was == now else ""
    verbs = ("were", "are") if label.endswith("s") else ("was", "is")
    return f"{title}: {label} {verbs[0]} {'set to ' if left else ''}{was} and {verbs[1]} now {now}.{alike}"


def label_of(setting: str) -> str:
    """A setting of an entity as a person reads it: `colour`, `price fields`."""
    return _LABELS.get(setting, setting)


def readable_setting(name: str, setting: Any) -> str:
    """A setting, for a sentence."""
    if name == "customers_count":
        return "unknown" if setting is None else str(setting)
    if not setting:
        return "empty"
    if isinstance(setting, list):
        return sanitize(", ".join(map(str, setting)))
    return quote_unless_code(setting) if name == "color" else quote(str(setting))


def edited_since(
    title: str, left: Entity, now: Entity, names: Iterable[str], field_ids: Iterable[int], reader: Reader
) -> Iterator[str]:
    """What is not as a change left it, of what is known of how it left it; a sentence each."""
    for name in names:
        was, is_now = getattr(left, name, None), getattr(now, name, None)
        if name in left.model_fields_set and unordered(name, was) != unordered(name, is_now):
            yield sentence(
                title, label_of(name), readable_setting(name, was), readable_setting(name, is_now), left=True
            )
    if _FIELDS in left.model_fields_set:
        before, after = fields_by_id(left), fields_by_id(now)
        for field_id in field_ids:
            one, other = before.get(field_id), after.get(field_id)
            if not same_values(one, other):
                label = field_label(field_id, other, one)
                yield sentence(title, label, readable_values(one, reader), readable_values(other, reader), left=True)


def described(differences: Iterable[Difference], limit: int) -> list[str]:
    """The sentences of differences, at most `limit`, and how many more there are."""
    told = [one for difference in differences for one in difference.sentences]
    return told if len(told) <= limit else [*told[:limit], f"And {len(told) - limit} more."]


def differing_settings(before: Entity, now: Entity) -> list[str]:
    """The names of the settings in which two readings of an entity differ; fields are compared by id and values."""
    was, is_now = comparable(before), comparable(now)
    names = [
        name
        for name in {**was, **is_now}
        if name != _FIELDS and unordered(name, was.get(name)) != unordered(name, is_now.get(name))
    ]
    return [*names, _FIELDS] if differing_fields(before, now) else names


def unordered(name: str, setting: Any) -> Any:
    """A setting for comparison: of price fields the order does not count."""
    return sorted(setting or ()) if name == _PRICES else setting


def differing_fields(before: Entity, now: Entity) -> Sequence[int]:
    """The ids of the custom fields whose values differ."""
    was, is_now = fields_by_id(before), fields_by_id(now)
    return [key for key in {**was, **is_now} if not same_values(was.get(key), is_now.get(key))]
