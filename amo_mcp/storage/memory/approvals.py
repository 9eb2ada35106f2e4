"""Pending questions in memory: a server that ends takes its questions with it, and nothing happens."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import ANYBODY, Reader
from amo_mcp.confirmation.approvals import (
    ALREADY_ANSWERED,
    LIFETIME,
    MAX_PENDING,
    MAX_REMEMBERED,
    NOT_PENDING,
    TOO_LATE,
    Approval,
    ApprovalStore,
    new_id,
    new_nonce,
)
from amo_mcp.confirmation.caller import Caller
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.confirmation.ways import Channel


class MemoryApprovalStore(ApprovalStore):
    """The pending questions of one process."""

    def __init__(
        self, clock: Callable[[], float] = time.time, lifetime: float = LIFETIME, max_remembered: int = MAX_REMEMBERED
    ) -> None:
        self.lifetime = lifetime
        self.clock = clock
        self._pending: OrderedDict[str, Approval] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._max_remembered = max_remembered

    @override
    async def open(
        self,
        channel: Channel,
        caller: Caller,
        tool: str,
        request_digest: str,
        change: PendingChange,
        reader: Reader = ANYBODY,
    ) -> Approval:
        nonce = new_nonce({approval.nonce for approval in self._pending.values()})
        expires = self.clock() + self.lifetime
        approval = Approval(new_id(), nonce, channel, caller, tool, request_digest, change, expires, reader)
        self._make_room(caller)
        self._pending[approval.id] = approval
        self._bound(self._pending)
        return approval

    @override
    async def pending(self, approval_id: str, channel: Channel, caller: Caller) -> Approval:
        if approval_id in self._answered:
            raise ConfirmationExpired(ALREADY_ANSWERED)
        approval = self._pending.get(approval_id)
        if approval is None or (approval.channel, approval.caller) != (channel, caller):
            raise ConfirmationExpired(NOT_PENDING)
        if self.clock() >= approval.expires:
            raise ConfirmationExpired(TOO_LATE)
        return approval

    @override
    async def consume(self, approval_id: str, channel: Channel, caller: Caller) -> Approval:
        approval = await self.pending(approval_id, channel, caller)
        await self.close(approval)
        return approval

    @override
    async def close(self, approval: Approval) -> None:
        self._pending.pop(approval.id, None)
        self._answered[approval.id] = None
        self._bound(self._answered)

    def _make_room(self, caller: Caller) -> None:
        """Forget what is long dead, and the caller's oldest question when there are too many."""
        dead = self.clock() - self.lifetime
        for approval in [approval for approval in self._pending.values() if approval.expires <= dead]:
            del self._pending[approval.id]
        own = [approval for approval in self._pending.values() if approval.caller == caller]
        for approval in own[: max(0, len(own) - MAX_PENDING + 1)]:
            del self._pending[approval.id]

    def _bound(self, kept: "OrderedDict[str, Any]") -> None:
        """Forget the oldest."""
        while len(kept) > self._max_remembered:
            kept.popitem(last=False)
