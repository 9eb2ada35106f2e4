"""The five segment endpoints as tools (reference: «Статусы и сегменты покупателей», the segments mode)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_serializer
from pydantic.json_schema import SkipJsonSchema

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.custom_fields import FieldInput, to_api_values
from amo_mcp.amocrm.inputs import (
    BLANK_IS_NONE,
    EMPTY_IS_NONE,
    LAX,
    ZERO_IS_NONE,
    EntityId,
    Name,
    SegmentColor,
    SegmentDraft,
    SegmentPatch,
    Text,
)
from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_SEGMENTS, MAX_VALUES, SEGMENT_COLORS
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import CustomField, Segment
from amo_mcp.changes.membership import remembering
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Create, Delete, Update, fields_of
from amo_mcp.failures.failure import invalid_arguments
from amo_mcp.text import fold
from amo_mcp.tools.runtime.answers import Deleted, UnreadableEntries, Updated, unreadable_in
from amo_mcp.tools.runtime.paging import Cursor, cursor_after, first_that_fit, parse_cursor
from amo_mcp.tools.runtime.tool import CREATE, DESTRUCTIVE, READ, Confirm, CurrentAccount, Output, tool

SegmentId = Annotated[EntityId, Field(description="Segment id")]
Color = Annotated[
    SegmentColor | None, BLANK_IS_NONE, Field(description="Colour", json_schema_extra={"enum": list(SEGMENT_COLORS)})
]
Fields = Annotated[
    list[FieldInput] | None, Field(max_length=MAX_SEGMENT_FIELDS, description="Custom field values"), EMPTY_IS_NONE
]
PriceTypes = Annotated[
    list[EntityId] | None, Field(max_length=MAX_VALUES, description="Ids of price-type catalog fields"), BLANK_IS_NONE
]
Detail = Literal["concise", "full"]

_CONCISE = ("id", "name", "color", "customers_count", "updated_at")


class SegmentList(Output):
    """The segments of the account, by id. `detail` is no part of the answer: it says how much of each is written."""

    segments: list[Segment]
    total: int
    limit: int
    next_cursor: str | None = None
    unreadable: UnreadableEntries = None
    detail: SkipJsonSchema[Detail] = Field(default="concise", exclude=True)

    @field_serializer("segments", mode="wrap", when_used="json")
    def _in_detail(self, segments: list[Segment], serialize: SerializerFunctionWrapHandler) -> Any:
        return serialize(segments) if self.detail == "full" else [_concise(segment) for segment in segments]


def _concise(segment: Segment) -> dict[str, Any]:
    values, given = vars(segment), segment.model_fields_set
    return {name: values[name] for name in _CONCISE if name in given and values[name] is not None}


class CreatedSegment(Output):
    """What was created."""

    segment: Segment
    change_id: str


@tool("List segments", READ, on_board=True)
async def list_segments(
    account: CurrentAccount,
    search: Annotated[Text | None, Field(description="Part of the name, in any case")] = None,
    detail: Annotated[Detail | None, BLANK_IS_NONE, Field(description="full adds everything else")] = "concise",
    limit: Annotated[
        Annotated[int, Field(ge=1, le=MAX_SEGMENTS), LAX] | None, ZERO_IS_NONE, Field(description="Page size")
    ] = None,
    cursor: Cursor = None,
) -> SegmentList:
    """List (show) the customer segments, or find some by name. They exist in the segments mode only."""
    start = parse_cursor(cursor)
    return segment_list(await account.client.segments(), search, detail or "concise", limit, start)


def segment_list(
    segments: Listing[Segment],
    search: str | None = None,
    detail: Detail = "concise",
    limit: int | None = None,
    start: int | None = None,
) -> SegmentList:
    """One page of the segments, by id: those after the id `start` whose name has `search` in it.

    A page has at most `limit` of them, and as many as fit into its bytes.
    """
    found = sorted(segments, key=lambda segment: segment.id)
    if search is not None:
        found = [segment for segment in found if fold(search) in fold(segment.name)]
    rest = [segment for segment in found if start is None or segment.id > start]
    page = first_that_fit(rest[:limit]) if detail == "full" else first_that_fit(rest[:limit], _concise)
    return SegmentList(
        segments=page,
        total=len(found),
        limit=MAX_SEGMENTS,
        next_cursor=cursor_after(page[-1].id) if len(page) < len(rest) else None,
        unreadable=unreadable_in(segments),
        detail=detail,
    )


@tool("Get a segment", READ)
async def get_segment(segment_id: SegmentId, account: CurrentAccount) -> Segment:
    """Get the details of one customer segment by id, with how many customers are in it."""
    return await account.client.segment(segment_id)


@tool("Create a segment", CREATE)
async def create_segment(
    account: CurrentAccount,
    name: Annotated[Name, Field(description="Name")],
    color: Color = None,
    custom_fields_values: Fields = None,
    available_products_price_types: PriceTypes = None,
) -> CreatedSegment:
    """Create (add) a customer segment; an account holds at most 100. move_customers fills it."""
    _, values = await _read_fields(account, custom_fields_values)
    draft = SegmentDraft(
        name=name,
        color=color,
        custom_fields_values=values or None,
        available_products_price_types=available_products_price_types,
    )
    execution = await account.execute("create_segment", PendingChange((Create(draft),)))
    [segment] = execution.created(Segment)
    return CreatedSegment(segment=segment, change_id=execution.record.id)


@tool("Change a segment", DESTRUCTIVE)
async def update_segment(
    segment_id: SegmentId,
    account: CurrentAccount,
    name: Annotated[Name | None, Field(description="New name")] = None,
    color: Annotated[SegmentColor | None, BLANK_IS_NONE, Field(description="New colour, as in create_segment")] = None,
    custom_fields_values: Fields = None,
    available_products_price_types: PriceTypes = None,
) -> Confirm[Updated[Segment]]:
    """Rename, recolour or edit a customer segment, after a person has confirmed it. Pass at least one field."""
    definitions, values = await _read_fields(account, custom_fields_values)
    patch = SegmentPatch(
        name=name,
        color=color,
        custom_fields_values=values or None,
        available_products_price_types=available_products_price_types,
    )
    if not patch.to_payload():
        raise invalid_arguments([(", ".join(SegmentPatch.model_fields), "at least one of them is required")])
    steps = (Update(await account.client.segment(segment_id), patch),)
    return Confirm(PendingChange(steps, fields_of(steps, definitions)))


async def _read_fields(
    account: AmoAccount, given: list[FieldInput] | None
) -> tuple[Sequence[CustomField], list[dict[str, Any]]]:
    """The definitions of the account's fields, and what is sent for the given values."""
    if not given:
        return [], []
    definitions = await account.client.segment_fields()
    return definitions, to_api_values(given, definitions, await account.profile.zone())


@tool("Delete a segment", DESTRUCTIVE)
async def delete_segment(segment_id: SegmentId, account: CurrentAccount) -> Confirm[Deleted[Segment]]:
    """Delete (remove) a customer segment, after a person has confirmed it. Its customers stay."""
    steps = (Delete(await account.client.segment(segment_id)),)
    return Confirm(PendingChange(await remembering(account.client, steps)))


TOOLS = (list_segments, get_segment, create_segment, update_segment, delete_segment)
