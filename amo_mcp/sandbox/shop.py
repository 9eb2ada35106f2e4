"""The shop: a coffee shop's account in need of tidying, or the same account before anything was set up in it.

Its segments were left by several people over several years: duplicates, empty ones, repeated colors.
"""

from collections.abc import Sequence
from typing import Any

from amo_mcp.sandbox.account import Account, JsonObject, by_id
from amo_mcp.sandbox.api.custom_fields import enum_value, read_form

ACCOUNT_ID = 28805383

_ADMIN_ID = 504141


def account(mode: str, *, empty: bool = False) -> Account:
    """A new account in `mode`: the shop, or when `empty` one with no segments, no fields and system statuses only."""
    statuses = [status for status in _statuses() if status["is_default"] or not empty]
    return Account(
        profile={
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
        },
        mode=mode,
        users=by_id(
            [
                _user(_ADMIN_ID, "Анна Зёрнова", "anna@example.com", admin=True),
                _user(1002045, "Пётр Туркин", "petr@example.com"),
            ]
        ),
        price_types=[271211, 288891, 288893],
        fields=by_id([] if empty else _fields()),
        segments=by_id([] if empty else _segments()),
        statuses=by_id({**status, "sort": sort} for sort, status in enumerate(statuses)),
        next_segment_id=96,
        next_status_id=5649280,
    )


def _user(user_id: int, name: str, email: str, *, admin: bool = False) -> JsonObject:
    rights = {"is_admin": admin, "is_free": False, "is_active": True, "group_id": None, "role_id": None}
    return {"id": user_id, "name": name, "email": email, "lang": "ru", "rights": rights}


def _statuses() -> list[JsonObject]:
    before_purchase = [[{"type": "before_purchase", "match": {"value": 0}, "conditions": [{"value": 0}]}]]
    sixty_days_later = [[{"type": "after_today", "match": {"value": 60}, "conditions": [{"value": 60}]}]]
    tag = {
        "type": "tag",
        "options": {"name": "Теги"},
        "logic_operator": "or",
        "conditions": [{"id": 174727, "name": "Подписка на зерно"}],
        "match": {"value": [174727], "logic": "or"},
        "tmpl": "tag_customers",
    }
    # The system statuses have colors outside the palette, as in the reference's example.
    return [
        _status(4740010, "Недавно купили", "#ccff66", 4),
        _status(4740013, "Напомнить о помоле", "#ffdc7f"),
        _status(4740016, "Ждут новый урожай", "#ffdc7f"),
        _status(4740019, "Подписка на зерно", "#ccc8f9", conditions=[[tag], []]),
        _status(4740025, "Ожидается покупка", "#99ccff", 1, conditions=before_purchase),
        _status(4740028, "Не купили", "#fd5598", 2),
        _status(4740031, "Закрытые", "#d5d8db", 3, conditions=sixty_days_later),
    ]


def _status(status_id: int, name: str, color: str, kind: int = 0, conditions: list[Any] | None = None) -> JsonObject:
    return {
        "id": status_id,
        "name": name,
        "sort": 0,
        "is_default": kind != 0,
        "conditions": conditions or [],
        "color": color,
        "type": kind,
        "account_id": ACCOUNT_ID,
    }


def _fields() -> list[JsonObject]:
    grinds = [(381857, "В зёрнах"), (381859, "Для турки"), (381861, "Для фильтра")]
    beans = [(387471, "Бразилия Сантос"), (387473, "Эфиопия Иргачеффе"), (387475, "Кения АА"), (387477, "Суматра")]
    channels = [(391011, "Телефон", "PHONE"), (391013, "Почта", "EMAIL"), (391015, "Мессенджер", "MESSENGER")]
    fields = [
        _field(269471, "Участвует в рассылке", "checkbox", "MAILING"),
        _field(269473, "Любимый помол", "select", enums=grinds),
        _field(272427, "Комментарий", "text"),
        _field(272429, "Скидка, %", "numeric", "DISCOUNT"),
        _field(272431, "Любимые сорта", "multiselect", "BEANS", enums=beans),
        _field(272433, "Начало акции", "date", "PROMO_START"),
        _field(272435, "Последний пересчёт", "date_time"),
        _field(272437, "Страница предложения", "url", "LANDING"),
        _field(272439, "Описание сегмента", "textarea", "DESCRIPTION"),
        _field(272441, "Канал связи", "radiobutton", "CHANNEL", enums=channels),
        _field(272443, "Адрес кофейни", "streetaddress"),
    ]
    return [{**field, "sort": 500 + position} for position, field in enumerate(fields)]


def _field(
    field_id: int, name: str, kind: str, code: str | None = None, *, enums: Sequence[tuple[int | str, ...]] = ()
) -> JsonObject:
    return {
        "id": field_id,
        "name": name,
        "type": kind,
        "account_id": ACCOUNT_ID,
        "code": code,
        "sort": 0,
        "is_api_only": False,
        "enums": [
            {**dict(zip(("id", "value", "code"), enum, strict=False)), "sort": 500 + position}
            for position, enum in enumerate(enums)
        ]
        or None,
        "request_id": None,
        "is_predefined": False,
        "is_deletable": True,
        "remind": None,
    }


def _segments() -> list[JsonObject]:
    # A row ends with the custom fields' values by name (as a list where the field has enums), or as in a response.
    # fmt: off
    rows: list[tuple[Any, ...]] = [
        (51, "VIP", "6610f2", 48, 1589615328, 1591089010, [288891], {
            "Участвует в рассылке": True,
            "Любимый помол": ["В зёрнах"],
            "Комментарий": "от 5 покупок в год",
            "Скидка, %": "15",
            "Любимые сорта": ["Эфиопия Иргачеффе", "Кения АА"],
            "Описание сегмента": "Покупают каждый месяц.\nЗвонить только по делу.",
            "Канал связи": ["Телефон"],
        }),
        (21, "ВИП-клиенты", "4a001f", 37, 1587376544, 1587376544, [271211], []),
        (54, "vip клиенты ", "b118c8", 5, 1592813412, 1592813412, [], {"Скидка, %": "10"}),
        (57, "Постоянные покупатели", "00a44b", 312, 1593677520, 1704099600, [288891, 288893], {
            "Участвует в рассылке": True,
            "Скидка, %": "7.5",
            "Последний пересчёт": 1704099600,
            "Канал связи": ["Мессенджер"],
        }),
        (60, "Постояные  покупатели", "00a44b", 9, 1596355920, 1596355920, None, None),
        (63, "Новички ☕", "2176ff", 126, 1604304720, 1690882320, [], {
            "Участвует в рассылке": True,
            "Любимый помол": ["Для фильтра"],
            "Страница предложения": "https://example.com/first-cup",
        }),
        (66, "новички", "2176ff", 0, 1606896720, 1606896720, [], []),
        # The first letter of the next one is Latin, of the one after it Cyrillic.
        (69, "Oптовики", "bf2600", 23, 1612253520, 1612253520, [288893], {
            "Участвует в рассылке": False,
        }),
        (72, "Оптовики", "bf2600", 18, 1614672720, 1672571520, [288893], {
            "Участвует в рассылке": False,
            "Скидка, %": "20",
            "Адрес кофейни": "Москва, Кофейный переулок, 7",
        }),
        (75, "Спящие (90 дней без покупок)", "6f7c12", 204, 1617351120, 1703494800, [], {
            "Описание сегмента": "Сначала письмо, через неделю промокод.",
            "Канал связи": ["Почта"],
        }),
        (78, "ТЕСТ", "10599d", 0, 1619943120, 1619943120, None, []),
        (81, " Подписка на зерно", "0c7c59", 87, 1625213520, 1698858000, [288891], {
            "Участвует в рассылке": True,
            "Любимый помол": ["В зёрнах"],
            "Любимые сорта": ["Бразилия Сантос"],
        }),
        (84, "Подписка_на_зерно_СТАРАЯ", "0c7c59", 0, 1622535120, 1625213520, [271211], []),
        (87, "🎄 Новогодняя акция 2023", "dd1c1a", 1, 1669893120, 1673344800, [], {
            "Начало акции": 1671494400,
            "Страница предложения": "https://example.com/ny2023",
        }),
        (93, "Dни рождения / Birthday", "ff5376", 41, 1675249920, 1675249920, [], {
            "Комментарий": "Скидка в день рождения",
        }),
    ]
    # fmt: on
    return [
        {
            "id": segment_id,
            "created_at": created_at,
            "updated_at": updated_at,
            "account_id": ACCOUNT_ID,
            "name": name,
            "color": color,
            "available_products_price_types": prices,
            "customers_count": customers,
            "custom_fields_values": values
            and [_filled(field, values[field["name"]]) for field in _fields() if field["name"] in values],
        }
        for segment_id, name, color, customers, created_at, updated_at, prices, values in rows
    ]


def _filled(field: JsonObject, value: Any) -> JsonObject:
    if not field["enums"]:
        return read_form(field, [{"value": value}])
    return read_form(field, [enum_value(enum) for enum in field["enums"] if enum["value"] in value])
