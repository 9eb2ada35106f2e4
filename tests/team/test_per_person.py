"""A team where each works with their own rights in amoCRM: replicas as processes, with real clients."""

import re
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import asyncpg
import pytest
from pydantic import SecretStr

from amo_mcp.sandbox import Sandbox
from tests.conftest import Person, answer, error
from tests.team.environment import KEY, OLD_KEY
from tests.team.people import ADMIN, NAMES, USER, SignedIn, give_role, integration, refresh, sign_in
from tests.team.replicas import SECONDS, Replica, Team, team_on
from tests.team.test_replicas import wait_for
from tests.transports.peers import INITIALIZE, NEW

pytestmark = pytest.mark.anyio


@pytest.fixture
def team(database_url: SecretStr) -> Iterator[Team]:
    sandbox = Sandbox(mode="segments")
    with team_on(database_url.get_secret_value(), sandbox, **integration(sandbox), AMO_ACCESS_TOKEN="") as team:
        yield team


def statuses(team: Team) -> list[int | None]:
    """What everything was answered that creates something."""
    return [item.status for item in team.sandbox.requests if item.method == "POST" and item.of_api]


async def known(team: Team, replicas: list[Replica], user: int = ADMIN, role: str = "approver") -> SignedIn:
    signed_in = await sign_in(replicas, user)
    give_role(team, user, role)
    return signed_in


@pytest.mark.requirement("TEAM-25")
async def test_each_works_with_their_own_rights_in_amocrm(team: Team) -> None:
    two = team.started(2)
    anna, boris = await known(team, two), await known(team, two, USER)
    made = {}
    for name, person in (("Anna", anna), ("Boris", boris)):
        for replica in two:
            async with replica.client(NEW, person.access, Person()) as client:
                assert answer(await client.call_tool("list_segments", {}))["total"] > 0
                made[name] = await client.call_tool("create_segment", {"name": f"{name} {replica.url}"})
    assert answer(made["Anna"])["segment"]["name"].startswith("Anna")
    refused = error(made["Boris"])
    assert refused["code"] == "forbidden"
    assert statuses(team) == [200, 200, 403, 403]


@pytest.mark.requirement("TEAM-25")
async def test_what_was_read_a_moment_ago_is_each_one_s_own(team: Team) -> None:
    [replica] = team.started(1)
    anna, boris = await known(team, [replica]), await known(team, [replica], USER)
    reads = []
    async with replica.client(NEW, anna.access) as hers, replica.client(NEW, boris.access) as his:
        for client in (hers, hers, his, his):
            before = len(team.sandbox.requests)
            await client.read_resource("amo://segments")
            reads.append(len(team.sandbox.requests) - before > 0)
    assert reads == [True, False, True, False]


@pytest.mark.requirement("TEAM-25")
async def test_tokens_that_have_ended_are_refreshed_once_by_two_replicas_at_once(team: Team) -> None:
    two = team.started(2)
    team.sandbox.oauth.access_lifetime = 30
    anna = await known(team, two)
    team.sandbox.oauth.access_lifetime = 3600
    async with two[0].client(NEW, anna.access) as one, two[1].client(NEW, anna.access) as other:
        totals: list[int] = []

        async def look(client: Any) -> None:
            totals.append(answer(await client.call_tool("list_segments", {}))["total"])

        async with anyio.create_task_group() as group:
            for client in (one, other) * 3:
                group.start_soon(look, client)
    assert (len(totals), len({*totals}), team.sandbox.oauth.refreshes) == (6, 1, 1)


@pytest.mark.requirement("TEAM-25")
async def test_a_401_of_one_person_signs_them_out_and_touches_nobody_else(team: Team) -> None:
    [replica] = team.started(1)
    boris = await known(team, [replica], USER)
    granted = {*team.sandbox.oauth.state().refresh_tokens}
    team.sandbox.oauth.access_lifetime = 30
    anna = await known(team, [replica])
    [hers] = {*team.sandbox.oauth.state().refresh_tokens} - granted
    team.sandbox.oauth.revoke(hers)
    async with replica.client(NEW, anna.access) as client:
        refused = error(await client.call_tool("list_segments", {}))
        assert (refused["code"], "https://crm.test/sign-in" in refused["hint"]) == ("unauthorized", True)
    assert replica.post(INITIALIZE, anna.access).status_code == 401
    assert '"what": "ended"' in team.run("audit", "--kind", "sign_in")
    assert re.findall(r"amo_sign_ins_ended_total\S+ (\S+)", replica.get("/metrics").text) == ["1.0"]
    assert (await refresh([replica], anna)).status_code == 400
    async with replica.client(NEW, boris.access) as client:
        assert answer(await client.call_tool("list_segments", {}))["total"] > 0
    again = await sign_in([replica])
    async with replica.client(NEW, again.access) as client:
        assert answer(await client.call_tool("list_segments", {}))["total"] > 0


PLAN = {"changes": [{"action": "create", "kind": "segment", "name": f"Новый {number}"} for number in range(8)]}


@pytest.mark.requirement("TEAM-25", "TEAM-8")
@pytest.mark.parametrize("owner", ["known", "removed"])
async def test_a_run_that_is_taken_over_goes_on_with_the_rights_of_who_asked(owner: str, team: Team) -> None:
    first, second = team.started(2, AMO_LEASE="3", AMO_TIMEOUT="2")
    anna, boris = await known(team, [first, second], ADMIN, "admin"), await known(team, [first, second], USER, "admin")
    async with first.client(NEW, anna.access, Person()) as client:
        plan = answer(await client.call_tool("plan_changes", PLAN))
        async with anyio.create_task_group() as group:

            async def apply() -> None:
                await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]})

            group.start_soon(apply)
            await anyio.to_thread.run_sync(wait_for, lambda: len(statuses(team)) >= 3)
            first.process.kill()
            group.cancel_scope.cancel()
    if owner == "removed":
        team.run("people", "--name", NAMES[ADMIN], "--remove")
    async with second.client(NEW, boris.access) as client:
        change = {"status": "running"}
        with anyio.fail_after(SECONDS):
            while change["status"] == "running":
                [change] = answer(await client.call_tool("list_changes", {"limit": 1}))["changes"]
    names = [segment["name"] for segment in team.sandbox.account.segments.values()]
    made = sum(name.startswith("Новый") for name in names)
    if owner == "known":
        assert (change["status"], made) == ("done", 8)
    else:
        assert change["status"] != "done"
        assert made < 8
    assert 403 not in statuses(team)


@pytest.mark.requirement("TEAM-25")
async def test_of_whoever_is_removed_amocrm_s_tokens_are_forgotten(team: Team, database_url: SecretStr) -> None:
    two = team.started(2)
    await known(team, two)
    boris = await known(team, two, USER)
    team.run("people", "--name", NAMES[ADMIN], "--remove")
    connection = await asyncpg.connect(database_url.get_secret_value())
    try:
        kept = [row["owner"] for row in await connection.fetch("SELECT owner FROM credentials")]
    finally:
        await connection.close()
    assert [owner.rpartition("/")[2] for owner in kept] == [f"28805383:{USER}"]
    assert two[0].post(INITIALIZE, boris.access).status_code == 200


@pytest.mark.requirement("TEAM-25")
async def test_tokens_are_encrypted_anew_and_go_on_working(team: Team) -> None:
    [replica] = team.started(1)
    anna = await known(team, [replica])
    replica.end()
    team.environment["AMO_SECRET_KEY"] = f"{OLD_KEY},{KEY}"
    assert team.run("keys", "rotate") == "Encrypted anew: 1."
    [replica] = team.started(1, AMO_SECRET_KEY=OLD_KEY)
    async with replica.client(NEW, anna.access) as client:
        assert answer(await client.call_tool("list_segments", {}))["total"] > 0


@pytest.mark.requirement("TEAM-25")
async def test_a_token_by_command_has_nobody_of_amocrm_behind_it(team: Team) -> None:
    with pytest.raises(AssertionError, match="nobody of amoCRM behind it"):
        team.token("Анна")


async def test_a_server_that_nobody_has_signed_in_to_has_a_doctor(team: Team) -> None:
    told = team.run("doctor")
    assert "rights:       each works with their own in amoCRM" in told
    assert "the integration's card has to name https://crm.test/amocrm/callback" in told
    assert "no personal ones: people sign in with amoCRM" in told
