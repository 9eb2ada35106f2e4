"""Faults on demand: the next request can be slow, refused, garbled or cut off."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

Drop = Literal["before", "after", "body"]


@dataclass
class Fault:
    """What is to go wrong, with which requests and how many times.

    With neither an answer of its own nor a drop, a fault lets the real answer through, after `delay` and with
    `headers` added.

    Attributes:
        method: only requests with this method; None means any.
        path: only paths, without query, that match this `fnmatch` pattern; None means any.
        times: how many matching requests it hits before it is gone; 0 means forever.
        skip: how many matching requests it lets through first.
        status: answer this status (200 when only a body is given, 429 when only `retry_after` is).
        body: the exact body of that answer; by default a believable problem document for the status.
        html: answer a gateway's HTML page of that status instead.
        content_type: the answer's Content-Type; by default what the body is.
        headers: further headers of the answer.
        retry_after: seconds, told in the JSON body of a 429 as amoCRM does.
        delay: seconds to wait before anything else.
        drop: close the connection: "before" the effect, "after" it, or in the middle of the answer's "body", effect
            done. An answer without a body is not sent at all.
        after_effect: really perform the request, then answer the fault.
    """

    method: str | None = None
    path: str | None = None
    times: int = 1
    skip: int = 0
    status: int | None = None
    body: str | None = None
    html: bool = False
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    delay: float = 0
    drop: Drop | None = None
    after_effect: bool = False

    def __post_init__(self) -> None:
        """Refuse what could never happen.

        Raises:
            ValueError: a number is out of its range, or `drop` is not one of its words.
        """
        if self.times < 0 or self.skip < 0 or self.delay < 0:
            raise ValueError("times, skip and delay can not be negative")
        if self.status is not None and not 200 <= self.status <= 599:  # noqa: PLR2004 - the range of final statuses
            raise ValueError(f"status {self.status} is not one from 200 to 599")
        if self.drop is not None and self.drop not in get_args(Drop):
            raise ValueError(f"drop is {self.drop!r}, not one of {', '.join(get_args(Drop))}")

    @property
    def answers(self) -> bool:
        """Whether the fault has an answer of its own."""
        return self.status is not None or self.body is not None or self.html or self.retry_after is not None

    def matches(self, method: str, path: str) -> bool:
        """Whether the fault is meant for such a request."""
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or fnmatchcase(path, self.path)
        )

    @classmethod
    def read(cls, data: object) -> "Fault":
        """The fault that a JSON object describes.

        Raises:
            ValueError: it is not an object with the fault's attributes.
        """
        if not isinstance(data, dict):
            raise ValueError("a fault is an object")  # noqa: TRY004 - the caller is promised a ValueError
        unknown = sorted(set(data) - {known.name for known in fields(cls)})
        if unknown:
            raise ValueError(f"a fault has no {', '.join(unknown)}")
        for name, value in data.items():
            if not _fits(name, value):
                raise ValueError(f"{name} can not be {value!r}")
        return cls(**data)


class Faults:
    """The faults that wait for their requests, in the order added; one request meets at most one of them."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, fault: Fault) -> None:
        """Let `fault` happen from now on."""
        self._waiting.append(_Waiting(fault, fault.skip, fault.times))

    def clear(self) -> None:
        """Forget every fault."""
        self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted as used."""
        for waiting in self._waiting:
            if not waiting.fault.matches(method, path):
                continue
            if waiting.skip:
                waiting.skip -= 1
                continue
            waiting.left -= 1
            if waiting.left == 0:
                self._waiting.remove(waiting)
            return waiting.fault
        return None


@dataclass(eq=False)
class _Waiting:
    fault: Fault
    skip: int
    left: int


_KINDS: Mapping[str, tuple[type, ...]] = {
    "method": (str, type(None)),
    "path": (str, type(None)),
    "times": (int,),
    "skip": (int,),
    "status": (int, type(None)),
    "body": (str, type(None)),
    "html": (bool,),
    "content_type": (str, type(None)),
    "headers": (dict,),
    "retry_after": (int, type(None)),
    "delay": (int, float),
    "drop": (str, type(None)),
    "after_effect": (bool,),
}


def _fits(name: str, value: Any) -> bool:
    if name == "headers" and isinstance(value, dict):
        return all(isinstance(text, str) for text in value.values())
    return type(value) in _KINDS[name]
