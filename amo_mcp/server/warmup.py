"""Brings in, while a server idles, what starting has left out, so that the first call does not pay for it.

Starting is cheap because most of what a call needs is imported and built with its first use: the modules of the tools,
their models, the HTTP client with its certificates, the journal. Together that took 160 ms of the first call.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module

import anyio.to_thread
from mcp_types import CallToolResult, TextContent
from mcp_types.methods import serialize_server_result, validate_client_request
from pydantic import ValidationError

from amo_mcp.protocol import STATELESS_SINCE

_REVISIONS = ("2025-11-25", STATELESS_SINCE)
"""One of each era; the SDK has the same models for all revisions of an era."""

logger = logging.getLogger(__name__)


async def warm_up(pieces: Sequence[Callable[[], object]]) -> None:
    """Run every piece, one after the other, each in a worker thread, with the event loop free meanwhile.

    A piece should take a few tens of milliseconds at most: a call that comes meanwhile shares the interpreter with it,
    and a process that ends waits for it. A piece may be run although a call has just done the same, and the other way
    round, so it has to be idempotent. A piece that fails is logged and left to the first call, which will report why.

    It can be cancelled at any time, and returns at once then; the piece that is under way ends by itself.
    """
    for piece in pieces:
        try:
            await anyio.to_thread.run_sync(piece, abandon_on_cancel=True)
        except Exception as error:
            logger.info("%s could not be prepared: %s", piece, type(error).__name__)


def imports(modules: Iterable[str]) -> list[Callable[[], object]]:
    """A piece for each module: importing it."""
    return [partial(import_module, module) for module in modules]


def call_models() -> list[Callable[[], object]]:
    """Pieces that build what the SDK reads and writes a `tools/call` with, which it does with the first one."""
    wire = [partial(_use_wire_models, revision) for revision in _REVISIONS]
    return [*wire, *(model.model_rebuild for model in (CallToolResult, TextContent))]


def _use_wire_models(revision: str) -> None:
    for use in (
        partial(validate_client_request, "tools/call", revision, {"name": "", "arguments": {}}),
        partial(serialize_server_result, "tools/call", revision, {"content": []}),
    ):
        # What is missing in them for a revision makes no difference: the models are built.
        with suppress(ValidationError):
            use()
