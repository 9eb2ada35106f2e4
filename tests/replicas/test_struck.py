"""What counts as the taking over of a run, and from when on."""

import random
import time
from pathlib import Path

import pytest

from tests.replicas.fleet import Fleet, Replica
from tests.replicas.struck import Fury, Held, Watch

STRUCK, OTHER = 1, 2


@pytest.fixture
def watch() -> Watch:
    """Nobody can be called."""
    return Watch(Fury(Fleet({}, 2, Path()), random.Random(1)))


def taken(watch: Watch, *, struck: float, renewed: float, given_back: float | None = None) -> list[float]:
    """What is counted where the other one has the run now; all in seconds before that."""
    now = time.time()
    watch.fury.struck[STRUCK] = now - struck
    watch.note("c1", Held(1, STRUCK, now - renewed))
    if given_back is not None:
        watch.note("c1", Held(1, STRUCK, now - given_back))
    watch.note("c1", Held(2, OTHER, now))
    return watch.taken


def test_a_run_of_which_no_lease_was_renewed_after_the_strike_was_taken_over(watch: Watch) -> None:
    watch.fury.fleet.replicas.append(Replica(0, Path(), "url", available_since=time.time() - 60))
    assert taken(watch, struck=1.5, renewed=1.6) == [pytest.approx(1.5, abs=0.1)]


@pytest.mark.parametrize("given_back", [None, 6.0])
def test_who_renewed_its_lease_after_the_strike_has_lost_or_given_it_back_otherwise(
    given_back: float | None, watch: Watch
) -> None:
    watch.fury.fleet.replicas.append(Replica(0, Path(), "url", available_since=time.time() - 60))
    assert taken(watch, struck=5.0, renewed=0.4, given_back=given_back) == []


def test_a_taking_over_is_counted_from_when_somebody_was_there_for_it(watch: Watch) -> None:
    replica = Replica(0, Path(), "url", available_since=time.time() - 0.5)
    watch.fury.fleet.replicas.append(replica)
    assert taken(watch, struck=4.0, renewed=4.1) == [pytest.approx(0.5, abs=0.1)]


def test_a_replica_that_is_ending_is_not_there_for_a_taking_over(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.kill", lambda *_: None)
    ending = Replica(STRUCK, Path(), "url", available_since=time.time() - 60)
    watch.fury.fleet.replicas += [ending, Replica(OTHER, Path(), "url", available_since=time.time() - 0.5)]
    watch.fury.fleet.end(ending)
    assert taken(watch, struck=4.0, renewed=4.1) == [pytest.approx(0.5, abs=0.1)]
