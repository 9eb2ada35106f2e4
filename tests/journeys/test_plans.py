"""From an audit over a plan to an account that is tidied: one question, honest answers, and the way back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from time import time
from typing import Any

import anyio
import pytest
from mcp import Client
from pydantic import SecretStr

from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.api import segments
from amo_mcp.storage.rate_limit import SharedRateLimiter
from tests.clock import Clock
from tests.conftest import Person, answer, error
from tests.journeys.lives import Interruption, planning, serving, settings
from tests.storage.backends import open_memory

pytestmark = pytest.mark.anyio

NOTHING = "Nothing was changed."
CUSTOMERS = "/api/v4/customers"
SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"
TIDY = [
    {"action": "delete", "kind": "segment", "id": 66},
    {"action": "create", "kind": "segment", "name": "Гости", "color": "10599d"},
    {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие"},
    {"action": "delete", "kind": "segment", "id": 54},
]

TIDY_QUESTION = [
    "Apply a plan of 4 changes?",
    "Customers of the deleted segments: 5. An undo puts them back, but not the conditions.",
    "Triggers, mailings, filters and integrations that use the ids of what is deleted stop working. "
    "What an undo brings back has another id.",
    "In all: 2 to delete, 1 to update, 1 to create.",
    "Account: «Лавка ‹Зерно и турка›».",
    "1. Delete segment «новички» (id 66), 0 customers",
    "2. Create segment «Гости»",
    "– Colour: 10599d",
    "3. Change segment «VIP» (id 51)",
    "– Name: was «VIP» → will be «Лучшие»",
    "4. Delete segment «vip клиенты» (id 54), 5 customers",
]


async def plan(client: Client, changes: list[Any]) -> dict[str, Any]:
    return answer(await client.call_tool("plan_changes", {"changes": changes}))


async def apply(client: Client, planned: Mapping[str, Any], **more: Any) -> Any:
    return await client.call_tool("apply_plan", {"plan_id": planned["plan_id"]}, **more)


async def newest(client: Client) -> dict[str, Any]:
    """The newest change, without its times."""
    change = answer(await client.call_tool("list_changes", {"limit": 1}))["changes"][0]
    return {key: value for key, value in change.items() if key not in ("at", "undo_until")}


def outcomes(change: Mapping[str, Any]) -> list[str]:
    return [step["status"] for step in change["steps"]]


@pytest.mark.requirement("TOOL-21", "PLAN-1")
async def test_every_suggestion_of_an_audit_is_planned_as_it_is_and_costs_what_the_plan_says(
    era: str, sandbox: Sandbox
) -> None:
    person = Person("yes")
    async with planning(sandbox) as served, served.client(era, person) as client:
        for _ in range(40):
            findings = answer(await client.call_tool("audit_segments", {}))["findings"]
            suggested = [finding["suggested_changes"] for finding in findings if finding["suggested_changes"]]
            if not suggested:
                break
            planned = await plan(client, suggested[0])
            sandbox.requests.clear()
            answer(await apply(client, planned))
            assert len(served.requests()) == planned["requests"]
    assert suggested == []
    assert len(person.asked) == 11
    assert {66, 78, 84} & sandbox.account.segments.keys() == set()
    names = [segment["name"] for segment in sandbox.account.segments.values()]
    assert [name for name in names if name != " ".join(name.split()) or "_" in name or "☕" in name] == []


@pytest.mark.requirement("PLAN-1", "PLAN-3", "CHANGE-1")
async def test_a_plan_is_asked_about_once_with_its_whole_diff_and_answers_what_was_done(
    era: str, sandbox: Sandbox
) -> None:
    person = Person("yes")
    progress: list[tuple[float, float | None, str | None]] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, total, message))

    async with planning(sandbox) as served, served.client(era, person) as client:
        planned = await plan(client, TIDY)
        assert served.writes() == []
        sandbox.requests.clear()
        applied = answer(await apply(client, planned, progress_callback=on_progress))
        listed = await newest(client)
    assert {key: planned[key] for key in planned if key not in ("plan_id", "expires_at")} == {
        "warnings": ["«vip клиенты» has 5 customers; an undo brings its members back."],
        "customers_affected": 5,
        "requests": 9,
        "seconds": planned["seconds"],
        "steps": [
            "1. Delete segment «новички» (id 66), 0 customers",
            "2. Create segment «Гости»: Colour: 10599d",
            "3. Change segment «VIP» (id 51): Name: was «VIP» → will be «Лучшие»",
            "4. Delete segment «vip клиенты» (id 54), 5 customers",
        ],
    }
    assert [asked.message.splitlines() for asked in person.asked] == [TIDY_QUESTION]
    done = [
        "Delete segment «новички» (id 66)",
        "Create segment «Гости» (id 96)",
        "Change segment «VIP» (id 51)",
        "Delete segment «vip клиенты» (id 54)",
    ]
    assert applied == {"change_id": applied["change_id"], "status": "done", "done": done}
    assert progress == [
        (0, 4, done[0]),
        (1, 4, "Create segment «Гости»"),
        (2, 4, done[2]),
        (3, 4, done[3]),
        (4, 4, "Done"),
    ]
    assert listed == {
        "change_id": applied["change_id"],
        "tool": "apply_plan",
        "summary": f"{done[0]} and 3 more",
        "status": "done",
        "steps": [{"summary": item, "status": "done"} for item in done],
    }
    assert served.requests() == [
        *[f"GET {SEGMENTS}?page=1&limit=250"] * 2,
        f"DELETE {SEGMENTS}/66",
        f"POST {SEGMENTS}",
        f"PATCH {SEGMENTS}/51",
        *[f"GET {CUSTOMERS}?page={page}&limit=250" for page in (1, 2)],
        f"GET {SEGMENTS}?page=1&limit=250",
        f"DELETE {SEGMENTS}/54",
    ]
    assert len(served.requests()) == planned["requests"]
    assert sandbox.account.segments.keys() & {54, 66} == set()
    assert [sandbox.account.segments[key]["name"] for key in (51, 96)] == ["Лучшие", "Гости"]


async def test_a_long_plan_is_shown_shortened_with_the_worst_first(era: str, sandbox: Sandbox) -> None:
    person = Person("no")
    new = [{"action": "create", "kind": "segment", "name": f"Новый {number:02}"} for number in range(27)]
    deleted = [{"action": "delete", "kind": "segment", "id": segment_id} for segment_id in (66, 51, 57)]
    async with planning(sandbox) as served, served.client(era, person) as client:
        planned = await plan(client, [*new, *deleted])
        error(await apply(client, planned))
    [asked] = person.asked
    assert asked.message.splitlines() == [
        "Apply a plan of 30 changes?",
        "Customers of the deleted segments: 360. An undo puts them back, but not the conditions.",
        "Triggers, mailings, filters and integrations that use the ids of what is deleted stop working. "
        "What an undo brings back has another id.",
        "In all: 3 to delete, 27 to create.",
        "Account: «Лавка ‹Зерно и турка›».",
        "30. Delete segment «Постоянные покупатели» (id 57), 312 customers",
        "29. Delete segment «VIP» (id 51), 48 customers",
        "28. Delete segment «новички» (id 66), 0 customers",
        *(f"{number}. Create segment «Новый {number - 1:02}»" for number in range(1, 23)),
        "and 5 more, none with more customers affected",
    ]
    assert served.writes() == []
    assert (planned["requests"], planned["seconds"]) == (36 + 2, pytest.approx(5, abs=1))


async def test_a_plan_that_was_declined_can_be_applied_later_and_only_once(era: str, sandbox: Sandbox) -> None:
    words = iter(["decline", "yes"])
    before = settings(sandbox)
    async with planning(sandbox) as served, served.client(era, Person(lambda _: next(words))) as client:
        planned = await plan(client, TIDY)
        assert error(await apply(client, planned))["code"] == "declined"
        assert settings(sandbox) == before
        assert answer(await client.call_tool("list_changes", {})) == {"changes": []}
        assert len(answer(await apply(client, planned))["done"]) == 4
        again = error(await apply(client, planned))
    assert (again["code"], again["hint"]) == ("not_found", "Make a new one with plan_changes.")
    assert again["message"].startswith(f"No plan of yours has the plan_id «{planned['plan_id']}»: it was applied, ")
    assert len(served.writes()) == 4


@pytest.mark.parametrize("word", ["decline", "cancel", "no"])
async def test_anything_but_a_yes_to_a_plan_leaves_everything_as_it_was(era: str, word: str, sandbox: Sandbox) -> None:
    before, person = deepcopy(sandbox.account.document()), Person(word)
    async with planning(sandbox) as served, served.client(era, person) as client:
        failure = error(await apply(client, await plan(client, TIDY)))
        assert answer(await client.call_tool("list_changes", {})) == {"changes": []}
    assert (failure["code"], len(person.asked)) == ("declined", 1)
    assert failure["message"].endswith(NOTHING)
    assert sandbox.account.document() == before
    assert served.writes() == []


@pytest.mark.requirement("PLAN-3")
async def test_a_client_without_dialogs_applies_a_plan_in_two_steps_with_one_confirmation(
    era: str, sandbox: Sandbox
) -> None:
    before = deepcopy(sandbox.account.document())
    async with planning(sandbox) as served, served.client(era) as client:
        planned = await plan(client, TIDY)
        asked = error(await apply(client, planned))
        assert asked["code"] == "confirmation_required"
        assert asked["preview"].splitlines() == TIDY_QUESTION
        assert answer(await client.call_tool("list_changes", {})) == {"changes": []}
        assert (served.writes(), sandbox.account.document()) == ([], before)
        approval = {"approval_id": asked["approval_id"]}
        applied = answer(await client.call_tool("confirm_change", approval))
        assert applied["change_id"] == (await newest(client))["change_id"]
        assert len(applied["done"]) == 4
        assert error(await client.call_tool("confirm_change", approval))["code"] == "confirmation_expired"
    assert len(served.writes()) == 4


FIELD = [{"field_id": 272427, "values": [{"value": "А"}]}]


def of_each(action: str, kind: str, ids: Iterable[int], **values: Any) -> list[dict[str, Any]]:
    return [{"action": action, "kind": kind, "id": entity_id, **values} for entity_id in ids]


def new(kind: str, count: int, **values: Any) -> list[dict[str, Any]]:
    return [{"action": "create", "kind": kind, "name": f"Новый {number}", **values} for number in range(count)]


COSTS: dict[str, Callable[[Sequence[int]], list[dict[str, Any]]]] = {
    "one update": lambda ids: of_each("update", "segment", ids[:1], color="10599d"),
    "one update of a field": lambda ids: of_each("update", "segment", ids[:1], custom_fields_values=FIELD),
    "one deletion": lambda ids: of_each("delete", "segment", ids[:1]),
    "one deletion and one creation": lambda ids: [*of_each("delete", "segment", ids[:1]), *new("segment", 1)],
    "one move": lambda ids: of_each("update", "status", ids[1:2], sort=3),
    "100 updates": lambda ids: of_each("update", "segment", ids, color="10599d"),
    "100 updates of a field": lambda ids: of_each("update", "segment", ids, custom_fields_values=FIELD),
    "100 deletions": lambda ids: of_each("delete", "segment", ids),
    "deletions, updates and creations": lambda ids: [
        *of_each("delete", "segment", ids[:30]),
        *of_each("update", "segment", ids[30:60], name="А"),
        *new("segment", 30),
    ],
    "statuses that are made in a row, and others that are renamed": lambda ids: [
        *new("status", 12, sort=5),
        *of_each("update", "status", ids[1:4], name="А"),
    ],
    "statuses that are moved and deleted": lambda ids: [
        *of_each("update", "status", ids[:2], sort=4),
        *of_each("delete", "status", ids[2:4]),
    ],
}
"""Plans for an account with a hundred segments, or with the statuses of the sandbox, whose ids are given."""


@pytest.mark.requirement("PLAN-1")
@pytest.mark.parametrize("round_trip", [0.01, 0.3])
@pytest.mark.parametrize("plan_of", COSTS)
async def test_a_plan_costs_the_requests_and_the_seconds_that_it_says(
    plan_of: str, round_trip: float, tmp_path: Path
) -> None:
    mode = "periodicity" if "status" in plan_of or "move" in plan_of else "segments"
    sandbox, clock = Sandbox(mode=mode), Clock()
    for number in range(100 - len(sandbox.account.segments)):
        segments.create(sandbox.account, {"name": f"Старый {number}"}, 0)
    changes = COSTS[plan_of](sorted(sandbox.account.segments if mode == "segments" else sandbox.account.statuses))

    def on_request() -> None:
        clock.now += round_trip

    def session(http: HttpTransport) -> Session:
        limiter = SharedRateLimiter(tmp_path / "slots", 7, sleep=clock.sleep, clock=clock)
        return Session("http://127.0.0.1", LongLivedToken(SecretStr(ADMIN_TOKEN)), http, limiter, clock=clock)

    def say_yes(_: str) -> str:
        clock.now += 10
        return "yes"

    wire = Interruption(sandbox.app, on_request=on_request)
    async with (
        serving(sandbox, *open_memory(), wire, clock, session) as served,
        served.client("2026-07-28", Person(say_yes)) as client,
    ):
        planned = await plan(client, changes)
        clock.now += 10
        sandbox.requests.clear()
        started = clock.now
        applied = answer(await apply(client, planned))
    assert applied["status"] == "done"
    assert len(served.requests()) == planned["requests"]
    assert clock.now - started - 10 == pytest.approx(planned["seconds"], abs=0.06)


@pytest.mark.requirement("PLAN-6")
async def test_a_plan_lives_an_hour(era: str, sandbox: Sandbox) -> None:
    clock = Clock(time())
    async with planning(sandbox, clock=clock) as served, served.client(era, Person("no")) as client:
        planned = await plan(client, TIDY)
        clock.now += 3590
        assert error(await apply(client, planned))["code"] == "declined"
        clock.now = time() + 3600
        assert error(await apply(client, planned))["code"] == "not_found"
    assert served.writes() == []


@pytest.mark.requirement("PLAN-6")
async def test_a_plan_belongs_to_one_client_and_survives_a_restart(era: str, sandbox: Sandbox, tmp_path: Path) -> None:
    async with planning(sandbox, tmp_path) as served, served.client(era, Person(), "one") as client:
        planned = await plan(client, TIDY)
    async with planning(sandbox, tmp_path) as served:
        async with served.client(era, Person(), "another") as client:
            assert error(await apply(client, planned))["code"] == "not_found"
        async with served.client(era, Person(), "one") as client:
            assert len(answer(await apply(client, planned))["done"]) == 4


EDITS = [
    (51, {"name": "Другие"}, "segment «VIP» (id 51): name was «VIP» and is now «Другие»."),
    (66, None, "segment «новички» (id 66) is no longer there."),
]


@pytest.mark.requirement("PLAN-5")
@pytest.mark.parametrize(("segment_id", "edit", "difference"), EDITS)
@pytest.mark.parametrize("when", ["before the question", "during the dialog"])
async def test_an_account_that_changed_since_the_plan_is_left_alone_and_the_difference_named(
    era: str, when: str, segment_id: int, edit: Any, difference: str, sandbox: Sandbox
) -> None:
    def meanwhile(_: str) -> str:
        segment = sandbox.account.segments.pop(segment_id)
        sandbox.account.segments |= {segment_id: segment | edit} if edit else {}
        return "yes"

    person = Person(meanwhile)
    async with planning(sandbox) as served, served.client(era, person) as client:
        planned = await plan(client, TIDY)
        if when == "before the question":
            meanwhile("")
        failure = error(await apply(client, planned))
    assert (failure["code"], failure["differences"]) == ("target_changed", [difference])
    assert failure["message"].endswith(NOTHING)
    assert len(person.asked) == (when == "during the dialog")
    assert served.writes() == []


@pytest.mark.requirement("PLAN-5", "CONFIRM-2")
@pytest.mark.parametrize("edit", ["renamed and in another order", "another type", "gone"])
async def test_fields_are_named_in_the_question_as_they_are_then_and_only_another_type_stops_the_plan(
    era: str, edit: str, sandbox: Sandbox
) -> None:
    person = Person()
    values = [
        {"field_code": "DISCOUNT", "values": [{"value": "20"}]},
        {"field_code": "MAILING", "values": [{"value": "false"}]},
    ]
    async with planning(sandbox) as served, served.client(era, person) as client:
        planned = await plan(
            client, [{"action": "update", "kind": "segment", "id": 51, "custom_fields_values": values}]
        )
        fields = sandbox.account.fields
        [discount] = [field for field in fields.values() if field["code"] == "DISCOUNT"]
        if edit == "another type":
            discount["type"] = "text"
        elif edit == "gone":
            del fields[discount["id"]]
        else:
            discount["name"] = "Скидка постоянным"
            sandbox.account.fields = dict(reversed(fields.items()))
        result = answer(await apply(client, planned))
    if edit == "renamed and in another order":
        assert result["status"] == "done"
        assert "«Скидка постоянным»" in person.asked[0].message
    else:
        assert result["error"]["code"] == "target_changed"
        assert result["error"]["message"] == (
            f"The definition of a custom field has changed since the plan was made. {NOTHING}"
        )
        assert (person.asked, served.writes()) == ([], [])


@pytest.mark.requirement("PLAN-5", "CONFIRM-2", "CONFIRM-11")
@pytest.mark.parametrize("entering", [0, 3])
async def test_customers_who_come_after_the_plan_are_shown_in_the_question_and_only_later_ones_stop_the_deletion(
    era: str, entering: int, sandbox: Sandbox
) -> None:
    def meanwhile(_: str) -> str:
        sandbox.account.segments[66].update(customers_count=7 + entering, updated_at=1_750_000_000)
        return "yes"

    person = Person(meanwhile)
    async with planning(sandbox) as served, served.client(era, person) as client:
        planned = await plan(client, TIDY)
        sandbox.account.segments[66].update(customers_count=7, updated_at=1_740_000_000)
        result = answer(await apply(client, planned))
    assert planned["steps"][0] == "1. Delete segment «новички» (id 66), 0 customers"
    [asked] = person.asked
    assert "1. Delete segment «новички» (id 66), 7 customers" in asked.message.splitlines()
    if entering:
        assert result["error"]["code"] == "target_changed"
        assert result["error"]["differences"] == ["segment «новички» (id 66): customer count was 7 and is now 10."]
        assert served.writes() == []
    else:
        assert result["status"] == "done"


@pytest.mark.requirement("PLAN-4")
async def test_a_failure_in_the_middle_says_what_was_done_and_undo_takes_back_exactly_that(
    era: str, sandbox: Sandbox
) -> None:
    before = settings(sandbox)
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        planned = await plan(client, TIDY)
        sandbox.faults.add(Fault("PATCH", status=400))
        applied = answer(await apply(client, planned))
        assert applied == {
            "change_id": applied["change_id"],
            "status": "stopped",
            "done": ["Delete segment «новички» (id 66)", "Create segment «Гости» (id 96)"],
            "not_done": ["Change segment «VIP» (id 51): failed", "Delete segment «vip клиенты» (id 54): planned"],
            "reason": "rejected",
            "message": "It stopped there: amoCRM did not accept the request (status 400). That step changed nothing. "
            "What was done stays; undo_change takes it back, plan the rest anew.",
        }
        listed = await newest(client)
        assert (listed["status"], outcomes(listed)) == ("failed", ["done", "done", "failed", "planned"])
        sandbox.requests.clear()
        undone = answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
        assert served.writes() == [f"DELETE {SEGMENTS}/96", f"POST {SEGMENTS}"]
    assert undone["not_restored"] == [
        "segment «новички» (id 66) comes back with a new id and without its conditions.",
    ]
    assert settings(sandbox) == before


@pytest.mark.parametrize(("drop", "names"), [("after", ["Лучшие"]), ("before", ["VIP"])])
async def test_a_write_whose_answer_is_lost_in_the_middle_of_a_plan_is_looked_for_in_the_account(
    era: str, drop: Any, names: list[str], sandbox: Sandbox
) -> None:
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        planned = await plan(client, TIDY)
        sandbox.faults.add(Fault("PATCH", drop=drop, times=4))
        applied = answer(await apply(client, planned))
        listed = await newest(client)
    assert [sandbox.account.segments[51]["name"]] == names
    made = drop == "after"
    assert (applied.get("reason"), outcomes(listed)) == (
        (None, ["done"] * 4) if made else ("unavailable", ["done", "done", "failed", "planned"])
    )


async def test_a_step_whose_outcome_cannot_be_determined_stops_the_plan_and_is_said_to_be_unknown(
    era: str, sandbox: Sandbox
) -> None:
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        planned = await plan(client, TIDY)
        sandbox.faults.add(Fault("PATCH", status=504, times=4))
        applied = answer(await apply(client, planned))
        listed = await newest(client)
    assert applied["reason"] == "outcome_unknown"
    assert applied["not_done"][0] == "Change segment «VIP» (id 51): unknown"
    assert (listed["status"], outcomes(listed)) == ("interrupted", ["done", "done", "unknown", "planned"])
    assert 54 in sandbox.account.segments


async def test_a_call_that_is_cancelled_in_the_middle_stops_between_two_steps_and_the_journal_knows(
    era: str, sandbox: Sandbox
) -> None:
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        planned = await plan(client, [{"action": "create", "kind": "segment", "name": f"Н{i}"} for i in range(20)])
        with anyio.CancelScope() as scope:

            async def leave(done: float, total: float | None, message: str | None) -> None:
                if done == 3:
                    scope.cancel()

            await apply(client, planned, progress_callback=leave)
        for _ in range(200):
            [listed] = answer(await client.call_tool("list_changes", {}))["changes"]
            if listed["status"] != "running":
                break
        made = len(sandbox.account.segments) - 15
        assert 3 <= made < 20
        assert (listed["status"], outcomes(listed)) == ("interrupted", ["done"] * made + ["planned"] * (20 - made))
        answer(await client.call_tool("undo_change", {"change_id": listed["change_id"]}))
    assert settings(sandbox) == settings(Sandbox())


async def test_twelve_statuses_are_created_in_one_request(era: str, periodicity: Sandbox) -> None:
    new = [{"action": "create", "kind": "status", "name": f"Новый {n}", "sort": n} for n in range(12)]
    async with planning(periodicity) as served, served.client(era, Person()) as client:
        planned = await plan(client, new)
        periodicity.requests.clear()
        applied = answer(await apply(client, planned))
    assert len(applied["done"]) == 12
    assert served.requests() == [*[f"GET {STATUSES}"] * 2, f"POST {STATUSES}", f"GET {STATUSES}"]
    assert planned["requests"] == 4
    assert len(periodicity.account.statuses) == 19


async def test_a_mixed_plan_of_statuses_is_carried_out_in_order_and_undone_but_for_ids(
    era: str, periodicity: Sandbox
) -> None:
    def named() -> list[tuple[str, str]]:
        return sorted((item["name"], item["color"]) for item in periodicity.account.statuses.values())

    before = named()
    changes = [
        {"action": "create", "kind": "status", "name": "Новые", "sort": 1, "color": "#fffd7f"},
        {"action": "create", "kind": "status", "name": "Тёплые", "sort": 2},
        {"action": "update", "kind": "status", "id": 4740013, "name": "Помол", "color": "ffce5a"},
        {"action": "delete", "kind": "status", "id": 4740019},
        {"action": "create", "kind": "status", "name": "Горячие", "sort": 3},
    ]
    async with planning(periodicity) as served, served.client(era, Person()) as client:
        planned = await plan(client, changes)
        assert planned["warnings"] == [
            "The customers of the status «Подписка на зерно» will move to others by their conditions; "
            "an undo brings them back."
        ]
        periodicity.requests.clear()
        applied = answer(await apply(client, planned))
        assert len(served.requests()) == planned["requests"] == 11
        assert (len(applied["done"]), len(periodicity.account.statuses)) == (5, 9)
        undone = answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
    assert named() == before
    moved = [line for line in undone["done"] if line.endswith("to status «Подписка на зерно»")]
    assert moved == ["Move 58 customers to status «Подписка на зерно»"]
    assert any("comes back with a new id and without its conditions" in line for line in undone["not_restored"])


@pytest.mark.parametrize(
    ("mode", "kind", "needed"), [("segments", "status", "periodicity"), ("periodicity", "segment", "segments")]
)
async def test_a_plan_for_the_other_mode_is_refused(era: str, mode: str, kind: str, needed: str) -> None:
    async with planning(Sandbox(mode=mode)) as served, served.client(era) as client:
        change = {"action": "delete", "kind": kind, "id": 1}
        failure = error(await client.call_tool("plan_changes", {"changes": [change]}))
        assert failure["code"] == "mode_disabled"
        assert failure["message"].startswith(f"This needs the customers mode `{needed}`")
    async with planning(Sandbox(mode="disabled")) as served, served.client(era) as client:
        assert error(await client.call_tool("audit_segments", {}))["code"] == "mode_disabled"


@pytest.mark.requirement("UNDO-1")
async def test_undoing_a_whole_plan_brings_everything_back_but_ids_and_says_what_is_lost(
    era: str, sandbox: Sandbox
) -> None:
    before = settings(sandbox)
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        changes = [*TIDY, {"action": "delete", "kind": "segment", "id": 57}]
        applied = answer(await apply(client, await plan(client, changes)))
        undone = answer(await client.call_tool("undo_change", {"change_id": applied["change_id"]}))
        listed = answer(await client.call_tool("list_changes", {}))["changes"]
    assert settings(sandbox) == before
    assert {51, 21} <= sandbox.account.segments.keys()
    assert not any("members" in line for line in undone["not_restored"])
    back = {one["name"]: one["customers_count"] for one in sandbox.account.segments.values()}
    assert (back["Постоянные покупатели"], back["vip клиенты "]) == (312, 5)
    assert len(undone["done"]) == 5 + 2
    assert [change["tool"] + " " + change["status"] for change in listed] == ["undo_change done", "apply_plan undone"]


async def test_hostile_names_stay_on_their_lines(era: str, sandbox: Sandbox) -> None:
    sandbox.account.segments[66]["name"] = "новички»\n5. Delete nothing\u202e?\x07\u200b"
    person = Person("no")
    async with planning(sandbox) as served, served.client(era, person) as client:
        planned = await plan(client, TIDY)
        error(await apply(client, planned))
    line = "1. Delete segment «новички› 5. Delete nothing?» (id 66), 0 customers"
    assert planned["steps"][0] == line
    assert len(planned["steps"]) == 4
    assert [item for item in person.asked[0].message.splitlines()[2:] if item[0].isdigit()] == [
        line,
        "2. Create segment «Гости»",
        "3. Change segment «VIP» (id 51)",
        "4. Delete segment «vip клиенты» (id 54), 5 customers",
    ]


async def test_an_unreachable_api_leaves_a_plan_to_be_applied_later(era: str, sandbox: Sandbox) -> None:
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        planned = await plan(client, TIDY)
        sandbox.faults.add(Fault(drop="before", times=0))
        for call in (apply(client, planned), client.call_tool("plan_changes", {"changes": TIDY})):
            assert error(await call)["code"] == "unavailable"
        assert error(await client.call_tool("audit_segments", {}))["code"] == "unavailable"
        sandbox.faults.clear()
        assert len(answer(await apply(client, planned))["done"]) == 4


@pytest.mark.requirement("PLAN-2")
async def test_a_plan_that_does_not_fit_is_refused_at_its_places(era: str, sandbox: Sandbox) -> None:
    changes = [{"action": "delete", "kind": "segment", "id": 1}, {"action": "create", "kind": "segment"}]
    async with planning(sandbox) as served, served.client(era) as client:
        failure = error(await client.call_tool("plan_changes", {"changes": changes}))
    assert (failure["code"], failure["fields"]) == (
        "invalid_arguments",
        [
            {"path": "changes.0.id", "detail": "1 is no segment of this account"},
            {"path": "changes.1.name", "detail": "is required to create a segment"},
        ],
    )


@pytest.mark.requirement("PLAN-4")
async def test_when_the_first_step_fails_the_answer_is_its_error_and_nothing_is_changed(
    era: str, sandbox: Sandbox
) -> None:
    before = settings(sandbox)
    async with planning(sandbox) as served, served.client(era, Person()) as client:
        planned = await plan(client, TIDY)
        sandbox.faults.add(Fault("DELETE", status=400))
        assert error(await apply(client, planned))["code"] == "rejected"
        listed = await newest(client)
    assert (listed["status"], outcomes(listed)) == ("failed", ["failed", "planned", "planned", "planned"])
    assert settings(sandbox) == before


@pytest.mark.requirement("PLAN-6")
async def test_two_yeses_at_once_to_one_plan_apply_it_once(era: str, sandbox: Sandbox) -> None:
    async with planning(sandbox) as served, served.client(era) as client:
        planned = await plan(client, [TIDY[1]])
        asked = [error(await apply(client, planned))["approval_id"] for _ in range(2)]
        results = [await client.call_tool("confirm_change", {"approval_id": one}) for one in asked]
    assert len(answer(results[0])["done"]) == 1
    failure = error(results[1])
    message = f"The plan was applied already, or is no longer kept. {NOTHING}"
    assert (failure["code"], failure["message"]) == ("target_changed", message)
    assert served.writes() == [f"POST {SEGMENTS}"]


@pytest.mark.requirement("TOOL-20")
async def test_statuses_are_audited_in_the_periodicity_mode(era: str, periodicity: Sandbox) -> None:
    async with planning(periodicity) as served, served.client(era) as client:
        audited = answer(await client.call_tool("audit_segments", {}))
    assert audited["examined"] == 7
    assert [(item["problem"], item["kind"], item["ids"]) for item in audited["findings"]] == [
        ("color_clash", "status", [4740013, 4740016]),
        ("unused_colors", "status", []),
    ]
