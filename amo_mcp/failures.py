"""How a failed call is worded: a closed code, what happened, whether anything was changed, and what to do next.

The codes are public interface. A message is for the reader who has to act; texts of the API are data and travel in
`fields` only.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from amo_mcp.amocrm import errors as amo
from amo_mcp.amocrm.custom_fields import InvalidValues
from amo_mcp.amocrm.models import iso_utc
from amo_mcp.changes.executor import LimitReached
from amo_mcp.changes.journal import JournalUnusable, UndoneMeanwhile
from amo_mcp.changes.plan import PlanUsed
from amo_mcp.changes.snapshot import Difference, TargetChanged
from amo_mcp.changes.steps import LIMITS, PLURALS, kind_of
from amo_mcp.confirmation import errors as confirmation
from amo_mcp.text import quote, quote_unless_code, sanitize

Code = Literal[
    "invalid_arguments",
    "not_found",
    "unauthorized",
    "forbidden",
    "payment_required",
    "mode_disabled",
    "limit_reached",
    "rejected",
    "rate_limited",
    "blocked",
    "unavailable",
    "outcome_unknown",
    "declined",
    "cannot_ask",
    "confirmation_required",
    "confirmation_expired",
    "target_changed",
    "conflict",
    "read_only",
    "internal",
]

NOTHING_CHANGED = "Nothing was changed."

_MAX_DETAIL = 300
_MAX_DETAIL_IN_MESSAGE = 120
_MAX_FIELDS = 50
_MAX_DIFFERENCES = 20


class Failure(Exception):
    """A call that failed in a way that the caller can act on.

    Args:
        code: one of the closed set.
        message: what happened, and whether anything was changed.
        hint: what to do next.
        retryable: whether the same call can succeed later without anything else being done.
        fields: (path, detail) for each part of the arguments or of the request that is wrong.
        extra: more keys of the error object.

    Attributes:
        answer: the error as it is answered, `{"error": {…}}`.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        hint: str | None = None,
        *,
        retryable: bool = False,
        fields: Sequence[tuple[str, str]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        error: dict[str, Any] = {"code": code, "message": message, "retryable": retryable}
        if hint:
            error["hint"] = hint
        if fields:
            error["fields"] = [{"path": path, "detail": detail} for path, detail in fields]
        self.answer: dict[str, Any] = {"error": error | dict(extra or {})}


def invalid_arguments(fields: Sequence[tuple[str, str]]) -> Failure:
    """The failure for arguments that are not acceptable."""
    path, detail = fields[0]
    short = detail if len(detail) <= _MAX_DETAIL_IN_MESSAGE else detail.partition(";")[0]
    more = f" (and {len(fields) - 1} more, see fields)" if len(fields) > 1 else ""
    return Failure(
        "invalid_arguments",
        f"{path} {short}{more}. {NOTHING_CHANGED}",
        "Correct the arguments as fields says and call the tool again.",
        fields=fields[:_MAX_FIELDS],
    )


def internal_error() -> Failure:
    """The failure for a mistake of our own; nothing of it is told."""
    return Failure(
        "internal",
        "Internal error. Something may already have been changed.",
        "Read or list the target before anything is sent again, and report this to the server's authors.",
    )


def explain(error: Exception) -> Failure | None:
    """The failure that `error` means to the caller; None when it is a mistake of our own."""
    match error:
        case Failure():
            return error
        case amo.AmoError():
            return explain_api(error)
        case confirmation.NotConfirmed():
            return _explain_confirmation(error)
        case TargetChanged():
            return _explain_target_changed(error)
        case LimitReached():
            limit, kinds = LIMITS[error.kind], PLURALS[error.kind]
            return Failure(
                "limit_reached",
                f"The account has {error.held} of at most {limit} {kinds}: {error.wanted} more would not fit. "
                f"{NOTHING_CHANGED}",
                f"Delete {kinds} that are not needed, or create fewer.",
            )
        case PlanUsed():
            return _explain_target_changed(TargetChanged(reason="The plan was applied already."))
        case UndoneMeanwhile():
            return _explain_target_changed(TargetChanged(reason="It was undone already, or is just being undone."))
        case JournalUnusable():
            return _explain_journal(error)
        case InvalidValues():
            return invalid_arguments([(problem.path, sanitize(problem.detail, 2000)) for problem in error.problems])
        case _:
            return None


def explain_api(error: amo.AmoError) -> Failure:
    """The failure that an error of the API means; there is one for each leaf of the tree."""
    match error:
        case amo.Unavailable():
            return Failure(
                "unavailable",
                f"amoCRM {error.reason}. {NOTHING_CHANGED}",
                error.hint or "Try again in a minute.",
                retryable=not error.hint,
            )
        case amo.OutcomeUnknown():
            return Failure(
                "outcome_unknown",
                f"The change was sent, but amoCRM {error.reason}: it may or may not have been made.",
                "Read or list the target to see what is there before anything is sent again.",
            )
        case amo.NotFound():
            return Failure(
                "not_found",
                f"No segment or status in this account has that id. {NOTHING_CHANGED}",
                "List the segments or statuses to find the id.",
            )
        case amo.Unauthorized():
            return Failure(
                "unauthorized",
                f"amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. {NOTHING_CHANGED}",
                error.hint,
            )
        case amo.PaymentRequired():
            return Failure(
                "payment_required",
                f"The account's subscription does not include this, or has not been paid. {NOTHING_CHANGED}",
                "The account's owner can check the subscription in amoCRM.",
            )
        case amo.Forbidden():
            return Failure(
                "forbidden",
                "The signed-in user may not do this: only an account administrator can make changes. "
                f"{NOTHING_CHANGED}",
                "Use a token of an administrator.",
            )
        case amo.Blocked():
            return Failure(
                "blocked",
                f"amoCRM's gateway refuses every request of this integration or address. {NOTHING_CHANGED}",
                "Stop calling for now: trying again makes it last longer. If it stays, write to amoCRM's support.",
            )
        case amo.ModeDisabled():
            return Failure(
                "mode_disabled",
                f"This needs the customers mode `{error.needed}`, and the account is in {_mode(error.actual)}. "
                f"{NOTHING_CHANGED}",
                _other_mode(error.actual),
            )
        case amo.RateLimited():
            wait = "" if error.retry_after is None else f" amoCRM asks to wait {error.retry_after:g} seconds."
            extra: dict[str, Any] = {} if error.retry_after is None else {"retry_after": error.retry_after}
            return Failure(
                "rate_limited",
                f"Too many requests for amoCRM.{wait} {NOTHING_CHANGED}",
                "Wait, then call again once.",
                retryable=True,
                extra=extra,
            )
        case amo.Refused():
            return _rejected(error)
        case _:
            return internal_error()


def _rejected(error: amo.Refused) -> Failure:
    """What the API said of the data goes into `fields`, as data."""
    problems = [(problem.path, problem.detail or problem.code) for problem in error.problems] or [("", error.detail)]
    fields = [(sanitize(path), sanitize(detail, _MAX_DETAIL)) for path, detail in problems if detail][:_MAX_FIELDS]
    return Failure(
        "rejected",
        f"amoCRM did not accept the request (status {error.status}). {NOTHING_CHANGED}",
        "See fields for what amoCRM said of each part." if fields else None,
        fields=fields,
    )


def _mode(mode: str) -> str:
    shown = quote_unless_code(mode)
    return f"`{shown}`" if shown == mode else shown


def _other_mode(mode: str) -> str:
    hints = {"segments": "Work with the segments instead.", "periodicity": "Work with the statuses instead."}
    return hints.get(mode, "Customers have to be switched on in amoCRM's settings.")


def _explain_journal(error: JournalUnusable) -> Failure:
    """What cannot be recorded is not sent."""
    effect = "It failed part-way: changes already sent may have been made." if error.begun else NOTHING_CHANGED
    return Failure(
        "internal",
        f"The journal of changes cannot be used ({sanitize(error.reason)}), "
        f"and nothing is changed without it. {effect}",
        "Whoever runs the server can check its state directory (AMO_STATE_DIR): space, permissions, the journal's file."
        + (" Read the targets before anything is sent again." if error.begun else ""),
    )


def _explain_target_changed(error: TargetChanged) -> Failure:
    differences = [describe(difference) for difference in error.differences[:_MAX_DIFFERENCES]]
    gone = differences and all(difference.now is None for difference in error.differences)
    changed = "It is no longer there." if gone else "It has changed since the question was asked."
    return Failure(
        "target_changed",
        f"{error.reason or changed} {NOTHING_CHANGED}",
        "Read it again and, if it is still wanted, start over.",
        extra={"differences": differences} if differences else None,
    )


def describe(difference: Difference) -> str:
    """A difference in words, such as "segment «VIP» (id 51): name and color have changed."."""
    target = f"{kind_of(difference.before)} {quote(difference.before.name)} (id {difference.before.id})"
    if difference.now is None:
        return f"{target} is gone."
    *names, last = difference.settings
    listed = f"{', '.join(names)} and {last}" if names else last
    return f"{target}: {listed} {'have' if names else 'has'} changed."


def _explain_confirmation(error: confirmation.NotConfirmed) -> Failure:
    message = f"{error} {NOTHING_CHANGED}"
    match error:
        case confirmation.ConfirmationRequired():
            return Failure(
                "confirmation_required",
                message,
                "Show the preview to the person as it is. On their yes, call confirm_change with the approval_id.",
                extra={
                    "preview": error.preview,
                    "approval_id": error.approval_id,
                    "expires_at": iso_utc(datetime.fromtimestamp(error.expires, UTC)),
                },
            )
        case confirmation.Declined():
            return Failure("declined", message, "Do not call the tool again unless the person asks for it.")
        case confirmation.CannotAsk():
            return Failure(
                "cannot_ask",
                message,
                "Use a client that shows dialogs (elicitation), or have the operator allow AMO_CONFIRM=chat.",
            )
        case _:
            hint = "If it is still wanted, call the tool again to ask anew."
            return Failure("confirmation_expired", message, hint)
