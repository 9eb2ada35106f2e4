"""Plans, writes and undos one after the other, through faults, kills and other people's edits: the journal never lies.

After every step, what the journal tells is what is different in the account, and what it tells of every older change
follows from the undos alone. In the end everything is undone. Where nobody interferes, the account is then as it was
at the start, but for ids, times, customers, conditions and places.
"""

from collections import Counter
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck
from hypothesis import settings as carefully
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from amo_mcp.amocrm.limits import SEGMENT_COLORS
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.sandbox.api import segments, statuses
from tests.conftest import Person, answer
from tests.journeys.lives import Life, happened, living, settings, told_of

pytestmark = pytest.mark.exhaustive

EXPECTED = {
    "target_changed",
    "conflict",
    "unavailable",
    "outcome_unknown",
    "rejected",
    "rate_limited",
    "limit_reached",
    "not_found",
}
REST = 61.0
MOST = 20

CHANGES = st.lists(
    st.tuples(st.sampled_from(["create", "update", "update", "delete"]), st.integers(0, 30)), min_size=1, max_size=5
)
CLEAR: list[dict[str, Any]] = [
    {"drop": "before"},
    {"drop": "after"},
    {"status": 500},
    {"status": 503},
    {"status": 400},
    {"status": 429, "retry_after": 1},
    {"status": 500, "after_effect": True},
]
"""What leaves no doubt about what came of a request, once the account is looked at."""

DOUBTFUL: list[dict[str, Any]] = [
    *CLEAR,
    {"status": 504},
    {"status": 504, "after_effect": True},
    {"method": "GET", "status": 500, "times": 0},
]
FAULT = st.tuples(
    st.integers(0, 30), st.sampled_from(["POST", "PATCH", "DELETE"]), st.sampled_from([1, 2, 5]), st.integers(0, 1)
)
MOMENT = st.sampled_from([None, None, None, None, 0, 1, 1, 1, 2, 3, 4, 5, 5, 6, 7, 9])
TROUBLE = st.tuples(st.none() | FAULT, MOMENT, st.booleans())
"""A fault; the moment of a write at which the process is killed; whether its last request arrives all the same."""


class Story(RuleBasedStateMachine):
    """One account, what is done to it, and what has to be told of it."""

    def __init__(self, seen: Counter[str], portal: BlockingPortal, era: str, mode: str, folder: Path) -> None:
        super().__init__()
        self.seen, self.portal, self.era = seen, portal, era
        self.sandbox = Sandbox(mode=mode)
        self.kind = "segment" if mode == "segments" else "status"
        self.start = settings(self.sandbox)
        self.file = folder / f"{seen['stories']}.sqlite"
        self.seen["stories"] += 1
        self.person = Person(lambda _: self.say_yes())
        self.number = 0
        self.later = 0.0
        self.before: dict[int, Any] = {}
        self.meanwhile: tuple[str, int] | None = None
        self.told: dict[str, list[str]] = {}
        self.undoes: dict[str, tuple[str, list[int]]] = {}
        self.gone: dict[tuple[str, int], int] = {}
        self.others: set[int] = set()
        self.renamed: dict[int, str] = {}
        self.sound = True
        self.lives = ExitStack()
        self.life = self.begin_life()

    @initialize(across=st.booleans())
    def choose(self, across: bool) -> None:
        """Whether others edit what is edited here too, and requests get lost for good."""
        self.across = across

    @property
    def things(self) -> dict[int, Any]:
        account = self.sandbox.account
        return account.segments if self.kind == "segment" else account.statuses

    def begin_life(self) -> Life:
        life = living(self.sandbox, self.file, self.era, self.person, lambda: self.later)
        return self.lives.enter_context(self.portal.wrap_async_context_manager(life))

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return answer(self.portal.call(self.life.client.call_tool, tool, arguments))

    def name(self) -> str:
        self.number += 1
        return f"Имя {self.number}"

    def say_yes(self) -> str:
        """The person's answer; somebody else may have been quicker."""
        if self.meanwhile:
            self.edit(*self.meanwhile)
        self.before = deepcopy(self.things)
        return "yes"

    def changes(self, wanted: list[tuple[str, int]]) -> list[dict[str, Any]]:
        """Changes of one plan; things of others are left alone, unless everybody edits everything."""
        found, room = [], MOST - len(self.things)
        free = sorted(self.things.keys() - (set() if self.across else self.others))
        for action, pick in wanted:
            if action == "create" and room:
                room -= 1
                sort = {} if self.kind == "segment" else {"sort": pick % 9}
                found.append({"action": "create", "kind": self.kind, "name": self.name(), **sort})
            elif action != "create" and free:
                thing_id = free.pop(pick % len(free))
                if action == "delete" and not self.things[thing_id].get("is_default"):
                    found.append({"action": "delete", "kind": self.kind, "id": thing_id})
                else:
                    found.append({"action": "update", "kind": self.kind, "id": thing_id, **self.patch(pick)})
        return found

    def patch(self, pick: int) -> dict[str, Any]:
        color = {"color": SEGMENT_COLORS[pick % 40]} if self.kind == "segment" and pick % 2 else {}
        return {"name": self.name(), **color}

    @rule(wanted=CHANGES, trouble=TROUBLE, meanwhile=st.none() | st.integers(0, 30))
    def plan(self, wanted: list[tuple[str, int]], trouble: Any, meanwhile: int | None) -> None:
        """Plan changes and apply them, whoever edits before the yes."""
        changes = self.changes(wanted)
        if changes:
            planned = self.call("plan_changes", changes=changes)
            self.meanwhile = None if meanwhile is None else ("update", meanwhile)
            said = self.under(trouble, "apply_plan", plan_id=planned["plan_id"])
            self.forget_names(said)

    @rule(wanted=CHANGES, trouble=TROUBLE)
    def write(self, wanted: list[tuple[str, int]], trouble: Any) -> None:
        """One change by its own tool."""
        for change in self.changes(wanted)[:1]:
            action, kind = change.pop("action"), change.pop("kind")
            if (action, kind) == ("create", "status"):
                said = self.under(trouble, "create_statuses", statuses=[change, {**change, "name": self.name()}])
            else:
                given = {f"{kind}_id" if key == "id" else key: value for key, value in change.items()}
                said = self.under(trouble, f"{action}_{kind}", **given)
            self.forget_names(said)

    @precondition(lambda self: self.told)
    @rule(pick=st.integers(0, 12), trouble=TROUBLE)
    def undo(self, pick: int, trouble: Any) -> None:
        """Take back one of the latest changes, an undo or not."""
        changes = [*reversed(self.told)][:6]
        self.under(trouble, "undo_change", change_id=changes[pick % len(changes)])

    @rule(action=st.sampled_from(["create", "update", "delete"]), pick=st.integers(0, 30))
    def meddle(self, action: str, pick: int) -> None:
        """Somebody else edits the account."""
        self.edit(action, pick)

    def edit(self, action: str, pick: int) -> None:
        self.meanwhile = None
        self.seen.update(["steps", "edits"])
        ids = sorted(self.things if self.across else self.others)
        if action == "create" and len(self.things) < MOST:
            new = {"name": self.name(), "sort": pick % 9}
            if self.kind == "segment":
                made = [segments.create(self.sandbox.account, {"name": new["name"]}, 0)]
            else:
                made = statuses.create(self.sandbox.account, [new])
            self.others |= {item["id"] for item in made}
        elif ids:
            thing_id = ids[pick % len(ids)]
            if action == "delete" and not self.things[thing_id].get("is_default"):
                del self.things[thing_id]
                self.others -= {thing_id}
                self.renamed.pop(thing_id, None)
            else:
                self.renamed[thing_id] = self.things[thing_id]["name"] = self.name()

    def forget_names(self, touched: set[int]) -> None:
        for thing_id in touched:
            self.renamed.pop(thing_id, None)

    def under(self, trouble: Any, tool: str, **arguments: Any) -> set[int]:
        """Make a call whatever becomes of it, check what is told of it, and give the ids that it touched."""
        self.sound = False
        fault, moment, late = trouble
        if fault is not None:
            pick, method, times, skip = fault
            kinds = DOUBTFUL if self.across else CLEAR
            self.sandbox.faults.add(
                Fault(**{"method": method, "times": times, "skip": skip, **kinds[pick % len(kinds)]})
            )
        self.before = deepcopy(self.things)
        self.life.fate.begin(moment, late=late)
        said = self.call(tool, **arguments)
        self.life.fate.end()
        self.meanwhile = None
        self.sandbox.faults.clear()
        self.seen.update(["steps", tool])
        if self.life.fate.dead:
            said = self.next_life()
        touched = self.check(tool, arguments, said)
        self.sound = True
        return {thing_id for _, thing_id in touched}

    def next_life(self) -> dict[str, Any]:
        """Nobody heard an answer. What is told at once is true; what was still on its way arrives; time passes."""
        self.seen["kills"] += 1
        late = self.life.fate.late
        self.lives.pop_all().close()
        self.life = self.begin_life()
        for change in self.call("list_changes", limit=1)["changes"]:
            assert change["change_id"] in self.told or done_of(change) <= happened(self.before, self.things)
        if late is not None:
            self.seen["late"] += 1
            self.portal.call(late)
        self.later += REST
        return {}

    def check(self, tool: str, arguments: dict[str, Any], said: dict[str, Any]) -> set[tuple[str, int]]:
        """The newest change is what is different; the older ones are what the undos made of them."""
        listed = self.call("list_changes", limit=100)["changes"]
        different = happened(self.before, self.things)
        if "error" in said:
            assert said["error"]["code"] in EXPECTED, said
            self.seen[said["error"]["code"]] += 1
        new = [change for change in listed if change["change_id"] not in self.told]
        assert len(new) <= 1
        if not new:
            assert different == set()
            return different
        [change] = new
        told = told_of(change)
        done = done_of(change)
        open_ended = any(status == "unknown" for *_, status in told)
        assert (done <= different) if self.across and open_ended else (done == different), (said, told, different)
        if "error" in said:
            assert done == set()
            assert different == set() or said["error"]["code"] == "outcome_unknown"
        elif said:
            assert (said["change_id"], tool) == (change["change_id"], change["tool"])
            assert "done" not in said or len(said["done"]) == len(done)
        self.told[change["change_id"]] = [status for *_, status in told]
        if tool == "undo_change":
            self.take_back(change["change_id"], arguments["change_id"])
        assert {item["change_id"]: [status for *_, status in told_of(item)] for item in listed} == self.told
        return different

    def take_back(self, undo_id: str, change_id: str) -> None:
        """What an undo makes of the older changes: a chain of them, each taking the next one back."""
        undo = self.portal.call(self.life.journal.change, undo_id)
        assert undo is not None
        self.undoes[undo_id] = change_id, [step.undoes for step in undo.steps]
        taken = self.portal.call(self.life.journal.change, change_id)
        assert taken is not None
        for position, step in enumerate(undo.steps):
            self.became(undo_id, position, step.outcome, again=step.action == "create")
            if step.undoes is not None and step.action == "create" and step.outcome == "done":
                self.come_back(taken.steps[step.undoes].before.id)
        if undo.status == "done":
            covered = self.undoes[undo_id][1]
            for position, status in enumerate(self.told[change_id]):
                if status == "done" and position not in covered:
                    self.told[change_id][position] = "undone"
                    self.gone[change_id, position] = taken.steps[position].after.id
                    self.became(change_id, position, "undone", again=False)

    def come_back(self, thing_id: int) -> None:
        """What was gone already when it was to be taken away is there again, and can be."""
        for (change_id, position), gone in [*self.gone.items()]:
            if gone == thing_id:
                del self.gone[change_id, position]
                self.told[change_id][position] = "done"
                self.became(change_id, position, "done", again=False)

    def became(self, undo_id: str, position: int, outcome: str, *, again: bool) -> None:
        while undo_id in self.undoes:
            change_id, positions = self.undoes[undo_id]
            if outcome == "done":
                self.told[change_id][positions[position]] = "undone"
            elif outcome == "undone":
                self.told[change_id][positions[position]] = "done"
            elif outcome in ("unknown", "intent") and again:
                self.told[change_id][positions[position]] = "unknown"
            else:
                return
            undo_id, position = change_id, positions[position]
            outcome = self.told[undo_id][position]

    def teardown(self) -> None:
        """Undo everything, the newest first, unless something was found to be wrong before."""
        try:
            if self.sound:
                self.undo_everything()
        finally:
            self.lives.close()

    def undo_everything(self) -> None:
        for change_id in [item for item in reversed(self.told) if item not in self.undoes]:
            if "done" in self.told[change_id]:
                self.under((None, None, False), "undo_change", change_id=change_id)
                assert self.across or "done" not in self.told[change_id]
        assert {thing_id: self.things[thing_id]["name"] for thing_id in self.renamed} == self.renamed
        if not self.across:
            assert settings(self.sandbox, without=self.others) == self.start
            self.seen["brought back"] += 1


def done_of(change: dict[str, Any]) -> set[tuple[str, int]]:
    return {(verb, thing_id) for verb, thing_id, status in told_of(change) if status == "done"}


EXAMPLES, STEPS, LEAST = 8, 36, 250
"""Examples and their steps, and the least in all, for each of two eras and two modes: 1,000 steps and more."""


@pytest.mark.parametrize("mode", ["segments", "periodicity"])
def test_the_journal_tells_what_happened_and_undoing_everything_brings_the_account_back(
    era: str, mode: str, tmp_path: Path
) -> None:
    seen: Counter[str] = Counter()
    careful = carefully(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    with start_blocking_portal() as portal:
        run_state_machine_as_test(lambda: Story(seen, portal, era, mode, tmp_path), settings=careful)
    assert seen["steps"] >= LEAST
    often = {"kills", "edits", "undo_change", "apply_plan", "conflict", "brought back", "late"}
    assert often <= seen.keys()
