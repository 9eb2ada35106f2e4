"""A team's logs: a JSON object on a line, with who asked for what was going on."""

import json
import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from amo_mcp.team.logs import JsonFormatter, remember_client
from amo_mcp.team.people import Person, Token
from amo_mcp.team.signed_in import AsPerson

pytestmark = pytest.mark.anyio

ANNA = Token("0123456789ab", Person("u1", "Анна", "editor"), 1.0)


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("amo_mcp.tools", logging.WARNING, "file", 1, message, args, more.get("exc_info"))
    made.created = 1_750_000_000.25
    return made


def formatted(message: str, *args: object, **more: Any) -> dict[str, Any]:
    line = JsonFormatter().format(record(message, *args, **more))
    assert "\n" not in line
    return dict(json.loads(line))


@pytest.mark.requirement("TEAM-9")
def test_an_event_is_a_json_object_with_what_is_known() -> None:
    assert formatted("%s: %s", "list_segments", "ok") == {
        "at": "2025-06-15T15:06:40.250Z",
        "level": "warning",
        "logger": "amo_mcp.tools",
        "message": "list_segments: ok",
    }


@pytest.mark.requirement("TEAM-9")
async def test_an_event_of_a_request_says_whose_it_is_with_which_client_and_in_which_trace() -> None:
    said: list[dict[str, Any]] = []

    async def answered(_: Any) -> None:
        span = NonRecordingSpan(SpanContext(0xABC, 0x1, is_remote=True, trace_flags=TraceFlags(1)))
        with trace.use_span(span):
            said.append(formatted("done"))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await remember_client(context(client=("claude-code", "2.1")), answered)

    await AsPerson(app)(ANNA, {"type": "http"}, None, None)  # type: ignore[arg-type]
    [line] = said
    assert (line["person"], line["client"], line["trace_id"]) == ("Анна", "claude-code 2.1", f"{0xABC:032x}")


async def test_a_client_that_says_nothing_by_the_protocol_is_known_by_its_user_agent() -> None:
    said: list[dict[str, Any]] = []

    async def answered(_: Any) -> None:
        said.append(formatted("done"))

    await remember_client(context(agent="node\n" + "x" * 100), answered)
    await remember_client(context(), answered)
    assert [line.get("client") for line in said] == ["node " + "x" * 74 + "…", None]


def context(client: tuple[str, str] | None = None, agent: str | None = None) -> Any:
    """What is known of a request."""

    class Anything:
        def __init__(self, **known: Any) -> None:
            vars(self).update(known)

    info = client and Anything(client_info=Anything(name=client[0], version=client[1]))
    request = None if agent is None else Anything(headers={"user-agent": agent})
    return Anything(session=Anything(client_params=info), request=request)


@pytest.mark.requirement("TEAM-9")
def test_of_an_exception_only_the_type_is_logged() -> None:
    try:
        raise ValueError("a secret")
    except ValueError as error:
        line = formatted("failed", exc_info=(type(error), error, error.__traceback__))
    assert (line["message"], line["error"]) == ("failed", "ValueError")


def test_no_message_can_begin_a_line_of_its_own_or_grow_too_long() -> None:
    line = formatted('a\n{"level": "error"}\x1b[31m\u2028' + "я" * 5000)
    assert line["message"].startswith('a {"level": "error"} [31m я')
    assert len(line["message"]) == 600
    assert len(JsonFormatter().format(record("я" * 5000)).encode()) < 4096
