"""What can go wrong between us and the API.

```
AmoError
├── Unavailable         no usable answer, and nothing can have been changed by the request
│   └── OtherAccount    the answer is about another account than the one that is meant
├── OutcomeUnknown      a write was sent and its answer was lost: it may or may not have happened
└── Refused             the API answered that it will not; nothing was changed by the request
    ├── Rejected        400, 413, 422 and any other 4xx: the data (`problems` say which part)
    ├── Unauthorized    401
    ├── PaymentRequired 402
    ├── Forbidden       403: the user lacks the right
    ├── Blocked         403 from the gateway (a page that is not the API's): the account or the address is blocked
    ├── ModeDisabled    422, and the account is in another mode than the endpoint needs
    ├── NotFound        404 of the API (a problem document), 204 on a read, or 400 whose only problem is the path `id`
    └── RateLimited     429, or a pause that the API has asked for is not over
```

Texts of the API are kept as data (`detail`, `problems`); they are localised and never matched on. No exception is
changed after it was raised: what is known better later is a new one.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: an entry of the API's `validation-errors`, or of our own about arguments.

    Attributes:
        path: a dotted path into the request's body, or into the arguments.
        detail: the API's localised sentence, or ours.
        code: the API's code, such as `NotSupportedChoice`.
        entry: the `request_id` of the part of a batch that it is about.
    """

    path: str
    detail: str
    code: str = ""
    entry: str = field(default="", compare=False)


class AmoError(Exception):
    """Base of everything that a call to the API can raise."""


class Unavailable(AmoError):
    """There was no usable answer, and the request cannot have changed anything.

    Attributes:
        reason: what was seen, in our own words, fit to follow "amoCRM": "did not answer within 20 s".
        status: the HTTP status, when there was one.
        transient: whether it may well be over in a moment, so that trying again is worthwhile.
        hint: what a person has to do, where waiting alone does not help; else empty.
    """

    def __init__(self, reason: str, status: int | None = None, *, transient: bool = False, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.transient = transient
        self.hint = hint


class OtherAccount(Unavailable):
    """Another account has come to answer behind the address, and what it answers says nothing of the one meant."""

    def __init__(self) -> None:
        super().__init__("answers for another account at this address now")


class OutcomeUnknown(AmoError):
    """A write was sent and no usable answer came: it may or may not have happened.

    Attributes:
        reason: what was seen, in our own words, fit to follow "amoCRM".
        transient: whether it may well be over in a moment.
        settled: whether the API has surely finished with it, so that the account shows what came of it.
        hint: what a person has to do, where waiting alone does not help; else empty.
    """

    def __init__(self, reason: str, *, transient: bool = False, settled: bool = False, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.settled = settled
        self.hint = hint

    def after(self, earlier: "OutcomeUnknown") -> "OutcomeUnknown":
        """The same of a repeated write: while an earlier attempt may still arrive, nothing is settled."""
        settled = self.settled and earlier.settled
        return OutcomeUnknown(self.reason, transient=self.transient, settled=settled, hint=self.hint)


class Refused(AmoError):
    """The API answered that it will not do it; the request changed nothing.

    Attributes:
        status: the HTTP status.
        detail: the API's own localised sentence, empty when it gave none.
        problems: what `validation-errors` said, in order.
    """

    def __init__(self, status: int, detail: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.detail = detail
        self.problems = problems


class Rejected(Refused):
    """The data or the request is not acceptable: 400, 413, 422, or another 4xx."""


class Unauthorized(Refused):
    """401: the token is wrong, expired or revoked.

    Attributes:
        hint: what a person has to do.
    """

    def __init__(self, status: int, detail: str = "", problems: tuple[Problem, ...] = (), *, hint: str = "") -> None:
        super().__init__(status, detail, problems)
        self.hint = hint


class PaymentRequired(Refused):
    """402: the account's subscription does not include this, or is not paid."""


class Forbidden(Refused):
    """403 from the API: the token's user may not do this."""


class Blocked(Refused):
    """403 from the gateway: too many requests over the limit, or a blocked address. Retrying makes it worse."""


class NotFound(Refused):
    """The account has no entity with that id."""


class ModeDisabled(Refused):
    """422, and the account's mode is not the one that the endpoint needs.

    Attributes:
        needed: `segments`, `periodicity`, or `segments or periodicity`.
        actual: the account's `customers_mode`.
    """

    def __init__(self, needed: str, actual: str) -> None:
        super().__init__(422)
        self.needed = needed
        self.actual = actual


class RateLimited(Refused):
    """429: too many requests.

    Attributes:
        retry_after: seconds that the API asked to wait, when it said so.
    """

    def __init__(
        self, status: int, detail: str = "", problems: tuple[Problem, ...] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(status, detail, problems)
        self.retry_after = retry_after
