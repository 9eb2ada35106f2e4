"""Why a change stopped, as JSON: a code and facts. It is put into words when it is told (`amo_mcp.failures`)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from amo_mcp.amocrm import errors as amo
from amo_mcp.amocrm.zones import UNKNOWN, Zone
from amo_mcp.changes.differences import Difference
from amo_mcp.changes.execution import Failed, NobodyMoved, Stopped
from amo_mcp.changes.journal import JournalUnusable, StorageUnavailable
from amo_mcp.changes.records import entity_from_record, entity_to_record
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.steps import kind_of

_REFUSED = ("status", "detail", "problems")

_FACTS: Mapping[type[Failed], tuple[str, ...]] = {
    amo.Unavailable: ("reason", "status", "transient", "hint"),
    amo.OtherAccount: (),
    amo.OutcomeUnknown: ("reason", "transient", "settled", "hint"),
    amo.Refused: _REFUSED,
    amo.Rejected: _REFUSED,
    amo.Unauthorized: (*_REFUSED, "hint"),
    amo.PaymentRequired: _REFUSED,
    amo.Forbidden: _REFUSED,
    amo.Blocked: _REFUSED,
    amo.NotFound: _REFUSED,
    amo.ModeDisabled: ("needed", "actual"),
    amo.RateLimited: (*_REFUSED, "retry_after"),
    JournalUnusable: ("reason", "begun"),
    StorageUnavailable: ("reason", "begun"),
    Stopped: ("sent", "asked"),
    NobodyMoved: ("takes_in", "only_out"),
}
"""What each is made of: its attributes, which its constructor takes under the same names."""

_BY_CODE = {kind.__name__: kind for kind in _FACTS}


def reason_to_record(failure: Failed) -> dict[str, Any]:
    """A failure as JSON."""
    code = type(failure).__name__
    if isinstance(failure, TargetChanged):
        differences = [_difference_to_record(difference) for difference in failure.differences]
        return {"code": code, "reason": failure.reason, "differences": differences}
    facts = {name: getattr(failure, name) for name in _FACTS[type(failure)]}
    if "problems" in facts:
        facts["problems"] = [asdict(problem) for problem in facts["problems"]]
    return {"code": code, **facts}


def reason_from_record(record: Mapping[str, Any], zone: Zone = UNKNOWN) -> Failed:
    """The failure of a record that `reason_to_record` made; days in it begin where those of `zone` do."""
    facts = dict(record)
    code = facts.pop("code")
    if code == TargetChanged.__name__:
        return TargetChanged([_difference_from_record(one, zone) for one in facts["differences"]], facts["reason"])
    if "problems" in facts:
        facts["problems"] = tuple(amo.Problem(**problem) for problem in facts["problems"])
    return _BY_CODE[code](**facts)


def _difference_to_record(difference: Difference) -> dict[str, Any]:
    return {
        "kind": kind_of(difference.before),
        "before": entity_to_record(difference.before),
        "now": None if difference.now is None else entity_to_record(difference.now),
        "settings": list(difference.settings),
        "places": list(difference.places),
        "is_unreadable": difference.is_unreadable,
    }


def _difference_from_record(record: Mapping[str, Any], zone: Zone) -> Difference:
    kind, (was, now) = record["kind"], record["places"]
    return Difference(
        entity_from_record(kind, record["before"]),
        None if record["now"] is None else entity_from_record(kind, record["now"]),
        tuple(record["settings"]),
        (was, now),
        zone,
        record["is_unreadable"],
    )
