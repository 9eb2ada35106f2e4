import pytest
from httpx2 import AsyncClient, Response

from amo_mcp.sandbox import Sandbox
from tests.sandbox.conftest import client_of

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
FIELDS = f"{SEGMENTS}/custom_fields"
IDS = [93, 87, 84, 81, 78, 75, 72, 69, 66, 63, 60, 57, 54, 51, 21]


def _ids(answer: Response) -> list[int]:
    return [segment["id"] for segment in answer.json()["_embedded"]["segments"]]


async def test_segments_are_listed_newest_first_on_one_page_by_default(admin: AsyncClient) -> None:
    answer = await admin.get(SEGMENTS)
    document = answer.json()
    assert _ids(answer) == IDS
    assert document["_embedded"]["segments"][-1] == {
        "id": 21,
        "created_at": 1587376544,
        "updated_at": 1587376544,
        "account_id": 28805383,
        "name": "ВИП-клиенты",
        "color": "4a001f",
        "available_products_price_types": [271211],
        "customers_count": 37,
        "custom_fields_values": [],
        "_links": {"self": {"href": f"https://example.amocrm.ru{SEGMENTS}/21"}},
    }
    del document["_embedded"]
    assert document == {
        "_total_items": 15,
        "_page": 1,
        "_page_count": 1,
        "_links": {"self": {"href": f"https://example.amocrm.ru{SEGMENTS}?page=1&limit=50"}},
    }
    assert answer.headers["content-type"] == "application/hal+json"


async def test_pages_together_hold_every_segment_once(admin: AsyncClient) -> None:
    pages = [(await admin.get(SEGMENTS, params={"page": page, "limit": 4})) for page in (1, 2, 3, 4)]
    assert [_ids(page) for page in pages] == [IDS[:4], IDS[4:8], IDS[8:12], IDS[12:]]
    last = pages[-1].json()
    assert (last["_page"], last["_page_count"], last["_total_items"]) == (4, 4, 15)
    assert last["_links"]["self"]["href"] == f"https://example.amocrm.ru{SEGMENTS}?page=4&limit=4"


@pytest.mark.parametrize(
    ("query", "href"),
    [
        ("limit=251", "page=1&limit=250"),
        ("limit=250", "page=1&limit=250"),
        ("limit=0&page=0", "page=1&limit=50"),
        ("limit=-1&page=-1", "page=1&limit=50"),
        ("limit=ten&page=one", "page=1&limit=50"),
        ("limit=&page=", "page=1&limit=50"),
        (f"limit={'9' * 30}&page=²", "page=1&limit=50"),
        ("with=customers&query=VIP&filter[id]=51&order=asc", "page=1&limit=50"),
    ],
)
async def test_a_bad_or_unknown_parameter_is_ignored_and_a_high_limit_lowered(
    admin: AsyncClient, query: str, href: str
) -> None:
    answer = await admin.get(f"{SEGMENTS}?{query}")
    assert answer.json()["_links"]["self"]["href"] == f"https://example.amocrm.ru{SEGMENTS}?{href}"
    assert _ids(answer) == IDS


async def test_a_page_beyond_the_last_is_204(admin: AsyncClient) -> None:
    answer = await admin.get(SEGMENTS, params={"page": 2})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


async def test_an_empty_account_lists_neither_segments_nor_fields() -> None:
    async with client_of(Sandbox(empty=True)) as client:
        answers = [await client.get(SEGMENTS), await client.get(FIELDS)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b""), (204, b"")]


async def test_one_segment_links_to_another_host_as_in_the_reference(admin: AsyncClient) -> None:
    answer = await admin.get(f"{SEGMENTS}/54")
    assert answer.json() == {
        "id": 54,
        "created_at": 1592813412,
        "updated_at": 1592813412,
        "account_id": 28805383,
        "name": "vip клиенты ",
        "color": "b118c8",
        "available_products_price_types": [],
        "customers_count": 5,
        "custom_fields_values": [
            {
                "values": [{"value": "10"}],
                "field_id": 272429,
                "field_name": "Скидка, %",
                "field_code": "DISCOUNT",
                "field_type": "numeric",
            }
        ],
        "_links": {"self": {"href": f"https://shard151.amocrm.ru{SEGMENTS}/54"}},
    }


async def test_an_unknown_segment_is_204(admin: AsyncClient) -> None:
    answer = await admin.get(f"{SEGMENTS}/1")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_fields_are_listed_with_their_enums(admin: AsyncClient) -> None:
    document = (await admin.get(FIELDS)).json()
    fields = document["_embedded"]["custom_fields"]
    assert [field["type"] for field in fields] == [
        "checkbox",
        "select",
        "text",
        "numeric",
        "multiselect",
        "date",
        "date_time",
        "url",
        "textarea",
        "radiobutton",
        "streetaddress",
    ]
    assert fields[9] == {
        "id": 272441,
        "name": "Канал связи",
        "type": "radiobutton",
        "account_id": 28805383,
        "code": "CHANNEL",
        "sort": 509,
        "is_api_only": False,
        "enums": [
            {"id": 391011, "value": "Телефон", "sort": 500, "code": "PHONE"},
            {"id": 391013, "value": "Почта", "sort": 501, "code": "EMAIL"},
            {"id": 391015, "value": "Мессенджер", "sort": 502, "code": "MESSENGER"},
        ],
        "request_id": None,
        "is_predefined": False,
        "is_deletable": True,
        "remind": None,
        "_links": {"self": {"href": f"https://example.amocrm.ru{FIELDS}/272441"}},
    }
    assert fields[1]["enums"][0] == {"id": 381857, "value": "В зёрнах", "sort": 500}
    assert fields[2]["enums"] is None


async def test_fields_are_paged_with_a_limit_of_at_most_250(admin: AsyncClient) -> None:
    second = (await admin.get(FIELDS, params={"page": 2, "limit": 10})).json()
    whole = (await admin.get(FIELDS, params={"limit": 1000})).json()
    assert [field["id"] for field in second["_embedded"]["custom_fields"]] == [272443]
    assert (second["_page"], second["_page_count"], second["_total_items"]) == (2, 2, 11)
    assert whole["_links"]["self"]["href"] == f"https://example.amocrm.ru{FIELDS}?page=1&limit=250"
