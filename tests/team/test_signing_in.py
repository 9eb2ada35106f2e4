"""A team's server whose people sign in with amoCRM: replicas as processes, and each step at another one."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from amo_mcp.sandbox import Sandbox
from tests.conftest import error
from tests.team.authorization.world import Attempt, form_of, query_of
from tests.team.people import REDIRECT, browser_of, integration, refresh, sign_in
from tests.team.replicas import PUBLIC_URL, Team, team_on
from tests.team.test_disasters import rows
from tests.transports.peers import INITIALIZE, NEW

pytestmark = pytest.mark.anyio

KINDS = ("access_token", "refresh_token")
HIDDEN = re.compile('<input type="hidden" .*?>')
PERSONAL = re.compile(r"amo_[0-9a-f]{12}_[\w-]{43}")


@pytest.fixture(params=["service", "per person"])
def team(database_url: SecretStr, request: pytest.FixtureRequest) -> Iterator[Team]:
    sandbox = Sandbox(mode="segments")
    own = (
        integration(sandbox)
        | {"AMO_CONFIRM": "page"}
        | ({"AMO_ACCESS_TOKEN": ""} if request.param == "per person" else {})
    )
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


@pytest.mark.requirement("TEAM-10", "TEAM-23", "TEAM-25", "TEAM-43")
async def test_no_secret_of_a_sign_in_or_a_page_is_in_a_log_an_answer_a_figure_or_the_database(
    team: Team, database_url: SecretStr
) -> None:
    """Whoever signs in, connects a client, makes a token and says yes; everything but what is shown to be used."""
    [first] = team.started(1, AMO_LOG_LEVEL="DEBUG")
    bootstrap = first.told_code()
    [second] = team.started(1, AMO_LOG_LEVEL="DEBUG")
    replicas, secrets, said = [first, second], {bootstrap}, list[str]()
    async with browser_of(replicas) as browser:

        async def sent(path: str, **form: str) -> httpx2.Response:
            """What a form is answered; what it has is secret, and so are the cookies from then on."""
            answer = await browser.post(path, data=form, headers={"origin": PUBLIC_URL})
            secrets.update({form["token"]}, (str(cookie.value).strip('"') for cookie in browser.cookies.jar))
            return answer

        async def seen(path: str) -> dict[str, str]:
            """The form of a page; nothing else of it is secret."""
            page = await browser.get(path)
            assert page.status_code == 200, path
            said.append(HIDDEN.sub("", page.text))
            return form_of(page)

        client = (await browser.post("/register", json={"redirect_uris": [REDIRECT]})).json()
        asked: dict[str, Any] = {"client_id": client["client_id"], "redirect_uri": REDIRECT}
        scope = "segments:read segments:write"
        attempt = Attempt(browser, scope, **asked, resource=f"{PUBLIC_URL}/mcp", state="state-canary")
        page = await attempt.page()
        secrets.add(form_of(page)["request"])
        link = await attempt.amocrm(await sent("/consent", **form_of(page, answer="yes", code=bootstrap)))
        back = await browser.get(link)
        given = (await attempt.exchange(query_of(back)["code"])).json()
        secrets |= {query_of(link)["code"], query_of(link)["state"], query_of(back)["code"]}
        asked = {"grant_type": "refresh_token", "client_id": client["client_id"]}
        fresh = (await browser.post("/token", data={**asked, "refresh_token": given["refresh_token"]})).json()
        secrets |= {attempt.verifier, *(tokens[kind] for tokens in (given, fresh) for kind in KINDS)}

        form = await seen("/mine")
        await sent("/mine", token=form["token"], do="make", label="script", scope="read", days="7")
        [personal] = {*PERSONAL.findall((await browser.get("/mine")).text)}
        secrets.add(personal)
        async with second.client(NEW, fresh["access_token"]) as mcp:
            said.append((await mcp.call_tool("list_segments", {})).model_dump_json())
            question = error(await mcp.call_tool("delete_segment", {"segment_id": 51}))
            asks = question["page_url"].removeprefix(PUBLIC_URL)
            form = await seen(asks)
            answer = {**form, "shown": str(float(form["shown"]) - 1), "answer": "yes", "comment": "moved"}
            assert (await sent(asks, **answer)).status_code == 303
            secrets.add(question["approval_id"])
            agreed = await mcp.call_tool("confirm_change", {"approval_id": question["approval_id"]})
            said.append(agreed.model_dump_json())
        for path in ("/mine", asks, "/board", "/board/answers", "/people", "/audit", "/audit.jsonl"):
            form = await seen(path) or form
        said += [first.post(INITIALIZE, f"{token}x").text for token in (personal, fresh["access_token"])]
        revoked = {"token": fresh["access_token"], "client_id": client["client_id"]}
        assert (await browser.post("/revoke", data=revoked)).status_code == 200
        said.append((await browser.post("/token", data={**asked, "refresh_token": fresh["refresh_token"]})).text)
        assert (await sent("/sign-out", token=form["token"])).status_code == 200
    issued = team.sandbox.oauth.state()
    secrets |= {*issued.codes, *issued.access_tokens, *issued.refresh_tokens, team.sandbox.oauth.client_secret}
    said += [first.get("/metrics").text, *await rows(database_url)]
    for replica in replicas:
        assert replica.end() == 0
        said += map(str, replica.lines)
    assert (len(secrets) > 20, min(map(len, secrets)) > 12) == (True, True)
    assert [text for text in said if any(secret in text for secret in secrets)] == []
