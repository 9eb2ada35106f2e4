"""Plans, writes and undos one after the other, through faults, kills and other people's edits: the journal never lies.

After every step, what the journal says is what is different in the account, and what it says of every older change
follows from the undos alone. In the end everything is undone. Where nobody interferes, the account is then as it was
at the start, but for ids, times, customers, conditions and positions.
"""

from collections import Counter
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, NamedTuple, cast

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from amo_mcp.amocrm.limits import SEGMENT_COLORS
from amo_mcp.changes.steps import Create, Delete, Move
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.sandbox.api import segments, statuses
from tests.clock import Clock
from tests.conftest import Person, answer
from tests.journeys.lives import (
    AT_REST,
    EXPECTED,
    Interruption,
    Json,
    Life,
    differences,
    is_about_customers,
    living,
    settings,
    step_outcomes,
)

pytestmark = pytest.mark.exhaustive

MAX_ENTITIES = 20

CLEAR: list[Json] = [
    {"drop": "before"},
    {"drop": "after"},
    {"status": 500},
    {"status": 503},
    {"status": 400},
    {"status": 429, "retry_after": 1},
    {"status": 500, "after_effect": True},
]
"""What leaves no doubt about what came of a request, once the account is read."""

DOUBTFUL: list[Json] = [
    *CLEAR,
    {"status": 504},
    {"status": 504, "after_effect": True},
    {"method": "GET", "status": 500, "times": 0},
]


class Trouble(NamedTuple):
    """What goes wrong with one call.

    Attributes:
        fault: which one of the faults, with which method, how many times, after how many requests.
        moment: the moment of a write at which the process is killed.
        late: whether its last request arrives all the same.
    """

    fault: tuple[int, str, int, int] | None = None
    moment: int | None = None
    late: bool = False


class Edit(NamedTuple):
    """What somebody else does meanwhile: just after the write of that number, 0 being just before the yes."""

    after: int
    action: str
    pick: int


ACTIONS = st.sampled_from(["create", "update", "update", "delete"])
CHANGES = st.lists(st.tuples(ACTIONS, st.integers(0, 30)), min_size=1, max_size=5)
FAULT = st.tuples(
    st.integers(0, 30), st.sampled_from(["POST", "PATCH", "DELETE"]), st.sampled_from([1, 2, 5]), st.integers(0, 1)
)
MOMENT = st.sampled_from([None, None, None, None, 0, 1, 1, 1, 2, 3, 4, 5, 5, 6, 7, 9])
TROUBLE = st.builds(Trouble, st.none() | FAULT, MOMENT, st.booleans())
EDIT = st.none() | st.builds(Edit, st.sampled_from([0, 1, 1, 2, 3]), ACTIONS, st.integers(0, 30))


@dataclass
class Undoing:
    """An undo: the change that it takes back, and the position there of each of its steps."""

    change_id: str
    positions: list[int | None]


class Story(RuleBasedStateMachine):
    """One account, what is done to it, and what has to be in the journal."""

    def __init__(self, seen: Counter[str], portal: BlockingPortal, era: str, mode: str, folder: Path) -> None:
        super().__init__()
        self.seen, self.portal, self.era = seen, portal, era
        self.sandbox = Sandbox(mode=mode)
        self.kind = "segment" if mode == "segments" else "status"
        self.start = settings(self.sandbox)
        self.folder = folder / str(seen["stories"])
        self.folder.mkdir()
        self.seen["stories"] += 1
        self.person = Person(lambda _: self.say_yes())
        self.wire = Interruption(self.sandbox.app, on_request=self.on_request, on_write=self.on_write)
        self.number = 0
        self.clock, self.monotonic = Clock(time()), Clock(0.0)
        self.before: dict[int, Json] = {}
        self.meanwhile: Edit | None = None
        self.targets: list[int] = []
        self.edited: set[int] = set()
        self.outcomes: dict[str, list[str]] = {}
        self.undos: dict[str, Undoing] = {}
        self.gone: dict[tuple[str, int], int] = {}
        self.others: set[int] = set()
        self.renamed: dict[int, str] = {}
        self.sound = True
        self.lives = ExitStack()
        self.life = self.begin_life()

    @initialize(across=st.booleans(), slow=st.booleans())
    def choose(self, across: bool, slow: bool) -> None:
        """Whether others edit what is edited here too, and requests get lost for good; whether requests take long."""
        self.across, self.slow = across, slow

    @property
    def entities(self) -> dict[int, Json]:
        account = self.sandbox.account
        return account.segments if self.kind == "segment" else account.statuses

    def begin_life(self) -> Life:
        life = living(
            self.sandbox, self.folder, self.era, self.person, self.clock, app=self.wire, monotonic=self.monotonic
        )
        return self.lives.enter_context(self.portal.wrap_async_context_manager(life))

    def call(self, tool: str, **arguments: Any) -> Json:
        return answer(self.portal.call(self.life.client.call_tool, tool, arguments))

    def name(self) -> str:
        self.number += 1
        return f"Имя {self.number}"

    def on_request(self) -> None:
        """Where requests take long, everything that was read has grown old by the next step."""
        self.monotonic.now += 2.5 if self.slow else 0

    def say_yes(self) -> str:
        """The person's answer; somebody else may have been quicker."""
        if self.meanwhile and not self.meanwhile.after:
            self.edit(self.meanwhile.action, self.meanwhile.pick)
            self.meanwhile = None
        self.before = deepcopy(self.entities)
        return "yes"

    def on_write(self, path: str) -> None:
        """Somebody else edits between two steps what is as it was, and not just being written."""
        edit = self.meanwhile
        if edit is None or edit.after != self.wire.writes or (edit.action == "create" and not self.across):
            return
        self.meanwhile = None
        writing = {int(part) for part in path.split("/")[-1:] if part.isdigit()}
        free = {
            entity_id
            for entity_id in self.editable()
            if self.before.get(entity_id) == self.entities[entity_id] and entity_id not in writing
        }
        pool = [entity_id for entity_id in self.targets if entity_id in free] or sorted(free)
        edited = self.edit(edit.action, edit.pick, pool)
        # It is nothing that is done here.
        self.before = {number: entity for number, entity in self.before.items() if number not in edited}
        self.before |= {number: deepcopy(self.entities[number]) for number in edited & self.entities.keys()}
        self.edited |= edited

    def changes(self, wanted: list[tuple[str, int]]) -> list[Json]:
        """Changes of one plan; entities of others are left alone, unless everybody edits everything."""
        found, room = [], MAX_ENTITIES - len(self.entities)
        free = sorted(self.entities.keys() - (set() if self.across else self.others))
        self.targets = []
        for action, pick in wanted:
            if action == "create" and room:
                room -= 1
                sort = {} if self.kind == "segment" else {"sort": pick % 9}
                found.append({"action": "create", "kind": self.kind, "name": self.name(), **sort})
            elif action != "create" and free:
                entity_id = free.pop(pick % len(free))
                self.targets.append(entity_id)
                if action == "delete" and not self.entities[entity_id].get("is_default"):
                    found.append({"action": "delete", "kind": self.kind, "id": entity_id})
                else:
                    found.append({"action": "update", "kind": self.kind, "id": entity_id, **self.patch(pick)})
        return found

    def patch(self, pick: int) -> Json:
        color = {"color": SEGMENT_COLORS[pick % 40]} if self.kind == "segment" and pick % 2 else {}
        return {"name": self.name(), **color}

    @rule(wanted=CHANGES, trouble=TROUBLE, meanwhile=EDIT)
    def plan(self, wanted: list[tuple[str, int]], trouble: Trouble, meanwhile: Edit | None) -> None:
        """Plan changes and apply them, whoever edits before the yes or between the steps."""
        self.plan_under(wanted, trouble, meanwhile)

    def plan_under(self, wanted: list[tuple[str, int]], trouble: Trouble, meanwhile: Edit | None) -> None:
        changes = self.changes(wanted)
        if changes:
            planned = self.call("plan_changes", changes=changes)
            self.meanwhile = meanwhile
            self.forget_names(self.under(trouble, "apply_plan", plan_id=planned["plan_id"]))

    @precondition(lambda self: self.across)
    @rule(wanted=st.lists(st.tuples(ACTIONS, st.integers(0, 30)), min_size=3, max_size=5), pick=st.integers(0, 30))
    def collide(self, wanted: list[tuple[str, int]], pick: int) -> None:
        """Apply a plan of which somebody else edits a target between the first two steps, and nothing else is wrong."""
        self.plan_under(wanted, Trouble(), Edit(1, "delete" if pick % 2 else "update", pick))

    @rule(wanted=CHANGES, trouble=TROUBLE)
    def write(self, wanted: list[tuple[str, int]], trouble: Trouble) -> None:
        """One change by its own tool."""
        for change in self.changes(wanted)[:1]:
            action, kind = change.pop("action"), change.pop("kind")
            if (action, kind) == ("create", "status"):
                drafts = [change, {**change, "name": self.name()}]
                self.forget_names(self.under(trouble, "create_statuses", statuses=drafts))
            else:
                arguments = {f"{kind}_id" if key == "id" else key: value for key, value in change.items()}
                self.forget_names(self.under(trouble, f"{action}_{kind}", **arguments))

    @precondition(lambda self: self.outcomes)
    @rule(pick=st.integers(0, 12), trouble=TROUBLE, meanwhile=EDIT)
    def undo(self, pick: int, trouble: Trouble, meanwhile: Edit | None) -> None:
        """Take back one of the latest changes, an undo or not, whoever edits meanwhile."""
        changes = [*reversed(self.outcomes)][:6]
        self.targets = []
        self.meanwhile = meanwhile
        self.under(trouble, "undo_change", change_id=changes[pick % len(changes)])

    @rule(action=st.sampled_from(["create", "update", "delete"]), pick=st.integers(0, 30))
    def meddle(self, action: str, pick: int) -> None:
        """Somebody else edits the account."""
        self.edit(action, pick)

    def editable(self) -> list[int]:
        """What somebody else may edit: everything, or what is theirs."""
        return sorted(self.entities if self.across else self.others)

    def edit(self, action: str, pick: int, pool: list[int] | None = None) -> set[int]:
        """Somebody else's edit: a new entity, or one of `pool` renamed or deleted; the ids that it touched."""
        self.seen.update(["steps", "edits"])
        pool = self.editable() if pool is None else pool
        if action == "create" and len(self.entities) < MAX_ENTITIES:
            new = {"name": self.name(), "sort": pick % 9}
            if self.kind == "segment":
                made = [segments.create(self.sandbox.account, {"name": new["name"]}, 0)]
            else:
                made = statuses.create(self.sandbox.account, [new])
            created = {int(entity["id"]) for entity in made}
            self.others |= created
            return created
        if not pool:
            return set()
        entity_id = pool[pick % len(pool)]
        if action == "delete" and not self.entities[entity_id].get("is_default"):
            del self.entities[entity_id]
            self.others -= {entity_id}
            self.renamed.pop(entity_id, None)
        else:
            self.renamed[entity_id] = self.entities[entity_id]["name"] = self.name()
        return {entity_id}

    def forget_names(self, touched: set[int]) -> None:
        for entity_id in touched:
            self.renamed.pop(entity_id, None)

    def under(self, trouble: Trouble, tool: str, **arguments: Any) -> set[int]:
        """Make a call whatever becomes of it, check what is said of it, and give the ids that it touched."""
        self.sound = False
        if trouble.fault is not None:
            pick, method, times, skip = trouble.fault
            kinds = DOUBTFUL if self.across else CLEAR
            self.sandbox.faults.add(
                Fault(**{"method": method, "times": times, "skip": skip, **kinds[pick % len(kinds)]})
            )
        self.before, self.edited, self.wire.writes = deepcopy(self.entities), set(), 0
        self.life.switch.arm(trouble.moment, late=trouble.late)
        result = self.call(tool, **arguments)
        self.life.switch.disarm()
        self.meanwhile = None
        self.sandbox.faults.clear()
        self.seen.update(["steps", tool])
        if self.life.switch.dead:
            result = self.next_life()
        touched = {entity_id for _, entity_id in self.check(tool, arguments, result)}
        if self.slow:
            assert not touched & self.edited, "an edit of somebody else was overwritten"
        self.sound = True
        return touched

    def next_life(self) -> Json:
        """Nobody heard an answer. What is said at once is true; what was still on its way arrives; time passes."""
        self.seen["kills"] += 1
        late = self.life.switch.late
        self.lives.pop_all().close()
        self.life = self.begin_life()
        for change in self.call("list_changes", limit=1)["changes"]:
            assert change["change_id"] in self.outcomes or done_in(change) <= differences(self.before, self.entities)
        if late is not None:
            self.seen["late"] += 1
            self.portal.call(late)
        self.clock.now += AT_REST
        self.monotonic.now += AT_REST
        return {}

    def check(self, tool: str, arguments: Json, result: Json) -> set[tuple[str, int]]:
        """The newest change is what is different; the older ones are what the undos made of them."""
        listed = self.call("list_changes", limit=100)["changes"]
        different = differences(self.before, self.entities)
        if "error" in result:
            assert result["error"]["code"] in EXPECTED, result
            self.seen[result["error"]["code"]] += 1
        new = [change for change in listed if change["change_id"] not in self.outcomes]
        assert len(new) <= 1
        if not new:
            assert different == set()
            return different
        [change] = new
        outcomes = step_outcomes(change)
        done = done_in(change)
        unknown = any(outcome == "unknown" for *_, outcome in outcomes)
        assert (done <= different) if self.across and unknown else (done == different), (result, outcomes, different)
        if "error" in result:
            assert done == set()
            assert different == set() or result["error"]["code"] == "outcome_unknown"
        elif result:
            assert (result["change_id"], tool) == (change["change_id"], change["tool"])
            told = [line for line in result.get("done", ()) if not is_about_customers(line)]
            assert "done" not in result or len(told) == len(done)
            self.seen["stopped by an edit"] += result.get("reason") == "target_changed"
        self.outcomes[change["change_id"]] = outcomes_of(change)
        if tool == "undo_change":
            self.take_back(change["change_id"], arguments["change_id"])
        now = {item["change_id"]: outcomes_of(item) for item in listed}
        assert now == self.outcomes
        return different

    def take_back(self, undo_id: str, change_id: str) -> None:
        """What an undo makes of the older changes: a chain of them, each taking the next one back."""
        undo = self.portal.call(self.life.journal.change, undo_id)
        assert undo is not None
        positions = [step.undoes for step in undo.steps]
        self.undos[undo_id] = Undoing(change_id, positions)
        undone = self.portal.call(self.life.journal.change, change_id)
        assert undone is not None
        unfinished = {step.undoes for step in undo.steps if step.outcome != "done"}
        for position, step in enumerate(undo.steps):
            if not (step.outcome == "done" and step.undoes in unfinished):
                self.became(undo_id, position, step.outcome, again=isinstance(step, Create))
            if step.undoes is not None and isinstance(step, Create) and step.outcome == "done":
                deletion = undone.steps[step.undoes]
                assert isinstance(deletion, Delete)
                self.come_back(deletion.before.id)
        if undo.status == "done":
            for position, outcome in enumerate(self.outcomes[change_id]):
                step = undone.steps[position]
                if outcome == "done" and position not in positions and not isinstance(step, Move):
                    if isinstance(step, Create):
                        assert step.after is not None
                        self.gone[change_id, position] = step.after.id
                    else:
                        assert isinstance(step, Delete), "only what is gone or is back already needs nothing"
                    self.outcomes[change_id][position] = "undone"
                    self.became(change_id, position, "undone", again=False)

    def come_back(self, entity_id: int) -> None:
        """What was gone already when it was to be taken away is there again, and can be."""
        for (change_id, position), gone in [*self.gone.items()]:
            if gone == entity_id:
                del self.gone[change_id, position]
                self.outcomes[change_id][position] = "done"
                self.became(change_id, position, "done", again=False)

    def became(self, undo_id: str, position: int, outcome: str, *, again: bool) -> None:
        """Follow what became of a step of an undo to the step that it takes back, and so on."""
        while undo_id in self.undos:
            undoing = self.undos[undo_id]
            undone = undoing.positions[position]
            assert undone is not None
            if outcome == "done":
                self.outcomes[undoing.change_id][undone] = "undone"
            elif outcome == "undone":
                self.outcomes[undoing.change_id][undone] = "done"
            elif outcome in ("unknown", "pending") and again:
                self.outcomes[undoing.change_id][undone] = "unknown"
            else:
                return
            undo_id, position = undoing.change_id, undone
            outcome = self.outcomes[undo_id][position]

    def teardown(self) -> None:
        """Undo everything, the newest first, unless something was found to be wrong before."""
        try:
            if self.sound:
                self.undo_everything()
        finally:
            self.lives.close()

    def undo_everything(self) -> None:
        for change_id in [item for item in reversed(self.outcomes) if item not in self.undos]:
            if "done" in self.outcomes[change_id]:
                self.under(Trouble(), "undo_change", change_id=change_id)
                assert self.across or "done" not in self.outcomes[change_id] or self.came_back_otherwise(change_id)
        assert {entity_id: self.entities[entity_id]["name"] for entity_id in self.renamed} == self.renamed
        if not self.across:
            assert settings(self.sandbox, without=self.others) == self.start
            self.seen["brought back"] += 1

    def came_back_otherwise(self, change_id: str) -> bool:
        """Whether all that is left of a change are deletions of what another undo has brought back."""
        change = self.portal.call(self.life.journal.change, change_id)
        recreated = self.portal.call(self.life.journal.recreated_ids)
        assert change is not None
        return all(
            isinstance(step, Delete) and recreated.current_id(step.kind, step.before.id) in self.entities
            for step in change.steps
            if step.outcome == "done"
        )


def outcomes_of(change: Json) -> list[str]:
    """What became of each step of a change, moves of customers among them; "unknown" while nobody knows."""
    told = [step["status"] for step in change.get("steps") or [change]]
    return ["unknown" if outcome in ("interrupted", "pending") else outcome for outcome in told]


def done_in(change: Json) -> set[tuple[str, int]]:
    return {(verb, entity_id) for verb, entity_id, outcome in step_outcomes(change) if outcome == "done"}


EXAMPLES, STEPS, MIN_STEPS = 8, 36, 250
"""Examples and their steps, and the least in all, for each of two eras and two modes: 1,000 steps and more."""


@pytest.mark.parametrize("mode", ["segments", "periodicity"])
def test_the_journal_says_what_happened_and_undoing_everything_brings_the_account_back(
    era: str, mode: str, tmp_path: Path
) -> None:
    seen: Counter[str] = Counter()
    exhaustive = profile(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    with start_blocking_portal() as portal:
        story = cast("type[Story]", lambda: Story(seen, portal, era, mode, tmp_path))
        run_state_machine_as_test(story, settings=exhaustive)
    assert seen["steps"] >= MIN_STEPS
    often = {"kills", "edits", "undo_change", "apply_plan", "conflict", "brought back", "late", "stopped by an edit"}
    assert often <= {what for what, count in seen.items() if count}
