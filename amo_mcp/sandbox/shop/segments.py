"""The example shop's segments, left by several people over several years: duplicates, empty ones, repeated colors."""

from typing import Any

from amo_mcp.sandbox.account import JsonObject
from amo_mcp.sandbox.api.custom_fields import enum_value, read_form
from amo_mcp.sandbox.shop import fields as field


def segments(account_id: int) -> list[JsonObject]:
    """The segments, as in a response but without `_links`."""
    return [{**segment, "account_id": account_id} for segment in _segments()]


def _segments() -> list[JsonObject]:
    # fmt: off
    return [
        _segment(51, "VIP", "6610f2", 48, (1589615328, 1591089010), prices=[288891], filled={
            field.MAILING: True,
            field.GRIND: "В зёрнах",
            field.NOTE: "от 5 покупок в год",
            field.DISCOUNT: "15",
            field.BEANS: ["Эфиопия Иргачеффе", "Кения АА"],
            field.DESCRIPTION: "Покупают каждый месяц.\nЗвонить только по делу.",
            field.CHANNEL: "Телефон",
        }),
        _segment(21, "ВИП-клиенты", "4a001f", 37, (1587376544, 1587376544), prices=[271211], filled={}),
        _segment(54, "vip клиенты ", "b118c8", 5, (1592813412, 1592813412), prices=[], filled={field.DISCOUNT: "10"}),
        _segment(57, "Постоянные покупатели", "00a44b", 312, (1593677520, 1704099600), prices=[288891, 288893], filled={
            field.MAILING: True,
            field.DISCOUNT: "7.5",
            field.RECOUNTED_AT: 1704099600,
            field.CHANNEL: "Мессенджер",
        }),
        _segment(60, "Постояные  покупатели", "00a44b", 9, (1596355920, 1596355920), prices=None, filled=None),
        _segment(63, "Новички ☕", "2176ff", 126, (1604304720, 1690882320), prices=[], filled={
            field.MAILING: True,
            field.GRIND: "Для фильтра",
            field.LANDING: "https://example.com/first-cup",
        }),
        _segment(66, "новички", "2176ff", 0, (1606896720, 1606896720), prices=[], filled={}),
        # The first letter of the next one is Latin, of the one after it Cyrillic.
        _segment(69, "Oптовики", "bf2600", 23, (1612253520, 1612253520), prices=[288893], filled={
            field.MAILING: False,
        }),
        _segment(72, "Оптовики", "bf2600", 18, (1614672720, 1672571520), prices=[288893], filled={
            field.MAILING: False,
            field.DISCOUNT: "20",
            field.ADDRESS: "Москва, Кофейный переулок, 7",
        }),
        _segment(75, "Спящие (90 дней без покупок)", "6f7c12", 204, (1617351120, 1703494800), prices=[], filled={
            field.DESCRIPTION: "Сначала письмо, через неделю промокод.",
            field.CHANNEL: "Почта",
        }),
        _segment(78, "ТЕСТ", "10599d", 0, (1619943120, 1619943120), prices=None, filled={}),
        _segment(81, " Подписка на зерно", "0c7c59", 87, (1625213520, 1698858000), prices=[288891], filled={
            field.MAILING: True,
            field.GRIND: "В зёрнах",
            field.BEANS: ["Бразилия Сантос"],
        }),
        _segment(84, "Подписка_на_зерно_СТАРАЯ", "0c7c59", 0, (1622535120, 1625213520), prices=[271211], filled={}),
        _segment(87, "🎄 Новогодняя акция 2023", "dd1c1a", 1, (1669893120, 1673344800), prices=[], filled={
            field.PROMO_START: 1671494400,
            field.LANDING: "https://example.com/ny2023",
        }),
        _segment(93, "Dни рождения / Birthday", "ff5376", 41, (1675249920, 1675249920), prices=[], filled={
            field.NOTE: "Скидка в день рождения",
        }),
    ]
    # fmt: on


def _segment(
    segment_id: int,
    name: str,
    color: str,
    customers: int,
    dates: tuple[int, int],
    *,
    prices: list[int] | None,
    filled: dict[int, Any] | None,
) -> JsonObject:
    created_at, updated_at = dates
    return {
        "id": segment_id,
        "created_at": created_at,
        "updated_at": updated_at,
        "account_id": 0,
        "name": name,
        "color": color,
        "available_products_price_types": prices,
        "customers_count": customers,
        "custom_fields_values": None if filled is None else [_filled(key, given) for key, given in filled.items()],
    }


def _filled(field_id: int, given: Any) -> JsonObject:
    definition = next(known for known in field.fields(0) if known["id"] == field_id)
    if not definition["enums"]:
        return read_form(definition, [{"value": given}])
    chosen = given if isinstance(given, list) else [given]
    return read_form(definition, [enum_value(enum) for enum in definition["enums"] if enum["value"] in chosen])
