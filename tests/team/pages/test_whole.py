"""The pages as `serve --team` serves them, each request at another replica, with clients beside the browsers."""

import json
import re

import httpx2
import pytest
from pydantic import SecretStr

from amo_mcp.storage.postgres.database import Database
from tests.conftest import answer, error
from tests.team.approval.team import URL, Browser, Team, open_team
from tests.transports.peers import INITIALIZE, NEW, modern

pytestmark = pytest.mark.anyio

ACCEPT = {"accept": "application/json, text/event-stream"}


async def made(browser: Browser, scope: str) -> str:
    """A personal token, made on the page."""
    await browser.open("/mine")
    form = {"token": browser.form["token"], "do": "make", "label": scope, "scope": scope, "days": "7"}
    sent = await browser.http.post("/mine", data=form, headers={"origin": URL})
    cookies = f"{browser.http.headers['cookie']}; {sent.headers['set-cookie'].partition(';')[0]}"
    shown = await browser.http.get(sent.headers["location"], headers={"cookie": cookies})
    return str(re.findall(r"amo_[0-9a-f]{12}_[\w-]{43}", shown.text)[0])


async def called(team: Team, token: str, tool: str, **arguments: object) -> httpx2.Response:
    """A call with a token, as a client sends it."""
    headers = {"authorization": f"Bearer {token}", "mcp-protocol-version": NEW, "mcp-method": "tools/call"}
    async with httpx2.AsyncClient(transport=team.any_replica, base_url=URL) as http:
        params = {"name": tool, "arguments": arguments}
        body = modern({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        return await http.post("/mcp", json=body, headers={**ACCEPT, **headers, "mcp-name": tool})


@pytest.mark.requirement("TEAM-43")
async def test_a_personal_token_lets_a_client_do_what_it_and_its_person_may(
    database: Database, database_url: SecretStr
) -> None:
    async with (
        open_team(database, database_url) as team,
        team.browser("Анна", "editor") as anna,
        team.browser("Борис", "viewer") as boris,
    ):
        reads, writes, viewer = await made(anna, "read"), await made(anna, "write"), await made(boris, "write")
        for token in (reads, writes, viewer):
            assert (await called(team, token, "list_segments")).status_code == 200
        created = (await called(team, writes, "create_segment", name="A")).json()
        assert created["result"]["structuredContent"]["segment"]["name"] == "A"
        for token, why in (
            (reads, "This client was allowed to read only"),
            (viewer, "Your role on this server is viewer"),
        ):
            refused = (await called(team, token, "create_segment", name="A")).json()["result"]["structuredContent"]
            assert refused["error"]["code"] == "forbidden"
            assert refused["error"]["message"].startswith(why)
        assert team.writes() == ["POST /api/v4/customers/segments"]
        await anna.open("/mine")
        revoked = {"token": anna.form["token"], "do": "revoke", "id": writes.split("_")[1]}
        assert "good no longer" in await anna.send("/mine", revoked)
        async with httpx2.AsyncClient(transport=team.any_replica, base_url=URL) as http:
            headers = {**ACCEPT, "authorization": f"Bearer {writes}"}
            assert (await http.post("/mcp", json=INITIALIZE, headers=headers)).status_code == 401


@pytest.mark.requirement("TEAM-40", "TEAM-42", "TEAM-44")
async def test_a_change_is_in_the_audit_with_who_asked_who_agreed_and_what_came_of_it(
    database: Database, database_url: SecretStr, era: str
) -> None:
    async with (
        open_team(database, database_url, "second") as team,
        team.client(era, "Вера", "editor") as vera,
        team.browser("Анна", "approver") as anna,
        team.browser("Ольга", "admin") as olga,
    ):
        asked = error(await vera.call_tool("delete_segment", {"segment_id": 51}))
        shown = await anna.open("/mine")
        assert "Delete segment «VIP» Asked by «Вера», until" in shown
        await anna.open(f"/approve/{asked['page_url'].rpartition('/')[2]}")
        await anna.press("yes", "moved")
        deleted = answer(await vera.call_tool("confirm_change", {"approval_id": asked["approval_id"]}))
        assert deleted["deleted"]["id"] == 51

        [change] = answer(await vera.call_tool("list_changes", {}))["changes"]
        assert (change["by"], change["change_id"]) == ("Вера", deleted["change_id"])
        await olga.open("/audit.jsonl?who=%D0%90%D0%BD%D0%BD%D0%B0")
        done, begun, said = [json.loads(line) for line in olga.answer.text.splitlines()][:3]
        assert (said["kind"], said["what"], said["comment"], said["name"]) == ("approval", "yes", "moved", "Анна")
        assert (begun["outcome"], done["outcome"], done["subject"]) == ("begun", "done", deleted["change_id"])
        told = [done[key] for key in ("what", "name", "client", "approved_by", "approved_how")]
        assert told[:2] + told[3:] == ["delete_segment", "Вера", "Анна", "page"]
        assert told[2]
        [segment] = done["touched"]
        assert (segment["action"], segment["id"], segment["before"]["name"]) == ("delete", "51", "VIP")
        assert re.fullmatch("[0-9a-f]{32}", segment["request_id"])
        assert asked["approval_id"] not in olga.answer.text
        shown = await olga.open("/audit?kind=change")
        assert "delete_segment · done" in shown
        assert "«Анна» agreed on the page" in shown


@pytest.mark.requirement("TEAM-27")
async def test_every_page_leads_to_the_others_and_speaks_the_language_that_is_set(
    database: Database, database_url: SecretStr
) -> None:
    async with (
        open_team(database, database_url, count=1, language="pt") as team,
        team.browser("Анна", "approver", language="ru") as anna,
        team.browser(language="ru") as nobody,
    ):
        for path in ("/mine", "/board", "/people", "/approve/q0"):
            await anna.open(path)
            assert '<html lang="pt"' in anna.answer.text
            assert re.findall('<a href="(.*?)"', anna.answer.text) == ["/mine", "/board"]
        await nobody.open("/authorize")
        assert '<html lang="pt"' in nobody.answer.text
        assert re.findall('<a href="(.*?)"', nobody.answer.text) == ["/mine", "/board"]
