"""One method an endpoint: what it asks for, and what it makes of the answer."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from amo_mcp.amocrm.client import AmoClient, CustomerPage
from amo_mcp.amocrm.errors import ModeDisabled, NotFound, OutcomeUnknown, Problem, Rejected, Unavailable
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import Account, CreatedStatus, Customer, CustomField, Segment, Status, User
from amo_mcp.amocrm.ratelimit import OnWait
from amo_mcp.amocrm.session import NO_HOOKS, Hooks, Session
from amo_mcp.language import Message

pytestmark = pytest.mark.anyio

ACCOUNT = "/api/v4/account"
CUSTOMERS = "/api/v4/customers"
STATUSES = "/api/v4/customers/statuses"
SEGMENTS = "/api/v4/customers/segments"
FIELDS = "/api/v4/customers/segments/custom_fields"
UNEXPECTED = "returned an unexpected response"

Asked = tuple[str, str, dict[str, int] | None, Any]


class Scripted:
    """A session that gives prepared answers in turn, the last one for ever; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[Asked] = []
        self.waiting: list[OnWait | None] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, int] | None = None,
        body: Any = None,
        hooks: Hooks = NO_HOOKS,
    ) -> Any:
        self.asked.append((method, path, params, body))
        self.waiting.append(hooks.on_wait)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(session: Scripted) -> AmoClient:
    return AmoClient(cast("Session", session))


def listing(key: str, *items: Any, **more: Any) -> dict[str, Any]:
    return {"_embedded": {key: list(items)}, **more}


Do = Callable[[AmoClient], Awaitable[Any]]

STATUS = {"id": 5, "name": "а"}
SEGMENT = {"id": 6, "name": "б"}
ONE_PAGE = {"page": 1, "limit": 250}
ENDPOINTS: dict[str, tuple[Do, Any, Asked, Any]] = {
    "account": (lambda client: client.account(), {"id": 1}, ("GET", ACCOUNT, None, None), Account(id=1)),
    "user": (lambda client: client.user(4), {"id": 4}, ("GET", "/api/v4/users/4", None, None), User(id=4)),
    "statuses": (
        lambda client: client.statuses(),
        listing("statuses", STATUS),
        ("GET", STATUSES, None, None),
        [Status(**STATUS)],
    ),
    "status": (lambda client: client.status(5), STATUS, ("GET", f"{STATUSES}/5", None, None), Status(**STATUS)),
    "create_statuses": (
        lambda client: client.create_statuses([StatusDraft(name="а", sort=1), StatusDraft(name="б", sort=2)]),
        listing("statuses", {"id": 5, "request_id": "0"}, {"id": 8}),
        ("POST", STATUSES, None, [{"name": "а", "sort": 1}, {"name": "б", "sort": 2}]),
        [CreatedStatus(id=5, request_id="0"), CreatedStatus(id=8)],
    ),
    "update_status": (
        lambda client: client.update_status(5, StatusPatch(sort=3)),
        STATUS,
        ("PATCH", f"{STATUSES}/5", None, {"sort": 3}),
        Status(**STATUS),
    ),
    "delete_status": (lambda client: client.delete_status(5), None, ("DELETE", f"{STATUSES}/5", None, None), None),
    "segments": (
        lambda client: client.segments(),
        listing("segments", SEGMENT),
        ("GET", SEGMENTS, ONE_PAGE, None),
        [Segment(**SEGMENT)],
    ),
    "segment": (lambda client: client.segment(6), SEGMENT, ("GET", f"{SEGMENTS}/6", None, None), Segment(**SEGMENT)),
    "create_segment": (
        lambda client: client.create_segment(SegmentDraft(name="б")),
        SEGMENT,
        ("POST", SEGMENTS, None, {"name": "б"}),
        Segment(**SEGMENT),
    ),
    "update_segment": (
        lambda client: client.update_segment(6, SegmentPatch(color="#AE003F")),
        SEGMENT,
        ("PATCH", f"{SEGMENTS}/6", None, {"color": "ae003f"}),
        Segment(**SEGMENT),
    ),
    "delete_segment": (lambda client: client.delete_segment(6), None, ("DELETE", f"{SEGMENTS}/6", None, None), None),
    "segment_fields": (
        lambda client: client.segment_fields(),
        listing("custom_fields", {"id": 7, "type": "text"}),
        ("GET", FIELDS, ONE_PAGE, None),
        [CustomField(id=7, type="text")],
    ),
    "customers": (
        lambda client: client.customers(3, status_id=8),
        listing("customers", {"id": 5, "name": "в"}, _page=3),
        ("GET", CUSTOMERS, {"page": 3, "limit": 250, "filter[status_id]": 8}, None),
        CustomerPage(Listing([Customer(id=5, name="в")]), 3, tells_next=False),
    ),
}
ONES = ("account", "user", "status", "segment")
LISTS = {"statuses": "statuses", "segments": "segments", "segment_fields": "custom_fields"}
WRITTEN = ("create_statuses", "update_status", "create_segment", "update_segment")
MODES = {
    name: "periodicity" if "status" in name else "segments"
    for name in ENDPOINTS
    if name not in ("account", "user", "customers")
}


def doing(name: str) -> Do:
    return ENDPOINTS[name][0]


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_an_endpoint_is_one_request_and_its_answer_is_typed(name: str) -> None:
    do, answered, asked, expected = ENDPOINTS[name]
    session = Scripted(answered)
    assert await do(client_of(session)) == expected
    assert session.asked == [asked]


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_a_client_that_reports_tells_of_the_waits_of_every_request(name: str) -> None:
    async def on_wait(seconds: float, reason: Message) -> None:
        raise AssertionError

    do, answered, _, _ = ENDPOINTS[name]
    session = Scripted(answered)
    client = client_of(session)
    await do(client.reporting(on_wait))
    await do(client)
    assert session.waiting == [on_wait, None]


@pytest.mark.parametrize("name", ONES)
async def test_an_empty_answer_for_one_entity_means_that_it_is_not_there(name: str) -> None:
    with pytest.raises(NotFound) as caught:
        await doing(name)(client_of(Scripted(None)))
    assert caught.value.status == 204


@pytest.mark.parametrize("name", LISTS)
async def test_an_empty_answer_for_a_list_means_that_it_is_empty(name: str) -> None:
    session = Scripted(None)
    assert await doing(name)(client_of(session)) == []
    assert len(session.asked) == 1


@pytest.mark.parametrize("name", ONES)
@pytest.mark.parametrize("wrong", [[], {}, "text", 5, {"id": None}, {"id": "x", "name": 5}])
async def test_an_entity_of_another_shape_is_no_usable_answer(name: str, wrong: Any) -> None:
    with pytest.raises(Unavailable) as caught:
        await doing(name)(client_of(Scripted(wrong)))
    assert caught.value.reason == UNEXPECTED


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_of_another_shape_is_no_usable_answer(name: str) -> None:
    key = LISTS[name]
    shapes: list[Any] = [
        [],
        "text",
        {},
        {"_embedded": []},
        {"_embedded": {}},
        listing("others"),
        {"_embedded": {key: {}}},
    ]
    for wrong in shapes:
        with pytest.raises(Unavailable) as caught:
            await doing(name)(client_of(Scripted(wrong)))
        assert caught.value.reason == UNEXPECTED


DEEP: Any = json.loads("[" * 100 + "]" * 100)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("odd", "unreadable"),
    [
        ([], None),
        (None, None),
        ("text", None),
        ({"name": "а"}, None),
        ({"id": "x", "name": "а"}, None),
        ({"id": 7, "name": {"ru": "а"}}, 7),
        ({"id": 7, "name": "а", "extra": DEEP}, 7),
    ],
)
async def test_an_entry_that_cannot_be_read_hides_no_other_and_is_told_by_its_id(
    name: str, odd: Any, unreadable: int | None
) -> None:
    first, last = {"id": 1, "name": "а"}, {"id": 9, "name": "б"}
    listed = await doing(name)(client_of(Scripted(listing(LISTS[name], first, odd, last))))
    assert isinstance(listed, Listing)
    assert ([item.id for item in listed], listed.unreadable) == ([1, 9], (unreadable,))


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_of_which_nothing_can_be_read_is_not_an_empty_list(name: str) -> None:
    with pytest.raises(Unavailable) as caught:
        await doing(name)(client_of(Scripted(listing(LISTS[name], {"id": 7, "name": []}, "text"))))
    assert caught.value.reason == UNEXPECTED


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_of_which_everything_can_be_read_has_nothing_unreadable(name: str) -> None:
    listed = await doing(name)(client_of(Scripted(listing(LISTS[name], {"id": 1, "name": "а"}))))
    assert listed.unreadable == ()


async def test_entries_that_cannot_be_read_are_collected_over_all_pages() -> None:
    pages = [page(1, 249), page(251, 3)]
    pages[0]["_embedded"]["segments"].append({"id": 250})
    pages[1]["_embedded"]["segments"].insert(0, {"name": "а"})
    segments = await client_of(Scripted(*pages)).segments()
    assert (len(segments), segments.unreadable) == (252, (250, None))


async def test_a_page_of_which_nothing_can_be_read_is_not_the_end() -> None:
    odd = listing("segments", *({"id": number, "name": []} for number in range(51, 101)))
    session = Scripted(linked(page(1, 50)), linked(odd), page(101, 3))
    segments = await client_of(session).segments()
    assert ([len(segments), len(session.asked)], segments.unreadable) == ([53, 3], tuple(range(51, 101)))


async def test_an_entry_that_cannot_be_read_is_told_once_however_often_the_page_is_repeated() -> None:
    pages = [linked(page(1, 5)), linked(page(3, 5))]
    for answer in pages:
        answer["_embedded"]["segments"].append({"id": 99})
    segments = await client_of(Scripted(*pages)).segments()
    assert (len(segments), segments.unreadable) == (7, (99,))


@pytest.mark.parametrize("name", WRITTEN)
async def test_a_write_whose_answer_has_another_shape_may_have_been_made(name: str) -> None:
    shapes: list[Any] = [[], "text", {}, {"_embedded": {"statuses": [{}]}}]
    for wrong in shapes:
        with pytest.raises(OutcomeUnknown) as caught:
            await doing(name)(client_of(Scripted(wrong)))
        assert caught.value.reason == UNEXPECTED


@pytest.mark.parametrize("name", WRITTEN)
async def test_a_write_that_was_answered_with_nothing_may_have_been_made(name: str) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        await doing(name)(client_of(Scripted(None)))
    assert caught.value.reason == UNEXPECTED


@pytest.mark.parametrize("name", ["delete_status", "delete_segment"])
@pytest.mark.parametrize("answered", [{}, [], "", 0, {"id": 6}, {"status": "ok"}])
async def test_a_deletion_that_was_answered_with_anything_may_have_been_made(name: str, answered: Any) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        await doing(name)(client_of(Scripted(answered)))
    assert (caught.value.reason, caught.value.settled) == (UNEXPECTED, False)


@pytest.mark.parametrize("name", ["update_status", "update_segment"])
async def test_a_change_that_is_answered_with_another_entity_may_have_been_made(name: str) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        await doing(name)(client_of(Scripted({"id": 99, "name": "а"})))
    assert caught.value.reason == UNEXPECTED


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_the_keys_of_hal_are_no_part_of_what_is_read(name: str) -> None:
    do, answered, _, expected = ENDPOINTS[name]

    def with_hal(entity: dict[str, Any]) -> dict[str, Any]:
        return {**entity, "_links": {"self": {"href": "https://example.org"}}, "_embedded": {"tags": []}}

    if (key := {**LISTS, "create_statuses": "statuses", "customers": "customers"}.get(name)) is not None:
        answered = {**answered, **listing(key, *map(with_hal, answered["_embedded"][key])), "_links": {}}
    else:
        answered = with_hal(answered) if answered else answered
    assert await do(client_of(Scripted(answered))) == expected


THREE = [StatusDraft(name="а", sort=1, request_id="x"), StatusDraft(name="б", sort=2), StatusDraft(name="в", sort=3)]


@pytest.mark.parametrize(
    ("answered", "ids"),
    [
        ([(7, "2"), (8, "x"), (9, "1")], [8, 9, 7]),
        ([(7, None), (8, None), (9, None)], [7, 8, 9]),
        ([(7, "1"), (8, "1"), (9, "x")], [7, 8, 9]),
        ([(7, "0"), (8, "1"), (9, "2")], [7, 8, 9]),
    ],
    ids=["shuffled", "no echo", "unclear echo", "another echo"],
)
async def test_created_statuses_are_told_in_the_order_asked_for_by_their_echo(
    answered: list[tuple[int, str | None]], ids: list[int]
) -> None:
    items = [{"id": status_id, "request_id": echo} for status_id, echo in answered]
    created = await client_of(Scripted(listing("statuses", *items))).create_statuses(THREE)
    assert [item.id for item in created] == ids


@pytest.mark.parametrize("count", [0, 2, 4])
async def test_another_number_of_created_statuses_than_asked_for_leaves_the_outcome_unknown(count: int) -> None:
    items = [{"id": status_id} for status_id in range(1, count + 1)]
    with pytest.raises(OutcomeUnknown) as caught:
        await client_of(Scripted(listing("statuses", *items))).create_statuses(THREE)
    assert caught.value.reason == UNEXPECTED


async def test_the_problems_of_a_batch_are_told_by_the_place_of_their_part_and_the_rejection_is_left_as_it_was() -> (
    None
):
    problems = (Problem("name", "Пусто.", entry="1"), Problem("name", "Пусто.", entry="x"), Problem("limit", "Много."))
    refusal = Rejected(400, "Request validation failed", problems)
    with pytest.raises(Rejected) as caught:
        await client_of(Scripted(refusal)).create_statuses(THREE)
    placed = [problem.path for problem in caught.value.problems]
    assert (placed, caught.value.status, caught.value.detail) == (
        ["statuses.1.name", "statuses.0.name", "limit"],
        400,
        "Request validation failed",
    )
    assert [problem.path for problem in refusal.problems] == ["name", "name", "limit"]


@pytest.mark.parametrize("name", MODES)
async def test_a_422_in_another_mode_is_told_as_the_mode(name: str) -> None:
    other = "segments" if MODES[name] == "periodicity" else "periodicity"
    for actual in (other, "disabled", "unavailable", "dynamic"):
        session = Scripted(Rejected(422, "Не включен"), {"id": 1, "customers_mode": actual})
        with pytest.raises(ModeDisabled) as caught:
            await doing(name)(client_of(session))
        assert (caught.value.needed, caught.value.actual, caught.value.status) == (MODES[name], actual, 422)
        assert session.asked == [ENDPOINTS[name][2], ("GET", ACCOUNT, None, None)]


async def test_customers_are_there_in_either_mode_and_in_no_other() -> None:
    session = Scripted(Rejected(422, "Не включен"), {"id": 1, "customers_mode": "disabled"})
    with pytest.raises(ModeDisabled) as caught:
        await client_of(session).customers(1)
    assert (caught.value.needed, caught.value.actual) == ("segments or periodicity", "disabled")
    for mode in ("segments", "periodicity"):
        with pytest.raises(Rejected):
            await client_of(Scripted(Rejected(422, "Другое"), {"id": 1, "customers_mode": mode})).customers(1)


@pytest.mark.parametrize(
    ("embedded", "segments"),
    [
        ({}, None),
        ({"tags": []}, None),
        ([], None),
        ({"segments": []}, []),
        ({"segments": {}}, []),
        ({"segments": None}, []),
        ({"segments": [{"id": 51, "_links": {}}, {"id": 54, "name": "а"}]}, [51, 54]),
    ],
)
async def test_a_customer_has_the_segments_that_are_embedded_or_none_are_told(
    embedded: Any, segments: list[int] | None
) -> None:
    [customer] = (
        await client_of(Scripted(listing("customers", {"id": 5, "_embedded": embedded, "ltv": 3}))).customers(1)
    ).customers
    assert (customer.segments, customer.model_extra) == (segments, {"ltv": 3})


@pytest.mark.parametrize("segments", ["51", [{"name": "а"}], [["x"]], [{"id": "x"}], 51])
async def test_a_customer_whose_segments_cannot_be_read_is_unreadable_and_not_without_any(segments: Any) -> None:
    odd = {"id": 5, "_embedded": {"segments": segments}}
    page = await client_of(Scripted(listing("customers", odd, {"id": 7}))).customers(1)
    assert ([customer.id for customer in page.customers], page.customers.unreadable) == ([7], (5,))


@pytest.mark.parametrize("name", MODES)
async def test_a_422_stays_a_rejection_when_the_account_does_not_say_another_mode(name: str) -> None:
    right = {"id": 1, "customers_mode": MODES[name]}
    for account in (right, {"id": 1}, None, {}, Unavailable("answered with the status 503", 503), Rejected(422)):
        refusal = Rejected(422, "Не включен")
        session = Scripted(refusal, account)
        with pytest.raises(Rejected) as caught:
            await doing(name)(client_of(session))
        assert caught.value is refusal
        assert len(session.asked) == 2


@pytest.mark.parametrize("name", MODES)
async def test_another_refusal_is_passed_on_without_asking_for_the_mode(name: str) -> None:
    for refusal in (Rejected(400, "Х"), NotFound(404), Unavailable("did not answer"), OutcomeUnknown("broke off")):
        session = Scripted(refusal)
        with pytest.raises(type(refusal)) as caught:
            await doing(name)(client_of(session))
        assert caught.value is refusal
        assert len(session.asked) == 1


def page(first: int, count: int, **more: Any) -> dict[str, Any]:
    return listing("segments", *({"id": number, "name": "а"} for number in range(first, first + count)), **more)


def linked(answer: dict[str, Any]) -> dict[str, Any]:
    """A page that names the next one, on another host."""
    return {**answer, "_links": {"next": {"href": "https://shard151.example.org/?page=2"}}}


@pytest.mark.parametrize(
    ("answers", "listed", "requests"),
    [
        ((page(1, 249), None), 249, 1),
        ((page(1, 250), None), 250, 2),
        ((page(1, 250), page(251, 250), page(501, 3)), 503, 3),
        ((page(1, 50, _page_count=3), page(51, 50, _page_count=3), page(101, 9, _page_count=3)), 109, 3),
        ((page(1, 50, _page_count=9),), 50, 2),
        ((page(1, 250),), 250, 2),
        ((page(1, 250), page(200, 100)), 299, 2),
        ((page(1, 50, _page_count="2"), page(51, 9, _page_count="2")), 59, 2),
        ((page(1, 50, _page_count="many"),), 50, 1),
        ((page(1, 50, _page_count="9" * 5000),), 50, 1),
        ((page(1, 0),), 0, 1),
        ((linked(page(1, 50)), linked(page(51, 50)), page(101, 50)), 150, 3),
        ((page(1, 50, _total_items=120), page(51, 50, _total_items=120), page(101, 20, _total_items=120)), 120, 3),
        ((page(1, 5, _total_items=6), None), 5, 2),
        ((page(1, 50, _links={"next": None}),), 50, 1),
        ((page(1, 50, _links=["next"]),), 50, 1),
        ((linked(page(1, 50)),), 50, 2),
        ((linked(page(1, 50)), linked(page(1, 50))), 50, 2),
    ],
    ids=[
        *("short", "exactly full", "three", "clamped", "always the first", "full first", "overlap"),
        *("as text", "odd", "digits without end", "empty"),
        *("next", "total", "total that is not true", "no next", "odd links", "always the first with next", "repeated"),
    ],
)
async def test_pages_are_read_by_number_until_nothing_says_that_there_is_more(
    answers: tuple[Any, ...], listed: int, requests: int
) -> None:
    session = Scripted(*answers)
    segments = await client_of(session).segments()
    assert [segment.id for segment in segments] == list(range(1, listed + 1))
    assert [asked[2] for asked in session.asked] == [
        {"page": number, "limit": 250} for number in range(1, requests + 1)
    ]


async def test_an_endless_list_is_not_read_for_ever() -> None:
    session = Scripted(*(page(1 + 250 * number, 250) for number in range(60)))
    segments = await client_of(session).segments()
    assert (len(segments), len(session.asked)) == (10_000, 40)


async def test_what_a_later_page_says_of_a_segment_is_what_holds() -> None:
    renamed = listing("segments", {"id": 250, "name": "б"}, {"id": 251, "name": "а"})
    segments = await client_of(Scripted(page(1, 250), renamed)).segments()
    assert [(segment.id, segment.name) for segment in segments[-2:]] == [(250, "б"), (251, "а")]
