"""The logs of a team's server: a JSON object on a line for every event, with who asked for what was going on."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

from mcp.server.context import CallNext, HandlerResult
from opentelemetry.trace import format_trace_id, get_current_span
from typing_extensions import override

from amo_mcp.confirmation.caller import client_of_caller
from amo_mcp.logs import exception_name, on_one_line
from amo_mcp.protocol import Ctx
from amo_mcp.team.signed_in import signed_in

_MAX_MESSAGE = 600
"""Characters: with everything else and in UTF-8, a line is within what a pipe takes whole or not at all (4096 B)."""

_client: ContextVar[str] = ContextVar("_client", default="")
"""The client whose request is being answered. The logs alone read it."""


async def remember_client(ctx: Ctx, call_next: CallNext) -> HandlerResult:
    """As middleware: let the logs know which client a request is of."""
    _client.set(client_of_caller(ctx))
    return await call_next(ctx)


class JsonFormatter(logging.Formatter):
    """Formats an event as one JSON object; of an exception only its type is shown."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        person, span = signed_in(), get_current_span().get_span_context()
        event = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": on_one_line(record.getMessage(), _MAX_MESSAGE),
            "error": exception_name(record),
            "person": person.name if person else "",
            "client": _client.get(),
            "trace_id": format_trace_id(span.trace_id) if span.is_valid else "",
        }
        return json.dumps({key: value for key, value in event.items() if value}, ensure_ascii=False)
