"""`amo://` resources: what there is, and what each says.

Each says what its tool says. All of them are served from what was read a moment ago, so that a client that reads every
resource of a full account costs three requests.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from mcp_types import Annotations, Resource
from pydantic import BaseModel

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.errors import AmoError, ModeDisabled
from amo_mcp.amocrm.limits import SEGMENT_COLORS, STATUS_COLORS
from amo_mcp.amocrm.models import Segment, Status, iso_utc
from amo_mcp.changes.steps import Entity
from amo_mcp.server.uris import ACCOUNT, CHANGES, MIME_TYPE, PALETTE, SEGMENTS, STATUSES
from amo_mcp.text import sanitize
from amo_mcp.tools.account import overview
from amo_mcp.tools.changes import change_list
from amo_mcp.tools.segments import segment_list
from amo_mcp.tools.statuses import status_list

_ENTITY = re.compile(r"amo://(segments|statuses)/([1-9][0-9]{0,18})")


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
        _resource(ACCOUNT, "account", "The account", "Its mode, and how much of each limit is used."),
        _resource(PALETTE, "palette", "The colours", "The colours that statuses and segments can have."),
        _resource(SEGMENTS, "segments", "All segments", "The customer segments in short.", last_update),
        _resource(STATUSES, "statuses", "All statuses", "The customer statuses by position."),
        _resource(CHANGES, "changes", "Changes", "What was changed through this server, newest first.", last_change),
        *(_entity(SEGMENTS, "Segment", one, one.updated_at) for one in sorted(segments, key=lambda one: one.id)),
        *(_entity(STATUSES, "Status", one, None) for one in sorted(statuses, key=lambda one: one.id)),
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
    return None if answer is None else answer.model_dump_json(exclude_none=True, exclude_unset=True)


async def _answer(account: AmoAccount, uri: str) -> BaseModel | None:
    reads = account.cached
    match uri:
        case "amo://account":
            return await overview(reads, account.host)
        case "amo://palette":
            return Palette(status_colors=STATUS_COLORS, segment_colors=SEGMENT_COLORS)
        case "amo://changes":
            await account.recover()
            return await change_list(account)
        case "amo://segments":
            _check_mode(account, "segments")
            return segment_list(await reads.segments())
        case "amo://statuses":
            _check_mode(account, "periodicity")
            return status_list(await reads.statuses())
    match = _ENTITY.fullmatch(uri)
    if match is None:
        return None
    entities: Sequence[Entity] = await (reads.segments() if match[1] == "segments" else reads.statuses())
    return next((entity for entity in entities if entity.id == int(match[2])), None)


def _check_mode(account: AmoAccount, needed: str) -> None:
    """Raise ModeDisabled when the account, as it was read a moment ago, is in another mode than `needed`."""
    known = account.cached.known_mode
    if known not in ("", needed):
        raise ModeDisabled(needed, known)


def _resource(uri: str, name: str, title: str, description: str, changed: datetime | None = None) -> Resource:
    return Resource(
        uri=uri,
        name=name,
        title=title,
        description=description,
        mime_type=MIME_TYPE,
        annotations=Annotations(last_modified=iso_utc(changed)) if changed else None,
    )


def _entity(collection: str, kind: str, entity: Entity, changed: datetime | None) -> Resource:
    name = sanitize(entity.name) or f"{kind} {entity.id}"
    return _resource(f"{collection}/{entity.id}", name, name, f"{kind} {entity.id}", changed)
