"""The audit, for admins: filtered, in pages, and as JSON lines."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from amo_mcp.language import texts
from amo_mcp.pages.guard import HEADERS
from amo_mcp.team.audit import KINDS, Audit, Only, everything
from amo_mcp.team.page import language_of
from amo_mcp.team.pages.visit import Visit
from amo_mcp.team.pages.words import KIND_WORDS, told
from amo_mcp.text import escape_invisible, quote

EXPORT = "/audit.jsonl"

_MAX_WHO = 200

PAGE = 50
"""Entries on one page."""

_NUMBER = re.compile("[0-9]{1,18}", re.ASCII)
_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class AuditPage:
    """The page of the audit, and its export."""

    audit: Audit

    async def __call__(self, visit: Visit) -> Response:
        """One page, newest entries first."""
        asked, only = _asked(visit), _only(visit)
        before = _NUMBER.fullmatch(visit.request.query_params.get("before", ""))
        found = await self.audit.page(PAGE + 1, before and int(before[0]), only)
        language = texts(language_of(visit.request))
        return visit.page(
            "audit.html",
            {},
            entries=[(one, told(one.entry, language, visit.moment)) for one in found[:PAGE]],
            asked=asked,
            kinds=KINDS,
            kind_words=KIND_WORDS,
            export=f"{EXPORT}?{urlencode(asked)}",
            older=f"?{urlencode({**asked, 'before': found[PAGE - 1].number})}" if len(found) > PAGE else "",
            quote=quote,
        )

    async def export(self, visit: Visit) -> Response:
        """All that is looked for, a JSON object on each line."""
        headers = HEADERS | {
            "content-disposition": 'attachment; filename="audit.jsonl"',
            "content-security-policy": _POLICY,
        }
        return StreamingResponse(self._lines(_only(visit)), headers=headers, media_type="application/x-ndjson")

    async def _lines(self, only: Only) -> AsyncIterator[str]:
        async for one in everything(self.audit, only):
            yield escape_invisible(json.dumps(one.as_json(), ensure_ascii=False)) + "\n"


def _asked(visit: Visit) -> dict[str, str]:
    """What is looked for, as the form has it."""
    query = visit.request.query_params
    days = {name: _day(query.get(name, "")) for name in ("since", "until")}
    named = {"who": query.get("who", "").strip()[:_MAX_WHO], "kind": query.get("kind", "")}
    return named | {name: "" if day is None else str(day) for name, day in days.items()}


def _only(visit: Visit) -> Only:
    """What is looked for; the last day counts whole."""
    asked = _asked(visit)
    since, until = (_day(asked[name]) for name in ("since", "until"))
    return Only(
        who=asked["who"],
        kind=next((kind for kind in KINDS if kind == asked["kind"]), None),
        since=None if since is None else visit.zone.start(since),
        until=None if until is None else visit.zone.start(until + timedelta(days=1)),
    )


def _day(text: str) -> date | None:
    """A day; None where there is none, or what is there is no day."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year < 9000 else None
