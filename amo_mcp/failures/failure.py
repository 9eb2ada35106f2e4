"""What a failed call is: a closed code, what happened, whether anything was changed, and what to do next.

The codes are public interface. A message is for the reader who has to act; texts of the API are data and travel in
`fields` only.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

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
    "confirmation_pending",
    "confirmation_expired",
    "target_changed",
    "conflict",
    "read_only",
    "internal",
]
"""The closed set of codes of a failed call."""

NOTHING_CHANGED = "Nothing was changed."
NOT_RECORDED = "The change stopped; what was sent before may have been made."

MAX_FIELDS = 50
"""Parts of the arguments or of a request that an error names."""

_MAX_DETAIL_IN_MESSAGE = 120


class Failure(Exception):
    """A call that failed in a way that the caller can act on.

    Args:
        code: one of the closed set.
        what: what happened.
        hint: what to do next.
        effect: whether anything was changed.
        retryable: whether the same call can succeed later without anything else being done.
        fields: (path, detail) for each part of the arguments or of the request that is wrong.
        extra: more keys of the error object.

    Attributes:
        answer: the error as it is answered, `{"error": {…}}`; its message is `what` and `effect`.
    """

    def __init__(
        self,
        code: Code,
        what: str,
        hint: str | None = None,
        *,
        effect: str = NOTHING_CHANGED,
        retryable: bool = False,
        fields: Sequence[tuple[str, str]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        message = f"{what} {effect}"
        super().__init__(message)
        self.code = code
        self.what = what
        self.effect = effect
        error: dict[str, Any] = {"code": code, "message": message, "retryable": retryable}
        if hint:
            error["hint"] = hint
        if fields:
            error["fields"] = [{"path": path, "detail": detail} for path, detail in fields]
        self.answer: dict[str, Any] = {"error": error | dict(extra or {})}


def invalid_arguments(fields: Sequence[tuple[str, str]], count: int | None = None) -> Failure:
    """The failure for arguments that are not acceptable; `fields` may be the first of `count` problems."""
    path, detail = fields[0]
    short = detail if len(detail) <= _MAX_DETAIL_IN_MESSAGE else detail.partition(";")[0]
    more = f" (and {(count or len(fields)) - 1} more, see fields)" if len(fields) > 1 else ""
    return Failure(
        "invalid_arguments",
        f"{path} {short}{more}.",
        "Correct the arguments as fields says and call the tool again.",
        fields=fields[:MAX_FIELDS],
    )


def internal_error() -> Failure:
    """The failure for a mistake of our own; the caller learns nothing of it."""
    return Failure(
        "internal",
        "Internal error.",
        "Read or list the target before anything is sent again, and report this to the server's authors.",
        effect="Something may already have been changed.",
    )
