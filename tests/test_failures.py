"""How failures are worded."""

import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusPatch
from amo_mcp.amocrm.models import Segment, Status
from amo_mcp.changes.snapshot import Snapshot, drift
from amo_mcp.changes.steps import Create, Delete, Entity, Update
from amo_mcp.failures import describe

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
            ["segment «VIP» (id 51): name and colour have changed."],
        ),
        (
            (VIP, NEW.model_copy(update={"customers_count": 2}), WARM),
            ["segment «Новички» (id 54): customer count has changed."],
        ),
        (
            (
                VIP,
                NEW.model_copy(update={"available_products_price_types": []}),
                WARM.model_copy(update={"conditions": [1]}),
            ),
            [
                "segment «Новички» (id 54): price fields have changed.",
                "status «Тёплые» (id 10): conditions have changed.",
            ],
        ),
        ((with_fields(1), NEW, WARM), ["segment «VIP» (id 51): field «Поле 1» has changed."]),
        (
            (with_fields(2), NEW, WARM),
            ["segment «VIP» (id 51): field «Поле 1» and field «Поле 2» have changed."],
        ),
        ((with_fields(6), NEW, WARM), ["segment «VIP» (id 51): 6 custom fields have changed."]),
    ],
)
def test_a_difference_is_described_by_the_names_of_the_settings(now: tuple[Entity, ...], differs: list[str]) -> None:
    assert [describe(difference) for difference in drift(STEPS, snapshot(*now))] == differs
