"""The board, for who is signed in."""

import pytest

from amo_mcp.sandbox import Fault
from amo_mcp.server.board.live import read_answers
from tests.team.pages.office import Office

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("TEAM-46")
async def test_a_viewer_is_shown_the_board_and_what_it_draws(office: Office) -> None:
    anna = await office.visitor("Анна", "viewer", **{"accept-language": "ru"})
    page = await anna.get("/board")
    assert page.status_code == 200
    assert '"/board/answers"' in page.text
    assert '<html lang="ru"' in page.text
    assert "Запустите его снова" not in page.text
    answers = (await anna.get("/board/answers")).json()
    assert answers == await read_answers(office.accounts.shared)
    assert {*answers} == {"list_segments", "audit_segments", "list_changes"}
    assert [one.method for one in office.sandbox.requests if one.method != "GET"] == []
    # With their own rights, where each has theirs.
    assert office.accounts.by == {anna.person.id}


@pytest.mark.requirement("TEAM-46")
async def test_an_account_that_cannot_be_read_is_told_and_the_pages_have_the_moments_in_utc(office: Office) -> None:
    office.sandbox.faults.add(Fault(status=402, times=0))
    anna = await office.visitor("Анна", "admin")
    assert (await anna.get("/board")).status_code == 200
    refused = await anna.get("/board/answers")
    assert (refused.status_code, refused.headers["x-frame-options"]) == (502, "DENY")
    await office.people.set_role("Анна", "admin")
    assert "2023-11-14 22:13 (UTC)" in await anna.text("/audit")
