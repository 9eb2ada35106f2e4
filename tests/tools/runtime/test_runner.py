"""A call from its arguments to its answer: one shape of answer and failure, one line in the log, and progress."""

import json
import logging
import re
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitResult, InputRequiredResult, TextContent

from amo_mcp.sandbox import Fault, Sandbox
from tests.conftest import ERAS, Person, Serve, answer, error
from tests.tools.runtime.declared import server_of

pytestmark = pytest.mark.anyio

INTERNAL = {
    "code": "internal",
    "message": "Internal error. Something may already have been changed.",
    "retryable": False,
    "hint": "Read or list the target before anything is sent again, and report this to the server's authors.",
}


class Progress:
    """Keeps every progress message."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, float | None, str | None]] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.heard.append((progress, total, message))


def runner_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the runner logged, without the time that it took."""
    records = [record for record in caplog.records if record.name == "amo_mcp.tools.runtime.runner"]
    return [re.sub(r"\d+ ms", "… ms", record.getMessage()) for record in records]


async def test_an_answer_is_the_same_compact_json_in_both_channels_without_what_is_not_set(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        result = await client.call_tool("add_numbers", {"first": "40"})
    assert isinstance(result, CallToolResult)
    [block] = result.content
    assert isinstance(block, TextContent)
    assert block.text == '{"total":42,"currency":"€"}'
    assert result.structured_content == {"total": 42, "currency": "€"}
    assert result.is_error is False


async def test_a_tool_reports_progress_to_its_caller_alone(era: str, sandbox: Sandbox, serve: Serve) -> None:
    first, second = Progress(), Progress()
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        await client.call_tool("add_numbers", {"first": 1}, progress_callback=first)
        await client.call_tool("add_numbers", {"first": 1})
        await client.call_tool("add_numbers", {"first": 1}, progress_callback=second)
    assert (first.heard, second.heard) == ([(1, 2, "half way")], [(1, 2, "half way")])


async def test_a_caller_is_told_that_a_request_waits(era: str, sandbox: Sandbox, serve: Serve) -> None:
    progress = Progress()
    sandbox.faults.add(Fault(method="GET", retry_after=3))
    async with serve(sandbox) as served, served.client(era) as client:
        result = await client.call_tool("get_segment", {"segment_id": 51}, progress_callback=progress)
    assert answer(result)["name"] == "VIP"
    assert progress.heard == [(0, None, "Waiting 3 s for amoCRM, to try again")]


async def test_a_wait_of_no_whole_second_is_not_told(era: str, sandbox: Sandbox, serve: Serve) -> None:
    progress = Progress()
    sandbox.faults.add(Fault(method="GET", retry_after=0))
    async with serve(sandbox) as served, served.client(era) as client:
        answer(await client.call_tool("get_segment", {"segment_id": 51}, progress_callback=progress))
    assert progress.heard == []


async def test_a_failure_is_answered_with_its_extra_keys(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        assert error(await client.call_tool("break_down", {"how": "failure"})) == {
            "code": "conflict",
            "message": "Two of them. Nothing was changed.",
            "retryable": False,
            "hint": "Take one.",
            "differences": ["both"],
        }
        assert error(await client.call_tool("break_down", {"how": "api"}))["code"] == "unavailable"


async def test_an_unexpected_error_is_internal_and_logged_with_its_place_only(
    era: str, sandbox: Sandbox, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        assert error(await client.call_tool("break_down", {"how": "badly"})) == INTERNAL
    place, line = runner_lines(caplog)
    assert re.fullmatch(r"break_down failed unexpectedly: RuntimeError at .*declared\.py:\d+", place)
    assert line == "break_down: internal in … ms"
    assert "secret" not in caplog.text


async def test_a_protocol_error_of_a_tool_stays_one(era: str, sandbox: Sandbox, serve: Serve) -> None:
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        with pytest.raises(MCPError, match="Not like this"):
            await client.call_tool("break_down", {"how": "protocol"})


async def test_every_call_is_one_line_in_the_log_without_its_arguments(
    era: str, sandbox: Sandbox, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        await client.call_tool("add_numbers", {"first": 123456})
        await client.call_tool("add_numbers", {"first": -123456})
        await client.call_tool("break_down", {"how": "failure"})
    assert runner_lines(caplog) == [
        "add_numbers: ok in … ms",
        "add_numbers: invalid_arguments in … ms",
        "break_down: conflict in … ms",
    ]


async def test_a_change_that_a_tool_returns_is_asked_about_carried_out_and_answered_by_its_output(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with (
        serve(sandbox) as served,
        Client(server_of(served), mode=ERAS[era], elicitation_callback=person, cache=None) as client,
    ):
        renamed = answer(await client.call_tool("rename_segment", {"segment_id": 51, "name": "Лучшие"}))
    assert renamed == {"before": "VIP", "after": "Лучшие", "fields": 0}
    assert [asked.message.splitlines()[0] for asked in person.asked] == ["Change segment «VIP»?"]
    assert served.writes() == ["PATCH /api/v4/customers/segments/51"]
    [(_, record)] = await served.account.journal.changes(1)
    assert (record.tool, record.status) == ("rename_segment", "done")


async def test_a_confirmed_change_is_answered_by_the_output_of_the_tool_that_asked(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        asked = error(await client.call_tool("rename_segment", {"segment_id": 51, "name": "Лучшие"}))
        approval: dict[str, Any] = {"approval_id": asked["approval_id"]}
        assert answer(await client.call_tool("carry_out", approval)) == {
            "before": "VIP",
            "after": "Лучшие",
            "fields": 0,
        }


async def test_the_state_of_one_call_does_not_confirm_another(sandbox: Sandbox, serve: Serve) -> None:
    """Where nothing seals the state, the runner looks itself."""
    yes: dict[str, Any] = {"confirm": ElicitResult(action="accept", content={"confirm": True})}
    async with (
        serve(sandbox) as served,
        Client(server_of(served), mode="2026-07-28", elicitation_callback=Person(), cache=None) as client,
    ):

        async def rename(name: str, state: str | None = None) -> CallToolResult | InputRequiredResult:
            return await client.session.call_tool(
                "rename_segment",
                {"segment_id": 51, "name": name},
                input_responses=yes if state else None,
                request_state=state,
                allow_input_required=True,
            )

        asked = await rename("Лучшие")
        assert isinstance(asked, InputRequiredResult)
        assert error(await rename("Худшие", asked.request_state))["code"] == "confirmation_expired"
        assert served.writes() == []
        assert answer(await rename("Лучшие", asked.request_state))["after"] == "Лучшие"


async def test_a_read_only_runner_refuses_what_writes_before_looking_at_the_arguments(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with (
        serve(sandbox) as served,
        Client(server_of(served, read_only=True), mode=ERAS[era], cache=None) as client,
    ):
        assert error(await client.call_tool("rename_segment", {}))["code"] == "read_only"
        assert error(await client.call_tool("carry_out", {}))["code"] == "read_only"
        assert answer(await client.call_tool("add_numbers", {"first": 1}))["total"] == 3
    assert served.requests() == []


async def test_a_tool_that_is_not_served_is_a_protocol_error_and_not_logged_as_a_call(
    era: str, sandbox: Sandbox, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(sandbox) as served, Client(server_of(served), mode=ERAS[era], cache=None) as client:
        for name in ("ad_numbers", "delete_segment", "\u202e" + "x" * 10_000, ""):
            with pytest.raises(MCPError, match="There is no such tool; the nearest is ") as caught:
                await client.call_tool(name, {})
            assert caught.value.code == -32602
            assert len(json.dumps(caught.value.error.message)) < 80
    assert runner_lines(caplog) == []
