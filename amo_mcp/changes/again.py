"""What of an entity can be written again: settings and custom fields, and what of them cannot."""

from collections.abc import Iterator, Mapping
from typing import Any

from amo_mcp.amocrm.inputs import SegmentDraft, StatusDraft, writable_name
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import FieldValues, Status
from amo_mcp.changes.field_values import fields_by_id, values_to_send
from amo_mcp.changes.snapshot import Snapshot
from amo_mcp.changes.steps import Delete, Update
from amo_mcp.changes.titles import title_of_entity
from amo_mcp.language import Message, counted_message, message
from amo_mcp.text import quote, quote_unless_code


def draft_again(step: Delete, account: Snapshot) -> tuple[SegmentDraft | StatusDraft, tuple[Message, ...]]:
    """What creates a deleted entity once more, and what of it cannot be written."""
    before = step.before
    settings, unwritable = writable(step, {"name": before.name, "color": before.color or None})
    if isinstance(before, Status):
        return StatusDraft(sort=before.sort, **settings), unwritable
    filled = {key: field for key, field in fields_by_id(before).items() if field["values"]}
    fields, gone = settable(step, filled, account)
    draft = SegmentDraft(
        custom_fields_values=fields or None,
        available_products_price_types=before.available_products_price_types or None,
        **settings,
    )
    return draft, unwritable + gone


def lost_of(step: Delete) -> Iterator[Message]:
    """What does not come back with an entity that is created again."""
    title, before = title_of_entity(step), step.before
    count = 0 if step.members is not None or isinstance(before, Status) else before.customers_count or 0
    if isinstance(before, Status) and step.members is None:
        yield message(
            "{title} comes back with a new id and without its conditions; its customers were moved to other statuses.",
            title=title,
        )
    elif count:
        yield counted_message(
            "{title} comes back with a new id, without its conditions and its members ({count} customer).",
            "{title} comes back with a new id, without its conditions and its members ({count} customers).",
            count,
            title=title,
        )
    else:
        yield message("{title} comes back with a new id and without its conditions.", title=title)


def settable(
    step: Update | Delete, fields: Mapping[int, FieldValues | None], account: Snapshot
) -> tuple[list[dict[str, Any]], tuple[Message, ...]]:
    """What can be set of custom fields again, by id: not what somebody removed from their definitions since."""
    settable, lost = [], list[Message]()
    for field_id, field in fields.items():
        values = values_to_send(field)
        offered = [value for value in values or () if account.offers(field_id, value.get("enum_id"))]
        shown = quote((field and field.get("field_name")) or str(field_id))
        if not account.defines(field_id):
            lost.append(
                message(
                    "{title}: the custom field {field} is no longer there.", title=title_of_entity(step), field=shown
                )
            )
            continue
        if len(offered) != len(values or ()):
            gone = message(
                "{title}: a choice of the field {field} is no longer there.", title=title_of_entity(step), field=shown
            )
            lost.append(gone)
        if offered or not values:
            settable.append({"field_id": field_id, "values": offered or None})
    return settable, tuple(lost)


def writable(step: Update | Delete, settings: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Message, ...]]:
    """What can be written of settings: an account may have names and colours that the API does not take."""
    writable, unwritable = {**settings}, []
    name, color = settings.get("name"), settings.get("color")
    if name is not None:
        writable["name"] = _writable_name(name, step)
        if writable["name"] != name:
            unwritable.append(
                message(
                    "{title}: the name cannot be set as it was; it becomes {name}.",
                    title=title_of_entity(step),
                    name=quote(writable["name"]),
                )
            )
    if color is not None and color not in (SEGMENT_COLORS if step.kind == "segment" else STATUS_COLORS):
        del writable["color"]
        shown = quote_unless_code(color)
        unwritable.append(
            message(
                "{title}: the colour {color} cannot be set through the API.", title=title_of_entity(step), color=shown
            )
        )
    return writable, tuple(unwritable)


def _writable_name(name: str, step: Update | Delete) -> str:
    """The name without the characters that a name may not have; when nothing is left, what it is."""
    return writable_name(name) or f"{step.kind} {step.target_id}"
