"""What a caller is told while its call is open, for clients that give up on silence."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from amo_mcp.changes.turns import TELL_SECONDS
from amo_mcp.confirmation.first_of import first_of
from amo_mcp.language import Language, Message, message, texts
from amo_mcp.protocol import Ctx
from amo_mcp.text import sanitize

_MAX_MESSAGE = 200

_T = TypeVar("_T")


class CallProgress:
    """The progress of one call. It grows with every message, as the protocol demands, also from waiting to working.

    Attributes:
        texts: the language of who reads it, as far as it is known by now.
    """

    def __init__(self, ctx: Ctx, language: Language) -> None:
        self.texts = texts(language)
        self._ctx = ctx
        self._waited = 0
        self._last = -1.0

    async def report(self, progress: float, total: float | None, message: Message) -> None:
        """How far the work is, and where it ends; without a total, that it waits where it is."""
        end = None if total is None else self._waited + total
        self._last = self._last + 1 if total is None else self._waited + progress
        self._waited += total is None
        said = sanitize(self.texts.of(message), _MAX_MESSAGE)
        await self._ctx.session.report_progress(self._last, end, said)

    async def while_waiting(
        self, wait: Callable[[], Awaitable[_T]], seconds: float, sleep: Callable[[float], Awaitable[None]]
    ) -> _T | None:
        """What `wait` for a person gives within `seconds`, else None; every `TELL_SECONDS` the caller hears of it."""

        async def tell() -> None:
            left = seconds
            while (left := left - TELL_SECONDS) > 0:
                await sleep(TELL_SECONDS)
                await self.report(0, None, message("Waiting for your answer"))
            await sleep(left + TELL_SECONDS)

        return await first_of(wait, tell)
