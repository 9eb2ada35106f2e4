"""Faults on demand: the next request can be slow, refused, garbled or cut off."""

from dataclasses import field, replace
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


class Faults:
    """The faults that wait for their requests, in the order added; one request meets at most one of them."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Apply `fault` to the next requests that it matches."""
        # A copy: its `skip` and `times` count down.
        self._waiting.append(replace(fault))

    def clear(self) -> None:
        """Remove every fault."""
        self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted as used; None when it meets none."""
        for fault in self._waiting:
            if fault.method is not None and fault.method.upper() != method:
                continue
            if fault.path is not None and not fnmatchcase(path, fault.path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times == 0:
                self._waiting.remove(fault)
            return fault
        return None
