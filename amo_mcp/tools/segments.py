"""The five segment endpoints as tools (reference: "Статусы и сегменты покупателей", the segments mode)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import Field, SerializerFunctionWrapHandler, field_serializer

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.custom_fields import FieldInput, to_api_values
from amo_mcp.amocrm.inputs import LAX, EntityId, Name, SegmentColor, SegmentDraft, SegmentPatch, Text
from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_SEGMENTS, SEGMENT_COLORS
from amo_mcp.amocrm.models import CustomField, FieldValue, Segment, comparable, with_iso_dates
from amo_mcp.changes.steps import Change
from amo_mcp.confirmation.ask import Answer, Called, Confirm, ask, carry_out
from amo_mcp.confirmation.question import Question, difference, renaming
from amo_mcp.failures import invalid_arguments
from amo_mcp.text import quote, quote_unless_code
from amo_mcp.tools.runtime.paging import after as after_id
from amo_mcp.tools.runtime.paging import cursor_for
from amo_mcp.tools.runtime.tool import CREATE, DESTROY, READ, CurrentAccount, Output, tool

SegmentId = Annotated[EntityId, Field(description="Segment id")]
Color = Annotated[SegmentColor | None, Field(description="Colour", json_schema_extra={"enum": list(SEGMENT_COLORS)})]
Fields = Annotated[list[FieldInput] | None, Field(max_length=MAX_SEGMENT_FIELDS, description="Custom field values")]
PriceTypes = Annotated[
    list[EntityId] | None, Field(max_length=250, description="Ids of catalogue fields of the type price")
]

_CONCISE = ("id", "name", "color", "customers_count", "updated_at")
_MOST_SHOWN = 5


class SegmentList(Output):
    """The segments of the account, by id."""

    segments: list[Segment]
    total: int
    limit: int
    next_cursor: str | None = None

    _in_full: bool = False

    @field_serializer("segments", mode="wrap", when_used="json")
    def _told(self, segments: list[Segment], tell: SerializerFunctionWrapHandler) -> Any:
        if self._in_full:
            return tell(segments)
        return [_concise(segment) for segment in segments]


def _concise(segment: Segment) -> dict[str, Any]:
    values, held = vars(segment), segment.model_fields_set
    return {name: values[name] for name in _CONCISE if name in held and values[name] is not None}


class CreatedSegment(Output):
    """What was created."""

    segment: Segment
    change_id: str


class SegmentUpdate(Output):
    """A segment before and after."""

    before: Segment
    after: Segment
    change_id: str


class SegmentDeletion(Output):
    """The segment as it was."""

    deleted: Segment
    change_id: str


@tool("List segments", READ)
async def list_segments(
    account: CurrentAccount,
    search: Annotated[Text | None, Field(description="Part of the name, in any case")] = None,
    detail: Annotated[Literal["concise", "full"], Field(description="full adds everything else")] = "concise",
    limit: Annotated[Annotated[int, Field(ge=1, le=MAX_SEGMENTS), LAX] | None, Field(description="Page size")] = None,
    cursor: Annotated[Text | None, Field(description="next_cursor of the page before")] = None,
) -> SegmentList:
    """List the customer segments. They exist in the segments mode only."""
    start = after_id(cursor)
    return segment_list(await account.client.segments(), search, detail, limit, start)


def segment_list(
    segments: Sequence[Segment],
    search: str | None = None,
    detail: Literal["concise", "full"] = "concise",
    limit: int | None = None,
    start: int | None = None,
) -> SegmentList:
    """One page of the segments, by id: those after the id `start` whose name has `search` in it."""
    found = sorted(segments, key=lambda segment: segment.id)
    if search is not None:
        found = [segment for segment in found if search.strip().casefold() in segment.name.casefold()]
    rest = [segment for segment in found if start is None or segment.id > start]
    page = rest[:limit]
    told = SegmentList(
        segments=page,
        total=len(found),
        limit=MAX_SEGMENTS,
        next_cursor=cursor_for(page[-1].id) if len(page) < len(rest) else None,
    )
    told._in_full = detail == "full"  # noqa: SLF001 - a private attribute is no part of the answer
    return told


@tool("Get a segment", READ)
async def get_segment(segment_id: SegmentId, account: CurrentAccount) -> Segment:
    """Get one customer segment by id, whole."""
    return await account.client.segment(segment_id)


@tool("Create a segment", CREATE)
async def create_segment(
    account: CurrentAccount,
    name: Annotated[Name, Field(description="Name")],
    color: Color = None,
    custom_fields_values: Fields = None,
    available_products_price_types: PriceTypes = None,
) -> CreatedSegment:
    """Create a customer segment; an account holds at most 100. Conditions and members cannot be set here."""
    definitions = await account.client.segment_fields() if custom_fields_values else []
    draft = SegmentDraft(
        name=name,
        color=color,
        custom_fields_values=to_api_values(custom_fields_values or [], definitions) or None,
        available_products_price_types=available_products_price_types,
    )
    change = await account.create_segment(draft)
    return CreatedSegment(segment=_after(change), change_id=change.id)


@dataclass(frozen=True)
class UpdateSegment:
    """A segment and what it shall become."""

    segment: Segment
    patch: SegmentPatch
    definitions: Sequence[CustomField]

    def question(self) -> Question:
        """Before and after, and nothing else of the segment changes."""
        segment, patch = self.segment, self.patch
        prices, shall = segment.available_products_price_types, patch.available_products_price_types
        return Question(
            f"Change segment {quote(segment.name)}",
            f"Segment id {segment.id}, customers: {_count(segment)}.",
            "" if patch.name is None else renaming("Name", segment.name, patch.name),
            "" if patch.color is None else difference("Colour", quote_unless_code(segment.color), patch.color),
            "" if shall is None else difference("Price fields", _some(prices), _some(shall)),
            *(self._field(sent) for sent in patch.custom_fields_values or []),
        )

    async def still_stands(self, account: AmoAccount) -> bool:
        """Whether the segment and the fields' definitions are what was shown; customers may come and go."""
        if self.definitions and await account.client.segment_fields() != self.definitions:
            return False
        return comparable(await account.client.segment(self.segment.id)) == comparable(self.segment)

    async def write(self, account: AmoAccount) -> SegmentUpdate:
        """Change it."""
        change = await account.update(self.segment, self.patch)
        return SegmentUpdate(before=self.segment, after=_after(change), change_id=change.id)

    def _field(self, sent: dict[str, Any]) -> str:
        definition = next(item for item in self.definitions if item.id == sent["field_id"])
        held = [field for field in self.segment.custom_fields_values if field["field_id"] == definition.id]
        before = _values(held[0]["values"], definition) if held else ""
        return difference(f"Field {quote(definition.name)}", before, _values(sent["values"] or [], definition))


@dataclass(frozen=True)
class DeleteSegment:
    """A segment that shall go."""

    segment: Segment

    def question(self) -> Question:
        """What is lost with it."""
        segment = self.segment
        filled = len([field for field in segment.custom_fields_values if field["values"]])
        return Question(
            f"Delete segment {quote(segment.name)}",
            f"Segment id {segment.id}, colour {quote_unless_code(segment.color) or 'none'}, filled fields: {filled}.",
            f"Customers in it: {_count(segment)}. They stay in the account, without this segment.",
            "Its members and its conditions cannot be brought back.",
        )

    async def still_stands(self, account: AmoAccount) -> bool:
        """Whether the segment is what was shown, its customers included."""
        now = await account.client.segment(self.segment.id)
        return (comparable(now), now.customers_count) == (comparable(self.segment), self.segment.customers_count)

    async def write(self, account: AmoAccount) -> SegmentDeletion:
        """Delete it."""
        change = await account.delete(self.segment)
        return SegmentDeletion(deleted=self.segment, change_id=change.id)


async def confirm_update(
    segment_id: int,
    name: str | None,
    color: str | None,
    custom_fields_values: list[FieldInput] | None,
    available_products_price_types: list[int] | None,
    ctx: Called,
) -> Elicit[Confirm]:
    """The question before a change."""
    if (name, color, custom_fields_values or None, available_products_price_types) == (None, None, None, None):
        wanted = "name, color, custom_fields_values, available_products_price_types"
        raise invalid_arguments([(wanted, "at least one of them is required")])

    async def prepare(account: AmoAccount) -> UpdateSegment:
        definitions = await account.client.segment_fields() if custom_fields_values else []
        patch = SegmentPatch(
            name=name,
            color=color,
            custom_fields_values=to_api_values(custom_fields_values or [], definitions) or None,
            available_products_price_types=available_products_price_types,
        )
        return UpdateSegment(await account.client.segment(segment_id), patch, definitions)

    return await ask(ctx, prepare)


@tool("Change a segment", DESTROY)
async def update_segment(
    segment_id: SegmentId,
    answer: Annotated[Answer, Resolve(confirm_update)],
    ctx: Called,
    name: Annotated[Name | None, Field(description="New name")] = None,
    color: Annotated[SegmentColor | None, Field(description="New colour, as in create_segment")] = None,
    custom_fields_values: Fields = None,
    available_products_price_types: PriceTypes = None,
) -> SegmentUpdate:
    """Change a customer segment, after a person has confirmed it. Give at least one change; the rest stays."""
    updated: SegmentUpdate = await carry_out(ctx, answer)
    return updated


async def confirm_delete(segment_id: int, ctx: Called) -> Elicit[Confirm]:
    """The question before a deletion."""

    async def prepare(account: AmoAccount) -> DeleteSegment:
        return DeleteSegment(await account.client.segment(segment_id))

    return await ask(ctx, prepare)


@tool("Delete a segment", DESTROY)
async def delete_segment(
    segment_id: SegmentId, answer: Annotated[Answer, Resolve(confirm_delete)], ctx: Called
) -> SegmentDeletion:
    """Delete a customer segment, after a person has confirmed it. Its members cannot be brought back."""
    deletion: SegmentDeletion = await carry_out(ctx, answer)
    return deletion


def _after(change: Change) -> Segment:
    """What a change of one segment has made of it."""
    after = change.steps[0].after
    assert isinstance(after, Segment)  # noqa: S101 - a creation or update that is done has made a segment
    return after


def _values(values: Sequence[FieldValue], definition: CustomField) -> str:
    """The values as a person reads them: the text of a choice, a moment in ISO 8601."""
    texts = {choice.id: choice.value for choice in definition.enums}
    told = with_iso_dates(values, definition.type)
    return _some([quote(str(texts.get(item.get("enum_id") or 0, item.get("value")))) for item in told])


def _some(items: Sequence[object]) -> str:
    """The first few, and how many more."""
    more = len(items) - _MOST_SHOWN
    return ", ".join(map(str, items[:_MOST_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _count(segment: Segment) -> str:
    return "unknown" if segment.customers_count is None else str(segment.customers_count)


TOOLS = (list_segments, get_segment, create_segment, update_segment, delete_segment)
