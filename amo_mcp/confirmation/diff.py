"""What a question and a plan say of a step: each setting before → after.

What differs is always shown. What is left out of a long text or a long list is the same on both sides, or counted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amo_mcp.amocrm.models import CustomField, FieldValues, Segment, Status
from amo_mcp.changes.field_values import field_label, fields_by_id, readable_value
from amo_mcp.changes.steps import Delete, Step, Update, customers_affected, label_of, payload_of, summary_of
from amo_mcp.text import counted, quote, quote_unless_code, sanitize

MAX_SHOWN_TEXT = 80
"""Characters of one text that are shown."""

MAX_SHOWN_ITEMS = 5
"""Entries of one list that are shown."""

_CONTEXT = 20
"""Characters that are shown before the first difference of two long texts."""

_MAX_COMPARED = 100_000
_EMPTY = "empty"


def headline(step: Step) -> str:
    """What a step does to what: `Change segment «VIP» (id 51)`."""
    is_counted = isinstance(step, Delete) and step.kind == "segment"
    return summary_of(step) + (f", {counted(customers_affected([step]), 'customer')}" if is_counted else "")


def on_one_line(step: Step, fields: Sequence[CustomField]) -> str:
    """A step with everything that it sets."""
    settings = setting_lines(step, fields)
    return f"{headline(step)}: {'; '.join(settings)}" if settings else headline(step)


def setting_lines(step: Step, fields: Sequence[CustomField]) -> list[str]:
    """What a step sets, a line a setting; `fields` are the definitions of the custom fields that it sets."""
    before = step.before if isinstance(step, Update) else None
    payload = payload_of(step)
    lines = []
    if before is not None and "name" in payload:
        lines.append(_texts("name", before.name, payload["name"]))
    if "sort" in payload:
        lines.append(_line("sort", str(before.sort) if isinstance(before, Status) else None, str(payload["sort"])))
    if "color" in payload:
        lines.append(_line("color", quote_unless_code(before.color) if before else None, payload["color"]))
    if (prices := payload.get("available_products_price_types")) is not None:
        was = [str(item) for item in before.available_products_price_types] if isinstance(before, Segment) else None
        lines.append(_lists("available_products_price_types", was, [str(item) for item in prices]))
    fields_before = fields_by_id(before)
    definitions = {field.id: field for field in fields}
    for sent in payload.get("custom_fields_values", []):
        field = fields_before.get(sent["field_id"])
        lines.append(_field_line(sent, field, definitions.get(sent["field_id"]), creating=before is None))
    return lines


def _field_line(
    sent: Mapping[str, Any], current: FieldValues | None, definition: CustomField | None, *, creating: bool
) -> str:
    """One custom field by its name, its choices by their texts, its dates as days."""
    label = f"field {quote(definition.name)}" if definition else field_label(sent["field_id"], current)
    field_type = definition.type if definition else (current.get("field_type") if current else None)
    choices = {choice.id: choice.value for choice in definition.enums} if definition else {}
    before = [readable_value(value, field_type, choices) for value in (current["values"] if current else [])]
    after = [readable_value(value, field_type, choices) for value in sent["values"] or []]
    if len(before) <= 1 and len(after) <= 1:
        return _texts(label, None if creating else "".join(before), "".join(after))
    return _lists(label, None if creating else [quote(text) for text in before], [quote(text) for text in after])


def _line(setting: str, before: str | None, after: str) -> str:
    """`Colour: was 6610f2 → will be ae003f`, in a creation (`before` is None) `Colour: ae003f`.

    The words between the two keep the order, whichever direction a script runs.
    """
    now = after or _EMPTY
    return _labelled(setting, now if before is None else f"was {before or _EMPTY} → will be {now}")


def _labelled(setting: str, said: str) -> str:
    label = label_of(setting)
    return f"{label[:1].upper()}{label[1:]}: {said}"


def _texts(label: str, before: str | None, after: str) -> str:
    """Two texts, cut so that what differs is shown; two that look alike are said to differ."""
    will = sanitize(after, _MAX_COMPARED)
    if before is None:
        return _line(label, None, _excerpt(will, 0))
    was = sanitize(before, _MAX_COMPARED)
    if was == will and before != after:
        return _line(label, quote(before), quote(after)) + " (they differ only in invisible characters)"
    if max(len(was), len(will)) > MAX_SHOWN_TEXT:
        start = max(0, _first_difference(was, will) - _CONTEXT)
        was, will = _excerpt(was, start), _excerpt(will, start)
    else:
        was, will = (quote(text) if text else "" for text in (was, will))
    return _line(label, was, will)


def _first_difference(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def _excerpt(text: str, start: int) -> str:
    """A part of a text, and how much of it is not shown."""
    if not text:
        return ""
    shown = text[start : start + MAX_SHOWN_TEXT]
    left_out = len(text) - len(shown)
    return quote(shown) + (f" (of {len(text)} characters, from {start + 1})" if left_out else "")


def _lists(label: str, before: Sequence[str] | None, after: Sequence[str]) -> str:
    """Two lists; of long ones what differs, and how much is the same."""
    if before is None:
        return _line(label, None, _some(after, 0))
    if max(len(before), len(after)) <= MAX_SHOWN_ITEMS:
        return _line(label, ", ".join(before), ", ".join(after))
    removed = [item for item in before if item not in after]
    added = [item for item in after if item not in before]
    if not removed and not added:
        return _labelled(label, f"the same {len(after)} in another order or number")
    return _line(label, _some(removed, len(before) - len(removed)), _some(added, len(after) - len(added)))


def _some(items: Sequence[str], unchanged: int) -> str:
    """The first few that differ, how many more, and how many are the same on both sides."""
    more = len(items) - MAX_SHOWN_ITEMS
    parts = [*items[:MAX_SHOWN_ITEMS]]
    if more > 0:
        parts.append(f"{more} more")
    if unchanged:
        parts.append(f"{unchanged} unchanged")
    return ", ".join(parts)
