import pytest

from amo_mcp.sandbox import Sandbox

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
STATUSES = "/api/v4/customers/statuses"

READS = ["/api/v4/account", "/api/v4/users/504141", SEGMENTS, f"{SEGMENTS}/51", f"{SEGMENTS}/custom_fields"]
WRITES = [
    ("POST", SEGMENTS),
    ("PATCH", f"{SEGMENTS}/51"),
    ("DELETE", f"{SEGMENTS}/51"),
    ("POST", STATUSES),
    ("PATCH", f"{STATUSES}/4740013"),
    ("DELETE", f"{STATUSES}/4740013"),
]

UNAUTHORIZED = {
    "title": "Unauthorized",
    "type": "https://httpstatus.es/401",
    "status": 401,
    "detail": "Неверный логин или пароль",
}
FORBIDDEN = {"title": "Forbidden", "type": "https://httpstatus.es/403", "status": 403, "detail": "Invalid scope"}


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic sandbox-admin", "sandbox-admin"])
async def test_a_request_without_a_known_bearer_token_is_refused(shop, connect, authorization):
    async with connect(shop, token=None) as client:
        headers = {} if authorization is None else {"Authorization": authorization}
        answers = [await client.get(path, headers=headers) for path in READS]
        answers += [await client.request(method, path, headers=headers) for method, path in WRITES]
    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert answers[0].json() == UNAUTHORIZED
    assert answers[0].headers["content-type"] == "application/problem+json"


async def test_the_scheme_of_the_token_is_read_without_regard_to_case(shop, connect):
    async with connect(shop, token=None) as client:
        answer = await client.get("/api/v4/account", headers={"Authorization": "bearer sandbox-user"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", READS)
async def test_a_plain_user_reads(reader, path):
    assert (await reader.get(path)).status_code == 200


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_plain_user_may_not_write_whatever_the_body_or_the_mode(shop, reader, method, path):
    before = repr(shop.account.document())
    answer = await reader.request(method, path, content=b"not json")
    assert (answer.status_code, answer.json()) == (403, FORBIDDEN)
    assert repr(shop.account.document()) == before


@pytest.mark.parametrize("mode", ["periodicity", "disabled", "unavailable", "dynamic"])
async def test_segments_and_their_fields_need_the_mode_segments(connect, mode):
    async with connect(Sandbox(mode=mode)) as client:
        answers = [
            await client.get(SEGMENTS),
            await client.get(f"{SEGMENTS}/51"),
            await client.get(f"{SEGMENTS}/custom_fields"),
            await client.post(SEGMENTS, content=b"not json"),
            await client.patch(f"{SEGMENTS}/1", content=b"not json"),
            await client.delete(f"{SEGMENTS}/51"),
        ]
    off = {
        "title": "Unprocessable Entity",
        "type": "https://httpstatus.es/422",
        "status": 422,
        "detail": "Не включен функционал сегментации для покупателей",
    }
    assert [(answer.status_code, answer.json()) for answer in answers] == [(422, off)] * len(answers)
    assert answers[0].headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("mode", ["segments", "disabled", "unavailable", "dynamic"])
async def test_statuses_need_the_mode_periodicity(connect, mode):
    async with connect(Sandbox(mode=mode)) as client:
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


async def test_an_unknown_mode_is_refused_at_once():
    with pytest.raises(ValueError, match="mode is 'both', not one of segments, periodicity"):
        Sandbox(mode="both")


async def test_the_account_tells_its_mode_and_who_asks(admin, reader):
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


async def test_a_user_is_read_by_id_and_an_unknown_one_is_nothing(reader):
    known, unknown = await reader.get("/api/v4/users/1002045"), await reader.get("/api/v4/users/1")
    assert known.json() == {
        "id": 1002045,
        "name": "Пётр Туркин",
        "email": "petr@example.com",
        "lang": "ru",
        "rights": {"is_admin": False, "is_free": False, "is_active": True, "group_id": None, "role_id": None},
        "_links": {"self": {"href": "https://example.amocrm.ru/api/v4/users/1002045"}},
    }
    assert (unknown.status_code, unknown.content) == (204, b"")


@pytest.mark.parametrize("path", ["/api/v4/leads", f"{SEGMENTS}/", f"{SEGMENTS}/abc", f"{SEGMENTS}/{'9' * 5000}"])
async def test_another_path_under_the_api_is_a_problem(admin, path):
    answer = await admin.get(path)
    assert (answer.status_code, answer.json()) == (
        404,
        {
            "title": "Not Found",
            "type": "https://httpstatus.es/404",
            "status": 404,
            "detail": f"Cannot GET https://example.amocrm.ru{path}",
        },
    )


async def test_a_path_outside_the_api_is_a_page(admin):
    answer = await admin.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", SEGMENTS), ("POST", f"{SEGMENTS}/51"), ("DELETE", STATUSES), ("POST", "/api/v4/account")],
)
async def test_another_method_on_a_known_path_answers_405_and_no_body(admin, method, path):
    answer = await admin.request(method, path)
    assert (answer.status_code, answer.content) == (405, b"")


async def test_every_answer_carries_a_request_id_of_its_own(admin):
    answers = [await admin.get(path) for path in (SEGMENTS, STATUSES, "/api/v4/leads", "/", f"{SEGMENTS}/1")]
    answers.append(await admin.put(SEGMENTS))
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
