"""Looking through the customers: where it ends, and what it does where pages are not what they should be."""

from typing import Any

import pytest

from amo_mcp.amocrm.look_through import LookThrough
from amo_mcp.amocrm.models import Customer
from tests.amocrm.test_client import Scripted, client_of, linked, listing

pytestmark = pytest.mark.anyio


def page(first: int, count: int, **more: Any) -> dict[str, Any]:
    return listing("customers", *({"id": number, "name": "а"} for number in range(first, first + count)), **more)


@pytest.mark.parametrize(
    ("answers", "read", "requests", "repeats"),
    [
        ((None,), 0, 1, False),
        ((page(1, 249),), 249, 1, False),
        ((page(1, 250), None), 250, 2, False),
        ((linked(page(1, 250)), page(251, 250)), 500, 2, False),
        ((linked(page(1, 50)), linked(page(51, 50)), page(101, 50)), 150, 3, False),
        ((page(1, 250), page(1, 250)), 250, 2, True),
        ((page(1, 250, _page=1), page(251, 250, _page=1)), 250, 2, True),
        ((page(1, 250), page(250, 3)), 253, 2, False),
    ],
    ids=["empty", "short", "exactly full", "full and the last", "clamped", "repeated", "says so", "overlap"],
)
async def test_customers_are_read_until_a_page_is_the_last_or_the_first_again(
    answers: tuple[Any, ...], read: int, requests: int, repeats: bool
) -> None:
    looking = LookThrough(client_of(Scripted(*answers)))
    customers: list[Customer] = []
    while not looking.ended:
        customers += await looking.read()
    assert (len(customers), looking.requests, looking.repeats) == (read, requests, repeats)


async def test_looking_through_begins_at_the_page_asked_for() -> None:
    session = Scripted(page(1, 250, _page=1))
    looking = LookThrough(client_of(session), page=4, status_id=8)
    assert (await looking.read(), looking.ended, looking.repeats) == ([], True, True)
    assert session.asked[0][2] == {"page": 4, "limit": 250, "filter[status_id]": 8}


async def test_a_page_with_entries_that_cannot_be_read_is_still_a_page() -> None:
    odd = listing("customers", *({"id": number, "name": []} for number in range(1, 250)), {"id": 250})
    looking = LookThrough(client_of(Scripted(odd, page(251, 3))))
    first = await looking.read()
    assert ([customer.id for customer in first], len(first.unreadable), looking.ended) == ([250], 249, False)
