"""The shop: a coffee shop's account in need of tidying, or the same account before anything was set up in it."""

from copy import deepcopy
from typing import Any

from amo_mcp.sandbox.account import Account, JsonObject, by_id
from amo_mcp.sandbox.shop.fields import fields
from amo_mcp.sandbox.shop.segments import segments

ACCOUNT_ID = 28805383

_ADMIN_ID = 504141
_SELLER_ID = 1002045
_PRICE_TYPES = (271211, 288891, 288893)
_NEXT_SEGMENT_ID = 96
_NEXT_STATUS_ID = 5649280

_BEFORE_PURCHASE = [[{"type": "before_purchase", "match": {"value": 0}, "conditions": [{"value": 0}]}]]
_SIXTY_DAYS_LATER = [[{"type": "after_today", "match": {"value": 60}, "conditions": [{"value": 60}]}]]
_TAGGED = [
    [
        {
            "type": "tag",
            "options": {"name": "Теги"},
            "logic_operator": "or",
            "conditions": [{"id": 174727, "name": "Подписка на зерно"}],
            "match": {"value": [174727], "logic": "or"},
            "tmpl": "tag_customers",
        }
    ],
    [],
]


def account(mode: str, *, empty: bool = False) -> Account:
    """A new account in `mode`: the shop, or when `empty` one with no segments, no fields and system statuses only."""
    statuses = [status for status in _statuses() if status["is_default"] or not empty]
    for sort, status in enumerate(statuses):
        status["sort"] = sort
    return Account(
        profile=_profile(),
        mode=mode,
        users=by_id(
            (_user(_ADMIN_ID, "Анна Зёрнова", "anna@example.com", admin=True), _user(_SELLER_ID, "Пётр Туркин"))
        ),
        price_types=list(_PRICE_TYPES),
        fields=by_id([] if empty else fields(ACCOUNT_ID)),
        segments=by_id([] if empty else segments(ACCOUNT_ID)),
        statuses=by_id(statuses),
        next_segment_id=_NEXT_SEGMENT_ID,
        next_status_id=_NEXT_STATUS_ID,
    )


def _profile() -> JsonObject:
    return {
        "id": ACCOUNT_ID,
        "name": "Лавка «Зерно и турка»",
        "subdomain": "example",
        "created_at": 1585742400,
        "created_by": 0,
        "updated_at": 1704099600,
        "updated_by": _ADMIN_ID,
        "country": "RU",
        "currency": "RUB",
        "currency_symbol": "₽",
        "is_unsorted_on": True,
        "is_loss_reason_enabled": True,
        "is_helpbot_enabled": False,
        "is_technical_account": False,
        "contact_name_display_order": 1,
    }


def _user(user_id: int, name: str, email: str = "petr@example.com", *, admin: bool = False) -> JsonObject:
    rights = {"is_admin": admin, "is_free": False, "is_active": True, "group_id": None, "role_id": None}
    return {"id": user_id, "name": name, "email": email, "lang": "ru", "rights": rights}


def _statuses() -> list[JsonObject]:
    # The system statuses have colors outside the palette, as in the reference's example.
    return [
        _status(4740010, "Недавно купили", "#ccff66", 4),
        _status(4740013, "Напомнить о помоле", "#ffdc7f"),
        _status(4740016, "Ждут новый урожай", "#ffdc7f"),
        _status(4740019, "Подписка на зерно", "#ccc8f9", conditions=_TAGGED),
        _status(4740025, "Ожидается покупка", "#99ccff", 1, conditions=_BEFORE_PURCHASE),
        _status(4740028, "Не купили", "#fd5598", 2),
        _status(4740031, "Закрытые", "#d5d8db", 3, conditions=_SIXTY_DAYS_LATER),
    ]


def _status(status_id: int, name: str, color: str, kind: int = 0, conditions: list[Any] | None = None) -> JsonObject:
    return {
        "id": status_id,
        "name": name,
        "sort": 0,
        "is_default": kind != 0,
        "conditions": deepcopy(conditions or []),
        "color": color,
        "type": kind,
        "account_id": ACCOUNT_ID,
    }
