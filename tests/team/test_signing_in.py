"""A team's server whose people sign in with amoCRM: replicas as processes, and each step at another one."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from amo_mcp.sandbox import Sandbox
from tests.team.authorization.world import Attempt, form_of, query_of
from tests.team.people import REDIRECT, browser_of, integration, refresh, sign_in
from tests.team.replicas import PUBLIC_URL, Team, team_on
from tests.team.test_disasters import rows
from tests.transports.peers import INITIALIZE, NEW

pytestmark = pytest.mark.anyio

KINDS = ("access_token", "refresh_token")


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


@pytest.mark.requirement("TEAM-10", "TEAM-23", "TEAM-25")
async def test_no_secret_of_a_sign_in_is_in_a_log_an_answer_a_figure_or_the_database(
    team: Team, database_url: SecretStr
) -> None:
    [first] = team.started(1, AMO_LOG_LEVEL="DEBUG")
    bootstrap = first.told_code()
    [second] = team.started(1, AMO_LOG_LEVEL="DEBUG")
    replicas, secrets, said = [first, second], {bootstrap}, list[str]()
    async with browser_of(replicas) as browser:
        client = (await browser.post("/register", json={"redirect_uris": [REDIRECT]})).json()
        asked: dict[str, Any] = {"client_id": client["client_id"], "redirect_uri": REDIRECT}
        attempt = Attempt(browser, **asked, resource=f"{PUBLIC_URL}/mcp", state="state-canary")
        page = await attempt.page()
        form = form_of(page, answer="yes", code=bootstrap)
        sent = await browser.post("/consent", data=form, headers={"origin": PUBLIC_URL})
        link = await attempt.amocrm(sent)
        back = await browser.get(link)
        given = (await attempt.exchange(query_of(back)["code"])).json()
        mine = await browser.get("/mine")
        said += [mine.text, (await browser.get("/mine", headers={"cookie": "__Host-amo-session=x"})).text]
        secrets |= {form["token"], query_of(link)["code"], query_of(link)["state"], query_of(back)["code"]}
        secrets |= {str(cookie.value) for cookie in browser.cookies.jar}
        asked = {"grant_type": "refresh_token", "client_id": client["client_id"]}
        fresh = (await browser.post("/token", data={**asked, "refresh_token": given["refresh_token"]})).json()
        secrets |= {attempt.verifier, *(tokens[kind] for tokens in (given, fresh) for kind in KINDS)}
        async with second.client(NEW, fresh["access_token"]) as mcp:
            said += [(await mcp.call_tool("list_segments", {})).model_dump_json()]
        revoked = {"token": fresh["access_token"], "client_id": client["client_id"]}
        assert (await browser.post("/revoke", data=revoked)).status_code == 200
        said += [(await browser.post("/token", data={**asked, "refresh_token": fresh["refresh_token"]})).text]
    issued = team.sandbox.oauth.state()
    secrets |= {*issued.codes, *issued.access_tokens, *issued.refresh_tokens, team.sandbox.oauth.client_secret}
    said += [first.get("/metrics").text, *await rows(database_url)]
    for replica in replicas:
        assert replica.end() == 0
        said += map(str, replica.lines)
    assert len(secrets) > 15
    assert [text for text in said if any(secret in text for secret in secrets - {form["token"]})] == []
