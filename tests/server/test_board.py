"""The board as clients get it: the page, which tools it belongs to, the pictures beside answers, and its words."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp_types import TextResourceContents

from amo_mcp.amocrm.inputs import SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import ANYBODY
from amo_mcp.changes.records import ChangeStatus
from amo_mcp.changes.steps import Outcome, Update
from amo_mcp.confirmation.picture import MAX_BYTES, plan_picture
from amo_mcp.language import LANGUAGES, Language, texts
from amo_mcp.protocol import BOARD, UI_EXTENSION, UI_MIME_TYPE
from amo_mcp.reorganize.audit import Confidence, FindingProblem
from amo_mcp.sandbox import Sandbox
from amo_mcp.server import board
from amo_mcp.server.board.words import words
from tests.conftest import ERAS, Person, Serve, Served, answer

pytestmark = pytest.mark.anyio

ON_BOARD = {"list_segments", "list_statuses", "audit_segments", "plan_changes", "apply_plan", "list_changes"}
PICTURE = "amo-mcp/picture"
PLAN = [
    {"action": "update", "kind": "segment", "id": 51, "name": "Лучшие", "color": "ae003f"},
    {"action": "delete", "kind": "segment", "id": 54},
    {"action": "create", "kind": "segment", "name": "Гости"},
]


def client_of(served: Served, era: str, *, shows_pages: bool) -> Client:
    extensions = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})] if shows_pages else []
    return Client(served.server, mode=ERAS[era], elicitation_callback=Person(), extensions=extensions, cache=None)


def picture(result: Any) -> Any:
    return result.meta[PICTURE]


@pytest.mark.requirement("BOARD-1")
async def test_the_tools_whose_answers_it_draws_name_the_page_under_both_keys(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        tools = (await client.list_tools()).tools
    meta = {"ui": {"resourceUri": BOARD}, "ui/resourceUri": BOARD}
    assert {tool.name: tool.meta for tool in tools if tool.meta} == dict.fromkeys(ON_BOARD, meta)
    assert (UI_EXTENSION, UI_MIME_TYPE) == (EXTENSION_ID, APP_MIME_TYPE)


@pytest.mark.requirement("BOARD-1")
async def test_the_extension_is_discovered(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, Client(served.server) as client:
        assert client.server_capabilities.extensions == {EXTENSION_ID: {}}


@pytest.mark.requirement("BOARD-1")
async def test_the_page_is_read_as_a_resource_that_asks_nobody_and_is_not_listed(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox, language="ru") as served, served.client(era) as client:
        [page] = (await client.read_resource(BOARD)).contents
        assert isinstance(page, TextResourceContents)
        assert page.mime_type == APP_MIME_TYPE
        assert page.meta == {"ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}}
        assert BOARD not in {str(resource.uri) for resource in (await client.list_resources()).resources}
    assert page.text.startswith('<!doctype html>\n<html lang="ru">')
    assert len(page.text.encode()) < 60_000


@pytest.mark.requirement("BOARD-1")
async def test_while_the_account_cannot_be_read_the_page_is_there_in_english(sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox, token="wrong") as served, served.client("2026-07-28") as client:
        [page] = (await client.read_resource(BOARD)).contents
        assert isinstance(page, TextResourceContents)
        assert '<html lang="en">' in page.text


@pytest.mark.requirement("BOARD-2")
async def test_calls_answer_the_same_bytes_whether_the_client_shows_pages_or_not(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async def told(*, shows_pages: bool) -> str:
        async with serve(Sandbox(mode="segments")) as served, client_of(served, era, shows_pages=shows_pages) as client:
            plan = await client.call_tool("plan_changes", {"changes": PLAN})
            done = await client.call_tool("apply_plan", {"plan_id": answer(plan)["plan_id"]})
            results = [
                await client.call_tool("list_segments", {}),
                await client.call_tool("audit_segments", {}),
                plan,
                done,
                await client.call_tool("list_changes", {}),
            ]
        told = json.dumps([result.model_dump(mode="json", by_alias=True) for result in results])
        measured = r"seconds\\*\": ?[0-9.]+"
        return re.sub(rf"\b[pc][0-9a-f]{{12}}\b|\d{{4}}-\d\d-\d\dT[0-9:]+Z|{measured}", "…", told)

    assert await told(shows_pages=True) == await told(shows_pages=False)


@pytest.mark.requirement("BOARD-3")
async def test_a_plan_is_drawn_before_and_after_deletions_first_in_the_persons_words(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox, language="en") as served, served.client(era) as client:
        plan = await client.call_tool("plan_changes", {"changes": PLAN})
    old_name, old_color = (sandbox.account.segments[51][key] for key in ("name", "color"))
    assert picture(plan) == {
        "losses": [
            "Customers of the deleted segments: 5. An undo puts them back, but not the conditions.",
            "Triggers, mailings, filters and integrations that use the ids of what is deleted stop working. "
            "What an undo brings back has another id.",
        ],
        "steps": [
            {
                "number": 2,
                "action": "delete",
                "headline": "Delete segment «vip клиенты» (id 54), 5 customers",
                "settings": [],
            },
            {
                "number": 1,
                "action": "update",
                "headline": f"Change segment «{old_name}» (id 51)",
                "settings": [
                    {
                        "label": "Name",
                        "before": {"text": f"«{old_name}»", "color": None},
                        "after": {"text": "«Лучшие»", "color": None},
                        "note": "",
                    },
                    {
                        "label": "Colour",
                        "before": {"text": old_color, "color": f"#{old_color}"},
                        "after": {"text": "ae003f", "color": "#ae003f"},
                        "note": "",
                    },
                ],
            },
            {"number": 3, "action": "create", "headline": "Create segment «Гости»", "settings": []},
        ],
    }
    assert PICTURE not in json.dumps(answer(plan))


@pytest.mark.requirement("BOARD-3")
async def test_what_was_applied_and_undone_is_drawn_in_order_each_step_with_its_outcome(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox, language="en") as served, served.client(era, Person()) as client:
        plan = answer(await client.call_tool("plan_changes", {"changes": PLAN}))
        applied = await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]})
        steps = picture(applied)["steps"]
        assert [(step["number"], step["action"], step["outcome"]) for step in steps] == [
            (1, "update", "done"),
            (2, "delete", "done"),
            (3, "create", "done"),
        ]
        undone = await client.call_tool("undo_change", {"change_id": answer(applied)["change_id"]})
        assert [(step["action"], step["outcome"]) for step in picture(undone)["steps"]] == [
            ("delete", "done"),
            ("create", "done"),
            ("move", "done"),
            ("update", "done"),
        ]
        listed = await client.call_tool("list_changes", {})
        newest, oldest = (change["change_id"] for change in answer(listed)["changes"])
    assert list(picture(listed)["headlines"]) == [newest, oldest]
    assert picture(listed)["headlines"][oldest] == "Change segment «VIP» (id 51), and 2 more changes"


@pytest.mark.requirement("BOARD-3", "PLAN-7")
async def test_a_merge_is_drawn_as_a_move_and_the_deletion_that_follows_it(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    changes = [
        {"action": "create", "kind": "segment", "name": "Гости"},
        {"action": "merge", "kind": "segment", "id": 21, "into": 51},
    ]
    async with serve(sandbox, language="en") as served, served.client(era) as client:
        drawn = picture(await client.call_tool("plan_changes", {"changes": changes}))
    assert [(step["number"], step["action"], step["headline"]) for step in drawn["steps"]] == [
        (2, "move", "Move 37 customers of «ВИП-клиенты» (id 21) to «VIP» (id 51)"),
        (3, "delete", "Delete segment «ВИП-клиенты» (id 21), once they are all there"),
        (1, "create", "Create segment «Гости»"),
    ]
    assert "What is merged is deleted only once all its customers are where they are moved to." in drawn["losses"]


@pytest.mark.requirement("BOARD-3")
def test_a_picture_is_bounded_however_long_the_plan() -> None:
    segment = Segment.model_validate({"id": 5, "name": "a" * 250, "color": "ae003f"})
    steps = tuple(Update(segment, SegmentPatch(name=f"{number}{'б' * 240}")) for number in range(130))
    drawn = plan_picture(PendingChange(steps, plan_id="p"), ANYBODY)["steps"]
    assert [step["number"] for step in drawn] == list(range(1, len(drawn) + 1))
    assert MAX_BYTES * 0.95 < len(json.dumps(drawn, ensure_ascii=False).encode()) < MAX_BYTES * 1.05


@pytest.mark.requirement("BOARD-4")
async def test_a_finding_says_what_its_ids_do_not_in_the_persons_words_and_to_the_model_in_english(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox, language="ru") as served, served.client(era) as client:
        found = await client.call_tool("audit_segments", {})
    reasons = picture(found)["reasons"]
    assert {answer(found)["findings"][int(place)]["reason"]: reason for place, reason in reasons.items()} == {
        f"The field «{field}» is filled in 1 of 15 segments.": f"Поле «{field}» заполнено в 1 из 15 сегментов."
        for field in ("Начало акции", "Последний пересчёт", "Адрес кофейни")
    }


def texts_in(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for value in tree.values() if isinstance(tree, dict) else ():
        yield from texts_in(value)


@pytest.mark.requirement("BOARD-4")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_script_has_every_word_that_it_uses_and_no_other(language: Language) -> None:
    given = words(texts(language))
    page = board.render(texts(language))
    script = page[page.index('"use strict"') :]
    [views] = re.findall(r"const views = (.*?);", script, re.DOTALL)
    used = [
        *re.findall(r'\["\w+", "(\w+)", "\w+"\]', views),
        *re.findall(r'\b(?:t|counted|choice)\("(\w+)"', script),
        *re.findall(r"\bT\.(\w+)", script),
        *re.findall(r'"(not_\w+)"\)', script),
        *("applied", "stopped"),
    ]
    assert {*used} == {*given}
    assert set(given["problems"]) == {*get_args(FindingProblem)}
    assert set(given["confidence"]) == {*get_args(Confidence)}
    assert set(given["outcomes"]) == {*get_args(Outcome), *get_args(ChangeStatus)}
    assert all(texts_in(given))


@pytest.mark.requirement("BOARD-4")
@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("ru", {1: "{count} покупатель", 2: "{count} покупателя", 5: "{count} покупателей"}),
        ("en", {1: "{count} customer", 2: "{count} customers", 5: "{count} customers"}),
        ("es", {1: "{count} cliente", 2: "{count} clientes", 5: "{count} clientes"}),
        ("pt", {1: "{count} cliente", 2: "{count} clientes", 5: "{count} clientes"}),
    ],
)
def test_what_is_counted_has_a_text_for_each_plural_of_the_language(
    language: Language, expected: dict[int, str]
) -> None:
    assert words(texts(language))["customers"] == {
        "one": expected[1],
        "few": expected[2],
        "many": expected[5],
        "other": expected[5],
    }


@pytest.mark.requirement("BOARD-5")
def test_the_page_loads_nothing_and_never_takes_text_for_html() -> None:
    page = board.render(texts("en"))
    assert not re.findall(
        r"https?://|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|<link|<img|@import", page
    )
    assert page.count("<script") == page.count("</script>") == 3


def test_the_policy_names_the_script_and_the_style_by_their_hashes() -> None:
    policy = board.content_security_policy(board.render(texts("en")))
    assert re.sub(r"sha256-[A-Za-z0-9+/]{43}=", "…", policy) == (
        "default-src 'none'; script-src '…'; style-src '…'; base-uri 'none'"
    )
    other = board.content_security_policy(board.render(texts("ru"), live="/answers"))
    assert other == policy, "the words are data, and no part of the script"
