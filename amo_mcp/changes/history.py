"""What became of a change: an undo takes its steps back, and an undo of that undo makes them again.

The life of a step:

    planned ──> pending ──> done ──> undone
                   │          ^         │
                   │          └─────────┘  the undo was undone
                   ├──> failed     surely not made
                   └──> unknown    undeterminable

A record says what came of its own requests; no later change rewrites it. "undone", and everything else that later
changes made of a step, is derived here from the changes that undo it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from amo_mcp.changes.records import ChangeRecord, overall_status
from amo_mcp.changes.steps import Create, Delete, Entity, Kind, Move, Outcome, Step

_TURNED: Mapping[Outcome, Outcome] = {"done": "undone", "undone": "done"}


@dataclass(frozen=True)
class JournalEntry:
    """A change as it was recorded, with the changes that undo it.

    Attributes:
        number: its place in the journal; of two changes the later one has the higher number.
        record: the change, with nothing in it of what later changes did to its steps.
        noted_after: the number of the newest change at the time when something was last recorded of this one. A change
            with a higher number was begun after that.
        undos: the changes that undo it, oldest first.
    """

    number: int
    record: ChangeRecord
    noted_after: int
    undos: tuple["JournalEntry", ...] = ()


class RecreatedIds:
    """Under which ids entities came back that had been deleted.

    Args:
        recreated: of each entity that was created again, oldest first: the number of the change that did it, the kind,
            the id of what had been deleted, and the new id.
    """

    def __init__(self, recreated: Iterable[tuple[int, Kind, int, int]] = ()) -> None:
        self._first: dict[tuple[Kind, int], int] = {}
        self._latest: dict[tuple[Kind, int], tuple[int, int]] = {}
        for number, kind, old, new in recreated:
            first = self._first.get((kind, old), old)
            self._first[kind, new] = first
            self._latest[kind, first] = number, new

    def current_id(self, kind: Kind, entity_id: int) -> int:
        """The id under which an entity is to be found now, if it is anywhere, whichever of its ids is given."""
        return self._found(kind, entity_id)[1]

    def came_back(self, kind: Kind, entity_id: int, number: int) -> bool:
        """Whether an entity was created again by a change with a higher number."""
        return self._found(kind, entity_id)[0] > number

    def _found(self, kind: Kind, entity_id: int) -> tuple[int, int]:
        return self._latest.get((kind, self._first.get((kind, entity_id), entity_id)), (0, entity_id))


def current_record(entry: JournalEntry, recreated: RecreatedIds) -> ChangeRecord:
    """A change with what became of its steps; a status that it has ended with follows from them."""
    steps = tuple(_current_steps(entry, recreated))
    status = entry.record.status if entry.record.status == "running" else overall_status(steps)
    return replace(entry.record, steps=steps, status=status)


def can_be_undone(entry: JournalEntry, steps: Sequence[Step], recreated: RecreatedIds) -> bool:
    """Whether `steps` can take a change back: no other undo of it is running, and what they take back is done."""
    if any(undo.record.status == "running" for undo in entry.undos):
        return False
    current = current_record(entry, recreated).steps
    return all(current[step.undoes].outcome == "done" for step in steps if step.undoes is not None)


def still_open(recorded: Sequence[Step], found: Mapping[int, Step]) -> dict[int, Step]:
    """The findings about steps that are still pending in the journal, by position; the other steps are settled."""
    return {position: step for position, step in found.items() if recorded[position].outcome == "pending"}


def with_late(step: Step, late: Sequence[Step]) -> Step:
    """A step, with what processes that had lost their lease did for it: each of `late` is done or unknown.

    An update or a deletion may be made twice: the result is the same. A creation is done when exactly one entity is
    known; of several nobody knows which one was wanted, or whether these are all.
    """
    if not late:
        return step
    if not isinstance(step, Create):
        return step if step.outcome == "done" else min(late, key=lambda one: one.outcome != "done")
    entities = (one.after for one in (step, *late) if isinstance(one, Create))
    made = {entity.id: entity for entity in entities if entity is not None}
    is_clear = not {"pending", "unknown"} & {one.outcome for one in (step, *late)}
    if not made:
        return step.with_outcome("unknown")
    first, *others = made.values()
    if is_clear and not others:
        return step.done(first)
    also = (*(entity.id for entity in others), *(() if is_clear else (None,)))
    return replace(step, outcome="unknown", after=first, also=also)


@dataclass(frozen=True)
class _Event:
    """What the later change `number` made of the step at `position`.

    Attributes:
        after: the entity that the later change left behind, if it left one.
        sent: whether the later change sent anything for this step; else the entity was gone already, or back already.
    """

    number: int
    position: int
    outcome: Outcome
    after: Entity | None = None
    sent: bool = True


def _current_steps(entry: JournalEntry, recreated: RecreatedIds) -> list[Step]:
    """The steps of a change; of what later changes did to a step, the latest counts."""
    steps = [*entry.record.steps]
    for event in sorted(_events(entry), key=lambda event: event.number):
        step = steps[event.position]
        if event.sent or (step.outcome in _TURNED and not _is_outdated(event, step, recreated)):
            steps[event.position] = _with_event(step, event)
    return steps


def _with_event(step: Step, event: _Event) -> Step:
    if isinstance(step, Delete | Move) or event.after is None:
        return step.with_outcome(event.outcome)
    return replace(step, outcome=event.outcome, after=event.after)


def _is_outdated(event: _Event, step: Step, recreated: RecreatedIds) -> bool:
    """Whether an entity that was gone when an undo found nothing to do has come back since."""
    if isinstance(step, Move):
        return False
    entity, gone = (step.before, "done") if isinstance(step, Delete) else (step.after, "undone")
    return event.outcome == gone and entity is not None and recreated.came_back(step.kind, entity.id, event.number)


def _events(entry: JournalEntry) -> Iterator[_Event]:
    for undo in entry.undos:
        steps = undo.record.steps
        # What several steps take back is not taken back before the last of them is done.
        unfinished = {step.undoes for step in steps if step.outcome != "done"}
        for step in steps:
            if step.undoes is None:
                continue
            if step.outcome == "done" and step.undoes not in unfinished:
                yield _Event(undo.number, step.undoes, "undone", _after(step))
            elif isinstance(step, Create) and step.outcome in ("pending", "unknown"):
                # It may have been created again: a second undo would double it.
                yield _Event(undo.number, step.undoes, "unknown")
        for event in _events(undo):
            position = steps[event.position].undoes
            if position is not None:
                turned = _TURNED.get(event.outcome, event.outcome)
                yield replace(event, position=position, outcome=turned)
        yield from _nothing_to_take_away(entry, undo)


def _nothing_to_take_away(entry: JournalEntry, undo: JournalEntry) -> Iterator[_Event]:
    """The steps for which a finished undo had nothing to do; none where the outcomes were found out after it began."""
    if undo.record.status != "done" or undo.number <= entry.noted_after:
        return
    taken = {step.undoes for step in undo.record.steps}
    for position, step in enumerate(entry.record.steps):
        if step.outcome == "done" and position not in taken:
            yield _Event(undo.number, position, "undone", sent=False)


def _after(step: Step) -> Entity | None:
    return None if isinstance(step, Delete | Move) else step.after
