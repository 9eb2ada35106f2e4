"""Who is where, as it is read before and after a move: on how many pages, and what is done where pages are too many."""

from typing import Any, cast

import pytest
from typing_extensions import override

from amo_mcp.amocrm.client import AmoClient, CustomerPage
from amo_mcp.amocrm.errors import NotFound, Unavailable
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Customer, Segment, Status
from amo_mcp.amocrm.session import Session
from amo_mcp.changes.members import Member
from amo_mcp.changes.membership import MAX_MERGE_PAGES, find_customers, read_crowd, read_members, remembering
from amo_mcp.changes.moving import in_batches
from amo_mcp.changes.steps import Delete, Move

pytestmark = pytest.mark.anyio

VIP, REGULARS = Segment(id=51, name="VIP", customers_count=3), Segment(id=57, name="Постоянные", customers_count=9)


class Account(AmoClient):
    """An account with `count` customers, 250 on a page; every `every`-th is in segment 51.

    Attributes:
        asked: what was asked for: a page, or an id below zero.
    """

    def __init__(self, count: int, every: int = 10, *, repeats: bool = False) -> None:
        super().__init__(cast("Session", None))
        self.count, self.every, self.repeats = count, every, repeats
        self.hidden: set[int] = set()
        self.asked: list[int] = []

    @override
    async def customers(self, page: int, *, status_id: int | None = None) -> CustomerPage:
        self.asked.append(page)
        number = 1 if self.repeats else page
        ids = range(250 * (number - 1) + 1, min(self.count, 250 * number) + 1)
        listed = [self._made(one) for one in ids if one not in self.hidden]
        return CustomerPage(Listing(listed, [*self.hidden & {*ids}]), number, tells_next=250 * number < self.count)

    @override
    async def customer(self, customer_id: int) -> Customer:
        self.asked.append(-customer_id)
        if customer_id > self.count:
            raise NotFound(204)
        return self._made(customer_id)

    def _made(self, number: int) -> Customer:
        return Customer(id=number, segments=[] if number % self.every else [51], status_id=7)


async def test_a_few_customers_are_read_one_by_one_and_who_is_gone_is_left_out() -> None:
    account = Account(30)
    found = await find_customers(account, [5, 9, 31])
    assert ([*found.customers], found.pages, account.asked) == ([5, 9], {}, [-5, -9, -31])


async def test_many_customers_are_found_on_pages_as_long_as_that_takes_fewer_requests() -> None:
    account = Account(3_000)
    near = await find_customers(account, range(1, 41))
    assert (len(near.customers), account.asked, {*near.pages.values()}) == (40, [1], {1})
    account.asked.clear()
    far = await find_customers(account, range(2_990, 3_000))
    assert (len(far.customers), account.asked[:4]) == (10, [1, 2, 3, -2_990])
    assert far.pages == {}


async def test_customers_are_looked_for_on_the_page_where_they_were_and_who_left_it_one_by_one() -> None:
    account = Account(1_000)
    found = await find_customers(account, [749, 750, 751, 752], page=4)
    assert (sorted(found.customers), account.asked) == ([749, 750, 751, 752], [4, -749, -750])


async def test_one_that_cannot_be_read_is_known_by_its_id_alone() -> None:
    account = Account(30)
    account.hidden = {3}
    found = await find_customers(account, range(1, 9))
    assert (found.customers[3], account.asked) == (Customer(id=3), [1])


@pytest.mark.parametrize(
    ("account", "most", "count"),
    [
        (Account(1_000), 4, 100),
        (Account(1_001), 4, None),
        (Account(1_001), 5, 100),
        (Account(1_000, repeats=True), 20, None),
        (Account(0), 1, 0),
    ],
)
async def test_members_are_all_of_them_or_nobody(account: Account, most: int, count: int | None) -> None:
    members = await read_members(account, VIP, most)
    assert (None if members is None else len(members)) == count


async def test_where_one_customer_cannot_be_read_the_members_are_not_known() -> None:
    account = Account(1_000)
    account.hidden = {3}
    assert await read_members(account, VIP, 20) is None
    assert (await read_crowd(account)).is_complete is False


@pytest.mark.requirement("PLAN-7")
async def test_a_merge_looks_through_four_hundred_pages_and_no_more() -> None:
    merge = Move("segment", (), (REGULARS,), source=VIP)
    within = Account(250 * MAX_MERGE_PAGES, every=40_000)
    assert [len(step.customers) for step in await in_batches(within, [merge]) if isinstance(step, Move)] == [1, 1]
    with pytest.raises(Unavailable) as caught:
        await in_batches(Account(250 * MAX_MERGE_PAGES + 1), [merge])
    assert caught.value.reason == "has more customers than can be looked through"


async def test_batches_are_of_fifty_and_of_one_page_and_the_first_customer_goes_alone() -> None:
    merge = Move("segment", (), (REGULARS,), source=VIP)
    batches = [step for step in await in_batches(Account(1_000, every=2), [merge]) if isinstance(step, Move)]
    assert [(step.page, len(step.customers)) for step in batches] == [
        (1, 1),
        *[(1, 50), (1, 50), (1, 24)],
        *[(page, size) for page in (2, 3, 4) for size in (50, 50, 25)],
    ]
    assert batches[0].customers == (Member(2, (51,), 7),)


@pytest.mark.requirement("CUSTOMER-9")
@pytest.mark.parametrize(("count", "are_read"), [(4_750, True), (4_751, False), (100_000, False)])
async def test_whether_members_can_be_read_is_one_request_for_all_deletions(count: int, are_read: bool) -> None:
    account = Account(count)
    empty = Segment(id=66, name="новички", customers_count=0)
    steps = [Delete(VIP), Delete(empty), Delete(Status(id=7, name="Тёплые"))]
    assert await remembering(account, steps) == (
        Delete(VIP, are_read),
        Delete(empty),
        Delete(Status(id=7, name="Тёплые"), are_read),
    )
    assert account.asked == [20]


async def test_nothing_is_asked_where_nobody_is_in_what_is_deleted() -> None:
    account = Account(100)
    steps: list[Any] = [Delete(Segment(id=66, name="новички", customers_count=0)), Move("segment", (), (VIP,))]
    assert (await remembering(account, steps), account.asked) == (tuple(steps), [])
