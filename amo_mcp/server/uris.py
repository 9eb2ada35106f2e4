"""The `amo://` resources by their URIs, and which of them a change affects."""

from typing import TYPE_CHECKING, assert_never

from mcp_types import ResourceTemplate

if TYPE_CHECKING:
    from amo_mcp.changes.events import ChangeEvent

ACCOUNT, PALETTE, SEGMENTS, STATUSES = "amo://account", "amo://palette", "amo://segments", "amo://statuses"
CHANGES = "amo://changes"
MIME_TYPE = "application/json"

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


def uris_of(event: "ChangeEvent") -> list[str] | None:
    """URIs of the resources that a change affects; None where it may have affected any."""
    match event.kind:
        case "anything":
            return None
        case "journal":
            return [CHANGES]
        case "segment":
            collection = SEGMENTS
        case "status":
            collection = STATUSES
        case _:
            assert_never(event.kind)
    entities = [f"{collection}/{entity_id}" for entity_id in event.ids]
    return [*entities, collection, *([ACCOUNT] if event.adds_or_removes else [])]
