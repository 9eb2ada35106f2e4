"""Taking a change back: its steps inverted, in reverse order, without overwriting what somebody changed since."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import FieldValue, FieldValues, Segment, Status, comparable
from amo_mcp.changes.history import RecreatedIds
from amo_mcp.changes.steps import Change, Entity, Kind, Step
from amo_mcp.text import quote, quote_unless_code

_JOINERS = "\u200c\u200d"
_CHECKED = ("name", "color", "custom_fields_values", "available_products_price_types")


@dataclass
class Undo:
    """How a change is taken back.

    Attributes:
        steps: what has to be done, in order.
        losses: what will not come back, a sentence each.
        conflicts: what somebody changed since, a sentence each; with any of them nothing is to be done.
    """

    steps: list[Step] = field(default_factory=list)
    not_restored: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def invert(change: Change, now: Mapping[Kind, Mapping[int, Entity]], successors: RecreatedIds) -> Undo:
    """How to take `change` back in an account that is as `now` says, by kind and id.

    A thing that was deleted since and has come back under a new id is taken for the one that it was.
    """
    undo = Undo()
    for position, step in reversed([*enumerate(change.steps)]):
        if step.outcome != "done":
            continue
        things = now.get(step.kind, {})
        count = len(undo.steps)
        if step.action == "delete":
            _make_again(step, undo)
        else:
            left = step.after
            assert left is not None  # noqa: S101 - a creation or an update that is done has made something
            there = things.get(left.id) or things.get(successors.of(step.kind, left.id))
            (_take_away if step.action == "create" else _put_back)(step, left, there, undo)
        undo.steps[count:] = [replace(inverse, undoes=position) for inverse in undo.steps[count:]]
    return undo


def _take_away(step: Step, left: Entity, there: Entity | None, undo: Undo) -> None:
    if there is None:
        undo.not_restored.append(f"{_titled(step)} is gone already; there is nothing to take away.")
        return
    _compare(step, there, left, _CHECKED, undo)
    undo.steps.append(Step("delete", step.kind, before=there))


def _put_back(step: Step, left: Entity, there: Entity | None, undo: Undo) -> None:
    if there is None:
        undo.conflicts.append(f"{_titled(step)} is gone; it cannot be changed back.")
        return
    changed = [name for name in (step.sent.to_payload() if step.sent else {}) if name != "sort"]
    _compare(step, there, left, changed, undo)
    back = _back(step, undo)
    if back.to_payload():
        undo.steps.append(Step("update", step.kind, before=there, sent=back))


def _back(step: Step, undo: Undo) -> SegmentPatch | StatusPatch:
    """The patch that gives the changed settings their old values."""
    before, sent = step.before, step.sent
    wanted = set(sent.to_payload() if sent else {})
    old: dict[str, Any] = {name: getattr(before, name) for name in wanted - {"custom_fields_values"}}
    if isinstance(before, Status):
        return StatusPatch(**_writable(old, STATUS_COLORS, step, undo))
    assert isinstance(before, Segment)  # noqa: S101 - there are two kinds
    assert isinstance(sent, SegmentPatch)  # noqa: S101 - a segment was sent a segment's patch
    if sent.custom_fields_values:
        held = {field["field_id"]: field for field in before.custom_fields_values}
        old["custom_fields_values"] = [
            {"field_id": item["field_id"], "values": _sent_values(held.get(item["field_id"]))}
            for item in sent.custom_fields_values
        ]
    return SegmentPatch(**_writable(old, SEGMENT_COLORS, step, undo))


def _make_again(step: Step, undo: Undo) -> None:
    before = step.before
    undo.not_restored.append(f"{_titled(step)} comes back with a new id.")
    draft: SegmentDraft | StatusDraft
    if isinstance(before, Segment):
        if before.customers_count:
            undo.not_restored.append(
                f"Its {before.customers_count} customers do not come back into it, nor do its conditions."
            )
        else:
            undo.not_restored.append("Its conditions do not come back.")
        held: dict[str, Any] = {
            "name": before.name,
            "color": before.color or None,
            "custom_fields_values": [
                {"field_id": item["field_id"], "values": _sent_values(item)}
                for item in before.custom_fields_values
                if item["values"]
            ]
            or None,
            "available_products_price_types": before.available_products_price_types or None,
        }
        draft = SegmentDraft(**_writable(held, SEGMENT_COLORS, step, undo))
    else:
        assert isinstance(before, Status)  # noqa: S101 - there are two kinds
        undo.not_restored.append("Its customers have moved on, and its conditions do not come back.")
        undo.not_restored.append("It may stand one place away from where it stood.")
        held = {"name": before.name, "sort": before.sort, "color": before.color or None}
        draft = StatusDraft(**_writable(held, STATUS_COLORS, step, undo))
    undo.steps.append(Step("create", step.kind, sent=draft))


def _writable(held: dict[str, Any], palette: tuple[str, ...], step: Step, undo: Undo) -> dict[str, Any]:
    """What can be written of it: an account may hold names and colours that cannot be, and that is said."""
    name, color = held.get("name"), held.get("color")
    if name is not None and (kept := _writable_name(name, step)) != name:
        undo.not_restored.append(f"The name of {_titled(step)} cannot be set as it was; it becomes {quote(kept)}.")
        held = {**held, "name": kept}
    if color is not None and color not in palette:
        undo.not_restored.append(
            f"The colour {quote_unless_code(color)} of {_titled(step)} cannot be set through the API."
        )
        return {name: value for name, value in held.items() if name != "color"}
    return held


def _writable_name(name: str, step: Step) -> str:
    """The name without the characters that a name may not have, when it has any."""
    try:
        return StatusPatch(name=name).name or ""
    except ValidationError:
        kept = "".join(char for char in name if char in _JOINERS or unicodedata.category(char)[0] != "C")
        return kept if kept.strip() else f"{step.kind} {step.target_id}"


def _sent_values(field: FieldValues | None) -> list[dict[str, Any]] | None:
    """Values as they were read, in the form in which they are sent; None clears the field."""
    if field is None or not field["values"]:
        return None
    return [_sent_value(item) for item in field["values"]]


def _sent_value(value: FieldValue) -> dict[str, Any]:
    choice = value.get("enum_id")
    return {"value": value.get("value")} if choice is None else {"enum_id": choice}


def _compare(step: Step, there: Entity, left: Entity, names: Iterable[str], undo: Undo) -> None:
    """Name what is not any more as the change left it, of what is known of how it left it."""
    now, then = comparable(there), comparable(left)
    sent = step.sent
    if step.action == "update" and isinstance(sent, SegmentPatch):
        touched = {item["field_id"] for item in sent.custom_fields_values or []}
        for settings in (now, then):
            held = settings["custom_fields_values"]
            settings["custom_fields_values"] = [item for item in held if item["field_id"] in touched]
    for name in names:
        if name in then and name in left.model_fields_set and now.get(name) != then[name]:
            undo.conflicts.append(
                f"{_titled(step)}: {name} was left as {_told(name, then)} and is {_told(name, now)} now."
            )


def _told(name: str, settings: Mapping[str, Any]) -> str:
    """A setting, for a sentence."""
    value = settings.get(name)
    if not value:
        return "empty"
    return quote_unless_code(value) if name == "color" else quote(str(value))


def _titled(step: Step) -> str:
    return step.summary.partition(" ")[2]
