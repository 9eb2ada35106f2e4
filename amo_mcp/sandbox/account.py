"""The account that a sandbox keeps: plain data, and nothing that decides anything."""

from collections.abc import Mapping
from typing import Any

Model = dict[str, Any]

MODES = ("segments", "periodicity", "disabled", "unavailable", "dynamic")
MAX_SEGMENT_FIELDS = 30

_VERSION = 1
# The reference's examples show ids that grow by three (5649280, then 5649283).
_ID_STEP = 3


class Account:
    """One account, mutable throughout.

    Attributes:
        profile: what `GET /api/v4/account` answers about the account itself, without `customers_mode` and
            `current_user_id`; `profile["id"]` is the `account_id` of every model.
        mode: the customers mode, one of `MODES`.
        segments: segments by id, in the form that the API answers, without `_links`.
        statuses: statuses by id, in the form that the API answers, without `_links`.
        fields: definitions of the segments' custom fields by id, in the form that the API answers, without `_links`.
        users: users by id; the first administrator is who the admin token stands for.
        price_types: ids of the catalogue fields of type price, which a segment's prices are chosen from.
        next_segment_id: the id that the next segment gets; an id is never given twice.
        next_status_id: the same for statuses.
    """

    def __init__(
        self,
        *,
        profile: Model,
        mode: str,
        users: list[Model],
        price_types: list[int],
        fields: list[Model],
        segments: list[Model],
        statuses: list[Model],
        next_segment_id: int,
        next_status_id: int,
    ) -> None:
        if mode not in MODES:
            msg = f"mode is {mode!r}, not one of {', '.join(MODES)}"
            raise ValueError(msg)
        if len(fields) > MAX_SEGMENT_FIELDS:
            msg = f"{len(fields)} custom fields, where segments can have at most {MAX_SEGMENT_FIELDS}"
            raise ValueError(msg)
        self.profile = profile
        self.mode = mode
        self.users = _by_id(users)
        self.price_types = price_types
        self.fields = _by_id(fields)
        self.segments = _by_id(segments)
        self.statuses = _by_id(statuses)
        self.next_segment_id = next_segment_id
        self.next_status_id = next_status_id

    @property
    def id(self) -> int:
        """The account's own id."""
        return int(self.profile["id"])

    def take_segment_id(self) -> int:
        """An id for a new segment."""
        taken, self.next_segment_id = self.next_segment_id, self.next_segment_id + _ID_STEP
        return taken

    def take_status_id(self) -> int:
        """An id for a new status."""
        taken, self.next_status_id = self.next_status_id, self.next_status_id + _ID_STEP
        return taken

    def document(self) -> Model:
        """The whole account as JSON data; `Account.read` turns it back."""
        return {
            "version": _VERSION,
            "profile": self.profile,
            "mode": self.mode,
            "users": list(self.users.values()),
            "price_types": self.price_types,
            "fields": list(self.fields.values()),
            "segments": list(self.segments.values()),
            "statuses": list(self.statuses.values()),
            "next_segment_id": self.next_segment_id,
            "next_status_id": self.next_status_id,
        }

    @classmethod
    def read(cls, document: object) -> "Account":
        """The account that `document` describes.

        Raises:
            ValueError: the document is not one that `Account.document` could have made.
        """
        if not isinstance(document, dict) or document.get("version") != _VERSION:
            msg = f"not a state of version {_VERSION}"
            raise ValueError(msg)
        account = cls(
            profile=_part(document, "profile", dict),
            mode=_part(document, "mode", str),
            users=_models(document, "users", rights=dict),
            price_types=_part(document, "price_types", list),
            fields=_models(document, "fields", type=str),
            segments=_models(document, "segments"),
            statuses=_models(document, "statuses", sort=int, is_default=bool),
            next_segment_id=_part(document, "next_segment_id", int),
            next_status_id=_part(document, "next_status_id", int),
        )
        _part(account.profile, "id", int)
        if account.next_segment_id <= max(account.segments, default=0):
            msg = "next_segment_id is already taken"
            raise ValueError(msg)
        if account.next_status_id <= max(account.statuses, default=0):
            msg = "next_status_id is already taken"
            raise ValueError(msg)
        return account


def _by_id(models: list[Model]) -> dict[int, Model]:
    return {model["id"]: model for model in models}


def _part(document: Mapping[str, Any], key: str, kind: type) -> Any:
    part = document.get(key)
    if type(part) is not kind:
        msg = f"{key} is {type(part).__name__}, not {kind.__name__}"
        raise ValueError(msg)
    return part


def _models(document: Mapping[str, Any], key: str, **further: type) -> list[Model]:
    models: list[Model] = _part(document, key, list)
    for model in models:
        if not isinstance(model, dict):
            msg = f"{key} holds {type(model).__name__}, not dict"
            raise ValueError(msg)  # noqa: TRY004 - the caller is promised a ValueError for any broken document
        for name, kind in {"id": int, "name": str, **further}.items():
            _part(model, name, kind)
    return models
