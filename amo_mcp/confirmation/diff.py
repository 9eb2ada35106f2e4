"""What a question and a plan say of a step: each setting before → after, in the words of who reads it.

What differs is always shown. What is left out of a long text or a long list is the same on both sides, or counted.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from amo_mcp.amocrm.models import CustomField, FieldValues, Segment, Status
from amo_mcp.changes.field_values import fields_by_id, readable_value
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Delete, Entity, Move, Step, Update, payload_of
from amo_mcp.changes.titles import shown_name, summary_of
from amo_mcp.language import Texts
from amo_mcp.text import quote, quote_unless_code, sanitize

MAX_SHOWN_TEXT = 200
"""Characters of one text that are shown."""

MAX_SHOWN_ITEMS = 5
"""Entries of one list that are shown."""

_CONTEXT = 20
"""Characters that are shown on both sides of what differs in two long texts."""

_LOOKALIKES = str.maketrans("АВЕЗКМНОРСТУХЬІЈЅаеорсухіјѕ«»", "ABE3KMHOPCTYXbIJSaeopcyxijs‹›")
_COLOR = re.compile("#?([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Value:
    """What a setting is, as a person reads it.

    Attributes:
        text: one line of visible characters; never empty.
        color: `#6610f2` where the value is a colour that can be painted.
    """

    text: str
    color: str | None = None


@dataclass(frozen=True)
class Setting:
    """One setting before → after.

    Attributes:
        label: which one.
        before: None when there is nothing to compare with, as in a creation.
        note: what is to be said of the two; mostly empty.
        line: all of it in one line, such as `Colour: was 6610f2 → will be ae003f`.
    """

    label: str
    before: Value | None
    after: Value
    note: str
    line: str


def headline(step: Step, texts: Texts) -> str:
    """What a step does to what: `Change segment «VIP» (id 51)`; of a deletion also how many customers it affects."""
    summary = summary_of(step)
    if isinstance(step, Delete) and step.merged_into is not None:
        return texts("{summary}, once they are all there", summary=summary)
    if isinstance(step, Delete) and isinstance(step.before, Segment):
        count = step.before.customers_count
        if count is None:
            return texts("{summary}, number of customers unknown", summary=summary)
        return texts.plural("{summary}, {count} customer", "{summary}, {count} customers", count, summary=summary)
    return texts.of(summary)


def on_one_line(step: Step, fields: Sequence[CustomField], reader: Reader) -> str:
    """A step with everything that it sets."""
    settings = [setting.line for setting in settings_of(step, fields, reader)]
    first = headline(step, reader.texts)
    return f"{first}: {'; '.join(settings)}" if settings else first


def color_value(color: str, texts: Texts) -> Value:
    """A colour of an entity."""
    match = _COLOR.fullmatch(color)
    return Value(quote_unless_code(color) or texts("empty"), f"#{match[1].lower()}" if match else None)


def color_of_deleted(step: Step, reader: Reader) -> list[Setting]:
    """The colour of what a step deletes, as any other colour is shown."""
    return [_Differ(reader, {}).color(None, step.before.color)] if isinstance(step, Delete) else []


def settings_of(step: Step, fields: Sequence[CustomField], reader: Reader) -> list[Setting]:
    """What a step sets, one after the other; `fields` are the definitions of the custom fields that it sets."""
    return _Differ(reader, {field.id: field for field in fields}).settings(step)


@dataclass(frozen=True)
class _Differ:
    reader: Reader
    definitions: Mapping[int, CustomField]

    @property
    def texts(self) -> Texts:
        return self.reader.texts

    def settings(self, step: Step) -> list[Setting]:
        if isinstance(step, Delete | Move):
            return []
        before = step.before if isinstance(step, Update) else None
        found = [*self._settings(payload_of(step), before)]
        if before is not None and not found:
            already = self.texts("it has these values already")
            return [self._setting(self.texts("Nothing changes"), None, Value(already))]
        return found

    def color(self, was: str | None, will: str) -> Setting:
        """A colour."""
        before = None if was is None else color_value(was, self.texts)
        return self._setting(self.texts("Colour"), before, color_value(will, self.texts))

    def _settings(self, payload: Mapping[str, Any], before: Entity | None) -> Iterator[Setting]:
        """What of a payload differs from the entity that it is for; all of it where that is new."""
        texts = self.texts
        if before is not None and payload.get("name", before.name) != before.name:
            yield self._texts(texts("Name"), before.name, payload["name"])
        sort = before.sort if isinstance(before, Status) else None
        if payload.get("sort", sort) != sort:
            was = None if sort is None else Value(str(sort))
            yield self._setting(texts("Position"), was, Value(str(payload["sort"])))
        color = before.color if before else None
        if payload.get("color", color) != color:
            yield self.color(color, payload["color"])
        prices = before.available_products_price_types if isinstance(before, Segment) else None
        if (sent := payload.get("available_products_price_types", prices)) != prices:
            ids = None if prices is None else [*map(str, prices)]
            yield self._lists(texts("Price fields"), ids, [*map(str, sent)], str)
        fields = fields_by_id(before)
        for sent in payload.get("custom_fields_values", []):
            if setting := self._field(sent, fields.get(sent["field_id"]), is_new=before is None):
                yield setting

    def _field(self, sent: Mapping[str, Any], current: FieldValues | None, *, is_new: bool) -> Setting | None:
        """One custom field by its name, its choices by their texts, its dates as days; None when nothing changes."""
        field_id = sent["field_id"]
        definition = self.definitions.get(field_id)
        name = definition.name if definition else (current.get("field_name") if current else None)
        shown = self.texts("Field {name}", name=shown_name(name) if name else field_id)
        if [field.name for field in self.definitions.values()].count(name or "") > 1:
            shown = f"{shown} (id {field_id})"
        field_type = definition.type if definition else (current.get("field_type") if current else None)
        choices = _told_apart(definition) if definition else {}
        before, after = (
            [readable_value(value, field_type, self.reader, choices) for value in values or []]
            for values in (current["values"] if current else [], sent["values"])
        )
        if not is_new and before == after:
            return None
        if len(before) <= 1 and len(after) <= 1:
            return self._texts(shown, None if is_new else "".join(before), "".join(after))
        return self._lists(shown, None if is_new else before, after, lambda text: quote(text, MAX_SHOWN_TEXT))

    def _setting(self, label: str, before: Value | None, after: Value, note: str = "") -> Setting:
        """The words between the two keep the order, whichever direction a script runs."""
        values = {"label": label, "after": after.text}
        if before is None:
            line = self.texts("{label}: {after}", **values)
        else:
            line = self.texts("{label}: was {before} → will be {after}", before=before.text, **values)
        return Setting(label, before, after, note, f"{line} ({note})" if note else line)

    def _texts(self, label: str, before: str | None, after: str) -> Setting:
        """Two texts, cut so that what differs is shown; two that look alike are said to differ."""
        will = sanitize(after, len(after) + 1)
        if before is None:
            return self._setting(label, None, self._excerpt(will, 0, len(will)))
        was = sanitize(before, len(before) + 1)
        note = self._note(was, will)
        start, end = 0, 0
        if max(len(was), len(will)) > MAX_SHOWN_TEXT:
            start, end = _common(was, will)
        return self._setting(
            label,
            self._excerpt(was, start, len(was) - end),
            self._excerpt(will, start, len(will) - end),
            note,
        )

    def _note(self, was: str, will: str) -> str:
        """What is to be said of two texts that differ and look alike; empty when they do not."""
        if was == will:
            return self.texts("they differ only in spaces or invisible characters")
        if _looks(was) != _looks(will):
            return ""
        pairs = zip_longest(was, will, fillvalue="")
        one, other = next((left, right) for left, right in pairs if left != right)
        return self.texts("they look alike, and differ first in {one} and {other}", one=_code(one), other=_code(other))

    def _excerpt(self, text: str, start: int, end: int) -> Value:
        """A part of a text, and which; of a part that is too long both ends, and how much is between them."""
        if not text:
            return Value(self.texts("empty"))
        part = text[start:end]
        if len(part) <= MAX_SHOWN_TEXT:
            shown = quote(part, MAX_SHOWN_TEXT) if part.strip() else "«»"
        else:
            half = MAX_SHOWN_TEXT // 2
            left_out = self.texts.plural("{count} character", "{count} characters", len(part) - 2 * half)
            shown = f"{quote(part[:half], half)} … {left_out} … {quote(part[-half:], half)}"
        if len(part) == len(text):
            return Value(shown)
        where = self.texts("characters {first} to {last} of {total}", first=start + 1, last=end, total=len(text))
        return Value(f"{shown} ({where})")

    def _lists(
        self, label: str, before: Sequence[str] | None, after: Sequence[str], show: Callable[[str], str]
    ) -> Setting:
        """Two lists; of long ones what differs, and how much is the same. Two that look alike are said to differ."""
        if before is None:
            return self._setting(label, None, self._some(after, 0, show))
        if max(len(before), len(after)) <= MAX_SHOWN_ITEMS:
            was, will = self._some(before, 0, show), self._some(after, 0, show)
            return self._setting(label, was, will, self._note_of_lists(was, will))
        removed = [item for item in before if item not in after]
        added = [item for item in after if item not in before]
        if not removed and not added:
            same = self.texts("the same {count} in another order or number", count=len(after))
            return self._setting(label, None, Value(same))
        was = self._some(removed, len(before) - len(removed), show)
        will = self._some(added, len(after) - len(added), show)
        return self._setting(label, was, will, self._note_of_lists(was, will))

    def _note_of_lists(self, was: Value, will: Value) -> str:
        return self.texts("they differ in what is not shown here") if _looks(was.text) == _looks(will.text) else ""

    def _some(self, items: Sequence[str], unchanged: int, show: Callable[[str], str]) -> Value:
        """The first few that differ, how many more, and how many are the same on both sides."""
        more = len(items) - MAX_SHOWN_ITEMS
        parts = [show(item) for item in items[:MAX_SHOWN_ITEMS]]
        if more > 0:
            parts.append(self.texts("{count} more", count=more))
        if unchanged:
            parts.append(self.texts("{count} unchanged", count=unchanged))
        return Value(", ".join(parts) or self.texts("empty"))


def _told_apart(definition: CustomField) -> dict[int, str]:
    """The texts of a field's choices by id; those of several choices with the id behind them."""
    times = Counter(choice.value for choice in definition.enums)
    return {one.id: one.value if times[one.value] == 1 else f"{one.value} ({one.id})" for one in definition.enums}


def _looks(text: str) -> str:
    """A text as an eye takes it in: whatever its composition, alphabet and quotation marks."""
    return unicodedata.normalize("NFKC", text).translate(_LOOKALIKES)


def _code(char: str) -> str:
    """`P (U+0050)`."""
    return f"{char} (U+{ord(char):04X})" if char else "—"


def _common(one: str, other: str) -> tuple[int, int]:
    """How many characters two texts have in common at the beginning and at the end, less what is shown as context."""
    shorter = min(len(one), len(other))
    start = next((place for place in range(shorter) if one[place] != other[place]), shorter)
    rest = shorter - start
    end = next((place for place in range(rest) if one[-1 - place] != other[-1 - place]), rest)
    return max(0, start - _CONTEXT), max(0, end - _CONTEXT)
