"""What became of the steps of a change: the latest that happened to each of them counts."""

from amo_mcp.amocrm.models import Segment
from amo_mcp.changes.history import Recorded, RecreatedIds, steps_now
from amo_mcp.changes.steps import Action, ChangeStatus, Outcome, Step

NONE = RecreatedIds()


def step(action: Action, thing_id: int = 51, *, undoes: int | None = None, outcome: Outcome = "done") -> Step:
    thing = Segment(id=thing_id, name="A")
    before, after = (None if action == "create" else thing), (None if action == "delete" else thing)
    return Step(action, "segment", before=before, after=after, outcome=outcome, undoes=undoes)


def recorded(number: int, *steps: Step, by: tuple[Recorded, ...] = (), status: ChangeStatus = "done") -> Recorded:
    """A change of the given number; it was begun, and last noted, at that time."""
    return Recorded(number, number, number, status, steps, by)


def outcomes(change: Recorded, successors: RecreatedIds = NONE) -> list[Outcome]:
    return [step.outcome for step in steps_now(change, successors)]


def test_the_latest_of_what_happened_to_a_step_counts_however_far_down_it_happened() -> None:
    undoing = step("update", undoes=0)
    last = recorded(6, undoing)
    redo = recorded(3, undoing, by=(last,))
    first, second = recorded(2, undoing, by=(redo,)), recorded(4, undoing, by=(recorded(5, undoing),))
    assert outcomes(recorded(1, step("update"), by=(first, second))) == ["undone"]
    assert outcomes(redo) == ["undone"]
    assert outcomes(first) == ["done"]
    earlier = recorded(2, undoing, by=(recorded(3, undoing),))
    assert outcomes(recorded(1, step("update"), by=(earlier, second))) == ["done"]


def test_what_may_have_been_made_again_is_not_offered_to_be_made_a_second_time() -> None:
    told: list[tuple[Outcome, list[Outcome]]] = []
    for outcome in ("intent", "unknown", "failed", "planned", "done"):
        undo = recorded(2, step("create", 96, undoes=0, outcome=outcome), status="interrupted")
        told.append((outcome, outcomes(recorded(1, step("delete"), by=(undo,)))))
    assert told == [
        ("intent", ["unknown"]),
        ("unknown", ["unknown"]),
        ("failed", ["done"]),
        ("planned", ["done"]),
        ("done", ["undone"]),
    ]


def test_what_may_have_been_taken_away_or_put_back_can_be_tried_again() -> None:
    for action in ("update", "delete"):
        undo = recorded(2, step(action, undoes=0, outcome="unknown"), status="interrupted")
        assert outcomes(recorded(1, step("create"), by=(undo,))) == ["done"]


def test_what_was_gone_when_the_rest_was_taken_back_is_undone_until_it_comes_back() -> None:
    undo = recorded(3, step("update", 51, undoes=0))
    change = recorded(1, step("update"), step("create", 96), by=(undo,))
    assert outcomes(change) == ["undone", "undone"]
    assert outcomes(change, RecreatedIds([(2, "segment", 96, 99)])) == ["undone", "undone"]
    assert outcomes(change, RecreatedIds([(4, "segment", 96, 99)])) == ["undone", "done"]
    assert outcomes(change, RecreatedIds([(4, "status", 96, 99)])) == ["undone", "undone"]


def test_what_was_found_to_be_done_only_after_the_undo_began_is_not_undone() -> None:
    undo = recorded(3, step("delete", 96, undoes=0))
    found_later = Recorded(1, 1.0, 4.0, "done", (step("create", 96), step("create", 99)), (undo,))
    assert outcomes(found_later) == ["undone", "done"]


def test_things_that_came_back_more_than_once_are_found_by_any_of_their_ids() -> None:
    successors = RecreatedIds([(2, "segment", 51, 96), (5, "segment", 96, 99), (7, "segment", 51, 102)])
    assert [successors.of("segment", thing_id) for thing_id in (51, 96, 99, 102, 7)] == [102, 102, 102, 102, 7]
    assert successors.of("status", 51) == 51
