"""Why a change stopped is kept as facts, and told by another process in the same words."""

import json
from typing import get_args

import pytest

from amo_mcp.amocrm import errors as amo
from amo_mcp.amocrm.models import Segment
from amo_mcp.amocrm.zones import zone_of
from amo_mcp.changes.delivery import Indeterminate
from amo_mcp.changes.differences import Difference
from amo_mcp.changes.execution import CreatedTwice, Failed, NobodyMoved, Stopped
from amo_mcp.changes.journal import JournalUnusable, StorageUnavailable
from amo_mcp.changes.leases import LeaseLost
from amo_mcp.changes.reasons import reason_from_record, reason_to_record
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.failures.explain import explain

PROBLEMS = (amo.Problem("name", "Слишком длинное", "TooLong"), amo.Problem("color", "Нет такого"))
VIP = Segment(id=51, name="VIP", color="ae003f")
FAILURES: list[Failed] = [
    amo.Unavailable("did not answer within 20 s", 504, transient=True, hint="Wait."),
    amo.OtherAccount(),
    amo.OutcomeUnknown("closed the connection", transient=True, settled=True, hint="Look."),
    amo.Rejected(400, "Ошибка", PROBLEMS),
    amo.Unauthorized(401, hint="Sign in again."),
    amo.PaymentRequired(402),
    amo.Forbidden(403, "Нет прав"),
    amo.Blocked(403),
    amo.NotFound(404),
    amo.ModeDisabled("segments", "periodicity"),
    amo.RateLimited(429, retry_after=2.5),
    JournalUnusable("the disk is full", begun=True),
    StorageUnavailable("away"),
    Stopped(),
    Stopped(sent=True),
    Stopped(asked=True),
    NobodyMoved(takes_in=True),
    TargetChanged(reason="The definition of a custom field has changed."),
    TargetChanged(
        [
            Difference(VIP, VIP.model_copy(update={"name": "Лучшие"}), ("name", "color")),
            Difference(VIP, None, is_unreadable=True),
            Difference(VIP, VIP, ("sort",), ("after «A»", "before «B»")),
        ]
    ),
]
NEVER_KEPT = {amo.AmoError, amo.Refused, Indeterminate, LeaseLost, CreatedTwice}
"""Bases; what is turned into another failure; and what is not recorded, or derived."""


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_that_was_kept_is_explained_in_the_same_words(failure: Failed) -> None:
    kept = reason_from_record(json.loads(json.dumps(reason_to_record(failure))))
    assert type(kept) is type(failure)
    told, now = explain(failure), explain(kept)
    assert told is not None
    assert now is not None
    assert now.answer == told.answer


def test_every_failure_can_be_kept() -> None:
    def all_of(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*map(all_of, kind.__subclasses__()))

    kinds = set[type[Exception]]().union(*map(all_of, get_args(Failed)))
    assert {type(failure) for failure in FAILURES} == kinds - NEVER_KEPT


def test_days_in_a_difference_are_those_of_who_tells_it() -> None:
    zone = zone_of("Europe/Moscow", "")
    record = reason_to_record(TargetChanged([Difference(VIP, None)]))
    kept = reason_from_record(record, zone)
    assert isinstance(kept, TargetChanged)
    assert [difference.zone for difference in kept.differences] == [zone]
