"""Faults on demand: the next request can be slow, refused, garbled or cut off."""

from dataclasses import field
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

Count = Annotated[int, Field(ge=0)]


@dataclass(config={"strict": True, "extra": "forbid", "allow_inf_nan": False, "defer_build": True})
class Fault:
    """What goes wrong, with which requests and how many times.

    With neither a response of its own nor a drop, a fault lets the real response through, after `delay` and with
    `headers` added.

    Attributes:
        method: only requests with this method, in any case; None means any.
        path: only paths, without query, that match this `fnmatch` pattern; None means any.
        times: how many matching requests it hits before it is gone; 0 means forever.
        skip: how many matching requests it lets through first.
        status: respond with this status (200 when only a body is given, 429 when only `retry_after` is).
        body: the exact body of that response; by default a believable problem document for the status.
        html: respond with a gateway's HTML page of that status instead.
        content_type: the response's Content-Type; by default what the body is.
        headers: further headers of the response.
        retry_after: seconds, given in the JSON body of a 429 as amoCRM does.
        delay: seconds to wait before anything else.
        drop: close the connection: "before" the effect, "after" it, or in the middle of the response's "body", effect
            done. A response without a body is not sent at all.
        after_effect: really perform the request, then respond with the fault.

    Raises:
        ValueError: an attribute has another type, or a value out of its range.
    """

    method: str | None = None
    path: str | None = None
    times: Count = 1
    skip: Count = 0
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | None = None
    html: bool = False
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    delay: Annotated[float, Field(ge=0)] = 0
    drop: Literal["before", "after", "body"] | None = None
    after_effect: bool = False

    @property
    def responds(self) -> bool:
        """Whether the fault has a response of its own."""
        return self.status is not None or self.body is not None or self.html or self.retry_after is not None

    def matches(self, method: str, path: str) -> bool:
        """Whether the fault applies to such a request."""
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or fnmatchcase(path, self.path)
        )


class Faults:
    """The faults that wait for their requests, in the order added; one request meets at most one of them."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, fault: Fault) -> None:
        """Apply `fault` to the next requests that it matches."""
        self._waiting.append(_Waiting(fault))

    def clear(self) -> None:
        """Remove every fault."""
        self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted as used; None when it meets none."""
        for waiting in self._waiting:
            if not waiting.fault.matches(method, path):
                continue
            if waiting.to_skip:
                waiting.to_skip -= 1
                continue
            waiting.remaining -= 1
            if waiting.remaining == 0:
                self._waiting.remove(waiting)
            return waiting.fault
        return None


class _Waiting:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.to_skip = fault.skip
        self.remaining = fault.times
