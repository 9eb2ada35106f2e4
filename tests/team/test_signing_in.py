"""A team's server whose people sign in with amoCRM: replicas as processes, and each step at another one."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from amo_mcp.sandbox import Sandbox
from tests.team.people import integration, refresh, sign_in
from tests.team.replicas import Team, team_on
from tests.transports.peers import INITIALIZE

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["service", "per person"])
def team(database_url: SecretStr, request: pytest.FixtureRequest) -> Iterator[Team]:
    sandbox = Sandbox(mode="segments")
    own = integration(sandbox) | ({"AMO_ACCESS_TOKEN": ""} if request.param == "per person" else {})
    with team_on(database_url.get_secret_value(), sandbox, **own) as team:
        yield team


@pytest.mark.requirement("TEAM-20", "TEAM-22")
async def test_the_first_admin_signs_in_step_by_step_at_two_replicas(team: Team) -> None:
    [first] = team.started(1)
    code = first.told_code()
    [second] = team.started(1)
    assert (len(code) > 20, second.code) == (True, "")
    known = await sign_in([first, second], code=code)
    fresh = (await refresh([first, second], known)).json()["access_token"]
    for token, replica in ((known.access, second), (fresh, first)):
        assert replica.post(INITIALIZE, token).status_code == 200
    assert "admin" in team.run("people")
    first.end()
    assert code not in str(first.lines)
