"""Replicas at work on one PostgreSQL and one sandbox, and stories of people who plan, apply and take back."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import anyio
from pydantic import SecretStr

from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.changes.records import ChangeRecord
from amo_mcp.changes.steps import Create, Move
from amo_mcp.keys import new_key
from amo_mcp.sandbox import ADMIN_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.people import PostgresPeopleStore
from amo_mcp.storage.postgres.runs import PostgresRunStore
from amo_mcp.team.people import new_token
from tests.journeys.lives import settings
from tests.replicas.crowd import Json, Person
from tests.replicas.fleet import Fleet
from tests.replicas.struck import LEASE, TIMEOUT, Fury, Watch, chances
from tests.replicas.world import World

HOST = "127.0.0.1:8000"
AT_ONCE = 4
"""Runs that are under way at once."""

SEGMENTS = "/api/v4/customers/segments"

MAX_CHANGES = 7
"""Changes of one plan."""

_FIRST = 1000
_MEMBERS = 3
"""Customers of each segment that a story is about."""


@dataclass
class Stage:
    """Everything that takes part.

    Attributes:
        before: the account (`as_it_is`), to which every undo leads back.
    """

    world: World
    fleet: Fleet
    fury: Fury
    watch: Watch
    journal: PostgresJournal
    database: Database
    people: list[Person]
    before: list[Json]

    async def record(self, column: str, value: str) -> ChangeRecord:
        """The change of a plan or of an id, as the journal has it; as soon as the database is there."""
        while True:
            try:
                row = await self.database.fetchrow(f"SELECT id FROM changes WHERE {column} = $1", value)
                assert row is not None, value
                record = await self.journal.change(row["id"])
            except StorageUnavailable:
                await anyio.sleep(0.1)
            else:
                assert record is not None
                return record


@asynccontextmanager
async def staged(url: SecretStr, size: int, folder: Path, seed: int) -> AsyncIterator[Stage]:
    """So many replicas at work, and people who call them."""
    chance = chances(seed)
    sandbox = Sandbox()
    world = World(sandbox)
    model = next(iter(sandbox.account.segments.values()))
    somebody = next(iter(sandbox.account.customers.values()))
    sandbox.account.customers.clear()
    # What comes back has a new id, and is a story's own as well.
    sandbox.account.next_segment_id = _FIRST + 2 * MAX_CHANGES * AT_ONCE
    for number in range(_FIRST, _FIRST + 2 * MAX_CHANGES * AT_ONCE):
        name = f"Сегмент {number}"
        sandbox.account.segments[number] = {**model, "id": number, "name": name, "customers_count": _MEMBERS}
        for one in range(number * 10, number * 10 + _MEMBERS):
            sandbox.account.customers[one] = {**somebody, "id": one, "segments": [number]}
    async with AsyncExitStack() as stack:
        amo = stack.enter_context(running(sandbox))
        env = {
            "AMO_PUBLIC_URL": f"http://{HOST}",
            "AMO_DATABASE_URL": url.get_secret_value(),
            "AMO_SECRET_KEY": new_key("k1"),
            "AMO_BASE_URL": amo,
            "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
            "AMO_CONFIRM": "dialog",
            "AMO_LEASE": str(LEASE),
            "AMO_TIMEOUT": str(TIMEOUT),
            "AMO_RATE_LIMIT": "50",
            "AMO_METRICS": "127.0.0.1:0",
            "AMO_LOG_LEVEL": "INFO",
        }
        with Fleet.running(env, size, folder) as fleet:
            fury = Fury(fleet, next(chance))
            world.processes, world.strike = lambda: [one.process for one in fleet.replicas], fury.strike
            watch = Watch(fury)
            await fleet.complete()
            database = Database(url)
            await database.open()
            stack.push_async_callback(database.close)

            async def account_id() -> int:
                return int(await database.fetchval("SELECT max(account) FROM changes"))

            runs = PostgresRunStore(database, account_id, seconds=LEASE)
            journal = PostgresJournal(database, account_id, runs)
            token_id, token, digest = new_token()
            await PostgresPeopleStore(database).add_token(token_id, digest, "Anna", "admin", None)
            people = [Person(fleet, token, HOST, next(chance)) for _ in range(AT_ONCE)]
            stage = Stage(world, fleet, fury, watch, journal, database, people, as_it_is(sandbox))
            async with anyio.create_task_group() as group:
                group.start_soon(fury.keep_complete)
                group.start_soon(fury.strike_at_random)
                group.start_soon(watch.look, url.get_secret_value())
                fury.rests = False
                yield stage
                fury.rests = True
                group.cancel_scope.cancel()


@dataclass(frozen=True)
class Story:
    """What one person does: a plan, and its undo.

    Attributes:
        changes: for `plan_changes`; every name in it is its own.
    """

    changes: list[Json]

    @classmethod
    def of(cls, person: Person, number: int, place: int, segments: Sequence[int]) -> Self:
        """A plan for those of the segments that no other story of the same time touches."""
        chance, own = person.chance, iter(segments[place::AT_ONCE])
        changes: list[Json] = []
        for step in range(chance.randint(3, MAX_CHANGES)):
            name = f"{number}.{place}.{step}"
            match chance.choice(["create", "update", "update", "delete", "merge"]):
                case "create":
                    changes.append({"action": "create", "kind": "segment", "name": name})
                case "update":
                    changes.append({"action": "update", "kind": "segment", "id": next(own), "name": name})
                case "merge":
                    changes.append({"action": "merge", "kind": "segment", "id": next(own), "into": next(own)})
                case _:
                    changes.append({"action": "delete", "kind": "segment", "id": next(own)})
        return cls(changes)


def own_segments(sandbox: Sandbox) -> list[int]:
    """The segments that stories are about: whose customers are in no other, so that no story touches another's."""
    return sorted(number for number in sandbox.account.segments if number >= _FIRST)


def as_it_is(sandbox: Sandbox) -> list[Json]:
    """What is set in the account, and in which segments, by their names, every customer is."""
    names = {number: segment["name"] for number, segment in sandbox.account.segments.items()}
    members = {
        str(one["id"]): sorted(names[number] for number in one["segments"])
        for one in sandbox.account.customers.values()
    }
    return [*settings(sandbox), members]


async def told(stage: Stage, person: Person, story: Story) -> ChangeRecord:
    """Let a person have a plan carried out; what the journal has of it in the end."""
    planned = await person.until_told("plan_changes", {"changes": story.changes}, "plan_id")
    assert "plan_id" in planned, person.said
    applied = await person.until_told("apply_plan", {"plan_id": planned["plan_id"]}, "change_id")
    record = await stage.record("plan", planned["plan_id"])
    if "error" in applied:
        # Its end was told, and the answer was lost.
        assert applied["error"]["code"] == "not_found", (applied, person.said[-20:])
    else:
        assert applied["change_id"] == record.id
        assert applied["status"] == ("done" if record.status == "done" else "stopped"), (applied, record)
    return record


def check(stage: Stage, story: Story, record: ChangeRecord, since: float) -> None:
    """Every change and deletion had its effect once, and every creation was made once, or is told to be doubled.

    Of what is merged everybody is in the other one by then.
    """
    made = [effect for effect in stage.world.effects if effect.at >= since and effect.changed]
    moves = [step for step in record.steps if isinstance(step, Move)]
    for move in moves:
        places = [stage.world.sandbox.account.customers[member.id]["segments"] for member in move.customers]
        assert (move.outcome, places) == ("done", [[into.id for into in move.into]] * len(places)), move
    steps = [step for step in record.steps if step not in moves]
    for change, step in zip(story.changes, steps, strict=True):
        match change:
            case {"action": "update", "id": number, "name": name}:
                count = sum(one.method == "PATCH" and one.path == f"{SEGMENTS}/{number}" for one in made)
            case {"action": "delete" | "merge", "id": number}:
                count = sum(one.method == "DELETE" and one.path == f"{SEGMENTS}/{number}" for one in made)
            case {"name": name}:
                count = sum(one.method == "POST" and name in str(one.body) for one in made)
        if isinstance(step, Create) and step.also:
            assert (step.outcome, record.status) == ("unknown", "interrupted")
            assert count <= 1 + len(step.also)
        else:
            assert (step.outcome, count) == ("done", 1), (change, step, record.status)


async def taken_back(stage: Stage, person: Person, record: ChangeRecord) -> None:
    """Let a person have a change taken back."""
    undone = await person.until_told("undo_change", {"change_id": record.id}, "change_id")
    if "error" in undone:
        assert undone["error"]["code"] == "conflict", (undone, person.said[-20:])
    now = await stage.record("id", record.id)
    assert now.status == "undone", (undone, now, person.said[-20:])


async def lived(stage: Stage, person: Person, number: int, place: int, segments: Sequence[int]) -> None:
    """One story from its beginning to its end."""
    story, since = Story.of(person, number, place, segments), time.monotonic()
    record = await told(stage, person, story)
    check(stage, story, record, since)
    await taken_back(stage, person, record)
