"""How a failed call is worded: a closed code, what happened, whether anything was changed, and what to do next.

The codes are public interface. A message is for the reader who has to act; texts of the API are data and travel in
`fields` only.
"""

from collections.abc import Sequence
from typing import Any, Literal

from amo_mcp.accounts.account import LimitReached
from amo_mcp.amocrm import errors as amo
from amo_mcp.amocrm.custom_fields import InvalidValues
from amo_mcp.amocrm.models import iso_utc
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.confirmation import errors as confirmation
from amo_mcp.text import quote_unless_code, sanitize

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

_NOTHING = "Nothing was changed."
_ASK_FIRST = "Do not call the tool again unless the person asks for it."
_LONGEST_DETAIL = 300
_LONGEST_SAID = 120
_MOST_FIELDS = 50


class ToolFailure(Exception):
    """A call that failed in a way that the model can act on.

    Args:
        code: one of the closed set.
        message: what happened, and whether anything was changed.
        hint: what to do next.
        retryable: whether the same call can succeed later without anything else being done.
        fields: (path, detail) for each part of the arguments or of the request that is wrong.
        extra: more keys of the error object.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        hint: str | None = None,
        *,
        retryable: bool = False,
        fields: Sequence[tuple[str, str]] = (),
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.code = code
        error: dict[str, Any] = {"code": code, "message": message, "retryable": retryable}
        if hint:
            error["hint"] = hint
        if fields:
            error["fields"] = [{"path": path, "detail": detail} for path, detail in fields]
        self.answer: dict[str, Any] = {"error": error | extra}


def invalid_arguments(fields: Sequence[tuple[str, str]]) -> ToolFailure:
    """The failure for arguments that are not acceptable."""
    path, detail = fields[0]
    said = detail if len(detail) <= _LONGEST_SAID else detail.partition(";")[0]
    more = f" (and {len(fields) - 1} more, see fields)" if len(fields) > 1 else ""
    return ToolFailure(
        "invalid_arguments",
        f"{path} {said}{more}. {_NOTHING}",
        "Correct the arguments as fields says and call the tool again.",
        fields=fields[:_MOST_FIELDS],
    )


def explain(error: Exception) -> ToolFailure | None:
    """The failure that `error` means to the model; None when it is not one that was foreseen."""
    match error:
        case ToolFailure():
            return error
        case amo.AmoError():
            return _explain_api(error)
        case confirmation.NotConfirmed():
            return _explain_confirmation(error)
        case LimitReached():
            return ToolFailure(
                "limit_reached",
                f"The account has {error.held} of at most {error.limit} {error.kind}: "
                f"{error.wanted} more would not fit. {_NOTHING}",
                f"Delete {error.kind} that are not needed, or create fewer.",
            )
        case JournalUnusable():
            return _explain_journal(error)
        case InvalidValues():
            return invalid_arguments([(problem.path, sanitize(problem.detail, 2000)) for problem in error.problems])
        case _:
            return None


def _explain_api(error: amo.AmoError) -> ToolFailure:  # noqa: C901 - one case for each leaf of the tree
    match error:
        case amo.Unavailable():
            return ToolFailure(
                "unavailable",
                f"amoCRM {error.reason}. {_NOTHING}",
                error.hint or "Try again in a minute.",
                retryable=not error.hint,
            )
        case amo.OutcomeUnknown():
            return ToolFailure(
                "outcome_unknown",
                f"The change was sent, but amoCRM {error.reason}: it may or may not have been made.",
                "Read or list the target to see what is there before anything is sent again.",
            )
        case amo.NotFound():
            return ToolFailure(
                "not_found",
                f"There is no such thing in this account. {_NOTHING}",
                "List the segments or statuses to find the id.",
            )
        case amo.Unauthorized():
            return ToolFailure(
                "unauthorized",
                f"amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. {_NOTHING}",
                error.hint,
            )
        case amo.PaymentRequired():
            return ToolFailure(
                "payment_required",
                f"The account's tariff does not include this, or has not been paid. {_NOTHING}",
                "The account's owner can check the tariff in amoCRM.",
            )
        case amo.Forbidden():
            return ToolFailure(
                "forbidden",
                f"The signed-in user may not do this: writing takes an administrator of the account. {_NOTHING}",
                "Use a token of an administrator.",
            )
        case amo.Blocked():
            return ToolFailure(
                "blocked",
                f"amoCRM's gateway refuses every request of this integration or address. {_NOTHING}",
                "Stop calling for now: trying again makes it last longer. If it stays, write to amoCRM's support.",
            )
        case amo.ModeDisabled():
            return ToolFailure(
                "mode_disabled",
                f"This needs the customers mode `{error.needed}`, and the account is in {_mode(error.actual)}. "
                f"{_NOTHING}",
                _other_mode(error.actual),
            )
        case amo.RateLimited():
            wait = "" if error.retry_after is None else f" amoCRM asks to wait {error.retry_after:g} seconds."
            extra: dict[str, Any] = {} if error.retry_after is None else {"retry_after": error.retry_after}
            return ToolFailure(
                "rate_limited",
                f"Too many requests for amoCRM.{wait} {_NOTHING}",
                "Wait, then call again once.",
                retryable=True,
                **extra,
            )
        case amo.Refused():
            return _rejected(error)
        case _:
            raise error


def _rejected(error: amo.Refused) -> ToolFailure:
    """What the API said of the data goes into `fields`, as data."""
    told = [(problem.path, problem.detail or problem.code) for problem in error.problems] or [("", error.detail)]
    fields = [(sanitize(path), sanitize(detail, _LONGEST_DETAIL)) for path, detail in told if detail][:_MOST_FIELDS]
    return ToolFailure(
        "rejected",
        f"amoCRM did not accept the request (status {error.status}). {_NOTHING}",
        "See fields for what amoCRM said of each part." if fields else None,
        fields=fields,
    )


def _mode(mode: str) -> str:
    told = quote_unless_code(mode)
    return f"`{told}`" if told == mode else told


def _explain_journal(error: JournalUnusable) -> ToolFailure:
    """What cannot be recorded is not sent."""
    said = "It broke off in the middle: what was sent until then may have been made." if error.begun else _NOTHING
    return ToolFailure(
        "internal",
        f"The journal of changes cannot be used ({sanitize(error.reason)}), and nothing is changed without it. {said}",
        "Whoever runs the server can look into its state folder (AMO_STATE_DIR): room, rights, the journal's file."
        + (" Read the targets before anything is sent again." if error.begun else ""),
    )


def _other_mode(mode: str) -> str:
    instead = {"segments": "Work with the segments instead.", "periodicity": "Work with the statuses instead."}
    return instead.get(mode, "Customers have to be switched on in amoCRM's settings.")


def _explain_confirmation(error: confirmation.NotConfirmed) -> ToolFailure:
    match error:
        case confirmation.ConfirmationRequired():
            approval = error.approval
            return ToolFailure(
                "confirmation_required",
                f"A person has to agree first. {_NOTHING}",
                "Show the preview to the person as it is. On their yes, call confirm_change with the approval_id.",
                preview=approval.question.text,
                approval_id=approval.id,
                expires_at=iso_utc(approval.expires_at),
            )
        case confirmation.Declined():
            return ToolFailure("declined", f"{error} {_NOTHING}", _ASK_FIRST)
        case confirmation.CannotAsk():
            return ToolFailure(
                "cannot_ask",
                f"{error} {_NOTHING}",
                "Use a client that shows dialogs (elicitation), or have the operator allow AMO_CONFIRM=chat.",
            )
        case confirmation.TargetChanged():
            return ToolFailure(
                "target_changed", f"{error} {_NOTHING}", "Read it again and, if it is still wanted, start over."
            )
        case _:
            return ToolFailure(
                "confirmation_expired", f"{error} {_NOTHING}", "If it is still wanted, call the tool again to ask anew."
            )
