"""`amo://` resources: what there is, what each says, and completion of their ids.

Each says the same as its tool. All of them are served from what was read a moment ago, so that a client that reads
every resource of a full account costs three requests.
"""

import json
import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, Annotations, Completion, Resource, ResourceTemplate
from pydantic import BaseModel

from amo_mcp.accounts.account import AmoAccount, Changed
from amo_mcp.amocrm.errors import ModeDisabled
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import Segment, Status, iso_utc
from amo_mcp.failures import ToolFailure, explain
from amo_mcp.text import sanitize

logger = logging.getLogger(__name__)

ACCOUNT, PALETTE, SEGMENTS, STATUSES = "amo://account", "amo://palette", "amo://segments", "amo://statuses"
CHANGES = "amo://changes"
MIME_TYPE = "application/json"
MOST_COMPLETIONS = 100
"""Values of one completion (the protocol's limit)."""

_ITEM = re.compile(r"amo://(segments|statuses)/([1-9][0-9]{0,18})")

TEMPLATES = (
    ResourceTemplate(
        uri_template=f"{SEGMENTS}/{{segment_id}}",
        name="segment",
        title="A segment",
        description="One customer segment, whole.",
        mime_type=MIME_TYPE,
    ),
    ResourceTemplate(
        uri_template=f"{STATUSES}/{{status_id}}",
        name="status",
        title="A status",
        description="One customer status.",
        mime_type=MIME_TYPE,
    ),
)


class Palette(BaseModel):
    """The colours that can be written."""

    status_colors: tuple[str, ...]
    segment_colors: tuple[str, ...]


def uris_of(changed: Changed) -> list[str]:
    """The resources that are another after a change."""
    if changed.kind == "journal":
        return [CHANGES]
    collection = SEGMENTS if changed.kind == "segment" else STATUSES
    items = [f"{collection}/{item}" for item in changed.ids]
    return [*items, collection, *([ACCOUNT] if changed.comes_or_goes else [])]


class Resources:
    """The resources of one account."""

    def __init__(self, account: AmoAccount) -> None:
        self._account = account

    async def listed(self) -> list[Resource]:
        """What is always there, then every segment and status of the account's mode by its own name.

        When the account cannot be read, the list has what is always there.
        """
        segments: Sequence[Segment] = []
        statuses: Sequence[Status] = []
        try:
            mode = (await self._account.recent_account()).customers_mode
            segments = await self._account.recent_segments() if mode == "segments" else []
            statuses = await self._account.recent_statuses() if mode == "periodicity" else []
        except Exception as error:  # noqa: BLE001 - what was not foreseen is raised anew, in our own words
            _foreseen(error)
        newest = await self._account.journal.changes(1)
        last = datetime.fromtimestamp(int(newest[0][1].at), UTC) if newest else None
        changed = max((segment.updated_at for segment in segments if segment.updated_at), default=None)
        return [
            _resource(ACCOUNT, "account", "The account", "Its mode, and how much of each limit is used."),
            _resource(PALETTE, "palette", "The colours", "The colours that statuses and segments can have."),
            _resource(SEGMENTS, "segments", "All segments", "The customer segments in short.", changed),
            _resource(STATUSES, "statuses", "All statuses", "The customer statuses by position."),
            _resource(CHANGES, "changes", "Changes", "What was changed through this server, newest first.", last),
            *(_item(SEGMENTS, "Segment", item, item.updated_at) for item in sorted(segments, key=lambda item: item.id)),
            *(_item(STATUSES, "Status", item, None) for item in sorted(statuses, key=lambda item: item.id)),
        ]

    async def read(self, uri: str) -> str:
        """What the resource says, as compact JSON.

        Raises:
            ResourceNotFoundError: there is no such resource.
            ResourceError: the account cannot be read; the text says why.
        """
        try:
            answer = await self._answer(uri)
        except Exception as error:
            raise ResourceError(str(_foreseen(error))) from error
        if answer is None:
            raise ResourceNotFoundError(f"There is no resource {sanitize(uri, 120)}")
        told = answer.model_dump(mode="json", exclude_none=True, exclude_unset=True)
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))

    async def complete(self, argument: str, value: str) -> Completion:
        """Ids for `segment_id` or `status_id`, by the beginning of the id or any part of the name, best first."""
        ask: dict[str, Callable[[], Any]] = {
            "segment_id": self._account.recent_segments,
            "status_id": self._account.recent_statuses,
        }
        try:
            items: Sequence[Segment | Status] = await ask[argument]() if argument in ask else []
        except Exception as error:  # noqa: BLE001 - what was not foreseen is raised anew, in our own words
            _foreseen(error)
            items = []
        ranked = sorted(
            (rank, item.name.casefold(), item.id) for item in items if (rank := _rank(item, value)) is not None
        )
        values = [str(item_id) for _, _, item_id in ranked]
        return Completion(values=values[:MOST_COMPLETIONS], total=len(values), has_more=len(values) > MOST_COMPLETIONS)

    async def _answer(self, uri: str) -> BaseModel | None:
        account = self._account
        match uri:
            case "amo://account":
                return await self._overview()
            case "amo://palette":
                return Palette(status_colors=STATUS_COLORS, segment_colors=SEGMENT_COLORS)
            case "amo://changes":
                from amo_mcp.tools.changes import change_list

                await account.settle()
                return await change_list(account)
            case "amo://segments":
                from amo_mcp.tools.segments import segment_list

                self._needs("segments")
                return segment_list(await account.recent_segments())
            case "amo://statuses":
                from amo_mcp.tools.statuses import status_list

                self._needs("periodicity")
                return status_list(await account.recent_statuses())
        item = _ITEM.fullmatch(uri)
        if item is None:
            return None
        items: Sequence[Segment | Status] = await (
            account.recent_segments() if item[1] == "segments" else account.recent_statuses()
        )
        return next((found for found in items if found.id == int(item[2])), None)

    def _needs(self, mode: str) -> None:
        """Do not ask for what the account, as it was read a moment ago, does not have.

        Raises:
            ModeDisabled: the account is in another mode.
        """
        known = self._account.known_mode
        if known not in ("", mode):
            raise ModeDisabled(mode, known)

    async def _overview(self) -> BaseModel:
        from amo_mcp.tools.account import overview, used_in_periodicity, used_in_segments

        account = self._account
        told, used = await account.recent_account(), []
        if told.customers_mode == "segments":
            used = used_in_segments(len(await account.recent_segments()), len(await account.recent_fields()))
        if told.customers_mode == "periodicity":
            used = used_in_periodicity(len(await account.recent_statuses()))
        return overview(account, told, used)


def _foreseen(error: Exception) -> ToolFailure:
    """The failure that `error` means; of a mistake of our own nothing but that it is one is told.

    Raises:
        MCPError: it is a mistake of our own.
    """
    failure = explain(error)
    if failure is None:
        logger.error("A resource failed unexpectedly: %s", type(error).__name__)
        raise MCPError(code=INTERNAL_ERROR, message="The server made a mistake.") from None
    return failure


def _resource(uri: str, name: str, title: str, description: str, changed: datetime | None = None) -> Resource:
    return Resource(
        uri=uri,
        name=name,
        title=title,
        description=description,
        mime_type=MIME_TYPE,
        annotations=Annotations(last_modified=iso_utc(changed)) if changed else None,
    )


def _item(collection: str, kind: str, item: Segment | Status, changed: datetime | None) -> Resource:
    name = sanitize(item.name) or f"{kind} {item.id}"
    return _resource(f"{collection}/{item.id}", name, name, f"{kind} {item.id}", changed)


def _rank(item: Segment | Status, value: str) -> int | None:
    """How well an item fits what was typed: 0 is best, None not at all."""
    typed, name, item_id = value.strip().casefold(), item.name.casefold(), str(item.id)
    fits = (
        typed == item_id,
        item_id.startswith(typed),
        name.startswith(typed),
        any(word.startswith(typed) for word in name.split()),
        typed in name,
    )
    return fits.index(True) if any(fits) else None
