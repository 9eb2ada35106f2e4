"""Two replicas as processes, with real clients of both eras: which of them is asked makes no difference."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from statistics import median
from typing import Any

import anyio
import anyio.to_thread
import asyncpg
import httpx2
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, InputRequiredResult, InputResponses
from pydantic import SecretStr

from amo_mcp.sandbox import Fault
from scripts.postgres import Cluster
from tests.conftest import ERAS, Person, answer, error
from tests.postgres import new_database
from tests.team.replicas import SECONDS, Replica, Team, team_on
from tests.transports.peers import INITIALIZE, call, modern

pytestmark = pytest.mark.anyio

OLD, NEW = ERAS


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


YES = ElicitResult(action="accept", content={"confirm": True})
PLAN = {"changes": [{"action": "update", "kind": "segment", "id": 51, "name": "Лучшие"}]}


@pytest.fixture
def team(database_url: SecretStr) -> Iterator[Team]:
    with team_on(database_url.get_secret_value()) as team:
        yield team


@pytest.fixture
def two(team: Team) -> list[Replica]:
    return team.started(2)


async def asked(client: Client, tool: str, arguments: dict[str, Any]) -> InputRequiredResult:
    """The question that a call ends with, unanswered."""
    result = await client.session.call_tool(tool, arguments, allow_input_required=True)
    assert isinstance(result, InputRequiredResult)
    return result


async def answered(client: Client, tool: str, arguments: dict[str, Any], question: InputRequiredResult) -> Any:
    """The call again, with a person's yes."""
    responses: InputResponses = dict.fromkeys(question.input_requests or (), YES)
    return await client.session.call_tool(
        tool, arguments, input_responses=responses, request_state=question.request_state, allow_input_required=True
    )


async def answered_at_once(
    clients: Iterable[Client], tool: str, arguments: dict[str, Any], question: InputRequiredResult
) -> list[str]:
    """What came of the same yes, given through all clients at once, sorted: `done`, or the code of the error."""
    outcomes: list[str] = []

    async def answer_at(client: Client) -> None:
        result = await answered(client, tool, arguments, question)
        outcomes.append("done" if not result.is_error else error(result)["code"])

    async with anyio.create_task_group() as group:
        for client in clients:
            group.start_soon(answer_at, client)
    return sorted(outcomes)


@pytest.mark.requirement("TEAM-1")
async def test_the_main_job_goes_from_replica_to_replica(era: str, team: Team, two: list[Replica]) -> None:
    token = team.token("Анна", "approver")
    first, second = two
    async with first.client(era, token, Person()) as one, second.client(era, token, Person()) as other:
        for client in (one, other):
            assert client.protocol_version == era
            assert answer(await client.call_tool("list_segments", {"search": "vip"}))["total"] == 2
        plan = answer(await one.call_tool("plan_changes", PLAN))
        made = answer(await one.call_tool("create_segment", {"name": "Новые"}))
        [newest] = answer(await other.call_tool("list_changes", {"limit": 1}))["changes"]
        assert newest["change_id"] == made["change_id"]
        result = await other.call_tool("apply_plan", {"plan_id": plan["plan_id"]})
        if era == NEW:
            assert answer(result)["status"] == "done"
        else:
            assert error(result)["code"] == "cannot_ask"


@pytest.mark.requirement("TEAM-1")
async def test_a_client_of_the_older_era_is_promised_nothing_that_takes_a_session(
    team: Team, two: list[Replica]
) -> None:
    token = team.token("Анна")
    async with two[0].client(OLD, token, Person()) as client:
        capabilities = client.server_capabilities
        assert capabilities.resources is not None
        assert (capabilities.resources.subscribe, capabilities.resources.list_changed) == (False, False)
        refused = error(await client.call_tool("delete_segment", {"segment_id": 51}))
        assert (refused["code"], team.writes()) == ("cannot_ask", [])


class TestQuestions:
    @pytest.mark.requirement("TEAM-1")
    async def test_a_question_of_one_replica_is_answered_at_another(self, team: Team, two: list[Replica]) -> None:
        token, delete = team.token("Анна"), ("delete_segment", {"segment_id": 51})
        async with two[0].client(NEW, token, Person()) as one, two[1].client(NEW, token, Person()) as other:
            question = await asked(one, *delete)
            assert answer(await answered(other, *delete, question))["deleted"]["id"] == 51
        assert len(team.writes()) == 1

    @pytest.mark.requirement("TEAM-1")
    async def test_the_same_sealed_yes_at_both_replicas_at_once_is_one_write(
        self, team: Team, two: list[Replica]
    ) -> None:
        token, delete = team.token("Анна"), ("delete_segment", {"segment_id": 51})
        async with two[0].client(NEW, token, Person()) as one, two[1].client(NEW, token, Person()) as other:
            outcomes = await answered_at_once([one, other], *delete, await asked(one, *delete))
        assert outcomes == ["confirmation_expired", "done"]
        assert len(team.writes()) == 1

    @pytest.mark.requirement("TEAM-1")
    async def test_of_fifty_who_race_for_one_approval_one_gets_it(self, team: Team, two: list[Replica]) -> None:
        token, update = team.token("Анна"), ("update_segment", {"segment_id": 51, "name": "Лучшие"})
        async with two[0].client(NEW, token, Person()) as one, two[1].client(NEW, token, Person()) as other:
            outcomes = await answered_at_once([one, other] * 25, *update, await asked(one, *update))
        assert outcomes == [*["confirmation_expired"] * 49, "done"]
        assert len(team.writes()) == 1

    @pytest.mark.requirement("TEAM-3")
    async def test_the_sealed_question_of_somebody_is_nobody_else_s(self, team: Team, two: list[Replica]) -> None:
        anna, boris, delete = team.token("Анна"), team.token("Борис"), ("delete_segment", {"segment_id": 51})
        async with two[0].client(NEW, anna, Person()) as hers, two[1].client(NEW, boris, Person()) as his:
            question = await asked(hers, *delete)
            with pytest.raises(Exception, match="requestState"):
                await answered(his, *delete, question)
        assert team.writes() == []


class TestListening:
    async def after(self, team: Team, at: Replica, changed_at: Replica, token: str, name: str) -> float:
        """Seconds from a change's arrival at amoCRM, sent by one replica, to when a client of another hears of it."""
        async with (
            at.client(NEW, token) as client,
            changed_at.client(NEW, token, Person()) as other,
            client.listen(resource_subscriptions=["amo://segments/51"]) as events,
            anyio.create_task_group() as group,
        ):
            heard: list[float] = []

            async def hear() -> None:
                async for event in events:
                    assert isinstance(event, ResourceUpdated)
                    heard.append(time.monotonic())
                    group.cancel_scope.cancel()

            group.start_soon(hear)
            answer(await other.call_tool("update_segment", {"segment_id": 51, "name": name}))
            await anyio.sleep(SECONDS)
        [sent] = [item.at for item in team.sandbox.requests if item.method == "PATCH"][-1:]
        return heard[0] - sent

    @pytest.mark.alone
    @pytest.mark.requirement("TEAM-8")
    async def test_a_client_of_one_replica_hears_within_a_tenth_of_a_second_what_another_one_changed(
        self, team: Team, two: list[Replica]
    ) -> None:
        token = team.token("Анна")
        seconds = [await self.after(team, two[1], two[0], token, f"Лучшие {number}") for number in range(5)]
        assert median(seconds) < 0.1

    @pytest.mark.requirement("TEAM-8")
    async def test_it_hears_after_the_connection_was_cut_on_which_its_replica_listens(
        self, team: Team, two: list[Replica], database_url: SecretStr
    ) -> None:
        token = team.token("Анна")
        async with (
            two[1].client(NEW, token) as client,
            two[0].client(NEW, token, Person()) as other,
            client.listen(resource_subscriptions=["amo://segments/51"]) as events,
        ):
            await cut_connections(database_url)
            with anyio.fail_after(SECONDS):
                # Something may have been missed meanwhile, so everything may have changed.
                assert await anext(events) == ResourceUpdated(uri="amo://segments/51")
                answer(await other.call_tool("update_segment", {"segment_id": 51, "name": "Лучшие"}))
                assert await anext(events) == ResourceUpdated(uri="amo://segments/51")


async def cut_connections(database_url: SecretStr) -> None:
    """End every connection of the replicas, those on which they listen too."""
    connection = await asyncpg.connect(database_url.get_secret_value())
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
    finally:
        await connection.close()


class TestTokens:
    @pytest.mark.requirement("TEAM-4")
    async def test_a_revoked_token_is_refused_at_every_replica(self, team: Team, two: list[Replica]) -> None:
        token = team.token("Анна")
        for replica in two:
            assert replica.post(INITIALIZE, token).status_code == 200
        team.run("token", "--revoke", token.split("_")[1])
        for replica in two:
            refused = replica.post(INITIALIZE, token)
            assert (refused.status_code, "invalid_token" in refused.headers["www-authenticate"]) == (401, True)

    @pytest.mark.requirement("TEAM-4")
    async def test_a_stream_that_is_open_ends_when_its_token_is_revoked(self, team: Team, two: list[Replica]) -> None:
        token = team.token("Анна")
        async with two[0].client(NEW, token) as client, client.listen(resources_list_changed=True) as events:
            team.run("token", "--revoke", token.split("_")[1])
            with anyio.fail_after(SECONDS), suppress(SubscriptionLost):
                async for event in events:
                    pytest.fail(f"{event} is told to who may not hear it")

    @pytest.mark.requirement("TEAM-3")
    async def test_a_viewer_who_calls_a_writing_tool_by_name_is_refused_at_every_replica(
        self, era: str, team: Team, two: list[Replica]
    ) -> None:
        token = team.token("Виктор", "viewer")
        for replica in two:
            async with replica.client(era, token, Person()) as client:
                names = [tool.name for tool in (await client.list_tools()).tools]
                assert "create_segment" not in names
                assert error(await client.call_tool("create_segment", {"name": "Новые"}))["code"] == "forbidden"
        assert team.writes() == []


@pytest.mark.requirement("TEAM-25")
async def test_the_run_of_somebody_who_is_removed_ends_between_two_of_its_steps(team: Team, two: list[Replica]) -> None:
    anna, boris = team.token("Анна"), team.token("Борис")
    changes = [{"action": "create", "kind": "segment", "name": f"Новое {number}"} for number in range(8)]
    team.sandbox.faults.add(Fault(method="POST", delay=0.5, times=0))
    async with two[0].client(NEW, anna, Person()) as hers, two[1].client(NEW, boris) as his:
        plan = {"plan_id": answer(await hers.call_tool("plan_changes", {"changes": changes}))["plan_id"]}
        async with anyio.create_task_group() as group:

            async def apply() -> None:
                with suppress(MCPError):
                    await hers.call_tool("apply_plan", plan)

            group.start_soon(apply)
            await anyio.to_thread.run_sync(wait_for, team.writes)
            team.run("people", "--name", "Анна", "--remove")
            with anyio.fail_after(SECONDS):
                told = {"status": "running"}
                while told["status"] == "running":
                    [told] = answer(await his.call_tool("list_changes", {}))["changes"]
    assert told["status"] == "interrupted"
    assert 0 < len(team.writes()) < 8


class TestBeginningAndEnding:
    @pytest.mark.requirement("TEAM-6")
    def test_two_replicas_that_begin_at_once_on_an_empty_database_are_both_ready(self, postgres: Cluster) -> None:
        url = anyio.run(new_database, postgres, "tests-beginning")
        with team_on(url.get_secret_value()) as team:
            for replica in team.started(2):
                assert replica.end() == 0
                assert [line for line in replica.lines if line["level"] != "info"] == []

    @pytest.mark.requirement("TEAM-6")
    def test_a_replica_that_ends_is_not_ready_answers_what_it_is_at_and_goes(self, team: Team) -> None:
        [replica] = team.started(1)
        token = team.token("Анна")
        team.sandbox.faults.add(Fault(path="/api/v4/customers/segments*", delay=1.0))
        with ThreadPoolExecutor() as threads:
            headers = {"mcp-protocol-version": NEW, "mcp-method": "tools/call", "mcp-name": "list_segments"}
            listed = threads.submit(replica.post, modern(call(1, "list_segments")), token, **headers)
            wait_for(lambda: [one for one in team.sandbox.requests if "/segments" in one.path])
            replica.process.terminate()
            replica.wait_until(ready=False)
            # So that a proxy asks another replica: what was not taken can be sent anew.
            with pytest.raises(httpx2.ConnectError):
                replica.post(INITIALIZE, token)
            assert listed.result().json()["result"]["structuredContent"]["total"] > 0
        assert replica.ended() == 0

    @pytest.mark.requirement("TEAM-6")
    async def test_a_replica_that_ends_in_the_middle_of_a_plan_leaves_the_rest_to_another_one_at_once(
        self, team: Team, two: list[Replica]
    ) -> None:
        token = team.token("Анна", "approver")
        ids = (51, 54, 57, 60)
        changes = [{"action": "update", "kind": "segment", "id": one, "name": f"Новое {one}"} for one in ids]
        team.sandbox.faults.add(Fault(method="PATCH", delay=0.5, times=0))
        async with (
            two[0].client(NEW, token, Person()) as first,
            two[1].client(NEW, token, Person()) as second,
            anyio.create_task_group() as group,
        ):
            plan = {"plan_id": answer(await first.call_tool("plan_changes", {"changes": changes}))["plan_id"]}

            async def apply() -> None:
                with suppress(MCPError, httpx2.HTTPError):
                    await first.call_tool("apply_plan", plan)

            group.start_soon(apply)
            await anyio.to_thread.run_sync(wait_for, team.writes)
            two[0].process.terminate()
            ended = time.monotonic()
            # The lease is of thirty seconds: whoever waited for its end would be late.
            applied = answer(await second.call_tool("apply_plan", plan))
            assert (applied["status"], len(applied["done"])) == ("done", 4)
            assert time.monotonic() - ended < 20
        assert two[0].ended() == 0
        assert [int(write.rpartition("/")[2]) for write in team.writes()] == [*ids]
