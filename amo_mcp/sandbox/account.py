"""The account that a sandbox keeps: plain data, and nothing that decides anything."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from amo_mcp.sandbox import documents

JsonObject = dict[str, Any]

MODES = ("segments", "periodicity", "disabled", "unavailable", "dynamic")
MAX_SEGMENT_FIELDS = 30

# The reference's examples show ids that grow by three (5649280, then 5649283).
ID_STEP = 3


def check_mode(mode: str) -> str:
    """The same `mode`, or a ValueError when it is not one of `MODES`."""
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, not one of {', '.join(MODES)}")
    return mode


Mode = Annotated[str, AfterValidator(check_mode)]


def by_id(entities: Iterable[JsonObject]) -> dict[int, JsonObject]:
    """The entities by their ids."""
    return {entity["id"]: entity for entity in entities}


@dataclass
class Account:
    """One account, mutable throughout.

    Attributes:
        profile: the account itself as in `GET /api/v4/account?with=datetime_settings`, without `customers_mode` and
            `current_user_id`; `profile["id"]` is the `account_id` of every entity.
        mode: the customers mode, one of `MODES`.
        users: users by id; the admin token is the first administrator's.
        removed_users: the ids of those who are in the account no longer. Tokens that they have granted go on working,
            with the rights that they had.
        price_types: ids of the catalog fields of type price, which a segment's prices are chosen from.
        fields: definitions of the segments' custom fields by id, as in a response but without `_links`.
        segments: segments by id, in the same form.
        statuses: statuses by id, in the same form.
        next_segment_id: the id that the next segment gets; an id is never given twice.
        next_status_id: the same for statuses.
        customers: customers by id, each with `id`, `name`, `status_id`, the ids of its `segments` and `updated_at`; a
            response is made from these. State files from before there were customers have none.
        moves: what the account's rules will do to customers: `at` (Unix seconds), `customer_id`, `kind`, and the
            status or segment that it comes `from` and goes `to`.
    """

    profile: JsonObject
    mode: str
    users: dict[int, JsonObject]
    price_types: list[int]
    fields: dict[int, JsonObject]
    segments: dict[int, JsonObject]
    statuses: dict[int, JsonObject]
    next_segment_id: int
    next_status_id: int
    customers: dict[int, JsonObject] = field(default_factory=dict)
    moves: list[JsonObject] = field(default_factory=list)
    removed_users: list[int] = field(default_factory=list)

    @property
    def id(self) -> int:
        """The account's own id."""
        return int(self.profile["id"])

    def user_id(self, *, admin: bool) -> int:
        """The id of the first administrator, or of the first user who is not one."""
        return next(int(user["id"]) for user in self.users.values() if user["rights"]["is_admin"] is admin)

    def is_admin(self, user_id: int) -> bool:
        """Whether a user is, or when they were removed was, an administrator."""
        return bool(self.users[user_id]["rights"]["is_admin"])

    @property
    def current_users(self) -> dict[int, JsonObject]:
        """The users who were not removed, by id."""
        return {key: user for key, user in self.users.items() if key not in self.removed_users}

    def document(self) -> JsonObject:
        """The whole account as JSON data, entities as lists; `Account.read` reads it back."""
        return {"version": 1, **vars(self)} | {name: list(vars(self)[name].values()) for name in _ENTITIES}

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """The account that the JSON `text` describes.

        Raises:
            ValueError: it is not a document that `Account.document` could have made.
        """
        documents.read(_Document, text)
        document = json.loads(text)
        parts: JsonObject = {part.name: document[part.name] for part in fields(cls) if part.name in document}
        return cls(**parts | {name: by_id(parts[name]) for name in _ENTITIES if name in parts})


_ENTITIES = ("users", "fields", "segments", "statuses", "customers")


# What the rules of the API and the links of a response rely on; an entity has more.
class _Profile(BaseModel, strict=True):
    id: int


class _Entity(BaseModel, strict=True):
    id: int
    name: str


class _User(_Entity):
    rights: JsonObject


class _CustomField(_Entity):
    type: str


class _Status(_Entity):
    sort: int
    is_default: bool


class _Customer(_Entity):
    status_id: int
    segments: list[int]
    updated_at: int


class _Move(BaseModel, strict=True):
    at: float
    customer_id: int
    kind: Literal["segment", "status"]
    from_: Annotated[int, Field(alias="from")]
    to: int | None


class _Document(BaseModel, strict=True):
    version: Literal[1]
    profile: _Profile
    mode: Mode
    users: list[_User]
    price_types: list[int]
    fields: Annotated[list[_CustomField], Field(max_length=MAX_SEGMENT_FIELDS)]
    segments: list[_Entity]
    statuses: list[_Status]
    next_segment_id: int
    next_status_id: int
    customers: list[_Customer] = []
    moves: list[_Move] = []
    removed_users: list[int] = []

    @model_validator(mode="after")
    def _check_next_ids(self) -> Self:
        if self.next_segment_id <= max((segment.id for segment in self.segments), default=0):
            raise ValueError("next_segment_id is already taken")
        if self.next_status_id <= max((status.id for status in self.statuses), default=0):
            raise ValueError("next_status_id is already taken")
        return self
