"""Plans, writes and undos beside a colleague who edits at any moment, on a machine whose clock, files and disk fail.

Whatever happens, nothing of the colleague's is overwritten without having been shown, nothing is lost or doubled, and
what is claimed is so. `MACHINE_SEED` runs other stories than the usual ones: the seed of a story is the last part of
its test's id, and `MACHINE_SEED=7 pytest …` runs the stories from 7 on.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amo_mcp.sandbox import Fault
from tests.conftest import answer
from tests.journeys import claims
from tests.journeys.claims import Call
from tests.journeys.ledger import SETTINGS
from tests.journeys.lives import EXPECTED, Json
from tests.journeys.stage import PER_SECOND, Stage
from tests.storage.disk import Disk

pytestmark = [pytest.mark.anyio, pytest.mark.exhaustive]

FIRST_SEED = int(os.environ.get("MACHINE_SEED", "0"))
STORIES, STEPS = int(os.environ.get("MACHINE_STORIES", "26")), 60
"""Stories of each of two modes, and their steps: 3,120 in all."""

FAULTS: list[Json] = [
    {"drop": "before"},
    {"drop": "after"},
    {"drop": "body"},
    {"status": 500},
    {"status": 503},
    {"status": 504},
    {"status": 400},
    {"status": 502, "html": True},
    {"status": 429, "retry_after": 1},
    {"status": 429, "retry_after": 8},
    {"status": 500, "after_effect": True},
    {"status": 504, "after_effect": True},
]


class Story(Stage):
    """What is done on the stage, and what has to be so after each step."""

    async def run(self, steps: int) -> None:
        """Live through so many steps."""
        await self.begin_life()
        try:
            for _ in range(steps):
                await self.random.choice([self.plan, self.plan, self.write, self.undo, self.meddle])()
                self.seen["steps"] += 1
        finally:
            await self.lives.aclose()

    async def meddle(self) -> None:
        """The colleague edits, and no call is under way."""
        self.call = None
        self.edit("between the calls")

    async def plan(self) -> None:
        """Plan some changes and apply them."""
        changes = [change for _ in range(self.random.randint(1, 6)) if (change := self.wishes.change())]
        changes = [*{change.get("id", -place): change for place, change in enumerate(changes)}.values()]
        if not changes:
            return
        since = len(self.ledger.effects)
        planned = answer(await self.life.client.call_tool("plan_changes", {"changes": changes}))
        if "error" in planned:
            assert planned["error"]["code"] == "invalid_arguments", planned
            return
        if self.random.random() < 0.2:
            self.edit("between plan and apply")
        targets = frozenset(change["id"] for change in changes if "id" in change)
        await self.under_trouble("apply_plan", {"plan_id": planned["plan_id"]}, targets, since)

    async def write(self) -> None:
        """Make one change by its own tool."""
        change = self.wishes.change()
        if change is None:
            return
        action, kind = change.pop("action"), change.pop("kind")
        targets = frozenset([change["id"]] if "id" in change else [])
        if (action, kind) == ("create", "status"):
            drafts = [change, {**change, "name": self.wishes.name()}][: self.random.randint(1, 2)]
            await self.under_trouble("create_statuses", {"statuses": drafts}, targets)
        else:
            arguments = {f"{kind}_id" if key == "id" else key: value for key, value in change.items()}
            await self.under_trouble(f"{action}_{kind}", arguments, targets)

    async def undo(self) -> None:
        """Take back one of the latest changes."""
        if self.known:
            change_id = self.random.choice([*self.known][-6:])
            targets = frozenset(effect.id for effect in self.known[change_id].made)
            await self.under_trouble("undo_change", {"change_id": change_id}, targets)

    def arrange(self) -> None:
        """What goes wrong with the next call."""
        random, self.at_request = self.random, {}
        for _ in range(random.choice([0, 0, 1, 1, 2, 4])):
            self.at_request.setdefault(random.choice([0, 1, 1, 2, 2, 3, 4, 5, 6, 8]), []).append(self.edit)
        if random.random() < 0.12:
            self.at_request.setdefault(random.choice([0, 1, 2, 3, 4]), []).append(self.befall)
        self.at_yes = random.choice([0, 0, 0, 1, 2])
        if random.random() < 0.35:
            fault = random.choice(FAULTS)
            method = random.choice(["POST", "PATCH", "PATCH", "DELETE", "GET"])
            times, skip = random.choice([1, 1, 2, 5]), random.choice([0, 0, 1, 2])
            self.sandbox.faults.add(Fault(**{"method": method, "times": times, "skip": skip, **fault}))
            self.note(f"  fault {method} {fault}, {times} times after {skip}")
        moment = random.choice([0, 1, 1, 2, 3, 4, 5, 6, 7, 9]) if random.random() < 0.15 else None
        self.life.switch.arm(moment, late=random.random() < 0.5)

    async def under_trouble(
        self, tool: str, arguments: Json, targets: frozenset[int], since: int | None = None
    ) -> None:
        """Make a call, whatever happens meanwhile, and check what is said of it."""
        self.note(f"{tool} {arguments}")
        self.ledger.begin()
        begun = len(self.ledger.effects)
        self.call = call = Call(tool, arguments, targets=targets)
        self.arrange()
        began = self.passing.now
        call.answer = answer(await self.life.client.call_tool(tool, arguments))
        self.life.switch.disarm()
        self.at_request, self.at_yes = {}, 0
        self.sandbox.faults.clear()
        assert self.passing.now - began < 600, "the call stalled"
        assert self.ledger.busiest_second() <= PER_SECOND
        was_lost = self.machine.lost
        self.machine.repair()
        if self.life.switch.dead:
            call.answer = {}
            await self.next_life()
        call.reads = [*self.ledger.reads]
        call.effects = self.ledger.effects[begun:]
        call.since = self.ledger.effects[begun if since is None else since :]
        self.note(f"  -> {call.answer}")
        await self.check(call, lost=was_lost)

    async def check(self, call: Call, *, lost: bool) -> None:
        """Everything that has to be so after a call."""
        code = call.answer.get("error", {}).get("code")
        assert code is None or code in {*EXPECTED, "internal"}, call.answer
        self.seen[f"{call.tool} {code or call.answer.get('reason') or call.answer.get('status') or 'done'}"] += 1
        claims.check_nothing_was_overwritten_unseen(call)
        claims.check_answer(call, self.ledger.state())
        claims.check_refusal(call, stale=self.is_stale(call), lost=lost)
        self.check_nothing_is_doubled()
        if call.tool == "undo_change" and call.made:
            original = self.known[call.arguments["change_id"]]
            self.root |= claims.check_undone(call, original, self.root)
        await self.check_journal(call, lost=lost)

    def is_stale(self, call: Call) -> bool:
        """Whether something of what is to be undone is not as the change left it."""
        if call.tool != "undo_change":
            return True
        original = self.known[call.arguments["change_id"]]
        if "position was" in str(call.answer):
            return self.ledger.effects[-1] is not original.effects[-1]
        now = {self.root.get(key, key): entity for key, entity in self.ledger.state().items()}
        left = [effect for effect in original.made if effect.after is not None]
        return any(
            (entity := now.get(self.root.get(effect.id, effect.id))) is None
            or any(entity.get(name) != (effect.after or {}).get(name) for name in SETTINGS)
            for effect in left
        )

    def check_nothing_is_doubled(self) -> None:
        names = Counter(entity["name"] for entity in self.wishes.entities.values())
        assert not [name for name, count in names.items() if count > 1 and name.startswith("Имя")], names

    async def check_journal(self, call: Call, *, lost: bool) -> None:
        listed = answer(await self.life.client.call_tool("list_changes", {"limit": 100}))["changes"]
        if lost:
            self.known.clear()
        new = [change for change in listed if change["change_id"] not in self.known]
        assert len(new) <= 1
        assert lost or {*self.known} <= {change["change_id"] for change in listed}, "a change was forgotten"
        assert lost or new or not call.made, "what was done was not recorded"
        if "change_id" in call.answer and not lost:
            assert [change["change_id"] for change in new] == [call.answer["change_id"]]
        for change in new:
            self.known[change["change_id"]] = call
        for change in listed:
            truth = self.known[change["change_id"]].made
            claims.check_listed(change, truth, self.gone, self.root)


@contextmanager
def told(story: Story) -> Iterator[None]:
    """Add to a failure what had happened."""
    try:
        yield
    except BaseException as error:
        error.add_note("\n".join(story.log[-12:]))
        raise


@pytest.mark.requirement("CONFIRM-2", "CONFIRM-11", "PLAN-5", "CHANGE-2", "CHANGE-3", "UNDO-3", "ERROR-8", "LIMIT-3")
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + STORIES))
@pytest.mark.parametrize("mode", ["segments", "periodicity"])
async def test_beside_a_colleague_and_on_a_failing_machine_nothing_is_lost_doubled_or_falsely_told(
    mode: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    story = Story(seed, mode, folder, Disk(monkeypatch))
    with told(story):
        await story.run(STEPS)
    assert story.seen["edits"] > STEPS // 10
