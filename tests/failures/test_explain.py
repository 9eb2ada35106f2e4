"""How failures are worded."""

import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusPatch
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.differences import described
from amo_mcp.changes.snapshot import Snapshot, drift
from amo_mcp.changes.steps import Create, Delete, Entity, Update

VIP = Segment(id=51, name="VIP", color="6610f2", customers_count=48)
NEW = Segment(id=54, name="Новички", color="2176ff", customers_count=0, available_products_price_types=[7])
WARM = Status(id=10, name="Тёплые", sort=0, color="#fffeb2")
CLOSED = Status(id=13, name="Закрытые", sort=1, color="#d5d8db", is_default=True)
STEPS = (
    Update(VIP, SegmentPatch(name="Лучшие")),
    Delete(NEW),
    Update(WARM, StatusPatch(sort=5)),
    Create(SegmentDraft(name="Гости")),
)


def snapshot(*entities: Entity) -> Snapshot:
    segments = {entity.id: entity for entity in entities if isinstance(entity, Segment)}
    statuses = {entity.id: entity for entity in entities if isinstance(entity, Status)}
    return Snapshot({"segment": segments, "status": statuses})


def with_fields(count: int) -> Segment:
    """VIP with values in so many custom fields."""
    fields = [
        {"field_id": number, "field_name": f"Поле {number}", "field_type": "text", "values": [{"value": "а"}]}
        for number in range(1, count + 1)
    ]
    return Segment.model_validate({**VIP.model_dump(exclude_unset=True), "custom_fields_values": fields})


@pytest.mark.parametrize(
    ("now", "differs"),
    [
        ((VIP, NEW, WARM, CLOSED), []),
        ((VIP, NEW, WARM), []),
        ((VIP.model_copy(update={"customers_count": 1}), NEW, WARM.model_copy(update={"sort": 9})), []),
        ((NEW, WARM), ["segment «VIP» (id 51) is no longer there."]),
        (
            (VIP.model_copy(update={"name": "Другие", "color": "10599d"}), NEW, WARM),
            [
                "segment «VIP» (id 51): name was «VIP» and is now «Другие».",
                "segment «VIP» (id 51): colour was 6610f2 and is now 10599d.",
            ],
        ),
        (
            (VIP, NEW.model_copy(update={"customers_count": 2}), WARM),
            ["segment «Новички» (id 54): customer count was 0 and is now 2."],
        ),
        (
            (
                VIP,
                NEW.model_copy(update={"available_products_price_types": []}),
                WARM.model_copy(update={"conditions": [1]}),
            ),
            [
                "segment «Новички» (id 54): price fields were 7 and are now empty.",
                "status «Тёплые» (id 10): conditions were empty and are now 1.",
            ],
        ),
        ((with_fields(1), NEW, WARM), ["segment «VIP» (id 51): field «Поле 1» was empty and is now «а»."]),
        (
            (with_fields(2), NEW, WARM),
            [f"segment «VIP» (id 51): field «Поле {number}» was empty and is now «а»." for number in (1, 2)],
        ),
        (
            (with_fields(6), NEW, WARM),
            [
                *(f"segment «VIP» (id 51): field «Поле {n}» was empty and is now «а»." for n in range(1, 6)),
                "And 1 more.",
            ],
        ),
    ],
)
def test_a_difference_is_described_by_what_was_and_what_is(now: tuple[Entity, ...], differs: list[str]) -> None:
    assert described(drift(STEPS, snapshot(*now)), 5) == differs
