"""Access and refresh tokens: what they are good for, and what clients do to them."""

import logging

import anyio
import pytest

from amo_mcp.team.authorization import store
from tests.team.authorization.world import CIMD, World

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.mark.requirement("TEAM-23")
async def test_an_access_token_is_good_for_an_hour(world: World) -> None:
    tokens = await world.signed_in()
    opened = []
    for passed in (0, 3599, 1):
        world.clock.now += passed
        opened.append((await tokens.call()).status_code)
    assert opened == [200, 200, 401]


@pytest.mark.requirement("TEAM-23")
async def test_a_refresh_gives_new_tokens(world: World) -> None:
    tokens = await world.signed_in()
    for _ in range(3):
        world.clock.now += 3600
        fresh = (await tokens.refresh()).json()
        assert fresh["refresh_token"] != tokens.refresh_token
        tokens.access_token, tokens.refresh_token = fresh["access_token"], fresh["refresh_token"]
        assert (await tokens.call()).status_code == 200


@pytest.mark.requirement("TEAM-23")
async def test_two_processes_of_a_client_that_refresh_at_once_both_stay_signed_in(world: World) -> None:
    tokens = await world.signed_in()
    given: list[dict[str, str]] = []

    async def refresh() -> None:
        given.append((await tokens.refresh()).json())

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(refresh)
    assert len({answer["refresh_token"] for answer in given}) == 1
    assert len({answer["access_token"] for answer in given}) == 6
    assert {(await tokens.call(token=answer["access_token"])).status_code for answer in given} == {200}
    assert (await tokens.refresh(given[0]["refresh_token"])).status_code == 200


@pytest.mark.requirement("TEAM-23")
async def test_a_used_refresh_token_gives_less_and_less_and_then_ends_the_sign_in(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = await world.signed_in()
    first = (await tokens.refresh()).json()
    world.clock.now += store.SAME_SECONDS
    same = (await tokens.refresh()).json()
    assert same["refresh_token"] == first["refresh_token"]
    world.clock.now += store.LATE_SECONDS - store.SAME_SECONDS
    late = (await tokens.refresh()).json()
    assert "refresh_token" not in late
    assert (await tokens.call(token=late["access_token"])).status_code == 200
    world.clock.now += 1
    with caplog.at_level(logging.WARNING):
        reused = await tokens.refresh()
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert "the sign-in was ended" in caplog.text
    assert (await tokens.call(token=late["access_token"])).status_code == 401
    assert (await tokens.refresh(first["refresh_token"])).status_code == 400


@pytest.mark.requirement("TEAM-24")
@pytest.mark.parametrize(("days", "times", "status"), [(29, 1, 200), (31, 1, 400), (29, 3, 200), (29, 4, 400)])
async def test_a_sign_in_ends_when_it_is_idle_for_thirty_days_or_ninety_days_old(
    world: World, days: int, times: int, status: int
) -> None:
    tokens = await world.signed_in()
    for _ in range(times):
        world.clock.now += days * DAY
        answer = await tokens.refresh()
        tokens.refresh_token = answer.json().get("refresh_token", "")
    assert answer.status_code == status


@pytest.mark.requirement("TEAM-23")
async def test_scopes_shrink_and_never_grow(world: World) -> None:
    tokens = await world.signed_in(scope="segments:read segments:write")
    less = (await tokens.refresh(scope="segments:read")).json()
    assert less["scope"] == "segments:read"
    reader = await world.signed_in()
    assert (await reader.refresh(scope="segments:read segments:write")).json()["error"] == "invalid_scope"


async def test_a_refresh_token_is_its_client_s_alone(world: World) -> None:
    tokens = await world.signed_in()
    other = "https://other.example.com/mcp.json"
    world.documents[other] = world.documents[CIMD].replace(CIMD.encode(), other.encode())
    assert (await tokens.refresh(client_id=other)).json()["error"] == "invalid_grant"
    assert (await tokens.refresh(token="x")).json()["error"] == "invalid_grant"


@pytest.mark.requirement("TEAM-23")
async def test_access_tokens_are_in_no_list_of_personal_tokens(world: World) -> None:
    await world.signed_in()
    assert await world.people.tokens() == []
