"""One amoCRM account as the server holds it: the client, and the calls that take more than one request."""

from collections.abc import Sequence

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.models import CreatedStatus, Segment, SegmentDraft, Status, StatusDraft
from amo_mcp.amocrm.palette import MAX_SEGMENTS, MAX_STATUSES


class LimitReached(Exception):
    """The account has no room for what was to be created; nothing was sent.

    Attributes:
        kind: "segments" or "statuses".
        held: how many there are.
        limit: how many there can be.
        wanted: how many were to be created.
    """

    def __init__(self, kind: str, held: int, limit: int, wanted: int) -> None:
        super().__init__(f"{held} of {limit} {kind}")
        self.kind = kind
        self.held = held
        self.limit = limit
        self.wanted = wanted


class AmoAccount:
    """One account: its client, and what is built of several requests.

    Every method can raise what the client's methods raise (`amo_mcp.amocrm.errors.AmoError`).
    """

    def __init__(self, client: AmoClient) -> None:
        self.client = client

    async def create_statuses(self, drafts: Sequence[StatusDraft]) -> tuple[list[Status], bool]:
        """Create statuses and read them back, since the API answers only ids.

        Returns:
            The created statuses in the order of `drafts`, and whether they are as the account has them. When they
            could not be read back, they are as they were sent.

        Raises:
            LimitReached: the account would have more than 30 statuses.
        """
        _check_room("statuses", len(await self.client.statuses()), MAX_STATUSES, len(drafts))
        created = await self.client.create_statuses(drafts)
        try:
            listed = {status.id: status for status in await self.client.statuses()}
        except AmoError:
            listed = {}
        statuses = [listed.get(item.id) or _as_sent(item, draft) for item, draft in zip(created, drafts, strict=False)]
        return statuses, all(status.id in listed for status in statuses)

    async def create_segment(self, draft: SegmentDraft) -> Segment:
        """Create a segment.

        Raises:
            LimitReached: the account has 100 segments already.
        """
        _check_room("segments", len(await self.client.segments()), MAX_SEGMENTS, 1)
        return await self.client.create_segment(draft)


def _check_room(kind: str, held: int, limit: int, wanted: int) -> None:
    if held + wanted > limit:
        raise LimitReached(kind, held, limit, wanted)


def _as_sent(created: CreatedStatus, draft: StatusDraft) -> Status:
    return Status(id=created.id, name=draft.name, sort=draft.sort, color=draft.color or "")
