"""Where everybody works with their own rights in amoCRM, a yes lends nobody the rights of who says it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from pydantic import SecretStr

from amo_mcp.storage.postgres.audit import PostgresAudit
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.audit import Only
from amo_mcp.team.settings import CALLBACK_PATH
from scripts.team_people import Browser
from tests.team.approval.team import URL, Team, open_team
from tests.team.approval.test_page import NEW, asked, confirmed

pytestmark = pytest.mark.anyio

ADMIN, ORDINARY = 504141, 1002045
"""Users of the sandbox's account; amoCRM lets only the first one change segments."""


@pytest.fixture
async def personal(database: Database, database_url: SecretStr) -> AsyncIterator[Team]:
    async with open_team(database, database_url, "second", access_token=None) as team:
        team.sandbox.oauth.redirect_uri = URL + CALLBACK_PATH
        yield team


@asynccontextmanager
async def browser_of(team: Team, user: int) -> AsyncIterator[Browser]:
    """The browser of a user of the account, who has signed in."""
    headers = {"user-agent": "Firefox"}
    async with httpx2.AsyncClient(mounts={URL: team.any_replica}, headers=headers, trust_env=False) as http:
        browser = Browser(user, http)
        await browser.open("/mine")
        yield browser


@pytest.mark.requirement("TEAM-32")
@pytest.mark.parametrize(("asks", "agrees"), [(ADMIN, ORDINARY), (ORDINARY, ADMIN)])
async def test_a_change_is_made_with_the_rights_of_who_asked(personal: Team, asks: int, agrees: int) -> None:
    async with browser_of(personal, asks), browser_of(personal, agrees) as approver:
        names = {person.id: person.name for person in await personal.people.people()}
        own, others = names[f"28805383:{asks}"], names[f"28805383:{agrees}"]
        await personal.people.set_role(own, "editor")
        await personal.people.set_role(others, "approver")
        async with personal.client(NEW, own, "editor") as client:
            question = await asked(client)
            await approver.open(question["page_url"])
            await approver.press(answer="yes", shown="0", comment="agreed")
            assert approver.heading == "Your yes is recorded."
            done = await confirmed(client, question)
        await approver.open(question["page_url"])
        if asks == ADMIN:
            assert (done["deleted"]["id"], approver.heading) == (51, "Done.")
        else:
            assert (done["code"], approver.heading) == ("forbidden", "Not done.")
    [entry] = [one.entry for one in await PostgresAudit(personal.database).page(9, only=Only(kind="approval"))]
    assert (entry.by.name, entry.by.client, entry.what, entry.comment) == (others, "Firefox", "yes", "agreed")
