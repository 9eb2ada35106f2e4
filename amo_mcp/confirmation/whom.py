"""What a question says of a move: where customers are put, out of what, and who they are."""

from collections.abc import Iterable, Mapping

from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Entity, Move
from amo_mcp.confirmation.diff import Setting, Value
from amo_mcp.language import Texts
from amo_mcp.text import quote


def settings_of_move(step: Move, names: Mapping[int, str], reader: Reader, limit: int | None) -> list[Setting]:
    """Where to, where from, and who: at most `limit` of them, and how many more there are.

    Args:
        step: the move.
        names: the customers' names by id; one that has none here is told by its id.
        reader: who reads it.
        limit: None to name everybody.
    """
    texts = reader.texts
    told = []
    if step.into:
        told.append(_setting(texts("Into") if step.kind == "segment" else texts("Status"), _places(step.into), texts))
    if step.out_of:
        told.append(_setting(texts("Out of"), _places(step.out_of), texts))
    who = ", ".join(_customer(member.id, names.get(member.id)) for member in step.customers[:limit])
    if limit is not None and (more := len(step.customers) - limit) > 0:
        who = texts("{names} and {count} more", names=who, count=more)
    return [*told, _setting(texts("Customers"), who, texts)]


def _setting(label: str, value: str, texts: Texts) -> Setting:
    return Setting(label, None, Value(value), "", texts("{label}: {after}", label=label, after=value))


def _places(entities: Iterable[Entity]) -> str:
    return ", ".join(f"{quote(entity.name)} (id {entity.id})" for entity in entities)


def _customer(customer_id: int, name: str | None) -> str:
    return f"id {customer_id}" if name is None else f"{quote(name)} (id {customer_id})"
