"""The custom fields of the example shop's segments: one of each type."""

from amo_mcp.sandbox.account import JsonObject

MAILING = 269471
GRIND = 269473
NOTE = 272427
DISCOUNT = 272429
BEANS = 272431
PROMO_START = 272433
RECOUNTED_AT = 272435
LANDING = 272437
DESCRIPTION = 272439
CHANNEL = 272441
ADDRESS = 272443


def fields(account_id: int) -> list[JsonObject]:
    """The definitions, as in a response but without `_links`."""
    definitions = [
        _field(MAILING, "Участвует в рассылке", "checkbox", "MAILING"),
        _field(
            GRIND, "Любимый помол", "select", enums={381857: "В зёрнах", 381859: "Для турки", 381861: "Для фильтра"}
        ),
        _field(NOTE, "Комментарий", "text"),
        _field(DISCOUNT, "Скидка, %", "numeric", "DISCOUNT"),
        _field(
            BEANS,
            "Любимые сорта",
            "multiselect",
            "BEANS",
            enums={387471: "Бразилия Сантос", 387473: "Эфиопия Иргачеффе", 387475: "Кения АА", 387477: "Суматра"},
        ),
        _field(PROMO_START, "Начало акции", "date", "PROMO_START"),
        _field(RECOUNTED_AT, "Последний пересчёт", "date_time"),
        _field(LANDING, "Страница предложения", "url", "LANDING"),
        _field(DESCRIPTION, "Описание сегмента", "textarea", "DESCRIPTION"),
        _field(
            CHANNEL,
            "Канал связи",
            "radiobutton",
            "CHANNEL",
            enums={391011: "Телефон", 391013: "Почта", 391015: "Мессенджер"},
            codes={391011: "PHONE", 391013: "EMAIL", 391015: "MESSENGER"},
        ),
        _field(ADDRESS, "Адрес кофейни", "streetaddress"),
    ]
    return [
        {**definition, "account_id": account_id, "sort": 500 + position}
        for position, definition in enumerate(definitions)
    ]


def _field(
    field_id: int,
    name: str,
    kind: str,
    code: str | None = None,
    *,
    enums: dict[int, str] | None = None,
    codes: dict[int, str] | None = None,
) -> JsonObject:
    return {
        "id": field_id,
        "name": name,
        "type": kind,
        "account_id": 0,
        "code": code,
        "sort": 0,
        "is_api_only": False,
        "enums": enums
        and [_enum(enum_id, value, position, codes) for position, (enum_id, value) in enumerate(enums.items())],
        "request_id": None,
        "is_predefined": False,
        "is_deletable": True,
        "remind": None,
    }


def _enum(enum_id: int, value: str, position: int, codes: dict[int, str] | None) -> JsonObject:
    enum: JsonObject = {"id": enum_id, "value": value, "sort": 500 + position}
    return {**enum, "code": codes[enum_id]} if codes else enum
