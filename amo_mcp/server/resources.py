"""`amo://` resources: what there is, and what each says.

Each but the palette returns what its tool returns. All but the changes come from recent reads, so that a client that
reads every resource of a full account costs three requests.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from mcp_types import Annotations, Resource
from pydantic import BaseModel
from pydantic_core import to_json

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import Segment, Status, iso_utc
from amo_mcp.changes.steps import Entity, check_mode
from amo_mcp.server import uris
from amo_mcp.text import escape_invisible, sanitize
from amo_mcp.tools.account import overview
from amo_mcp.tools.changes import change_list
from amo_mcp.tools.runtime.answers import dumped
from amo_mcp.tools.segments import segment_list
from amo_mcp.tools.statuses import status_list

_ENTITY = re.compile(rf"({uris.SEGMENTS}|{uris.STATUSES})/([1-9][0-9]{{0,18}})")


class Palette(BaseModel):
    """The colours that can be written."""

    status_colors: tuple[str, ...]
    segment_colors: tuple[str, ...]


async def list_resources(account: AmoAccount) -> list[Resource]:
    """What is always there, then every segment and status of the account's mode by its own name.

    When the account cannot be read, the list has what is always there.

    Raises:
        JournalUnusable: the journal cannot be read.
    """
    segments, statuses = await _entities(account)
    newest = await account.journal.changes(1)
    last_change = datetime.fromtimestamp(int(newest[0][1].at), UTC) if newest else None
    last_update = max((segment.updated_at for segment in segments if segment.updated_at), default=None)
    return [
        _resource(uris.ACCOUNT, "account", "The account", "Its mode, and how much of each limit is used."),
        _resource(uris.PALETTE, "palette", "The colours", "The colours that statuses and segments can have."),
        _resource(uris.SEGMENTS, "segments", "All segments", "The customer segments in short.", last_update),
        _resource(uris.STATUSES, "statuses", "All statuses", "The customer statuses by position."),
        _resource(
            uris.CHANGES, "changes", "Changes", "What was changed through this server, newest first.", last_change
        ),
        *(_entity(uris.SEGMENTS, "Segment", one, one.updated_at) for one in sorted(segments, key=lambda one: one.id)),
        *(_entity(uris.STATUSES, "Status", one, None) for one in sorted(statuses, key=lambda one: one.id)),
    ]


async def _entities(account: AmoAccount) -> tuple[Sequence[Segment], Sequence[Status]]:
    try:
        mode = (await account.cached.account()).customers_mode
        segments = await account.cached.segments() if mode == "segments" else []
        statuses = await account.cached.statuses() if mode == "periodicity" else []
    except AmoError:
        return [], []
    return segments, statuses


async def read_resource(account: AmoAccount, uri: str) -> str | None:
    """What the resource says, as compact JSON; None when there is no such resource."""
    answer = await _answer(account, uri)
    return None if answer is None else escape_invisible(to_json(await dumped(answer, account.profile)).decode())


async def _answer(account: AmoAccount, uri: str) -> BaseModel | None:
    reads = account.cached
    match uri:
        case uris.ACCOUNT:
            return await overview(reads, account)
        case uris.PALETTE:
            return Palette(status_colors=STATUS_COLORS, segment_colors=SEGMENT_COLORS)
        case uris.CHANGES:
            await account.recover()
            return await change_list(account)
        case uris.SEGMENTS:
            check_mode("segment", reads.known_mode)
            return segment_list(await reads.segments())
        case uris.STATUSES:
            check_mode("status", reads.known_mode)
            return status_list(await reads.statuses())
    match = _ENTITY.fullmatch(uri)
    if match is None:
        return None
    entities: Sequence[Entity] = await (reads.segments() if match[1] == uris.SEGMENTS else reads.statuses())
    return next((entity for entity in entities if entity.id == int(match[2])), None)


def _resource(uri: str, name: str, title: str, description: str, changed: datetime | None = None) -> Resource:
    return Resource(
        uri=uri,
        name=name,
        title=title,
        description=description,
        mime_type=uris.MIME_TYPE,
        annotations=Annotations(last_modified=iso_utc(changed)) if changed else None,
    )


def _entity(collection: str, kind: str, entity: Entity, changed: datetime | None) -> Resource:
    name = sanitize(entity.name) or f"{kind} {entity.id}"
    return _resource(f"{collection}/{entity.id}", name, name, f"{kind} {entity.id}", changed)
