"""The page answers nobody but the browser that opened it, on its own host, from its own form, once."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial

import anyio
import pytest

from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.amocrm.models import Segment
from amo_mcp.amocrm.zones import zone_of
from amo_mcp.changes.members import Member
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.reader import Reader
from amo_mcp.changes.steps import Create, Delete, Move, Step, Update
from amo_mcp.confirmation.caller import Caller
from amo_mcp.confirmation.page import MAX_OTHERS, TAB_SECONDS, ApprovalPage
from amo_mcp.confirmation.waiting import GRACE, LINGER, SETTLE, PageQuestion
from amo_mcp.language import Language
from amo_mcp.listen import listen
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from tests.clock import Clock
from tests.confirmation.browser import Browser

pytestmark = pytest.mark.anyio

VIP = Segment(id=51, name="VIP", color="6610f2", customers_count=48)
RENAME = PendingChange((Update(VIP, SegmentPatch(name="Лучшие", color="ae003f")),))
DELETE = PendingChange((Delete(VIP),))
NOTHING = "Nothing was changed."


class Desk:
    """A page with its clock, its approvals and the tabs that it opened."""

    def __init__(self) -> None:
        self.clock, self.tabs, self.tab = Clock(), list[str](), anyio.Event()
        self.approvals, self.opens = MemoryApprovalStore(self.clock), True
        self.page = ApprovalPage(partial(listen, "127.0.0.1", 0), self.open_tab, opens=True, clock=self.clock)

    async def open_tab(self, address: str) -> bool:
        self.tabs.append(address)
        self.tab.set()
        return self.opens

    async def ask(self, change: PendingChange = DELETE, language: Language = "en") -> PageQuestion:
        approval = await self.approvals.open("page", Caller(), "a tool", "", change, Reader(language=language))
        return self.page.ask(approval)

    async def opened(self, question: PageQuestion) -> Browser:
        """A browser in which the person has opened it."""
        browser = Browser(self.page)
        await browser.open(self.page.address(question))
        return browser


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.page.close()


@pytest.mark.requirement("CONFIRM-14")
async def test_the_page_shows_what_is_lost_first_then_the_change_with_colours_as_swatches_and_two_buttons(
    desk: Desk,
) -> None:
    browser = await desk.opened(await desk.ask())
    assert browser.shown.text == (
        "Delete segment «VIP»? "
        "Customers in the segment: 48. They stay in the account, without this segment. "
        "Who they are will not be known: the account has too many customers. "
        "The members and conditions of the segment cannot be restored. "
        "Triggers, mailings, filters and integrations that use the id 51 stop working. "
        "What an undo brings back has another id. "
        "Segment id 51, customers: 48, filled fields: 0. Colour 6610f2 "
        f"You can answer until {at(desk.clock.now + 600)}. Without an answer nothing is changed. "
        "Do not delete Delete "
        "The server amo-mcp asks this. The assistant cannot see this page or answer on it."
    )
    assert re.findall(r'fill="(.*?)"', browser.shown.html) == ["#6610f2"]
    browser = await desk.opened(await desk.ask(RENAME))
    assert "Name was «VIP» will be «Лучшие» Colour was 6610f2 will be ae003f" in browser.shown.text
    assert re.findall(r'fill="(.*?)"', browser.shown.html) == ["#6610f2", "#ae003f"]
    assert browser.shown.buttons[-2:] == ["Do not change", "Change"]
    assert len(set(re.findall(r"<button([^>]*)value", browser.shown.html))) == 1


def at(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M} (UTC)"


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize(
    ("language", "buttons", "said"),
    [
        ("ru", ["Не удалять", "Удалить"], "Ваше согласие записано."),
        ("pt", ["Não excluir", "Excluir"], "Sua resposta foi registrada: sim."),
        ("es", ["No eliminar", "Eliminar"], "Su respuesta quedó registrada: sí."),
    ],
)
async def test_the_page_speaks_the_persons_language(
    language: Language, buttons: list[str], said: str, desk: Desk
) -> None:
    browser = await desk.opened(await desk.ask(language=language))
    assert browser.shown.buttons == buttons
    assert f'<html lang="{language}">' in browser.shown.html
    assert said in (await browser.press("yes")).text


@pytest.mark.requirement("CONFIRM-14")
async def test_no_page_has_a_script_and_every_answer_forbids_framing_caching_and_foreign_content(desk: Desk) -> None:
    question = await desk.ask()
    address, browser = desk.page.address(question), Browser(desk.page)
    answers = [
        await browser.open(address),
        await browser.press("yes"),
        await browser.open(address),
        await browser.request("GET", f"{browser.origin}/style.css"),
        await browser.request("PUT", f"{browser.origin}/"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 405]
    for answer in answers:
        assert "<script" not in answer.html
        assert not re.search(r"\son\w+=|javascript:|\sstyle=", answer.html)
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.requirement("CONFIRM-14")
async def test_the_first_get_swaps_the_secret_of_the_address_for_a_cookie_that_no_other_browser_has(desk: Desk) -> None:
    question = await desk.ask()
    address = desk.page.address(question)
    secret = address.rpartition("/")[2]
    assert len(secret) == 43
    browser, other = Browser(desk.page), Browser(desk.page)
    assert (await browser.request("HEAD", address)).status == 405
    first = await browser.request("GET", address, follow_redirects=False)
    assert (first.status, first.headers["location"]) == (303, f"/question/{question.approval.nonce}")
    name, _, attributes = first.headers["set-cookie"].partition("=")
    assert name == f"amo_{question.approval.nonce}"
    assert attributes.partition("; ")[2].lower() == "httponly; max-age=660; path=/; samesite=strict"
    assert secret not in first.headers["set-cookie"]
    assert "Delete segment" in (await browser.open(desk.page.address(question))).text
    refused = await other.open(address)
    assert (refused.status, refused.text) == (
        410,
        "This page cannot be shown Its link works once, and was opened already or is too old. If the question is open "
        "in another tab or browser, answer it there. This request has changed nothing.",
    )
    assert (await other.reload()).status == 403
    assert (await other.post({"token": browser.shown.tokens[0], "answer": "yes"})).status == 403
    assert question.answer is None


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "evil.example"},
        {"host": "localhost"},
        {"host": "127.0.0.1:1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
    ],
    ids=str,
)
async def test_an_answer_of_another_host_or_origin_is_none(wrong: dict[str, str], desk: Desk) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    refused = await browser.press("yes", headers=wrong)
    assert refused.status in (403, 421)
    assert refused.text == (
        "This page cannot be shown The request did not come from the page on which the question was asked, in the "
        "browser that opened it. This request has changed nothing."
    )
    assert question.answer is None


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize(
    "form",
    [
        {"answer": "yes"},
        {"token": "", "answer": "yes"},
        {"token": "A" * 43, "answer": "yes"},
        {"token": "the cookie", "answer": "yes"},
        {"token": "the token", "answer": "maybe"},
        {"token": "the token", "answer": ["yes", "no"]},
        {"token": "the token"},
        {"token": "the token", "answer": "yes", "more": "x" * 5000},
        {"token": "ё", "answer": "yes"},
    ],
    ids=lambda form: str(form)[:60],
)
async def test_an_answer_without_the_token_of_the_form_is_none(form: dict[str, str], desk: Desk) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    secrets = {"the cookie": question.cookie, "the token": question.token}
    refused = await browser.post(
        {**form, **({"token": secrets.get(form["token"], form["token"])} if "token" in form else {})}
    )
    assert refused.status in (400, 403)
    assert question.answer is None


@pytest.mark.requirement("CONFIRM-14")
async def test_the_token_of_one_question_answers_no_other(desk: Desk) -> None:
    first, second = await desk.ask(), await desk.ask(RENAME)
    browser = await desk.opened(first)
    assert browser.shown.tokens == [first.token]
    browser.look()
    refused = await browser.post({"token": second.token, "answer": "yes"})
    assert (refused.status, first.answer, second.answer) == (403, None, None)


@pytest.mark.requirement("CONFIRM-14")
async def test_the_first_answer_is_the_last(desk: Desk) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    token = browser.shown.tokens[0]
    assert "Your no is recorded. Nothing was changed." in (await browser.press("no")).text
    assert "Your no is recorded." in (await browser.post({"token": token, "answer": "yes"})).text
    assert question.answer == "no"


@pytest.mark.requirement("CONFIRM-14")
async def test_an_answer_that_comes_too_late_is_none_and_the_page_says_so(desk: Desk) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    assert browser.shown.headers["refresh"] == "601"
    desk.clock.now += 600
    shown = await browser.press("yes")
    assert f"Too late. The question was not answered in time. {NOTHING}" in shown.text
    assert "refresh" not in shown.headers
    assert question.answer is None


@pytest.mark.requirement("CONFIRM-14")
async def test_a_yes_that_nobody_collects_does_nothing_and_the_page_says_so(desk: Desk) -> None:
    browser = await desk.opened(await desk.ask())
    shown = await browser.press("yes")
    assert shown.headers["refresh"] == "2"
    desk.clock.now += 600
    assert f"The assistant did not pick up your yes in time. {NOTHING}" in (await browser.reload()).text


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("done", "Done. The change was made. You can close this page."),
        ("stopped", "It stopped part-way. Steps that were made: 1 of 1. The assistant has the reason."),
        ("changed", "Not done. The account is no longer as it was when you were asked. Nothing was changed."),
        ("failed", "Not done. Nothing was changed. The assistant has the reason."),
        ("unknown", "It is not known whether the change was made. Look at the account before anything is tried again."),
        ("withdrawn", "The question was withdrawn. Nothing was changed."),
    ],
)
async def test_the_page_says_what_came_of_a_yes(outcome: str, said: str, desk: Desk) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    await browser.press("yes")
    question.end(outcome, 1)  # type: ignore[arg-type]
    shown = await browser.reload()
    assert said in shown.text
    assert "refresh" not in shown.headers


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize("end", ["answered", "expired", "withdrawn"])
async def test_the_page_of_a_question_never_has_the_buttons_of_another(end: str, desk: Desk) -> None:
    """However the first one ends, and however its page comes again, the next is a link away."""
    first = await desk.ask()
    desk.clock.now += 300
    second = await desk.ask(RENAME)
    browser = await desk.opened(first)
    assert browser.shown.tokens == [first.token]
    if end == "answered":
        await browser.press("yes")
    elif end == "withdrawn":
        first.end("withdrawn")
    else:
        desk.clock.now += 300
    address = f"{browser.origin}/question/{first.approval.nonce}"
    for _ in range(2):
        shown = await browser.request("GET", address)
        assert re.search(r"^\S.*? Next question Delete segment «VIP» ", shown.text)
        assert (shown.tokens, shown.buttons) == ([], [])
        assert '<a href="/">Next question</a>' in shown.html
    assert (await browser.reload()).tokens == [second.token]
    assert "Next question" not in browser.shown.text
    assert "Delete segment «VIP» " in browser.shown.text


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize("how", ["first seen", "next question", "another tab"])
async def test_a_press_within_a_second_of_the_buttons_appearing_is_no_answer(how: str, desk: Desk) -> None:
    """A double-click, or a tab that opens under a finger: what was meant for something else is nobody's yes."""
    first, second = await desk.ask(), await desk.ask(RENAME)
    browser = await desk.opened(first)
    asked = first
    if how == "next question":
        await browser.press("no")
        await browser.reload()
        asked = second
    elif how == "another tab":
        desk.clock.now += 100
        await browser.open(desk.page.address(first))
    desk.clock.now += SETTLE - 0.01
    shown = await browser.post({"token": asked.token, "answer": "yes"})
    assert (asked.answer, shown.tokens) == (None, [asked.token])
    desk.clock.now += 0.01
    await browser.post({"token": asked.token, "answer": "yes"})
    assert asked.answer == "yes"


@pytest.mark.requirement("CONFIRM-14")
async def test_the_newest_ten_outcomes_are_told_below_a_question(desk: Desk) -> None:
    browser = await desk.opened(await desk.ask(DELETE))
    for _ in range(MAX_OTHERS + 2):
        await browser.press("no")
        await desk.ask(RENAME)
        await browser.reload()
    assert len(browser.shown.tokens) == 1
    assert browser.shown.text.count("Your no is recorded.") == MAX_OTHERS
    assert "Delete segment" not in browser.shown.text


@pytest.mark.requirement("CONFIRM-14")
async def test_another_tab_of_the_same_browser_shows_the_question_and_no_other_browser_does(desk: Desk) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    again = await browser.open(desk.page.address(question))
    assert (again.status, again.tokens) == (200, [question.token])
    assert (await Browser(desk.page).open(desk.page.address(question))).status == 410


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize("undo", [False, True])
async def test_the_page_shows_every_step_of_a_plan_and_of_an_undo(undo: bool, desk: Desk) -> None:
    names = [f"Group {number:03d}" for number in range(60)]
    steps = tuple(Delete(Segment(id=number, name=name)) for number, name in enumerate(names, 1))
    change = PendingChange(steps, undoes="a", undone_at=0) if undo else PendingChange(steps, plan_id="a")
    browser = await desk.opened(await desk.ask(change))
    assert [name for name in names if name not in browser.shown.text] == []
    assert "more" not in browser.shown.text


@pytest.mark.requirement("CONFIRM-14")
async def test_a_question_that_another_browser_has_opened_is_not_shown_here(desk: Desk) -> None:
    mine, other = await desk.ask(), await desk.ask(RENAME)
    await desk.opened(mine)
    stranger = await desk.opened(other)
    refused = await stranger.request("GET", f"{stranger.origin}/question/{mine.approval.nonce}")
    assert (refused.status, "Delete segment" in refused.text) == (403, False)
    assert (await stranger.reload()).tokens == [other.token]


@pytest.mark.requirement("CONFIRM-14")
async def test_a_tab_that_a_page_of_another_site_opened_gets_its_cookie_with_a_second_request(desk: Desk) -> None:
    question = await desk.ask()
    browser = Browser(desk.page)
    address = desk.page.address(question)
    await browser.request("GET", address, follow_redirects=False)
    cookies, browser.http.cookies = browser.http.cookies, type(browser.http.cookies)()
    browser.origin = "/".join(address.split("/")[:3])
    shown = await browser.request("GET", f"{browser.origin}/", headers={"sec-fetch-site": "cross-site"})
    assert (shown.status, shown.headers["refresh"]) == (200, "0")
    browser.http.cookies = cookies
    assert "Delete segment" in (await browser.reload()).text


@pytest.mark.requirement("CONFIRM-14")
async def test_at_most_one_tab_in_ten_seconds_and_a_later_question_gets_its_own_when_nobody_saw_it(desk: Desk) -> None:
    first, second = await desk.ask(), await desk.ask(RENAME)
    addresses = [desk.page.address(first), desk.page.address(second)]
    assert await desk.page.show(first)
    assert await desk.page.show(second)
    assert desk.tabs == addresses[:1]
    assert desk.page.questions.without_tab() is second
    desk.clock.now += TAB_SECONDS
    async with anyio.create_task_group() as group:
        group.start_soon(desk.page.told)
        desk.tab = anyio.Event()
        await desk.tab.wait()
        group.cancel_scope.cancel()
    assert desk.tabs == addresses
    assert desk.page.questions.without_tab() is None


@pytest.mark.requirement("CONFIRM-14")
async def test_a_question_that_the_page_of_another_leads_to_needs_no_tab(desk: Desk) -> None:
    first, second = await desk.ask(), await desk.ask(RENAME)
    await desk.page.show(first)
    await desk.page.show(second)
    browser = await desk.opened(first)
    assert desk.page.questions.without_tab() is second
    await browser.press("no")
    assert desk.page.questions.without_tab() is None


@pytest.mark.requirement("CONFIRM-14")
async def test_a_late_tab_that_does_not_open_is_logged_and_its_question_can_still_be_answered(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await desk.ask(), await desk.ask(RENAME)
    await desk.page.show(first)
    await desk.page.show(second)
    desk.clock.now += TAB_SECONDS
    desk.opens = False
    async with anyio.create_task_group() as group:
        group.start_soon(desk.page.told)
        desk.tab = anyio.Event()
        await desk.tab.wait()
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert [record.message for record in caplog.records] == ["a tab did not open: its question waits on the page"]
    browser = await desk.opened(second)
    await browser.press("yes")
    assert (second.answer, desk.page.opens) == ("yes", True)


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize("end", ["shown", "dead"])
async def test_the_page_is_served_until_the_last_outcome_was_shown_or_the_question_is_dead(
    end: str, desk: Desk
) -> None:
    question = await desk.ask()
    listener = await desk.page.wanted()
    told = desk.page.questions.all_told
    assert not told()
    if end == "shown":
        browser = await desk.opened(question)
        await browser.press("yes")
        question.collected = True
        desk.clock.now += 3600
        assert not told()
        question.end("done")
        await browser.reload()
        desk.clock.now += LINGER - 0.1
    else:
        desk.clock.now += 600 + GRACE - 0.1
    assert not told()
    desk.clock.now += 0.1
    with anyio.fail_after(5):
        await desk.page.told()
    listener.close()
    assert desk.page.questions.of(question.approval.id) is question
    later = await desk.ask()
    assert desk.page.questions.of(question.approval.id) is None
    assert "Delete" in (await desk.opened(later)).shown.text


@pytest.mark.requirement("CONFIRM-14")
async def test_a_no_is_kept_for_the_call_that_comes_for_it(desk: Desk) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    await browser.press("no")
    desk.clock.now += LINGER
    assert desk.page.questions.all_told()
    await desk.ask()
    assert desk.page.questions.of(question.approval.id) is question


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e{{ 7*7 }} {name} </title>&amp;'


@pytest.mark.requirement("CONFIRM-14")
async def test_a_hostile_name_is_text_and_nothing_else(desk: Desk) -> None:
    hostile = Segment(id=51, name=HOSTILE, color='"><x>', customers_count=1)
    changed = Update(hostile, SegmentPatch(color="ae003f"))
    browser = await desk.opened(await desk.ask(PendingChange((changed,))))
    assert "<script" not in browser.shown.html
    assert "<img" not in browser.shown.html
    assert "\u202e" not in browser.shown.html
    assert "<h1>Change segment «<bdi>&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in browser.shown.html
    assert "{{ 7*7 }} {name}" in browser.shown.text
    assert re.findall(r'fill="(.*?)"', browser.shown.html) == ["#ae003f"]


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_after_the_answer_the_page_is_about_what_became_of_it_and_the_change_stands_below(
    answer: str, desk: Desk
) -> None:
    browser = await desk.opened(await desk.ask())
    assert '<ul class="losses">' in browser.shown.html
    shown = await browser.press(answer)
    assert f"<h1>Your {answer} is recorded.</h1>" in shown.html
    assert f"<title>Your {answer} is recorded. Delete segment «VIP»</title>" in shown.html
    assert "losses" not in shown.html
    quiet = shown.html.partition('<section class="quiet">')[2]
    assert "<h2>Delete segment «<bdi>VIP</bdi>»</h2>" in quiet
    assert ("The members and conditions of the segment cannot be restored." in quiet) is (answer == "yes")


@pytest.mark.requirement("CONFIRM-14")
async def test_an_answer_that_came_too_soon_is_said_to_be_none_once(desk: Desk) -> None:
    browser = await desk.opened(await desk.ask())
    said = "Please answer again: that was within a second of this page appearing."
    token = browser.shown.tokens[0]
    assert said in (await browser.post({"token": token, "answer": "yes"})).text
    assert said not in (await browser.reload()).text
    assert "Your yes is recorded." in (await browser.press("yes")).text


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize(
    ("zone", "until"),
    [("Europe/Moscow", "18:16 (UTC+03:00)"), ("America/St_Johns", "12:46 (UTC-02:30)"), ("UTC", "15:16 (UTC)")],
)
async def test_until_when_is_on_the_accounts_clock_and_its_zone_is_said_once(zone: str, until: str, desk: Desk) -> None:
    reader = Reader(zone=zone_of(zone, ""))
    undo = PendingChange((Delete(VIP),), undoes="c1", undone_at=desk.clock.now)
    asked = [await desk.approvals.open("page", Caller(), "a tool", "", change, reader) for change in (DELETE, undo)]
    for approval, told in zip(asked, (until, until.partition(" ")[0]), strict=True):
        shown = (await desk.opened(desk.page.ask(approval))).shown.text
        assert f"You can answer until {told}. Without" in shown
        assert shown.count("(UTC") == 1


@pytest.mark.requirement("CONFIRM-14", "LANGUAGE-1")
@pytest.mark.parametrize(
    ("language", "busy", "failed"),
    [
        ("ru", "Сервер занят.", "В сервере что-то пошло не так."),
        ("pt", "O servidor está ocupado.", "Algo deu errado no servidor."),
        ("es", "El servidor está ocupado.", "Algo falló en el servidor."),
        ("en", "The server is busy.", "Something went wrong in the server."),
    ],
)
async def test_a_busy_page_and_a_failing_one_say_so_in_the_persons_language(
    language: Language,
    busy: str,
    failed: str,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    browser = await desk.opened(await desk.ask(language=language))
    monkeypatch.setattr("amo_mcp.confirmation.page.MAX_REQUESTS", 1)
    assert (await browser.reload()).status == 200
    monkeypatch.setattr("amo_mcp.confirmation.page.MAX_REQUESTS", 0)
    shown = await browser.reload()
    assert (shown.status, busy in shown.text, VIP.name in shown.text) == (503, True, False)
    monkeypatch.undo()
    monkeypatch.setattr(desk.page.questions, "seen_by", None)
    shown = await browser.reload()
    assert (shown.status, failed in shown.text, VIP.name in shown.text) == (500, True, False)
    assert "content-security-policy" in shown.headers
    assert [record.message for record in caplog.records] == ["the page failed with TypeError"]


@pytest.mark.requirement("CONFIRM-14")
async def test_an_answer_that_does_not_come_to_its_end_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    question = await desk.ask()
    browser = await desk.opened(question)
    monkeypatch.setattr("amo_mcp.confirmation.page.BODY_SECONDS", 0.01)

    async def body() -> AsyncIterator[bytes]:
        yield f"token={question.token}&answer=yes".encode()
        await anyio.sleep_forever()

    refused = await browser.request("POST", f"{browser.origin}/", content=body(), headers={"origin": browser.origin})
    assert (refused.status, question.answer) == (400, None)


@pytest.mark.requirement("CONFIRM-14")
async def test_a_name_that_runs_from_right_to_left_moves_nothing_around_it(desk: Desk) -> None:
    """Every quoted name is a run of its own; a name has no quotation marks of that kind."""
    hostile = Segment(id=51, name="אבג» 0 «דהו", color="6610f2", customers_count=48)
    change = PendingChange((Delete(hostile), Update(hostile, SegmentPatch(name="ابج"))), plan_id="p1")
    html = (await desk.opened(await desk.ask(change))).shown.html
    body = html.partition("<body>")[2]
    assert [name for name in re.findall("«([^»]*)»", body) if not re.fullmatch("<bdi>[^<]*</bdi>", name)] == []
    assert body.count("«<bdi>אבג› 0 ‹דהו</bdi>»") == 3


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize(
    "step",
    [
        Create(SegmentDraft(name="А", color="6610f2")),
        Update(VIP, SegmentPatch(name="Лучшие")),
        Delete(VIP),
        Move(kind="segment", customers=(Member(1), Member(2)), into=(VIP,)),
    ],
    ids=lambda step: step.action,
)
async def test_every_kind_of_step_has_a_page_alone_in_a_plan_and_in_an_undo(step: Step, desk: Desk) -> None:
    for how in ({}, {"plan_id": "p1"}, {"undoes": "c1", "undone_at": 0.0}):
        shown = (await desk.opened(await desk.ask(PendingChange((step,), **how)))).shown
        assert (shown.status, len(shown.tokens)) == (200, 1)


@pytest.mark.requirement("CONFIRM-14")
async def test_a_page_is_said_to_be_done_with_only_when_nothing_else_waits(desk: Desk) -> None:
    first, second = await desk.ask(), await desk.ask(RENAME)
    closing, browser = "You can close this page.", await desk.opened(first)
    await browser.press("yes")
    first.end("done", 1)
    address = f"{browser.origin}/question/{first.approval.nonce}"
    assert closing not in (await browser.request("GET", address)).text
    assert (await browser.reload()).tokens == [second.token]
    assert "The change was made." in browser.shown.text
    assert closing not in browser.shown.text
    await browser.press("no")
    assert f"Done. The change was made. {closing}" in (await browser.request("GET", address)).text
