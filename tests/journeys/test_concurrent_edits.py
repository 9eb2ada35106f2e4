"""Somebody edits the account in amoCRM while a plan or an undo is running: nothing of theirs is overwritten."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import anyio
import pytest
from mcp import Client

from amo_mcp.changes.turns import Turns
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.sandbox.api import statuses
from tests.clock import Clock
from tests.conftest import Person, Served, answer, error
from tests.journeys.lives import Interruption, Json, planning, serving, settings
from tests.journeys.test_plans import NOTHING, SEGMENTS, STATUSES, apply, newest, outcomes, plan
from tests.storage.backends import open_memory

pytestmark = pytest.mark.anyio

NAMES = ("Первый", "Второй")
SLOW = 2.1
"""Seconds that a request takes after which everything that was read is too old."""

LISTED = f"GET {SEGMENTS}?page=1&limit=250"
AFTERWARDS = "What was done stays; undo_change takes it back, plan the rest anew."

RENAMES: list[Json] = [
    {"action": "update", "kind": "segment", "id": 66, "name": "Первые"},
    {"action": "update", "kind": "segment", "id": 51, "name": "Вторые"},
    {"action": "update", "kind": "segment", "id": 54, "name": "Третьи"},
]
DELETIONS: list[Json] = [{"action": "delete", "kind": "segment", "id": segment_id} for segment_id in (66, 51, 54)]


class Colleague:
    """Somebody who edits the account just after a write of ours."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._edits: dict[int, Callable[[], Any]] = {}
        self._writes = 0

    def after(self, write: int, edit: Callable[[], Any]) -> None:
        """Do something after that write, counted from now on, the first being 1."""
        self._edits[self._writes + write] = edit

    def edits(self, write: int, segment_id: int, **values: Any) -> None:
        """Edit a segment after that write."""
        self.after(write, lambda: self.sandbox.account.segments[segment_id].update(values))

    def deletes(self, write: int, segment_id: int) -> None:
        """Delete a segment after that write."""
        self.after(write, lambda: self.sandbox.account.segments.pop(segment_id))

    def on_write(self, _: str) -> None:
        """Have our write noticed."""
        self._writes += 1
        if edit := self._edits.pop(self._writes, None):
            edit()


@asynccontextmanager
async def shared(
    sandbox: Sandbox, era: str, colleague: Colleague, *, seconds: float = 0.0, person: Person | None = None
) -> AsyncIterator[tuple[Served, Client]]:
    """A server and its client on an account that is shared with a colleague; each request takes so many seconds."""
    clock = Clock()

    def on_request() -> None:
        clock.now += seconds

    wire = Interruption(sandbox.app, on_request=on_request, on_write=colleague.on_write)
    async with (
        serving(sandbox, *open_memory(), wire, clock) as served,
        served.client(era, person or Person()) as client,
    ):
        yield served, client


@pytest.mark.requirement("PLAN-4", "PLAN-5")
async def test_a_segment_that_a_colleague_renames_while_a_plan_runs_is_not_overwritten(
    era: str, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)
    colleague.edits(2, 54, name="Чужое")
    async with shared(sandbox, era, colleague, seconds=SLOW) as (served, client):
        planned = await plan(client, RENAMES)
        sandbox.requests.clear()
        applied = answer(await apply(client, planned))
        listed = await newest(client)
    assert served.requests() == [
        LISTED,
        LISTED,
        f"PATCH {SEGMENTS}/66",
        LISTED,
        f"PATCH {SEGMENTS}/51",
        LISTED,
    ]
    assert applied == {
        "change_id": applied["change_id"],
        "status": "stopped",
        "done": ["Change segment «новички» (id 66)", "Change segment «VIP» (id 51)"],
        "not_done": ["Change segment «vip клиенты» (id 54): planned"],
        "reason": "target_changed",
        "message": "It stopped there: segment «vip клиенты» (id 54): name was «vip клиенты» and is now «Чужое». "
        "That step changed nothing. "
        f"{AFTERWARDS}",
    }
    assert (listed["status"], outcomes(listed)) == ("interrupted", ["done", "done", "planned"])
    assert sandbox.account.segments[54]["name"] == "Чужое"


async def test_updates_that_follow_each_other_within_two_seconds_stand_on_one_reading_of_the_account(
    era: str, sandbox: Sandbox
) -> None:
    async with shared(sandbox, era, Colleague(sandbox), seconds=0.6) as (served, client):
        planned = await plan(client, RENAMES)
        sandbox.requests.clear()
        answer(await apply(client, planned))
    assert served.requests() == [
        LISTED,
        LISTED,
        f"PATCH {SEGMENTS}/66",
        f"PATCH {SEGMENTS}/51",
        f"PATCH {SEGMENTS}/54",
    ]


@pytest.mark.requirement("CONFIRM-11", "PLAN-5")
@pytest.mark.parametrize("seconds", [0.0, SLOW])
@pytest.mark.parametrize(
    "fault", [Fault("PATCH", retry_after=1), Fault("PATCH", status=503), Fault("PATCH", status=503, after_effect=True)]
)
async def test_a_segment_that_a_colleague_renames_before_a_write_is_sent_again_is_not_overwritten(
    era: str, fault: Fault, seconds: float, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)
    colleague.edits(1, 66, name="Чужое")
    async with shared(sandbox, era, colleague, seconds=seconds) as (served, client):
        sandbox.faults.add(fault)
        failure = error(await client.call_tool("update_segment", {"segment_id": 66, "name": "Первые"}))
        listed = await newest(client)
    assert sandbox.account.segments[66]["name"] == "Чужое"
    assert served.writes() == [f"PATCH {SEGMENTS}/66"]
    if fault.retry_after:
        assert (failure["code"], failure["differences"], listed["status"]) == (
            "target_changed",
            ["segment «новички» (id 66): name was «новички» and is now «Чужое»."],
            "failed",
        )
        assert failure["message"].endswith(NOTHING)
    else:
        assert (failure["code"], listed["status"]) == ("outcome_unknown", "interrupted")


async def test_a_write_that_was_lost_is_sent_again_when_its_target_is_as_it_was(era: str, sandbox: Sandbox) -> None:
    async with shared(sandbox, era, Colleague(sandbox), seconds=SLOW) as (served, client):
        sandbox.faults.add(Fault("PATCH", status=503))
        updated = answer(await client.call_tool("update_segment", {"segment_id": 66, "name": "Первые"}))
    assert updated["after"]["name"] == sandbox.account.segments[66]["name"] == "Первые"
    assert served.writes() == [f"PATCH {SEGMENTS}/66"] * 2


SEGMENT_EDITS: list[tuple[Json | None, str]] = [
    ({"name": "Чужое"}, "segment «vip клиенты» (id 54): name was «vip клиенты» and is now «Чужое»."),
    ({"color": "ae003f"}, "segment «vip клиенты» (id 54): colour was b118c8 and is now ae003f."),
    ({"customers_count": 505}, "segment «vip клиенты» (id 54): customer count was 5 and is now 505."),
    (
        {"name": "Чужое", "customers_count": 505},
        "segment «vip клиенты» (id 54): name was «vip клиенты» and is now «Чужое». "
        "segment «vip клиенты» (id 54): customer count was 5 and is now 505.",
    ),
    (None, "segment «vip клиенты» (id 54) is no longer there."),
]


@pytest.mark.requirement("PLAN-4", "PLAN-5")
@pytest.mark.parametrize(("edit", "difference"), SEGMENT_EDITS)
async def test_a_segment_that_a_colleague_edits_fills_or_deletes_while_a_plan_runs_is_not_deleted(
    era: str, edit: Json | None, difference: str, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)
    if edit is None:
        colleague.deletes(2, 54)
    else:
        colleague.edits(2, 54, **edit)
    async with shared(sandbox, era, colleague) as (served, client):
        applied = answer(await apply(client, await plan(client, DELETIONS)))
        listed = await newest(client)
    assert (applied["status"], applied["reason"], applied["not_done"]) == (
        "stopped",
        "target_changed",
        ["Delete segment «vip клиенты» (id 54): planned"],
    )
    assert applied["message"] == f"It stopped there: {difference} That step changed nothing. {AFTERWARDS}"
    assert outcomes(listed) == ["done", "done", "planned"]
    assert served.writes() == [f"DELETE {SEGMENTS}/66", f"DELETE {SEGMENTS}/51"]
    assert (54 in sandbox.account.segments) == (edit is not None)


async def test_steps_that_were_done_before_an_edit_stopped_the_plan_are_undone_and_the_edit_stays(
    era: str, sandbox: Sandbox
) -> None:
    before = settings(sandbox, without=[54])
    colleague = Colleague(sandbox)
    colleague.edits(2, 54, name="Чужое")
    async with shared(sandbox, era, colleague) as (_, client):
        applied = answer(await apply(client, await plan(client, [*RENAMES[:2], DELETIONS[2]])))
        undone = answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
    assert undone == {
        "change_id": undone["change_id"],
        "status": "done",
        "done": ["Change segment «Вторые» (id 51)", "Change segment «Первые» (id 66)"],
    }
    assert settings(sandbox, without=[54]) == before
    assert sandbox.account.segments[54]["name"] == "Чужое"


async def test_a_segment_that_loses_a_customer_while_a_plan_runs_comes_back_with_those_it_had_then(
    era: str, sandbox: Sandbox
) -> None:
    [left, *others] = [one for one in sandbox.account.customers.values() if 51 in one["segments"]]

    def leave() -> None:
        left["segments"].remove(51)
        sandbox.account.segments[51].update(customers_count=47, updated_at=1_750_000_000)

    colleague = Colleague(sandbox)
    colleague.after(1, leave)
    async with shared(sandbox, era, colleague) as (_, client):
        applied = answer(await apply(client, await plan(client, DELETIONS[:2])))
        answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
    assert applied["done"] == ["Delete segment «новички» (id 66)", "Delete segment «VIP» (id 51)"]
    [back] = [segment["id"] for segment in sandbox.account.segments.values() if segment["name"] == "VIP"]
    assert len(others) == 47
    assert [one for one in sandbox.account.customers.values() if back in one["segments"]] == others


async def test_customers_who_enter_a_segment_do_not_stop_its_being_renamed(era: str, sandbox: Sandbox) -> None:
    colleague = Colleague(sandbox)
    colleague.edits(2, 54, customers_count=505)
    async with shared(sandbox, era, colleague, seconds=SLOW) as (_, client):
        applied = answer(await apply(client, await plan(client, RENAMES)))
    assert applied["status"] == "done"


async def test_a_segment_that_the_plan_itself_creates_or_a_colleague_creates_does_not_stop_it(
    era: str, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)
    model = sandbox.account.segments[51]
    colleague.after(1, lambda: sandbox.account.segments.update({1000: {**deepcopy(model), "id": 1000}}))
    new = [{"action": "create", "kind": "segment", "name": name} for name in ("Первые", "Вторые")]
    async with shared(sandbox, era, colleague, seconds=SLOW) as (_, client):
        applied = answer(await apply(client, await plan(client, [*new, DELETIONS[0]])))
    assert applied["done"] == [
        "Create segment «Первые» (id 96)",
        "Create segment «Вторые» (id 99)",
        "Delete segment «новички» (id 66)",
    ]


async def test_a_creation_whose_answer_is_lost_is_not_taken_for_what_a_colleague_created_before_it(
    era: str, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)
    model = sandbox.account.segments[51]
    namesake = {**deepcopy(model), "id": 1000, "name": "Вторые"}
    colleague.after(1, lambda: sandbox.account.segments.update({1000: namesake}))
    new = [{"action": "create", "kind": "segment", "name": name} for name in ("Первые", "Вторые")]
    async with shared(sandbox, era, colleague, seconds=SLOW) as (_, client):
        planned = await plan(client, new)
        sandbox.faults.add(Fault("POST", skip=1, status=500, after_effect=True))
        applied = answer(await apply(client, planned))
    assert applied["done"] == ["Create segment «Первые» (id 96)", "Create segment «Вторые» (id 99)"]


async def test_of_two_overlapping_plans_the_one_that_comes_late_stops_and_both_can_be_undone(
    era: str, sandbox: Sandbox
) -> None:
    before = settings(sandbox)
    journal = open_memory()
    overlapping: list[Json] = []

    async def apply_the_other(_: str) -> None:
        if not overlapping:
            overlapping.append({})
            overlapping[0] = answer(await apply(second, theirs))

    clock = Clock()

    def on_request() -> None:
        clock.now += SLOW

    wire = Interruption(sandbox.app, on_request=on_request, on_write=apply_the_other)
    async with (
        serving(sandbox, *journal, wire, clock) as one,
        serving(sandbox, *journal) as other,
        one.client(era, Person()) as first,
        other.client(era, Person()) as second,
    ):
        ours = await plan(first, RENAMES)
        theirs = await plan(second, [{**RENAMES[2], "name": "Их"}])
        applied = answer(await apply(first, ours))
        undone = [
            answer(await first.call_tool("undo_change", {"change_id": change["change_id"]}))
            for change in (applied, *overlapping)
        ]
    assert [change["status"] for change in (applied, *overlapping)] == ["stopped", "done"]
    assert applied["reason"] == "target_changed"
    assert applied["done"] == ["Change segment «новички» (id 66)", "Change segment «VIP» (id 51)"]
    assert [len(change["done"]) for change in undone] == [2, 1]
    assert settings(sandbox) == before


@pytest.mark.requirement("CHANGE-1", "CHANGE-2")
async def test_a_change_that_is_running_is_listed_as_such_with_what_is_known_of_its_steps(
    era: str, sandbox: Sandbox
) -> None:
    seen: list[Json] = []
    colleague = Colleague(sandbox)
    async with shared(sandbox, era, colleague) as (served, client):

        async def look(_: str) -> None:
            seen.append(answer(await client.call_tool("list_changes", {"limit": 1})))

        wire = Interruption(sandbox.app, on_write=look)
        async with (
            serving(sandbox, served.account.journal, served.account.plans, wire) as other,
            other.client(era, Person()) as second,
        ):
            answer(await apply(second, await plan(second, RENAMES)))
    assert [[change["status"] for change in page["changes"]] for page in seen] == [["running"]] * 3
    assert [outcomes(page["changes"][0]) for page in seen] == [
        ["pending", "planned", "planned"],
        ["done", "pending", "planned"],
        ["done", "done", "pending"],
    ]


@pytest.mark.requirement("CONFIRM-11", "CHANGE-4")
async def test_of_two_changes_of_one_segment_that_are_confirmed_at_once_one_is_made(era: str, sandbox: Sandbox) -> None:
    results: list[Any] = []
    both_asked = anyio.Event()
    asked: list[str] = []

    class Both(Person):
        """Answers only when both questions have been asked."""

        async def __call__(self, context: Any, params: Any) -> Any:
            asked.append(params.message)
            if len(asked) == len(NAMES):
                both_asked.set()
            await both_asked.wait()
            return await super().__call__(context, params)

    async with (
        shared(sandbox, era, Colleague(sandbox), person=Both()) as (served, client),
        anyio.create_task_group() as group,
    ):

        async def rename(name: str) -> None:
            results.append(answer(await client.call_tool("update_segment", {"segment_id": 51, "name": name})))

        for name in NAMES:
            group.start_soon(rename, name)
    [made] = [result for result in results if "after" in result]
    [refused] = [result["error"] for result in results if "error" in result]
    assert sandbox.account.segments[51]["name"] == made["after"]["name"]
    assert refused["code"] == "target_changed"
    assert served.writes() == [f"PATCH {SEGMENTS}/51"]


@pytest.mark.requirement("PLAN-3")
async def test_a_change_that_waits_for_its_turn_behind_a_plan_says_so_every_ten_seconds(
    era: str, sandbox: Sandbox
) -> None:
    clock, slept, told = Clock(), list[float](), list[tuple[float, float | None, str | None]]()
    under_way, was_told = anyio.Event(), anyio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 3:
            was_told.set()
            await anyio.sleep_forever()
        await clock.sleep(seconds)

    async def hold_the_first(_: str) -> None:
        under_way.set()
        await was_told.wait()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    wire = Interruption(sandbox.app, on_write=hold_the_first)
    async with (
        serving(sandbox, *open_memory(), wire, turns=Turns(sleep)) as served,
        served.client(era, Person()) as client,
    ):
        planned = await plan(client, RENAMES)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(apply, client, planned)
                await under_way.wait()
                change = {"segment_id": 54, "color": "10599d"}
                refused = error(await client.call_tool("update_segment", change, progress_callback=on_progress))
    assert refused["code"] == "target_changed"
    assert slept == [10.0] * 4
    assert told == [(number, None, "Waiting for another change to end") for number in range(3)]


DAY = 272433
"""A field of the sandbox's segments that holds a day."""


@pytest.mark.requirement("UNDO-3", "PLAN-5")
async def test_what_changed_meanwhile_is_told_in_the_days_of_the_account_as_a_conflict_is(
    era: str, sandbox: Sandbox
) -> None:
    day = {"segment_id": 51, "custom_fields_values": [{"field_id": DAY, "values": [{"value": "2026-11-22"}]}]}
    person = Person()

    def meanwhile(_: str) -> str:
        values[0]["value"] += 86_400
        return "yes"

    async with planning(sandbox) as served, served.client(era, person) as client:
        made = answer(await client.call_tool("update_segment", day))
        [values] = [
            field["values"]
            for field in sandbox.account.segments[51]["custom_fields_values"]
            if field["field_id"] == DAY
        ]
        person.says = meanwhile
        changed = error(await client.call_tool("update_segment", {"segment_id": 51, "name": "Лучшие"}))
        conflict = error(await client.call_tool("undo_change", {"change_id": made["change_id"]}))
    assert (changed["code"], conflict["code"]) == ("target_changed", "conflict")
    assert changed["differences"] == [
        "segment «VIP» (id 51): field «Начало акции» was «2026-11-22» and is now «2026-11-23»."
    ]
    assert conflict["differences"] == [
        "segment «VIP» (id 51): field «Начало акции» was set to «2026-11-22» and is now «2026-11-23»."
    ]


@pytest.mark.requirement("UNDO-3")
@pytest.mark.parametrize("seconds", [0.0, SLOW])
async def test_a_segment_that_a_colleague_edits_while_an_undo_runs_is_not_overwritten(
    era: str, seconds: float, sandbox: Sandbox
) -> None:
    before = deepcopy(sandbox.account.segments)
    colleague = Colleague(sandbox)
    changes = RENAMES if seconds else [{"action": "create", "kind": "segment", "name": f"Н{n}"} for n in range(3)]
    target = 66 if seconds else 96
    async with shared(sandbox, era, colleague, seconds=seconds) as (_, client):
        applied = answer(await apply(client, await plan(client, changes)))
        colleague.edits(1, target, name="Чужое")
        undone = answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
        listed = answer(await client.call_tool("list_changes", {}))["changes"]
        conflict = error(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
    assert (undone["status"], undone["reason"], len(undone["done"])) == ("stopped", "target_changed", 2)
    assert undone["message"].startswith(
        f"It stopped there: segment «{'Первые' if seconds else 'Н0'}» (id {target}): name"
    )
    assert [outcomes(change) for change in listed] == [["done", "done", "planned"], ["done", "undone", "undone"]]
    assert (conflict["code"], len(conflict["differences"])) == ("conflict", 1)
    assert sandbox.account.segments[target]["name"] == "Чужое"
    assert {key: item["name"] for key, item in sandbox.account.segments.items() if key != target} == {
        key: item["name"] for key, item in before.items() if key != target
    }


@pytest.mark.requirement("UNDO-3")
@pytest.mark.parametrize("when", ["while the person reads the question", "between two steps"])
async def test_a_segment_that_customers_entered_is_not_deleted_by_an_undo(
    era: str, when: str, sandbox: Sandbox
) -> None:
    colleague = Colleague(sandbox)

    def say_yes(question: str) -> str:
        if question.startswith("Undo") and when == "while the person reads the question":
            sandbox.account.segments[96]["customers_count"] = 500
        return "yes"

    changes = [{"action": "create", "kind": "segment", "name": name} for name in ("Первые", "Вторые")]
    async with shared(sandbox, era, colleague, person=Person(say_yes)) as (_, client):
        applied = answer(await apply(client, await plan(client, changes)))
        if when == "between two steps":
            colleague.edits(1, 96, customers_count=500)
        result = answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
    if when == "between two steps":
        assert (result["status"], result["reason"]) == ("stopped", "target_changed")
        assert result["done"] == ["Delete segment «Вторые» (id 99)"]
    else:
        assert (result["error"]["code"], result["error"]["differences"]) == (
            "target_changed",
            ["segment «Первые» (id 96): customer count was 0 and is now 500."],
        )
        assert result["error"]["message"].endswith(NOTHING)
    assert sandbox.account.segments[96]["customers_count"] == 500


async def test_an_undo_deletes_a_segment_that_customers_entered_before_the_question_since_the_question_says_so(
    era: str, sandbox: Sandbox
) -> None:
    person = Person()
    async with shared(sandbox, era, Colleague(sandbox), person=person) as (_, client):
        created = answer(await client.call_tool("create_segment", {"name": "Новые"}))
        sandbox.account.segments[96]["customers_count"] = 500
        undone = answer(await client.call_tool("undo_change", {"change_id": created["change_id"]}))
    [asked] = person.asked
    assert asked.message.splitlines()[-1] == "1. Delete segment «Новые» (id 96), 500 customers"
    assert undone["done"] == ["Delete segment «Новые» (id 96)"]


STATUS_CHANGES: list[Json] = [
    {"action": "update", "kind": "status", "id": 4740013, "name": "Помол"},
    {"action": "create", "kind": "status", "name": "Новые", "sort": 1},
    {"action": "create", "kind": "status", "name": "Тёплые", "sort": 2},
    {"action": "delete", "kind": "status", "id": 4740019},
]


@pytest.mark.requirement("PLAN-5")
async def test_a_status_that_a_colleague_renames_while_a_plan_runs_is_not_deleted(
    era: str, periodicity: Sandbox
) -> None:
    colleague = Colleague(periodicity)
    colleague.after(2, lambda: periodicity.account.statuses[4740019].update(name="Чужое"))
    async with shared(periodicity, era, colleague) as (served, client):
        planned = await plan(client, STATUS_CHANGES)
        periodicity.requests.clear()
        applied = answer(await apply(client, planned))
    assert (applied["status"], applied["reason"], len(applied["done"])) == ("stopped", "target_changed", 3)
    assert applied["not_done"] == ["Delete status «Подписка на зерно» (id 4740019): planned"]
    # The last reading is of the statuses: whose status it is was looked up before that.
    assert [one for one in served.requests() if "/statuses" in one] == [
        *[f"GET {STATUSES}"] * 2,
        f"PATCH {STATUSES}/4740013",
        f"POST {STATUSES}",
        *[f"GET {STATUSES}"] * 2,
    ]
    assert served.requests()[-1] == f"GET {STATUSES}"
    assert periodicity.account.statuses[4740019]["name"] == "Чужое"


@pytest.mark.requirement("PLAN-5")
@pytest.mark.parametrize(
    ("moved", "count", "last"), [(4740025, 4, "deleted"), (4740016, 4, "deleted"), (4740019, 3, "kept")]
)
async def test_of_the_statuses_that_are_moved_while_a_plan_runs_only_those_that_it_deletes_stop_it(
    moved: int, count: int, last: str, era: str, periodicity: Sandbox
) -> None:
    colleague = Colleague(periodicity)
    colleague.after(1, moves(periodicity, moved, 6))
    async with shared(periodicity, era, colleague, seconds=SLOW) as (_, client):
        applied = answer(await apply(client, await plan(client, STATUS_CHANGES)))
    assert len(applied["done"]) == count
    assert applied["status"] == ("stopped" if last == "kept" else "done")
    assert (4740019 in periodicity.account.statuses) == (last == "kept")


async def test_an_account_that_cannot_be_read_between_two_steps_stops_the_plan_and_what_was_done_stays(
    era: str, sandbox: Sandbox
) -> None:
    async with shared(sandbox, era, Colleague(sandbox)) as (served, client):
        planned = await plan(client, DELETIONS)
        sandbox.faults.add(Fault("GET", skip=2, times=4, status=503))
        applied = answer(await apply(client, planned))
    assert (applied["status"], applied["reason"]) == ("stopped", "unavailable")
    assert applied["done"] == ["Delete segment «новички» (id 66)"]
    assert served.writes() == [f"DELETE {SEGMENTS}/66"]


def order(sandbox: Sandbox) -> list[int]:
    """The statuses by position."""
    return [status["id"] for status in statuses.ordered(sandbox.account)]


def moves(sandbox: Sandbox, status_id: int, position: int) -> Callable[[], Any]:
    """Somebody moves a status."""
    return lambda: statuses.update(sandbox.account, status_id, {"sort": position})


@pytest.mark.requirement("CONFIRM-2", "CONFIRM-11")
async def test_a_status_that_somebody_moves_while_a_person_reads_the_question_is_not_moved(
    era: str, periodicity: Sandbox
) -> None:
    first, second, third, *_, last = order(periodicity)

    def meanwhile(_: str) -> str:
        moves(periodicity, last, 1)()
        return "yes"

    async with shared(periodicity, era, Colleague(periodicity), person=Person(meanwhile)) as (served, client):
        failure = error(await client.call_tool("update_status", {"status_id": last, "sort": 0}))
        answer(await client.call_tool("update_status", {"status_id": third, "sort": 0}))
    names = {status["id"]: status["name"] for status in periodicity.account.statuses.values()}
    before_last = names[order(periodicity)[-1]]
    assert failure["code"] == "target_changed"
    assert failure["differences"] == [
        f"status «{names[last]}» (id {last}): position was after «{before_last}» and is now after «{names[first]}» "
        f"and before «{names[second]}»."
    ]
    assert served.writes() == [f"PATCH {STATUSES}/{third}"]


@pytest.mark.requirement("PLAN-5")
async def test_a_status_that_somebody_moves_while_a_plan_runs_keeps_its_new_place(
    era: str, periodicity: Sandbox
) -> None:
    first, second, third, *_, last = order(periodicity)
    colleague = Colleague(periodicity)
    plan_of_moves = [
        {"action": "update", "kind": "status", "id": one, "sort": sort} for one, sort in ((first, 2), (last, 0))
    ]
    async with shared(periodicity, era, colleague) as (served, client):
        planned = await plan(client, plan_of_moves)
        colleague.after(1, moves(periodicity, last, 1))
        applied = answer(await apply(client, planned))
    assert (applied["status"], applied["reason"], len(applied["done"])) == ("stopped", "target_changed", 1)
    assert served.writes() == [f"PATCH {STATUSES}/{first}"]
    assert order(periodicity)[:4] == [second, last, third, first]


@pytest.mark.requirement("UNDO-1", "UNDO-3")
@pytest.mark.parametrize("gone", [None, 1, 4])
async def test_a_plan_of_moves_is_taken_back_to_the_same_order_though_the_account_gives_other_numbers(
    era: str, gone: int | None, periodicity: Sandbox
) -> None:
    account = periodicity.account
    statuses.create(account, [{"name": f"Этап {number}", "sort": 1} for number in range(4)])
    before = order(periodicity)
    wanted = ((before[5], 0), (before[0], 4), (before[3], 1), (before[2], 6))
    async with shared(periodicity, era, Colleague(periodicity)) as (served, client):
        moved = [{"action": "update", "kind": "status", "id": one, "sort": sort} for one, sort in wanted]
        planned = await plan(client, moved)
        periodicity.requests.clear()
        applied = answer(await apply(client, planned))
        assert len(served.requests()) == planned["requests"]
        assert order(periodicity) != before
        if gone is not None:
            statuses.delete(account, before[gone])
        undone = answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
    assert undone["status"] == "done"
    assert order(periodicity) == [one for one in before if gone is None or one != before[gone]]


@pytest.mark.requirement("UNDO-3")
async def test_a_status_that_somebody_moved_since_is_not_moved_back_by_an_undo(era: str, periodicity: Sandbox) -> None:
    first, second, third, *_ = order(periodicity)
    names = {status["id"]: status["name"] for status in periodicity.account.statuses.values()}
    async with shared(periodicity, era, Colleague(periodicity)) as (_, client):
        changed = answer(await client.call_tool("update_status", {"status_id": first, "sort": 2}))
        moves(periodicity, first, 1)()
        left = order(periodicity)
        failure = error(await client.call_tool("undo_change", {"change_id": changed["change_id"]}))
    assert left[:3] == [second, first, third]
    assert order(periodicity) == left
    [difference] = failure["differences"]
    assert difference.startswith(
        f"status «{names[first]}» (id {first}): position was set to after «{names[third]}» and before"
    )
    assert difference.endswith(f"and is now after «{names[second]}» and before «{names[third]}».")
