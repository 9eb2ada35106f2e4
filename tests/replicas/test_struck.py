"""What counts as a take-over of a run, and from when on."""

import os
import random
import time
from pathlib import Path

import pytest

from tests.replicas.fleet import Fleet, Replica
from tests.replicas.struck import Fury, Holder, Watch

STRUCK, OTHER = 1, 2


def available(seconds: float) -> Replica:
    """A replica that has been able to take something over for so many seconds."""
    return Replica(os.getpid(), Path(), "url", available_since=time.time() - seconds)


@pytest.fixture
def watch() -> Watch:
    """Nobody can be called."""
    return Watch(Fury(Fleet({}, 2, Path()), random.Random(1)))


def taken(watch: Watch, *, struck: float, renewed: float, given_back: float | None = None) -> list[float]:
    """What is counted where the other one has the run now; all in seconds before that."""
    now = time.time()
    watch.fury.struck[STRUCK] = now - struck
    watch.note("c1", Holder(1, STRUCK, now - renewed))
    if given_back is not None:
        watch.note("c1", Holder(1, STRUCK, now - given_back))
    watch.note("c1", Holder(2, OTHER, now))
    return watch.taken


def test_a_run_whose_lease_was_not_renewed_after_the_strike_counts_as_taken_over(watch: Watch) -> None:
    watch.fury.fleet.replicas.append(available(60))
    assert taken(watch, struck=1.5, renewed=1.6) == [pytest.approx(1.5, abs=0.1)]


@pytest.mark.parametrize("given_back", [None, 6.0])
def test_a_run_whose_lease_was_renewed_after_the_strike_does_not_count(given_back: float | None, watch: Watch) -> None:
    watch.fury.fleet.replicas.append(available(60))
    assert taken(watch, struck=5.0, renewed=0.4, given_back=given_back) == []


def test_a_take_over_is_counted_from_when_somebody_was_there_for_it(watch: Watch) -> None:
    watch.fury.fleet.replicas.append(available(0.5))
    assert taken(watch, struck=4.0, renewed=4.1) == [pytest.approx(0.5, abs=0.1)]


def test_a_replica_that_is_ending_is_not_there_for_a_take_over(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.kill", lambda *_: None)
    ending = available(60)
    watch.fury.fleet.replicas += [ending, available(0.5)]
    watch.fury.fleet.end(ending)
    assert taken(watch, struck=4.0, renewed=4.1) == [pytest.approx(0.5, abs=0.1)]
