"""From an exception to the failure that it means to the caller, in words."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from amo_mcp.amocrm import errors as amo
from amo_mcp.amocrm.custom_fields import InvalidValues
from amo_mcp.amocrm.models import iso_utc
from amo_mcp.changes.differences import Difference, described
from amo_mcp.changes.execution import CreatedTwice, Execution, LimitReached, NobodyMoved, PartlyDone, Stopped
from amo_mcp.changes.journal import JournalUnusable, StorageUnavailable, UndoneMeanwhile
from amo_mcp.changes.leases import LeaseLost
from amo_mcp.changes.parts import parts_of
from amo_mcp.changes.plan import PlanUsed
from amo_mcp.changes.room import LIMITS, PLURALS
from amo_mcp.changes.snapshot import TargetChanged
from amo_mcp.changes.titles import summary_of
from amo_mcp.confirmation import errors as confirmation
from amo_mcp.failures.failure import (
    MAX_FIELDS,
    NOT_RECORDED,
    NOTHING_CHANGED,
    Code,
    Failure,
    internal_error,
    invalid_arguments,
)
from amo_mcp.text import quote_unless_code, sanitize

_MAX_DETAIL = 300
_MAX_DIFFERENCES = 20

_UNCHANGED: Mapping[type[Exception], tuple[Code, str, str]] = {
    amo.NotFound: (
        "not_found",
        "No segment or status in this account has that id.",
        "List the segments or statuses to find the id.",
    ),
    amo.Unauthorized: (
        "unauthorized",
        "amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked.",
        "{error.hint}",
    ),
    amo.PaymentRequired: (
        "payment_required",
        "The account's subscription does not include this, or has not been paid.",
        "The account's owner can check the subscription in amoCRM.",
    ),
    amo.Forbidden: (
        "forbidden",
        "The signed-in user may not do this: only an account administrator can make changes.",
        "Use a token of an administrator.",
    ),
    amo.Blocked: (
        "blocked",
        "amoCRM's gateway refuses every request of this integration or address.",
        "Stop calling for now: trying again makes it last longer. If it stays, write to amoCRM's support.",
    ),
    confirmation.Declined: ("declined", "{error}", "{error.hint}"),
    confirmation.CannotAsk: ("cannot_ask", "{error}", "{error.hint}"),
    confirmation.ConfirmationExpired: (
        "confirmation_expired",
        "{error}",
        "If it is still wanted, call the tool again to ask anew.",
    ),
}
"""Code, what happened and hint of the errors after which nothing was changed, and of which there is no more to say."""


_ASKED: Mapping[str, str] = {
    "page": (
        "The question is open in the person's browser, and only there it can be answered. Say so, and call "
        "confirm_change with the approval_id at once: it waits for their answer."
    ),
    "chat": "Show the preview to the person as it is. On their yes, call confirm_change with the approval_id.",
}
"""What to do about a question that waits, by how it was asked; a dialog waits by itself."""

_ON_SERVER = (
    "Give page_url to the person, and say that {who} there, signed in to this server. Then call confirm_change with "
    "the approval_id at once: it waits for the answer."
)
"""The same for a page of a team's server."""


def explain(error: Exception) -> Failure | None:
    """The failure that `error` means to the caller; None when it is a mistake of our own."""
    if words := _UNCHANGED.get(type(error)):
        code, what, hint = words
        return Failure(code, what.format(error=error), hint.format(error=error))
    match error:
        case Failure():
            return error
        case amo.OtherAccount():
            return _target_changed("Another account answers behind this address now.", ())
        case amo.Unavailable():
            may_pass = error.transient or not error.hint
            hint = f"{'Try again in a minute. ' if may_pass else ''}{error.hint}".rstrip()
            return Failure("unavailable", f"amoCRM {error.reason}.", hint, retryable=may_pass)
        case amo.OutcomeUnknown():
            return Failure(
                "outcome_unknown",
                f"The change was sent, but amoCRM {error.reason}.",
                f"Read or list the target to see what is there before anything is sent again. {error.hint}".rstrip(),
                effect="It may or may not have been made.",
            )
        case amo.ModeDisabled():
            needed = f"the customers mode `{error.needed}`".replace(" or ", "` or `")
            actual = _mode(error.actual)
            what = f"This needs {needed}, and the account is in {actual}."
            return Failure("mode_disabled", what, _other_mode(error.actual))
        case amo.RateLimited():
            wait = "" if error.retry_after is None else f" amoCRM asks to wait {error.retry_after:g} seconds."
            return Failure(
                "rate_limited",
                f"Too many requests for amoCRM.{wait}",
                "Wait, then call again once.",
                retryable=True,
                extra={} if error.retry_after is None else {"retry_after": error.retry_after},
            )
        case amo.Refused():
            return _rejected(error)
        case confirmation.ConfirmationRequired():
            return _waits("confirmation_required", error, _hint_of(error))
        case confirmation.ConfirmationPending():
            hint = "Call confirm_change with the approval_id: it goes on waiting for the person's answer."
            return _waits("confirmation_pending", error, hint, retryable=True)
        case TargetChanged():
            return _target_changed(error.reason, error.differences)
        case Stopped(sent=True):
            return Failure(
                "outcome_unknown",
                "The server was stopped while the change was being sent.",
                "list_changes finds out whether it was made, once the server runs again.",
                effect="It may or may not have been made.",
            )
        case Stopped(asked=True):
            return Failure("declined", "A person stopped it before this step.", "Do not go on with it unasked.")
        case CreatedTwice():
            return Failure(
                "outcome_unknown",
                "A server that was held up sent a creation again after another one had taken the change over.",
                "Show the person what not_done says: they decide what stays, and the rest can be deleted.",
                effect="It was made, perhaps twice.",
            )
        case LeaseLost():
            return Failure(
                "outcome_unknown",
                "This server was held up while it made the change, and another one finds out what came of it.",
                "list_changes shows it within a minute.",
                effect="It may or may not have been made.",
            )
        case Stopped():
            return Failure("unavailable", "The server was stopped before it could do this.", "Call again later.")
        case PlanUsed():
            what = "The plan was applied already, or is no longer kept."
            return Failure("target_changed", what, "list_changes shows what was done.")
        case UndoneMeanwhile():
            what = "It was undone already, or is just being undone."
            return Failure("target_changed", what, "list_changes shows what was done.")
        case LimitReached():
            limit, kinds = LIMITS[error.kind], PLURALS[error.kind]
            return Failure(
                "limit_reached",
                f"The account has {error.count} of at most {limit} {kinds}: {error.wanted} more would not fit.",
                f"Delete {kinds} that are not needed, or create fewer.",
            )
        case NobodyMoved():
            return _nobody_moved(error)
        case PartlyDone():
            return _partly_done(error)
        case StorageUnavailable():
            what = f"The server's database cannot be used now ({sanitize(error.reason)})."
            effect = NOT_RECORDED if error.begun else NOTHING_CHANGED
            hint = "Read the targets before anything is sent again." if error.begun else "Try again in a minute."
            return Failure("unavailable", what, hint, effect=effect, retryable=not error.begun)
        case JournalUnusable():
            return _journal_unusable(error)
        case InvalidValues():
            return invalid_arguments([(problem.path, sanitize(problem.detail, 5000)) for problem in error.problems])
        case _:
            return None


def _rejected(error: amo.Refused) -> Failure:
    """What the API said of the data goes into `fields`, as data."""
    problems = [(problem.path, problem.detail or problem.code) for problem in error.problems] or [("", error.detail)]
    fields = [(sanitize(path), sanitize(detail, _MAX_DETAIL)) for path, detail in problems if detail][:MAX_FIELDS]
    return Failure(
        "rejected",
        f"amoCRM did not accept the request (status {error.status}).",
        "See fields for what amoCRM said of each part." if fields else None,
        fields=fields,
    )


def _waits(code: Code, error: confirmation.Waits, hint: str, *, retryable: bool = False) -> Failure:
    """A question that waits, and how to go on with it."""
    extra = {
        "preview": error.preview,
        "approval_id": error.approval_id,
        "expires_at": iso_utc(datetime.fromtimestamp(error.expires, UTC)),
        "way": error.way,
    }
    if error.page_url:
        extra["page_url"] = error.page_url
    return Failure(code, str(error), hint, retryable=retryable, extra=extra)


def _hint_of(error: confirmation.Waits) -> str:
    """What to do about a question that was just asked."""
    if not error.page_url:
        return _ASKED[error.way]
    return _ON_SERVER.format(who="an approver other than them has to answer" if error.by_another else "they can answer")


def _mode(mode: str) -> str:
    shown = quote_unless_code(mode)
    return f"`{shown}`" if shown == mode else shown


def _other_mode(mode: str) -> str:
    hints = {"segments": "Work with the segments instead.", "periodicity": "Work with the statuses instead."}
    return hints.get(mode, "Customers have to be switched on in amoCRM's settings.")


def _journal_unusable(error: JournalUnusable) -> Failure:
    """What cannot be recorded is not sent."""
    reason = sanitize(error.reason)
    check = (
        "Whoever runs the server can check its state directory (AMO_STATE_DIR): space, permissions, the journal's file."
    )
    if not error.begun:
        what = f"The journal of changes cannot be used ({reason}), and nothing is changed without it."
        return Failure("internal", what, check)
    return Failure(
        "internal",
        f"The journal could not be written ({reason}).",
        f"{check} Read the targets before anything is sent again.",
        effect=NOT_RECORDED,
    )


def done_and_not_done(execution: Execution) -> tuple[list[str], list[str]]:
    """The steps that were done, and those that were not, each of these with what is known of it."""
    done = [sanitize(str(summary_of(step)), 200) for step in parts_of(execution.done)]
    return done, [f"{sanitize(str(summary_of(step)), 200)}: {step.outcome}" for step in parts_of(execution.not_done)]


def _nobody_moved(error: NobodyMoved) -> Failure:
    """What the API says it has done, and has not."""
    hint = "Nothing else was sent. The customers can be moved in amoCRM itself; list_customers shows where they are."
    if error.takes_in:
        what = "amoCRM put the customers in, and did not take them out: the API of this account only adds segments."
        return Failure("rejected", what, hint, effect="What was done stays.")
    moved, are_there = "moved the customers", "they are where they were"
    if error.only_out:
        moved, are_there = "taken the customers out", "they are still in it"
    what = f"amoCRM answered that it had {moved}, and {are_there}: its API ignores this here."
    return Failure("rejected", what, hint)


def _partly_done(error: PartlyDone) -> Failure:
    """Why a change stopped, with what was done of it and what was not."""
    worded = explain(error.failure) or internal_error()
    done, not_done = done_and_not_done(error.execution)
    effect = worded.effect
    if effect == NOT_RECORDED:
        effect = "What was done stays." if done else NOTHING_CHANGED
    is_unclear = any(step.outcome in ("pending", "unknown") for step in error.execution.not_done)
    if is_unclear and not isinstance(error.failure, CreatedTwice):
        effect = "It may or may not have been made."
    is_lost = isinstance(error.failure, JournalUnusable)
    shown = "whether the change was recorded: only then it can be undone" if is_lost else "the change"
    facts: dict[str, Any] = {"change_id": error.execution.record.id, "done": done}
    return Failure(
        worded.code,
        worded.what,
        f"list_changes shows {shown}. Read its targets before anything is sent again.",
        effect=effect,
        extra=facts | ({"not_done": not_done} if not_done else {}),
    )


def _target_changed(reason: str, found: Sequence[Difference]) -> Failure:
    differences = described(found, _MAX_DIFFERENCES)
    changed = "It has changed since the question was asked."
    if found and all(difference.now is None for difference in found):
        unreadable = any(difference.is_unreadable for difference in found)
        changed = "What amoCRM answers of it cannot be read." if unreadable else "It is no longer there."
    return Failure(
        "target_changed",
        reason or changed,
        "Read it again and, if it is still wanted, start over.",
        extra={"differences": differences} if differences else None,
    )
