"""What a call claims, held against what really happened."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.journeys.ledger import SETTINGS, Effect, State
from tests.journeys.lives import Json, is_about_customers, step_outcomes, verb_and_id
from tests.journeys.lossy import NOTHING

WINDOW = 2.0
"""Seconds for which an edit may be overwritten unseen, by a write whose target was read just before it."""

Done = tuple[str, int]


@dataclass
class Call:
    """One call, and everything that happened from its beginning to its end.

    Attributes:
        answer: what was heard; empty when the server was killed.
        question: what the person was asked, if they were.
        shown: when the account was read before the question, and how it was then.
        reads: the same of the whole call.
        effects: what the server and the colleague did, in order.
        since: what was done since the steps were made: for a plan since it was planned.
        targets: the entities that the call is about, where that is known.
    """

    tool: str
    arguments: Json
    answer: Json = field(default_factory=dict)
    question: str = ""
    shown: list[tuple[float, State]] = field(default_factory=list)
    reads: list[tuple[float, State]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    since: Sequence[Effect] = ()
    targets: frozenset[int] = frozenset()

    @property
    def made(self) -> list[Effect]:
        """What the server did."""
        return [effect for effect in self.effects if effect.by == "server"]

    @property
    def edited(self) -> list[Effect]:
        """What the colleague did."""
        return [effect for effect in self.effects if effect.by == "colleague"]

    def values(self, entity_id: int, setting: str) -> list[Any]:
        """The values that a setting had whenever the account was read."""
        return [state[entity_id].get(setting) for _, state in self.reads if entity_id in state]


def check_nothing_was_overwritten_unseen(call: Call) -> None:
    """What a write took away was shown before the yes, or set less than two seconds before the write."""
    for place, effect in enumerate(call.effects):
        if effect.by == "colleague" or effect.before is None:
            continue
        earlier = call.effects[:place]
        lost = SETTINGS if effect.after is None else sorted(effect.changed)
        for setting in lost:
            value = effect.before.get(setting)
            seen = (state.get(effect.id, {}).get(setting) for _, state in call.shown)
            assert value in seen or _just_set(effect, [edit for edit in earlier if setting in edit.changed]), (
                f"{setting} {value!r} of {effect.id} was overwritten without having been shown"
            )
        if effect.moves and call.shown:
            last = call.shown[-1][0]
            moves = [edit for edit in earlier if edit.id == effect.id and edit.moves and edit.at > last]
            assert not moves or _just_set(effect, moves), f"a move of {effect.id} was overwritten"
        if effect.after is None and (count := effect.before.get("customers_count") or 0):
            counts = [int(state.get(effect.id, {}).get("customers_count") or 0) for _, state in call.shown]
            assert count <= max(counts, default=0) or _just_set(effect, earlier), (
                f"{count} customers were in {effect.id}"
            )
            _check_said(call, effect, "customers_count")
        if "name" in lost:
            _check_said(call, effect, "name")


def _just_set(effect: Effect, earlier: Iterable[Effect]) -> bool:
    """Whether what the write took away was set by the server itself, or within the last two seconds."""
    latest = next((edit for edit in [*earlier][::-1] if edit.id == effect.id), None)
    return latest is not None and (latest.by == "server" or latest.at > effect.at - WINDOW)


def _check_said(call: Call, effect: Effect, setting: str) -> None:
    """The question's own text has the value as it was read last before it."""
    _, state = call.shown[-1]
    if value := str(state.get(effect.id, {}).get(setting) or "").split():
        said = rf"(?<!\w){' +'.join(map(re.escape, value))}(?!\w)"
        assert re.search(said, call.question), (setting, value, call.question)


def check_answer(call: Call, now: State) -> None:
    """What an answer says was done was done, and what it says was not was not."""
    answer, made = call.answer, [effect.done for effect in call.made]
    gone = [("Delete", edit.id) for edit in call.edited if edit.after is None]
    if "error" in answer and answer["error"]["message"].endswith(NOTHING):
        assert made == [], "it says that nothing was changed"
    done = answer.get("done", answer.get("error", {}).get("done"))
    if done is not None:
        not_done = answer.get("not_done", answer.get("error", {}).get("not_done", []))
        claimed = [verb_and_id(summary) for summary in done if not is_about_customers(summary)]
        unclear = sum(line.endswith((": unknown", ": pending")) for line in not_done if not is_about_customers(line))
        assert {*claimed} <= {*made, *gone}, "more is claimed than was done"
        assert len({*made} - {*claimed}) <= unclear, "more was done than is claimed"
        assert answer.get("status") != "done" or not not_done
    for key in ("deleted", "before"):
        if key in answer:
            _check_as_it_was(call, answer[key])
    for entity in [answer.get("after"), answer.get("segment"), *answer.get("statuses", [])]:
        if entity is not None:
            _check_as_it_is(call, entity)
    if "deleted" in answer:
        assert ("Delete", answer["deleted"]["id"]) in {*made, *gone}
        assert answer["deleted"]["id"] not in now
    for key in ("after", "segment"):
        if key in answer:
            assert answer[key]["id"] in {entity_id for _, entity_id in made}


def _check_as_it_was(call: Call, entity: Json) -> None:
    """An entity is told as it was when it was changed, or when it was read last before that."""
    states = [state.get(entity["id"]) for _, state in call.reads]
    assert _agree(entity, [*states, *(effect.before for effect in call.made if effect.id == entity["id"])])


def _check_as_it_is(call: Call, entity: Json) -> None:
    """An entity is told as the write left it, or as it was read afterwards."""
    states = [state.get(entity["id"]) for _, state in call.reads]
    assert _agree(entity, [*states, *(effect.after for effect in call.made if effect.id == entity["id"])])


def _agree(entity: Json, states: Iterable[Json | None]) -> bool:
    return any(
        state is not None and all(entity[key] == state[key] for key in ("name", "color") if key in entity)
        for state in states
    )


def check_refusal(call: Call, *, stale: bool, lost: bool) -> None:
    """A refusal because something changed is one because something changed.

    Args:
        stale: whether something of what is to be undone is not as it was left.
        lost: whether the journal, and the plans with it, was lost meanwhile.
    """
    error = call.answer.get("error", {})
    code = error.get("code") or call.answer.get("reason")
    if code == "target_changed":
        touched = {edit.id for edit in call.since} & call.targets
        moved = "position" in str(call.answer) and call.since
        is_said = not error or "differences" in error
        assert touched or moved or call.tool == "undo_change" if is_said else lost, "nothing had changed"
    if code == "conflict" and error.get("differences"):
        # A place is what stands around it: another status that was moved or deleted takes it away.
        displaced = "what stood around it" in str(error["differences"])
        assert stale or displaced, "nothing of what is to be undone had changed"


def check_listed(change: Json, truth: Sequence[Effect], gone: Iterable[Done], root: Mapping[int, int]) -> None:
    """What `list_changes` says of a change is what it did.

    Args:
        gone: what the colleague deleted anyway.
        root: the ids that entities had before an undo created them again.
    """
    steps = [step for step in change.get("steps", ()) if not is_about_customers(step["summary"])]
    outcomes = step_outcomes({**change, "steps": steps})
    claimed = {
        (verb, root.get(entity_id, entity_id)) for verb, entity_id, outcome in outcomes if outcome in ("done", "undone")
    }
    unclear = sum(outcome == "unknown" for *_, outcome in outcomes)
    made = {(verb, root.get(entity_id, entity_id)) for verb, entity_id in (effect.done for effect in truth)}
    assert claimed <= made | {*gone}, ("the journal claims too much", outcomes, made)
    assert len(made - claimed) <= unclear, ("the journal claims too little", outcomes, made)


def check_undone(call: Call, original: Call, root: Mapping[int, int]) -> dict[int, int]:
    """Each thing that an undo did takes back a thing that the change did, exactly.

    Returns:
        The ids that entities had before this undo created them again.
    """
    recreated = {}
    for effect in call.made:
        taken = next((taken for taken in original.made if _takes_back(effect, taken, original, root)), None)
        assert taken is not None, f"the undo did {effect.done}, which takes nothing back"
        if effect.before is None:
            recreated[effect.id] = root.get(taken.id, taken.id)
    return recreated


def _takes_back(effect: Effect, taken: Effect, original: Call, root: Mapping[int, int]) -> bool:
    if effect.before is None:
        return (
            taken.after is None
            and taken.before is not None
            and effect.after is not None
            and all(
                effect.after.get(name) in [taken.before.get(name), *original.values(taken.id, name)]
                for name in ("name", "color")
            )
        )
    if root.get(effect.id, effect.id) != root.get(taken.id, taken.id):
        return False
    if effect.after is None:
        return taken.before is None
    after = effect.after
    return taken.before is not None and all(
        (after.get(name) or None) in [taken.before.get(name) or None, *original.values(taken.id, name)]
        for name in effect.changed
    )
