"""The contract of `ApprovalStore`, for every backend: used once, dead in time, one caller's and one channel's alone."""

from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from pydantic import SecretStr

from amo_mcp.amocrm.inputs import SegmentDraft
from amo_mcp.amocrm.models import CustomField, Segment
from amo_mcp.amocrm.zones import UNKNOWN, Zone, zone_of
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Create, Delete
from amo_mcp.confirmation.approvals import MAX_PENDING, Approval, ApprovalStore
from amo_mcp.confirmation.caller import Caller
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.confirmation.ways import Channel
from amo_mcp.language import counted_message, message
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from amo_mcp.storage.postgres.approvals import PostgresApprovalStore
from amo_mcp.storage.postgres.database import Database
from tests.clock import Clock

pytestmark = pytest.mark.anyio

ME, YOU = Caller(client="me"), Caller(client="you")
CHANGE = PendingChange((Delete(Segment(id=51, name="VIP")),))
REMEMBERED = MAX_PENDING + 10
NOT_PENDING = "No such question is pending, or it is not the caller's."


@pytest.fixture(params=["memory", "postgres"])
def approvals(request: pytest.FixtureRequest, clock: Clock) -> ApprovalStore:
    if request.param == "memory":
        return MemoryApprovalStore(clock, max_remembered=REMEMBERED)
    return PostgresApprovalStore(request.getfixturevalue("database"), clock=clock, max_remembered=REMEMBERED)


async def opened(approvals: ApprovalStore, channel: Channel = "chat", caller: Caller = ME) -> Approval:
    return await approvals.open(channel, caller, "delete_segment", "digest", CHANGE)


async def refused(approvals: ApprovalStore, approval: Approval, **other: Any) -> str:
    asked: dict[str, Any] = {"channel": approval.channel, "caller": approval.caller} | other
    with pytest.raises(ConfirmationExpired) as caught:
        await approvals.consume(approval.id, asked["channel"], asked["caller"])
    return str(caught.value)


@pytest.mark.requirement("PG-1")
async def test_an_approval_is_consumed_once(approvals: ApprovalStore) -> None:
    approval = await opened(approvals)
    assert await approvals.consume(approval.id, "chat", ME) == approval
    assert await refused(approvals, approval) == "This question was answered already."


@pytest.mark.requirement("PG-4")
async def test_of_fifty_who_consume_an_approval_at_once_one_succeeds(approvals: ApprovalStore) -> None:
    approval = await opened(approvals)
    outcomes: list[str] = []

    async def consume() -> None:
        try:
            await approvals.consume(approval.id, "chat", ME)
        except ConfirmationExpired:
            outcomes.append("refused")
        else:
            outcomes.append("consumed")

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(consume)
    assert sorted(outcomes) == ["consumed", *["refused"] * 49]


async def test_a_question_keeps_what_is_asked_and_who_is_asked_whole(approvals: ApprovalStore) -> None:
    not_restored = (counted_message("{count} member", "{count} members", 2), message("Why: {why}", why=message("Old")))
    change = PendingChange(
        (Create(SegmentDraft(name="Гости"), (51,)), Delete(Segment(id=51, name="\ud800\0"))),
        (CustomField(id=7, name="Помол", type="text", sort=3),),
        "p1",
        "c1",
        1.5,
        not_restored,
    )
    zones = Zone("UTC", ZoneInfo("UTC")), zone_of("Europe/Moscow", ""), zone_of("", "-03:30"), UNKNOWN
    for zone in zones:
        reader = Reader("Кофейня \0", "ru", zone)
        approval = await approvals.open("page", ME, "apply_plan", "digest", change, reader)
        assert await approvals.pending(approval.id, "page", ME) == approval


@pytest.mark.parametrize("approval_id", ["", "nobody's", "\0"])
async def test_an_id_of_no_question_is_refused(approvals: ApprovalStore, approval_id: str) -> None:
    with pytest.raises(ConfirmationExpired) as caught:
        await approvals.consume(approval_id, "chat", ME)
    assert str(caught.value) == NOT_PENDING


async def test_an_approval_belongs_to_its_caller_and_its_channel_alone(approvals: ApprovalStore) -> None:
    approval = await opened(approvals, "dialog")
    assert await refused(approvals, approval, channel="chat") == NOT_PENDING
    assert await refused(approvals, approval, caller=YOU) == NOT_PENDING
    assert await approvals.pending(approval.id, "dialog", ME) == approval
    assert await approvals.consume(approval.id, "dialog", ME) == approval


@pytest.mark.requirement("CONFIRM-9")
async def test_an_approval_dies_after_ten_minutes(approvals: ApprovalStore, clock: Clock) -> None:
    approval = await opened(approvals)
    clock.now += 599.9
    assert await approvals.pending(approval.id, "chat", ME) == approval
    clock.now += 0.1
    assert await refused(approvals, approval) == "The confirmation expired."


async def test_pending_questions_have_different_nonces(
    approvals: ApprovalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["abc123", "abc123", "def456"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    assert [(await opened(approvals, caller=caller)).nonce for caller in (ME, YOU)] == ["ABC123", "DEF456"]


async def test_one_caller_cannot_crowd_out_another(approvals: ApprovalStore) -> None:
    mine = await opened(approvals)
    yours = [await opened(approvals, caller=YOU) for _ in range(MAX_PENDING + 1)]
    assert await approvals.consume(mine.id, "chat", ME) == mine
    assert await refused(approvals, yours[0]) == NOT_PENDING
    assert await approvals.consume(yours[1].id, "chat", YOU) == yours[1]


async def test_the_questions_of_all_callers_together_are_bounded(approvals: ApprovalStore) -> None:
    waiting = [await opened(approvals, caller=Caller(client=str(number))) for number in range(REMEMBERED + 1)]
    assert await refused(approvals, waiting[0]) == NOT_PENDING
    assert await approvals.consume(waiting[1].id, "chat", waiting[1].caller) == waiting[1]


async def test_a_question_that_is_long_dead_is_forgotten(approvals: ApprovalStore, clock: Clock) -> None:
    approval = await opened(approvals)
    clock.now += 1200
    await opened(approvals)
    assert await refused(approvals, approval) == NOT_PENDING


async def test_answered_questions_are_remembered_within_bounds(approvals: ApprovalStore) -> None:
    first = await opened(approvals)
    await approvals.consume(first.id, "chat", ME)
    for _ in range(REMEMBERED):
        await approvals.close(await opened(approvals))
    assert await refused(approvals, first) == NOT_PENDING


async def test_a_question_that_was_closed_is_answered(approvals: ApprovalStore) -> None:
    approval = await opened(approvals)
    await approvals.close(approval)
    assert await refused(approvals, approval) == "This question was answered already."


@pytest.mark.requirement("PG-4")
async def test_of_two_replicas_that_act_on_one_answer_at_once_one_succeeds(database_url: SecretStr) -> None:
    replicas = [Database(database_url) for _ in range(2)]
    for replica in replicas:
        await replica.open()
    outcomes: list[bool] = []

    async def consume(replica: Database, approval: Approval) -> None:
        try:
            await PostgresApprovalStore(replica).consume(approval.id, "chat", ME)
        except ConfirmationExpired:
            outcomes.append(False)
        else:
            outcomes.append(True)

    for _ in range(10):
        approval = await opened(PostgresApprovalStore(replicas[0]))
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(consume, replicas[number % 2], approval)
    for replica in replicas:
        await replica.close()
    assert (sum(outcomes), len(outcomes)) == (10, 500)
