"""One method an endpoint; typed in, typed out (reference: "Статусы и сегменты покупателей").

Every method can raise what `transport.Transport.request` raises: `Unavailable`, `OutcomeUnknown` (writes only) and the
subclasses of `Refused`.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from amo_mcp.amocrm.errors import AmoError, ModeDisabled, NotFound, OutcomeUnknown, Problem, Rejected, Unavailable
from amo_mcp.amocrm.models import (
    Account,
    CreatedStatus,
    CustomField,
    Segment,
    SegmentDraft,
    SegmentPatch,
    Status,
    StatusDraft,
    StatusPatch,
    User,
)
from amo_mcp.amocrm.session import Session

_STATUSES = "/api/v4/customers/statuses"
_SEGMENTS = "/api/v4/customers/segments"
_FIELDS = "/api/v4/customers/segments/custom_fields"
_ACCOUNT = "/api/v4/account"
_USERS = "/api/v4/users"

PAGE = 250
"""Items on one page; the API clamps a larger `limit` to this silently."""

_MAX_PAGES = 40
_UNPROCESSABLE = 422
_ODD = "answered with something of another shape than documented"
_ModelT = TypeVar("_ModelT", bound=BaseModel)
_ListedT = TypeVar("_ListedT", Status, Segment, CustomField)


class AmoClient:
    """The API of one account."""

    def __init__(self, transport: Session) -> None:
        self._transport = transport

    @property
    def root(self) -> str:
        """The account's address."""
        return self._transport.root

    async def account(self) -> Account:
        """The account (`GET /account`); `customers_mode` comes without being asked for."""
        return self._one(Account, await self._transport.request("GET", _ACCOUNT))

    async def user(self, user_id: int | None) -> User:
        """One user (`GET /users/{id}`)."""
        if user_id is None:
            raise NotFound(204)
        return self._one(User, await self._transport.request("GET", f"{_USERS}/{user_id}"))

    async def statuses(self) -> list[Status]:
        """All the statuses, in the order of the API (reference: "Список статусов покупателей"; not paged)."""
        return self._many(Status, await self._statuses("GET", _STATUSES), "statuses")

    async def status(self, status_id: int) -> Status:
        """One status (reference: "Получение статуса покупателей по ID")."""
        return self._asked(Status, await self._statuses("GET", f"{_STATUSES}/{status_id}"), status_id)

    async def create_statuses(self, drafts: Sequence[StatusDraft]) -> list[CreatedStatus]:
        """Create statuses in one batch, all or none, and give their ids in the order of `drafts`.

        Reference: "Добавление статусов в воронку". The echo of `request_id`, or the ordinal in its place, says which
        is which.
        """
        expected = [draft.request_id or str(index) for index, draft in enumerate(drafts)]
        try:
            answer = await self._statuses("POST", _STATUSES, body=[draft.to_payload() for draft in drafts])
        except Rejected as error:
            error.problems = _placed(error.problems, expected)
            raise
        try:
            created = self._many(CreatedStatus, answer, "statuses")
        except Unavailable as error:
            raise OutcomeUnknown(_ODD) from error
        if len(created) != len(drafts):
            raise OutcomeUnknown(_ODD)
        echoed = {item.request_id: item for item in created}
        told_apart = len(echoed) == len(drafts) and echoed.keys() == set(expected)
        return [echoed[name] for name in expected] if told_apart else created

    async def update_status(self, status_id: int, patch: StatusPatch) -> Status:
        """Change a status and give it as it is now (reference: "Редактирование статуса покупателей")."""
        answer = await self._statuses("PATCH", f"{_STATUSES}/{status_id}", body=patch.to_payload())
        return self._written(Status, answer, status_id)

    async def delete_status(self, status_id: int) -> None:
        """Delete a status; its customers move to others later (reference: "Удаление статуса покупателей")."""
        await self._statuses("DELETE", f"{_STATUSES}/{status_id}")

    async def segments(self) -> list[Segment]:
        """All the segments, in the order of the API (reference: "Список сегментов покупателей")."""
        return await self._all_pages(Segment, _SEGMENTS, "segments")

    async def segment(self, segment_id: int) -> Segment:
        """One segment (reference: "Получение сегмента покупателей по ID")."""
        return self._asked(Segment, await self._segments("GET", f"{_SEGMENTS}/{segment_id}"), segment_id)

    async def create_segment(self, draft: SegmentDraft) -> Segment:
        """Create a segment and give it whole (reference: "Добавление сегмента покупателей")."""
        return self._written(Segment, await self._segments("POST", _SEGMENTS, body=draft.to_payload()))

    async def update_segment(self, segment_id: int, patch: SegmentPatch) -> Segment:
        """Change a segment and give it as it is now (reference: "Редактирование сегмента покупателей")."""
        answer = await self._segments("PATCH", f"{_SEGMENTS}/{segment_id}", body=patch.to_payload())
        return self._written(Segment, answer, segment_id)

    async def delete_segment(self, segment_id: int) -> None:
        """Delete a segment (reference: "Удаление сегмента покупателей")."""
        await self._segments("DELETE", f"{_SEGMENTS}/{segment_id}")

    async def segment_fields(self) -> list[CustomField]:
        """The custom fields that segments can have (`GET /customers/segments/custom_fields`)."""
        return await self._all_pages(CustomField, _FIELDS, "custom_fields")

    async def _statuses(self, method: str, path: str, body: Any = None) -> Any:
        return await self._in_mode("periodicity", self._transport.request(method, path, body=body))

    async def _segments(self, method: str, path: str, body: Any = None, params: dict[str, int] | None = None) -> Any:
        return await self._in_mode("segments", self._transport.request(method, path, params=params, body=body))

    async def _in_mode(self, needed: str, answer: Awaitable[Any]) -> Any:
        """`answer`, or the reason for its 422: the text of that status is not documented, so the account is asked."""
        try:
            return await answer
        except Rejected as error:
            actual = await self._mode() if error.status == _UNPROCESSABLE else needed
            if actual in (needed, ""):
                raise
            raise ModeDisabled(needed, actual) from error

    async def _mode(self) -> str:
        """The account's mode, empty when it cannot be found out."""
        try:
            return (await self.account()).customers_mode
        except AmoError:
            return ""

    async def _all_pages(self, model: type[_ListedT], path: str, key: str) -> list[_ListedT]:
        """Every page, by number.

        A page that is not full is the last. A page that brings nothing new is the end as well: on some routes the API
        ignores `page` and answers the first one again.
        """
        found: dict[int, _ListedT] = {}
        for page in range(1, _MAX_PAGES + 1):
            answer = await self._segments("GET", path, params={"page": page, "limit": PAGE})
            items = self._many(model, answer, key)
            before = len(found)
            found |= {item.id: item for item in items}
            more = len(items) == PAGE or (isinstance(answer, dict) and _page_count(answer) > page)
            if not more or len(found) == before:
                break
        return list(found.values())

    def _one(self, model: type[_ModelT], answer: Any) -> _ModelT:
        """The model of a read; an empty answer says that there is no such thing."""
        if answer is None:
            raise NotFound(204)
        try:
            return model.model_validate(_without_hal(answer))
        except ValidationError as error:
            raise Unavailable(_ODD) from error

    def _asked(self, model: type[_ListedT], answer: Any, asked_id: int) -> _ListedT:
        """The model of the thing that was asked for; an answer about another one is none."""
        found = self._one(model, answer)
        if found.id != asked_id:
            raise Unavailable(_ODD)
        return found

    def _many(self, model: type[_ModelT], answer: Any, key: str) -> list[_ModelT]:
        """The models of a listing; an empty answer is an empty list."""
        if answer is None:
            return []
        embedded = answer.get("_embedded") if isinstance(answer, dict) else None
        items = embedded.get(key) if isinstance(embedded, dict) else None
        try:
            return _listing(model).validate_python(_without_hal(items))
        except ValidationError as error:
            raise Unavailable(_ODD) from error

    def _written(self, model: type[_ListedT], answer: Any, written_id: int | None = None) -> _ListedT:
        """The model of a write; an answer that cannot be read leaves it unsaid what was done."""
        try:
            written = self._one(model, answer)
        except (NotFound, Unavailable) as error:
            raise OutcomeUnknown(_ODD) from error
        if written_id not in (None, written.id):
            raise OutcomeUnknown(_ODD)
        return written


@cache
def _listing(model: type[_ModelT]) -> TypeAdapter[list[_ModelT]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def _without_hal(answer: Any) -> Any:
    """An entity, or a list of some, without the keys of HAL, which are no part of it."""
    for item in answer if isinstance(answer, list) else [answer]:
        if isinstance(item, dict):
            item.pop("_links", None)
            item.pop("_embedded", None)
    return answer


def _placed(problems: Sequence[Problem], entries: Sequence[str]) -> tuple[Problem, ...]:
    """The problems of a batch, each with its place in it."""
    return tuple(
        replace(problem, path=f"statuses.{entries.index(problem.entry)}.{problem.path}")
        if problem.entry in entries
        else problem
        for problem in problems
    )


def _page_count(answer: dict[str, Any]) -> int:
    count = answer.get("_page_count")
    return count if isinstance(count, int) else 1
