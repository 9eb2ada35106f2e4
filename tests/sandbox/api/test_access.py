import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Sandbox
from tests.sandbox.bodies import problem
from tests.sandbox.conftest import client_of

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"

READS = ["/api/v4/account", SEGMENTS, f"{SEGMENTS}/51", f"{SEGMENTS}/custom_fields"]
WRITES = [
    ("POST", SEGMENTS),
    ("PATCH", f"{SEGMENTS}/51"),
    ("DELETE", f"{SEGMENTS}/51"),
    ("POST", STATUSES),
    ("PATCH", f"{STATUSES}/4740013"),
    ("DELETE", f"{STATUSES}/4740013"),
]

UNAUTHORIZED = problem(401, "Unauthorized", "Неверный логин или пароль")
FORBIDDEN = problem(403, "Forbidden", "Invalid scope")


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic sandbox-admin", "sandbox-admin"])
async def test_a_request_without_a_known_bearer_token_is_refused(
    nobody: AsyncClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answers = [await nobody.get(path, headers=headers) for path in READS]
    answers += [await nobody.request(method, path, headers=headers) for method, path in WRITES]
    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert answers[0].json() == UNAUTHORIZED
    assert answers[0].headers["content-type"] == "application/problem+json"


async def test_the_bearer_scheme_is_case_insensitive(nobody: AsyncClient) -> None:
    answer = await nobody.get("/api/v4/account", headers={"Authorization": "bearer sandbox-user"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", READS)
async def test_a_plain_user_may_read(reader: AsyncClient, path: str) -> None:
    assert (await reader.get(path)).status_code == 200


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_plain_user_may_not_write_whatever_the_body_or_the_mode(
    shop: Sandbox, reader: AsyncClient, method: str, path: str
) -> None:
    before = repr(shop.account.document())
    answer = await reader.request(method, path, content=b"not json")
    assert (answer.status_code, answer.json()) == (403, FORBIDDEN)
    assert repr(shop.account.document()) == before


@pytest.mark.parametrize("mode", ["periodicity", "disabled", "unavailable", "dynamic"])
async def test_segments_and_their_fields_need_the_mode_segments(mode: str) -> None:
    async with client_of(Sandbox(mode=mode)) as client:
        answers = [
            await client.get(SEGMENTS),
            await client.get(f"{SEGMENTS}/51"),
            await client.get(f"{SEGMENTS}/custom_fields"),
            await client.post(SEGMENTS, content=b"not json"),
            await client.patch(f"{SEGMENTS}/1", content=b"not json"),
            await client.delete(f"{SEGMENTS}/51"),
        ]
    off = problem(422, "Unprocessable Entity", "Не включен функционал сегментации для покупателей")
    assert [(answer.status_code, answer.json()) for answer in answers] == [(422, off)] * len(answers)
    assert answers[0].headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("mode", ["segments", "disabled", "unavailable", "dynamic"])
async def test_statuses_need_the_mode_periodicity(mode: str) -> None:
    async with client_of(Sandbox(mode=mode)) as client:
        answers = [
            await client.get(STATUSES),
            await client.get(f"{STATUSES}/4740013"),
            await client.post(STATUSES, json=[{"name": "Новый", "sort": 1}]),
            await client.patch(f"{STATUSES}/4740013", json={"name": "Новый"}),
            await client.delete(f"{STATUSES}/4740013"),
        ]
    details = {answer.json()["detail"] for answer in answers}
    assert [answer.status_code for answer in answers] == [422] * len(answers)
    assert details == {"Не включен функционал периодических покупок для покупателей"}


async def test_a_sandbox_of_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ValueError, match="mode is 'both', not one of segments, periodicity"):
        Sandbox(mode="both")


async def test_the_account_has_its_mode_and_the_id_of_the_current_user(admin: AsyncClient, reader: AsyncClient) -> None:
    mine, theirs = await admin.get("/api/v4/account"), await reader.get("/api/v4/account")
    expected = {
        "id": 28805383,
        "name": "Лавка «Зерно и турка»",
        "subdomain": "example",
        "created_at": 1585742400,
        "created_by": 0,
        "updated_at": 1704099600,
        "updated_by": 504141,
        "current_user_id": 504141,
        "country": "RU",
        "currency": "RUB",
        "currency_symbol": "₽",
        "customers_mode": "segments",
        "is_unsorted_on": True,
        "is_loss_reason_enabled": True,
        "is_helpbot_enabled": False,
        "is_technical_account": False,
        "contact_name_display_order": 1,
        "_links": {"self": {"href": "https://example.amocrm.ru/api/v4/account"}},
    }
    assert mine.json() == expected
    assert theirs.json() == {**expected, "current_user_id": 1002045}
    assert mine.headers["content-type"] == "application/hal+json"


async def test_the_account_tells_its_zone_when_it_is_asked_and_knows_it(shop: Sandbox, admin: AsyncClient) -> None:
    bare, asked = await admin.get("/api/v4/account"), await admin.get("/api/v4/account?with=datetime_settings")
    settings = asked.json().pop("_embedded")["datetime_settings"]
    assert (settings["timezone"], settings["timezone_offset"]) == ("Europe/Moscow", "+03:00")
    assert {key: value for key, value in asked.json().items() if key != "_embedded"} == bare.json()
    del shop.account.profile["datetime_settings"]
    assert (await admin.get("/api/v4/account?with=datetime_settings")).json() == bare.json()


async def test_only_an_administrator_reads_users(admin: AsyncClient, reader: AsyncClient) -> None:
    assert (await reader.get("/api/v4/users/1002045")).status_code == 403
    known, unknown = await admin.get("/api/v4/users/1002045"), await admin.get("/api/v4/users/1")
    assert known.json() == {
        "id": 1002045,
        "name": "Пётр Туркин",
        "email": "petr@example.com",
        "lang": "en",
        "rights": {"is_admin": False, "is_free": False, "is_active": True, "group_id": None, "role_id": None},
        "_links": {"self": {"href": "https://example.amocrm.ru/api/v4/users/1002045"}},
    }
    assert (unknown.status_code, unknown.content) == (204, b"")


@pytest.mark.parametrize("path", ["/api/v4/leads", f"{SEGMENTS}/", f"{SEGMENTS}/abc", f"{SEGMENTS}/{'9' * 5000}"])
async def test_an_unknown_api_path_responds_with_a_404_problem(admin: AsyncClient, path: str) -> None:
    answer = await admin.get(path)
    expected = problem(404, "Not Found", f"Cannot GET https://example.amocrm.ru{path}")
    assert (answer.status_code, answer.json()) == (404, expected)


async def test_an_unknown_path_outside_the_api_responds_with_an_html_page(admin: AsyncClient) -> None:
    answer = await admin.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", SEGMENTS), ("POST", f"{SEGMENTS}/51"), ("DELETE", STATUSES), ("POST", "/api/v4/account")],
)
async def test_an_unsupported_method_responds_with_an_empty_405(admin: AsyncClient, method: str, path: str) -> None:
    answer = await admin.request(method, path)
    assert (answer.status_code, answer.content) == (405, b"")


async def test_every_response_has_its_own_request_id(admin: AsyncClient) -> None:
    answers = [await admin.get(path) for path in (SEGMENTS, STATUSES, "/api/v4/leads", "/", f"{SEGMENTS}/1")]
    answers.append(await admin.put(SEGMENTS))
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
