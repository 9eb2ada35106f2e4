"""Which way a person is asked, for every combination of setting, client, carrier and machine."""

from typing import Any

import pytest
from mcp_types import ElicitRequestURLParams, ElicitResult

from amo_mcp.sandbox import Sandbox
from tests.conftest import ERAS, answer
from tests.journeys.desk import Declare, PagePerson, declare, desk

__all__ = ["declare"]

pytestmark = pytest.mark.anyio

CARRIERS = ("stdio", "loopback", "remote")
TABLE = """
    setting client | stdio          | loopback       | remote
                   | opens  does not| opens  does not| opens  does not
    auto    none   | page   chat    | page   nobody  | nobody nobody
    auto    form   | dialog dialog  | dialog dialog  | dialog dialog
    auto    url    | link   link    | link   link    | nobody nobody
    auto    both   | dialog dialog  | dialog dialog  | dialog dialog
    dialog  none   | nobody nobody  | nobody nobody  | nobody nobody
    dialog  form   | dialog dialog  | dialog dialog  | dialog dialog
    dialog  url    | nobody nobody  | nobody nobody  | nobody nobody
    dialog  both   | dialog dialog  | dialog dialog  | dialog dialog
    page    none   | page   nobody  | page   nobody  | nobody nobody
    page    form   | page   nobody  | page   nobody  | nobody nobody
    page    url    | link   link    | link   link    | nobody nobody
    page    both   | link   link    | link   link    | nobody nobody
    chat    none   | chat   chat    | chat   chat    | chat   chat
    chat    form   | chat   chat    | chat   chat    | chat   chat
    chat    url    | chat   chat    | chat   chat    | chat   chat
    chat    both   | chat   chat    | chat   chat    | chat   chat
"""
"""The way; `link` is the page by URL elicitation, `nobody` is cannot_ask."""


def rows() -> list[tuple[str, str, str, bool, str]]:
    found = []
    for line in TABLE.strip().splitlines()[2:]:
        head, *cells = (part.split() for part in line.split("|"))
        for carrier, ways in zip(CARRIERS, cells, strict=True):
            found += [(*head, carrier, opens, way) for opens, way in zip((True, False), ways, strict=True)]
    return found  # type: ignore[return-value]


def test_the_table_has_every_combination() -> None:
    assert len({row[:4] for row in rows()}) == 4 * 4 * 3 * 2


@pytest.mark.requirement("CONFIRM-7", "CONFIRM-4", "HTTP-6")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("setting", "client", "carrier", "opens", "way"), rows())
async def test_a_person_is_asked_this_way(
    era: str, setting: str, client: str, carrier: str, opens: bool, way: str, declare: Declare, sandbox: Sandbox
) -> None:
    asked: list[str] = []

    async def decline(_: Any, params: Any) -> ElicitResult:
        asked.append("link" if isinstance(params, ElicitRequestURLParams) else "dialog")
        return ElicitResult(action="decline")

    person = PagePerson()
    declare(client)
    async with desk(sandbox, person, choice=setting, carrier=carrier) as served:
        served.page.opens = opens
        async with served.client(era, decline) as connected:
            failure = answer(await connected.call_tool("delete_segment", {"segment_id": 51}))["error"]
    found = failure.get("way") or (*asked, "nobody")[0]
    assert (found, failure["code"]) == (
        way,
        {"nobody": "cannot_ask", "link": "declined", "dialog": "declined"}.get(way, "confirmation_required"),
    )
    assert bool(person.addresses) == (way == "page")
    assert served.writes() == []
    if way == "nobody":
        # Nobody is told to set what is set already, or what cannot help here.
        assert served.requests() == []
        assert f"AMO_CONFIRM={setting}" not in failure["hint"]
        assert ("AMO_CONFIRM=page" in failure["hint"]) == (opens and carrier != "remote" and setting == "dialog")
