"""What became of the steps of a change: the latest that happened to each of them counts."""

from dataclasses import replace

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.history import JournalEntry, RecreatedIds, can_be_undone, current_record
from amo_mcp.changes.members import Member
from amo_mcp.changes.records import ChangeRecord, ChangeStatus
from amo_mcp.changes.steps import Action, Create, Delete, Move, Outcome, Step, Update

NONE = RecreatedIds()


def step(action: Action, entity_id: int = 51, *, undoes: int | None = None, outcome: Outcome = "done") -> Step:
    entity = Segment(id=entity_id, name="A")
    match action:
        case "create":
            return Create(SegmentDraft(name="A"), after=entity, outcome=outcome, undoes=undoes)
        case "update":
            return Update(entity, SegmentPatch(name="A"), after=entity, outcome=outcome, undoes=undoes)
        case "delete":
            return Delete(entity, outcome=outcome, undoes=undoes)
        case "move":
            there = Member(5, (51,))
            return Move("segment", (Member(5, ()),), (entity,), found=(there,), outcome=outcome, undoes=undoes)


def entry(
    number: int, *steps: Step, undos: tuple[JournalEntry, ...] = (), status: ChangeStatus = "done"
) -> JournalEntry:
    """A change of which nothing was recorded after its end."""
    return JournalEntry(number, ChangeRecord(f"c{number}", number, "tool", steps, status), number, undos)


def outcomes(change: JournalEntry, recreated: RecreatedIds = NONE) -> list[Outcome]:
    return [step.outcome for step in current_record(change, recreated).steps]


def test_the_latest_of_what_happened_to_a_step_counts_however_far_down_it_happened() -> None:
    undoing = step("update", undoes=0)
    last = entry(6, undoing)
    redo = entry(3, undoing, undos=(last,))
    first, second = entry(2, undoing, undos=(redo,)), entry(4, undoing, undos=(entry(5, undoing),))
    assert outcomes(entry(1, step("update"), undos=(first, second))) == ["undone"]
    assert outcomes(redo) == ["undone"]
    assert outcomes(first) == ["done"]
    earlier = entry(2, undoing, undos=(entry(3, undoing),))
    assert outcomes(entry(1, step("update"), undos=(earlier, second))) == ["done"]


def test_what_may_have_been_created_again_is_not_offered_to_be_created_a_second_time() -> None:
    seen: list[tuple[Outcome, list[Outcome]]] = []
    cases: tuple[Outcome, ...] = ("pending", "unknown", "failed", "planned", "done")
    for outcome in cases:
        undo = entry(2, step("create", 96, undoes=0, outcome=outcome), status="interrupted")
        seen.append((outcome, outcomes(entry(1, step("delete"), undos=(undo,)))))
    assert seen == [
        ("pending", ["unknown"]),
        ("unknown", ["unknown"]),
        ("failed", ["done"]),
        ("planned", ["done"]),
        ("done", ["undone"]),
    ]


def test_what_may_have_been_deleted_or_restored_can_be_tried_again() -> None:
    actions: tuple[Action, ...] = ("update", "delete")
    for action in actions:
        undo = entry(2, step(action, undoes=0, outcome="unknown"), status="interrupted")
        assert outcomes(entry(1, step("create"), undos=(undo,))) == ["done"]


def test_what_was_gone_when_the_rest_was_undone_is_undone_until_it_comes_back() -> None:
    undo = entry(3, step("update", 51, undoes=0))
    change = entry(1, step("update"), step("create", 96), undos=(undo,))
    assert outcomes(change) == ["undone", "undone"]
    assert outcomes(change, RecreatedIds([(2, "segment", 96, 99)])) == ["undone", "undone"]
    assert outcomes(change, RecreatedIds([(4, "segment", 96, 99)])) == ["undone", "done"]
    assert outcomes(change, RecreatedIds([(4, "status", 96, 99)])) == ["undone", "undone"]


def test_a_deletion_whose_undo_had_nothing_to_undo_is_done_again_until_the_entity_comes_back() -> None:
    redo = entry(4, step("update", 7, undoes=1))
    undo = entry(2, step("create", 96, undoes=0), step("update", 7, undoes=1), undos=(redo,))
    change = entry(1, step("delete", 51), step("update", 7), undos=(undo,))
    recreated = [(2, 51, 96), (5, 96, 99)]
    assert outcomes(change, RecreatedIds([(number, "segment", old, new) for number, old, new in recreated[:1]])) == [
        "done",
        "done",
    ]
    assert outcomes(change, RecreatedIds([(number, "segment", old, new) for number, old, new in recreated])) == [
        "undone",
        "done",
    ]


def test_a_deletion_that_was_back_already_when_the_rest_was_undone_stays_undone_when_it_comes_back_again() -> None:
    undo = entry(3, step("update", 7, undoes=1))
    change = entry(1, step("delete", 51), step("update", 7), undos=(undo,))
    assert outcomes(change, RecreatedIds([(2, "segment", 51, 96)])) == ["undone", "undone"]
    assert outcomes(change, RecreatedIds([(2, "segment", 51, 96), (5, "segment", 96, 99)])) == ["undone", "undone"]


def test_what_was_found_to_be_done_only_after_the_undo_began_is_not_undone() -> None:
    undo = entry(3, step("delete", 96, undoes=0))
    change = entry(1, step("create", 96), step("create", 99), undos=(undo,))
    assert outcomes(change) == ["undone", "undone"]
    assert outcomes(replace(change, noted_after=3)) == ["undone", "done"]


def test_an_undo_that_has_not_ended_leaves_what_it_does_not_touch_done() -> None:
    undo = entry(2, step("delete", 96, undoes=0), status="running")
    assert outcomes(entry(1, step("create", 96), step("create", 99), undos=(undo,))) == ["undone", "done"]


def test_the_status_of_a_change_follows_from_what_became_of_its_steps_once_it_has_ended() -> None:
    undo = entry(2, step("update", undoes=0))
    assert current_record(entry(1, step("update"), undos=(undo,)), NONE).status == "undone"
    assert current_record(entry(1, step("update"), status="running"), NONE).status == "running"
    assert current_record(entry(1, step("update", outcome="unknown"), status="failed"), NONE).status == "interrupted"


def test_an_updated_entity_is_as_its_last_undo_or_redo_left_it() -> None:
    before, after = Segment(id=51, name="A"), Segment(id=51, name="B")
    update = Update(before, SegmentPatch(name="A"), after=before, outcome="done")
    undo = Update(before, SegmentPatch(name="B"), after=after, outcome="done", undoes=0)
    [current] = current_record(entry(1, update, undos=(entry(2, undo),)), NONE).steps
    assert current == replace(update, after=after, outcome="undone")


def test_a_change_can_be_undone_where_it_is_done_and_no_undo_of_it_is_running() -> None:
    change = entry(1, step("update"), step("create", 96, outcome="failed"))
    first, second = step("update", undoes=0), step("delete", 96, undoes=1)
    assert can_be_undone(change, [first], NONE)
    assert not can_be_undone(change, [first, second], NONE)
    assert not can_be_undone(replace(change, undos=(entry(2, first),)), [first], NONE)
    running = entry(2, step("delete", 96, undoes=1, outcome="pending"), status="running")
    assert not can_be_undone(replace(change, undos=(running,)), [first], NONE)


def test_entities_that_came_back_more_than_once_are_found_by_any_of_their_ids() -> None:
    recreated = RecreatedIds([(2, "segment", 51, 96), (5, "segment", 96, 99), (7, "segment", 51, 102)])
    assert [recreated.current_id("segment", entity_id) for entity_id in (51, 96, 99, 102, 7)] == [102] * 4 + [7]
    assert recreated.current_id("status", 51) == 51
