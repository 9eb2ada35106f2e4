"""One method an endpoint; typed in, typed out (reference: "Статусы и сегменты покупателей").

Every method can raise what `session.Session.request` raises: `Unavailable`, `OutcomeUnknown` (writes only) and the
subclasses of `Refused`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from amo_mcp.amocrm import reading
from amo_mcp.amocrm.errors import AmoError, ModeDisabled, NotFound, OtherAccount, Rejected
from amo_mcp.amocrm.inputs import CustomerPatch, SegmentDraft, SegmentPatch, StatusDraft, StatusPatch
from amo_mcp.amocrm.listing import Listing
from amo_mcp.amocrm.models import (
    Account,
    ApiEntity,
    CreatedStatus,
    Customer,
    CustomField,
    DatetimeSettings,
    Segment,
    Status,
    User,
)
from amo_mcp.amocrm.ratelimit import OnWait
from amo_mcp.amocrm.session import NO_HOOKS, Hooks, Session

_CUSTOMERS = "/api/v4/customers"
_STATUSES = "/api/v4/customers/statuses"
_SEGMENTS = "/api/v4/customers/segments"
_FIELDS = "/api/v4/customers/segments/custom_fields"
_ACCOUNT = "/api/v4/account"
_USERS = "/api/v4/users"

_MAX_PAGES = 40
_MODES = {_STATUSES: ("periodicity",), _SEGMENTS: ("segments",), _CUSTOMERS: ("segments", "periodicity")}
"""The modes of the account that an endpoint can be used in, with everything under it; the first that fits counts."""

_EntityT = TypeVar("_EntityT", bound=ApiEntity)
_OwnedT = TypeVar("_OwnedT", Segment, Status, Customer)
_OwnedListT = TypeVar("_OwnedListT", bound=Iterable[Segment | Status | Customer])


class CustomerPage(NamedTuple):
    """Some of the customers.

    Attributes:
        number: the number that the page gives itself; it is another than the one asked for where the API ignores it.
        tells_next: whether it says that there is another one.
    """

    customers: Listing[Customer]
    number: int
    tells_next: bool


class AmoClient:
    """The API of one account.

    Args:
        session: sends the requests.
        hooks: what is called in the course of a request; `before_retry` only of a PATCH or a DELETE.
        account_id: the account that is meant, where that counts: `OtherAccount` is raised instead of the segments and
            statuses, or the absence, of another one.
    """

    def __init__(
        self,
        session: Session,
        hooks: Hooks = NO_HOOKS,
        account_id: int | None = None,
    ) -> None:
        self._session = session
        self._hooks = hooks
        self._account_id = account_id

    @property
    def base_url(self) -> str:
        """The account's address, such as `https://example.amocrm.ru`."""
        return self._session.base_url

    @property
    def round_trip(self) -> float:
        """Seconds that recent requests took, from sending to the beginning of the answer; see `Session`."""
        return self._session.round_trip

    def reporting(self, on_wait: OnWait | None) -> "AmoClient":
        """A client of the same session with another `on_wait`."""
        return self.hooked(on_wait=on_wait)

    def hooked(self, **hooks: Any) -> "AmoClient":
        """A client of the same session with other hooks."""
        return AmoClient(self._session, self._hooks._replace(**hooks), self._account_id)

    def meaning(self, account_id: int) -> "AmoClient":
        """A client of the same session with an `account_id`."""
        return AmoClient(self._session, self._hooks, account_id)

    def prepare(self) -> None:
        """Load what the first request needs; may take a tenth of a second."""
        self._session.prepare()

    async def account(self) -> Account:
        """The account (`GET /account`); `customers_mode` comes without being asked for."""
        return reading.one(Account, await self._request("GET", _ACCOUNT))

    async def account_with_zone(self) -> Account:
        """The account with its `datetime_settings`; it may still tell none."""
        response = await self._request("GET", _ACCOUNT, params={"with": "datetime_settings"})
        settings = reading.embedded(response, "datetime_settings")
        account = reading.one(Account, response)
        with suppress(ValidationError):
            return account.model_copy(update={"datetime_settings": DatetimeSettings.model_validate(settings)})
        return account

    async def user(self, user_id: int) -> User:
        """One user (`GET /users/{id}`)."""
        return reading.one(User, await self._request("GET", f"{_USERS}/{user_id}"))

    async def users(self) -> Listing[User]:
        """All users; for administrators alone (`GET /users`)."""
        return await self._all_pages(User, _USERS, "users")

    async def statuses(self) -> Listing[Status]:
        """All the statuses, in the order of the API (reference: "Список статусов покупателей"; not paged)."""
        response = await self._request("GET", _STATUSES)
        return await self._own(reading.check_readable(reading.many(Status, response, "statuses")))

    async def status(self, status_id: int) -> Status:
        """One status (reference: "Получение статуса покупателей по ID")."""
        return await self._one(Status, _STATUSES, status_id)

    async def create_statuses(self, drafts: Sequence[StatusDraft]) -> list[CreatedStatus]:
        """Create statuses in one batch, all or none, and give their ids in the order of `drafts`.

        Reference: "Добавление статусов в воронку". The echo of `request_id`, or the ordinal in its place, says which
        is which.
        """
        expected = [draft.request_id or str(index) for index, draft in enumerate(drafts)]
        try:
            response = await self._request("POST", _STATUSES, body=[draft.to_payload() for draft in drafts])
        except Rejected as error:
            placed = reading.placed(error.problems, expected)
            if placed == error.problems:
                raise
            raise Rejected(error.status, error.detail, placed) from error
        created = reading.all_written(CreatedStatus, response, "statuses", len(drafts))
        echoed = {item.request_id: item for item in created}
        is_clear = len(echoed) == len(drafts) and echoed.keys() == set(expected)
        return [echoed[name] for name in expected] if is_clear else created

    async def update_status(self, status_id: int, patch: StatusPatch) -> Status:
        """Change a status and give it as it is now (reference: "Редактирование статуса покупателей")."""
        response = await self._request("PATCH", f"{_STATUSES}/{status_id}", body=patch.to_payload())
        return reading.written(Status, response, status_id)

    async def delete_status(self, status_id: int) -> None:
        """Delete a status; its customers move to others later (reference: "Удаление статуса покупателей")."""
        reading.check_deleted(await self._request("DELETE", f"{_STATUSES}/{status_id}"))

    async def segments(self) -> Listing[Segment]:
        """All the segments, in the order of the API (reference: "Список сегментов покупателей")."""
        return await self._own(await self._all_pages(Segment, _SEGMENTS, "segments"))

    async def segment(self, segment_id: int) -> Segment:
        """One segment (reference: "Получение сегмента покупателей по ID")."""
        return await self._one(Segment, _SEGMENTS, segment_id)

    async def create_segment(self, draft: SegmentDraft) -> Segment:
        """Create a segment and give it whole (reference: "Добавление сегмента покупателей")."""
        return reading.written(Segment, await self._request("POST", _SEGMENTS, body=draft.to_payload()))

    async def update_segment(self, segment_id: int, patch: SegmentPatch) -> Segment:
        """Change a segment and give it as it is now (reference: "Редактирование сегмента покупателей")."""
        response = await self._request("PATCH", f"{_SEGMENTS}/{segment_id}", body=patch.to_payload())
        return reading.written(Segment, response, segment_id)

    async def delete_segment(self, segment_id: int) -> None:
        """Delete a segment (reference: "Удаление сегмента покупателей")."""
        reading.check_deleted(await self._request("DELETE", f"{_SEGMENTS}/{segment_id}"))

    async def segment_fields(self) -> Listing[CustomField]:
        """The custom fields that segments can have (`GET /customers/segments/custom_fields`)."""
        return await self._all_pages(CustomField, _FIELDS, "custom_fields")

    async def customers(self, page: int, *, status_id: int | None = None) -> CustomerPage:
        """One page of the customers (`GET /customers`), in the order of the API.

        With `status_id` those of one status are asked for. Where the account does not have the filter of the API it is
        ignored silently, so who comes has to be looked at.
        """
        wanted = {} if status_id is None else {"filter[status_id]": status_id}
        params = {"page": page, "limit": reading.PAGE_SIZE, **wanted}
        response = await self._request("GET", _CUSTOMERS, params=params)
        listed = await self._own(reading.check_readable(reading.many(Customer, response, "customers")))
        return CustomerPage(listed, reading.page_number(response) or page, reading.tells_next(response))

    async def customer(self, customer_id: int) -> Customer:
        """One customer (`GET /customers/{id}`)."""
        return await self._one(Customer, _CUSTOMERS, customer_id)

    async def update_customers(self, patches: Sequence[CustomerPatch]) -> None:
        """Put customers where they are to be, all or none of them (`PATCH /customers`).

        The answer has no more than their ids, so it says nothing of what was done: they have to be read.
        """
        await self._request("PATCH", _CUSTOMERS, body=[patch.to_payload() for patch in patches])

    async def _one(self, model: type[_OwnedT], path: str, entity_id: int) -> _OwnedT:
        try:
            entity = reading.one(model, await self._request("GET", f"{path}/{entity_id}"), entity_id)
        except NotFound:
            await self._own(())
            raise
        await self._own([entity])
        return entity

    async def _own(self, entities: _OwnedListT) -> _OwnedListT:
        """What was read, of the account that is meant; where it does not say whose it is, the account is asked.

        Raises:
            OtherAccount: it is another account's.
        """
        if self._account_id is not None and {entity.account_id for entity in entities} != {self._account_id}:
            account = await self.account()
            if account.id != self._account_id:
                raise OtherAccount
        return entities

    async def _request(
        self, method: str, path: str, *, params: Mapping[str, int | str] | None = None, body: Any = None
    ) -> Any:
        """The response, or the reason for its 422: the text of that status is not documented, so the account is asked.

        Raises:
            ModeDisabled: the account is in another mode than the endpoint needs.
        """
        hooks = self._hooks if method in ("PATCH", "DELETE") else self._hooks._replace(before_retry=None)
        try:
            return await self._session.request(method, path, params=params, body=body, hooks=hooks)
        except Rejected as error:
            needed = next((modes for endpoint, modes in _MODES.items() if path.startswith(endpoint)), ())
            asks = needed and error.status == HTTPStatus.UNPROCESSABLE_ENTITY
            actual = await self._mode() if asks else ""
            if actual in (*needed, ""):
                raise
            raise ModeDisabled(" or ".join(needed), actual) from error

    async def _mode(self) -> str:
        """The account's mode, empty when it cannot be found out."""
        try:
            return (await self.account()).customers_mode
        except AmoError:
            return ""

    async def _all_pages(self, model: type[_EntityT], path: str, key: str) -> Listing[_EntityT]:
        """Every page, by number.

        A page is followed by another when it is full, or when anything in the response says so. A page that brings
        nothing new is the end: on some routes the API ignores `page` and answers the first one again. Where that page
        was counted before, something of the account could not be read.
        """
        pages = 0
        found: dict[int, _EntityT] = {}
        unreadable: list[int | None] = []
        seen: set[int | None] = set()
        for page in range(1, _MAX_PAGES + 1):
            response = await self._request("GET", path, params={"page": page, "limit": reading.PAGE_SIZE})
            listed = reading.many(model, response, key)
            new = {*(item.id for item in listed), *listed.unreadable} - seen
            if page > 1 and not new:
                unreadable += [None] * (pages >= page)
                break
            pages = reading.page_count(response)
            found |= {item.id: item for item in listed}
            unreadable += [entry for entry in listed.unreadable if entry in new]
            seen |= new
            if not reading.has_more(response, page, listed.size, len(found) + len(unreadable)):
                break
        return reading.check_readable(Listing(found.values(), unreadable))
