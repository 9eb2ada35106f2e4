"""Customers at the pace that an account allows: moved, and looked through."""

import time
from collections.abc import Iterator

import httpx2

from scripts.bench.figures import Figure
from scripts.bench.peers import OURS, Stdio, sandbox

_PER_SECOND = 7


def moving() -> Iterator[Figure]:
    """250 customers put into a segment: the shortest time that the limit allows its requests, over the time."""
    with sandbox(20) as (url, environment), Stdio(*OURS, **_paced(environment)) as ours:
        ids = [one["id"] for one in ours.call("list_customers", {"limit": 250})["customers"]]
        move = {"customer_ids": ids, "add_to": [66]}
        asked = ours.ask("tools/call", {"name": "move_customers", "arguments": move})
        # A person takes longer; until then the requests before the question count against the limit.
        time.sleep(1.1)
        moved = ours.call("confirm_change", {"approval_id": asked["structuredContent"]["error"]["approval_id"]})
        assert len(moved["moved"]) == len(ids) == 250
        at = _sent_at(url, environment)
    last = max(range(1, len(at)), key=lambda place: at[place] - at[place - 1])
    at = at[last:]
    share = round((len(at) - 1) // _PER_SECOND / (at[-1] - at[0]), 4)
    yield Figure("250 customers moved at 7 requests per second: share of that rate", share, "×", "≥ 0.95")


def looking_through() -> Iterator[Figure]:
    """Who is in a segment, in an account of 5,000 customers."""
    with sandbox(10, 5_000) as (url, environment), Stdio(*OURS, **_paced(environment)) as ours:
        listed = ours.call("list_customers", {"segment_id": 51})
        assert (len(listed["customers"]), listed["complete"]) == (50, True)
        at = _sent_at(url, environment)
    yield Figure("requests of `list_customers` of a segment, in an account of 5,000 customers", len(at), "", "≤ 20")
    yield Figure("the same at 7 requests per second, in seconds", round(at[-1] - at[0], 1), "s")


def _paced(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "AMO_CONFIRM": "chat", "AMO_RATE_LIMIT": str(_PER_SECOND)}


def _sent_at(url: str, environment: dict[str, str]) -> list[float]:
    """When the requests about customers were sent, in seconds."""
    headers = {"Authorization": f"Bearer {environment['AMO_ACCESS_TOKEN']}"}
    requests = httpx2.get(f"{url}/_sandbox/requests", headers=headers).json()
    return [request["at"] for request in requests if request["path"].startswith("/api/v4/customers")]
