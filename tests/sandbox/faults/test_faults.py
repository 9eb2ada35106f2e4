import pytest

from amo_mcp.sandbox import Fault

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
NEW = {"name": "Новый"}


async def _statuses(client, count, method="GET", path=SEGMENTS):
    return [(await client.request(method, path)).status_code for _ in range(count)]


async def test_a_fault_happens_once_by_default(shop, admin):
    shop.faults.add(Fault(status=500))
    assert await _statuses(admin, 2) == [500, 200]


async def test_a_fault_skips_and_repeats_as_told(shop, admin):
    shop.faults.add(Fault(status=500, skip=1, times=2))
    assert await _statuses(admin, 4) == [200, 500, 500, 200]


async def test_a_fault_of_no_times_stays_until_cleared(shop, admin):
    shop.faults.add(Fault(status=500, times=0))
    assert await _statuses(admin, 3) == [500, 500, 500]
    shop.faults.clear()
    assert await _statuses(admin, 1) == [200]


async def test_a_fault_hits_only_its_method_and_its_path_without_the_query(shop, admin):
    shop.faults.add(Fault(method="get", path=f"{SEGMENTS}/*", status=500))
    assert await _statuses(admin, 1) == [200]
    assert await _statuses(admin, 1, "DELETE", f"{SEGMENTS}/51") == [204]
    assert await _statuses(admin, 2, path=f"{SEGMENTS}/21?with=x") == [500, 200]


async def test_one_request_meets_one_fault_and_what_one_skips_another_may_hit(shop, admin):
    shop.faults.add(Fault(status=500, skip=1))
    shop.faults.add(Fault(status=502))
    shop.faults.add(Fault(status=503))
    assert await _statuses(admin, 4) == [502, 500, 503, 200]


async def test_a_fault_comes_before_the_token_is_looked_at(shop, connect):
    shop.faults.add(Fault(status=503))
    async with connect(shop, token=None) as client:
        assert await _statuses(client, 2) == [503, 401]


def _problem(status, title, detail):
    return {"title": title, "type": f"https://httpstatus.es/{status}", "status": status, "detail": detail}


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (401, _problem(401, "Unauthorized", "Неверный логин или пароль")),
        (402, _problem(402, "Payment Required", "Payment Required")),
        (403, _problem(403, "Forbidden", "Invalid scope")),
        (429, _problem(429, "Too Many Requests", "Too Many Requests")),
        (504, _problem(504, "Gateway Timeout", "Gateway Timeout")),
        (520, _problem(520, "Unknown Error", "Unknown Error")),
        (
            500,
            {
                "title": "ErrInternalServer",
                "status": 500,
                "detail": "Internal Server Error",
                "trace_id": "00000000000000000000000000000000",
            },
        ),
    ],
)
async def test_a_status_alone_comes_with_a_believable_problem(shop, admin, status, document):
    shop.faults.add(Fault(status=status))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.json()) == (status, document)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("status", [200, 202, 204, 304, 405])
async def test_a_status_that_has_no_problem_comes_with_no_body(shop, admin, status):
    shop.faults.add(Fault(status=status))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.content) == (status, b"")
    assert "content-type" not in answer.headers


async def test_a_204_never_has_a_body(shop, admin):
    shop.faults.add(Fault(status=204, body="лишнее", content_type="text/plain"))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (204, b"", "text/plain")


async def test_retry_after_is_told_in_the_body_of_a_429(shop, admin):
    shop.faults.add(Fault(retry_after=300))
    answer = await admin.get(SEGMENTS)
    expected = {**_problem(429, "Too Many Requests", "Too Many Requests"), "retry_after": 300}
    assert (answer.status_code, answer.json()) == (429, expected)
    assert "retry-after" not in answer.headers


async def test_a_gateway_answers_a_page(shop, admin):
    shop.faults.add(Fault(status=502, html=True, headers={"Retry-After": "5"}))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
    assert answer.headers["retry-after"] == "5"
    assert answer.text == (
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
        "<center><h1>502 Bad Gateway</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        (Fault(body="{"), 200, "application/hal+json"),
        (Fault(body="{", status=400), 400, "application/problem+json"),
        (Fault(body="{", html=True), 200, "text/html"),
        (Fault(body="{", content_type="text/plain", headers={"X-A": "1"}), 200, "text/plain"),
    ],
)
async def test_a_body_is_answered_to_the_letter(shop, admin, fault, status, content_type):
    shop.faults.add(fault)
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (status, "{", content_type)


async def test_a_fault_without_an_answer_lets_the_real_one_through_later(shop, admin, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append((seconds, len(shop.account.segments)))

    monkeypatch.setattr("amo_mcp.sandbox.faults.interference.anyio.sleep", sleep)
    shop.faults.add(Fault(delay=30, headers={"Content-Type": "text/plain", "X-A": "1"}))
    answer = await admin.post(SEGMENTS, json=NEW)
    assert (answer.status_code, answer.json()["id"]) == (200, 96)
    assert (answer.headers["content-type"], answer.headers["x-a"]) == ("text/plain", "1")
    assert (slept, len(shop.account.segments)) == ([(30, 15)], 16)


@pytest.mark.parametrize(("after_effect", "segments"), [(False, 15), (True, 16)])
async def test_an_answer_can_come_instead_of_the_effect_or_after_it(shop, admin, after_effect, segments):
    shop.faults.add(Fault(status=504, html=True, after_effect=after_effect))
    answer = await admin.post(SEGMENTS, json=NEW)
    assert (answer.status_code, len(shop.account.segments)) == (504, segments)
    assert [(request.status, request.body) for request in shop.requests] == [(504, NEW)]


@pytest.mark.parametrize(("drop", "segments"), [("before", 15), ("after", 16), ("body", 16)])
async def test_in_process_a_drop_is_a_connection_reset(shop, admin, drop, segments):
    shop.faults.add(Fault(drop=drop))
    with pytest.raises(ConnectionResetError):
        await admin.post(SEGMENTS, json=NEW)
    assert len(shop.account.segments) == segments
    assert [(request.method, request.status) for request in shop.requests] == [("POST", None)]


async def test_what_is_no_http_request_is_passed_on_untouched(shop):
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    shop.faults.add(Fault(status=500))
    scope = {"type": "websocket", "path": SEGMENTS, "headers": [], "query_string": b"", "subprotocols": []}
    await shop.app(scope, receive, send)
    assert sent == ["websocket.close"]
