"""Asking a client for more than it has, before anything is done: by HTTP, which is where clients know what to do then.

A client asks for what it is told to ask for, so at first that is only to read. Its first call that needs more is
refused with what it needs (RFC 6750, section 3.1), and the client sends its person to agree to that.
"""

from collections.abc import Mapping

import anyio
from pydantic_core import from_json
from starlette.types import Message, Receive

from amo_mcp.team.people import Token, includes
from amo_mcp.team.rights import needed
from amo_mcp.tools.runtime.catalog import CatalogEntry
from amo_mcp.transports.http import BODY_SECONDS
from amo_mcp.transports.limits import MAX_MESSAGE_BYTES


class StepUp:
    """Looks at what comes with tokens that only allow to read.

    Args:
        tools: every tool by name.
    """

    def __init__(self, tools: Mapping[str, CatalogEntry]) -> None:
        self._tools = tools

    async def looked_at(self, token: Token, receive: Receive) -> tuple[bool, Receive]:
        """Whether a message needs more than its token allows, and the message, to be received again.

        A person whose role does not allow it either is not asked: they would agree to it in vain. A personal token is
        not asked for more either: what it allows, its person has decided, and the tool says so.

        Raises:
            TimeoutError: the message does not come.
        """
        if token.may_write or token.sign_in is None:
            return False, receive
        body, messages = bytearray(), list[Message]()
        with anyio.fail_after(BODY_SECONDS):
            while True:
                messages.append(await receive())
                body += messages[-1].get("body", b"")
                if not messages[-1].get("more_body") or len(body) > MAX_MESSAGE_BYTES:
                    break

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        return includes(token.person.role, "editor") and self._writes(bytes(body)), again

    def _writes(self, body: bytes) -> bool:
        """Whether a message needs a role that may write."""
        try:
            message = from_json(body)
            method, params = message["method"], message.get("params") or {}
            return needed(self._tools, method, params.get("name")) not in (None, "viewer")
        except (ValueError, TypeError, KeyError, AttributeError):
            # It is no message, which whoever it is for says.
            return False
