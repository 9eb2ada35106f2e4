"""What a step does, in one line."""

from collections.abc import Sequence
from dataclasses import replace

from amo_mcp.changes.steps import Create, Delete, Entity, Move, Step, Update
from amo_mcp.language import Message, counted_message, message
from amo_mcp.text import quote, sanitize

_MAX_NAMED = 3


def shown_name(name: str) -> str | Message:
    """A name in a sentence: quoted, or that there is none to see."""
    return quote(name) if sanitize(name) else message("(no visible name)")


def title_of(step: Step) -> Message:
    """What a step does: `Change segment «VIP»`."""
    name, is_segment = shown_name(step.name), step.kind == "segment"
    match step:
        case Create():
            text = message("Create segment {name}", name=name), message("Create status {name}", name=name)
        case Update():
            text = message("Change segment {name}", name=name), message("Change status {name}", name=name)
        case Delete():
            text = message("Delete segment {name}", name=name), message("Delete status {name}", name=name)
        case Move():
            return _title_of_move(step)
    return text[0] if is_segment else text[1]


def _title_of_move(step: Move) -> Message:
    if step.source is not None:
        is_known = step.customers or step.found is not None
        return _title_of_merge(step, _with_id(step.source), step.moved if is_known else step.count)
    if step.into and step.out_of and not step.moved:
        # As far as they were put in, and not taken out.
        return _title_of_move(replace(step, out_of=()))
    count, into, out_of = step.moved, _names(step.into), _names(step.out_of)
    if step.kind == "status":
        return counted_message(
            "Move {count} customer to status {into}", "Move {count} customers to status {into}", count, into=into
        )
    if not step.out_of:
        return counted_message(
            "Put {count} customer into {into}", "Put {count} customers into {into}", count, into=into
        )
    if not step.into:
        return counted_message(
            "Take {count} customer out of {out_of}", "Take {count} customers out of {out_of}", count, out_of=out_of
        )
    return counted_message(
        "Move {count} customer out of {out_of} into {into}",
        "Move {count} customers out of {out_of} into {into}",
        count,
        into=into,
        out_of=out_of,
    )


def _title_of_merge(step: Move, source: Message, count: int | None) -> Message:
    """Twins are merged that are named alike, so both ids are told."""
    into = _with_id(step.into[0])
    if count is None:
        return message("Move the customers of {source} to {into}", source=source, into=into)
    return counted_message(
        "Move {count} customer of {source} to {into}",
        "Move {count} customers of {source} to {into}",
        count,
        source=source,
        into=into,
    )


def _with_id(entity: Entity) -> Message:
    return message("{title} (id {id})", title=shown_name(entity.name), id=entity.id)


def _names(entities: Sequence[Entity]) -> str | Message:
    """One name as it is in any sentence, of several the first few."""
    if len(entities) == 1:
        return shown_name(entities[0].name)
    more = len(entities) - _MAX_NAMED
    shown = ", ".join(quote(entity.name) for entity in entities[:_MAX_NAMED])
    return f"{shown} (+{more})" if more > 0 else shown


def title_of_entity(step: Step) -> Message:
    """The entity that a step is about: `segment «VIP» (id 51)`."""
    name, is_segment = shown_name(step.name), step.kind == "segment"
    if step.target_id is None:
        return message("segment {name}", name=name) if is_segment else message("status {name}", name=name)
    values = {"name": name, "id": step.target_id}
    return message("segment {name} (id {id})", **values) if is_segment else message("status {name} (id {id})", **values)


def summary_of(step: Step) -> Message:
    """What a step does, and to which id, where that is known: `Change segment «VIP» (id 51)`."""
    title, also = title_of(step), step.also if isinstance(step, Create) else ()
    ids = [one for one in (step.target_id, *also) if one is not None]
    match ids:
        case []:
            return title
        case [only] if also:
            return message("{title} (id {id}, perhaps created twice)", title=title, id=only)
        case [only]:
            return message("{title} (id {id})", title=title, id=only)
    return message("{title} (created twice, ids {ids})", title=title, ids=", ".join(map(str, ids)))
