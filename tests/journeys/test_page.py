"""A person is asked on the page, through a real client in both eras: only their browser can say yes."""

import logging
from typing import Any

import anyio
import pytest
from mcp_types import ElicitResult, InputRequiredResult

from amo_mcp.confirmation.approvals import MAX_PENDING
from amo_mcp.confirmation.page import TAB_SECONDS
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from tests.clock import Clock
from tests.conftest import answer, error
from tests.journeys.desk import Declare, PagePerson, declare, desk

__all__ = ["declare"]

pytestmark = pytest.mark.anyio

DELETE_51 = ("delete_segment", {"segment_id": 51})
NOTHING = "Nothing was changed."
WRITE = ["DELETE /api/v4/customers/segments/51"]


def approval(failure: dict[str, Any]) -> dict[str, Any]:
    return {"approval_id": failure["approval_id"]}


@pytest.mark.requirement("CONFIRM-14")
async def test_the_page_opens_the_call_says_so_and_confirm_change_carries_out_what_the_person_agreed_to(
    era: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    person, clock = PagePerson(), Clock(1_800_000_000.0)
    async with desk(sandbox, person, approvals=MemoryApprovalStore(clock)) as served, served.client(era) as client:
        failure = error(await client.call_tool(*DELETE_51))
        approval_id = failure.pop("approval_id")
        assert failure == {
            "code": "confirmation_required",
            "message": f"A person has to agree first. {NOTHING}",
            "retryable": False,
            "hint": "The question is open in the person's browser, and only there it can be answered. Say so, and call "
            "confirm_change with the approval_id at once: it waits for their answer.",
            "preview": failure["preview"],
            "expires_at": "2027-01-15T08:10:00Z",
            "way": "page",
        }
        assert failure["preview"].startswith("Delete segment «VIP»?\nCustomers in the segment: 48.")
        browser = await person.look()
        assert "Your yes is recorded." in browser.shown.text
        assert served.writes() == []
        deleted = answer(await client.call_tool("confirm_change", {"approval_id": approval_id}))
        assert deleted["deleted"]["name"] == "VIP"
        assert served.writes() == WRITE
        assert "Done. The change was made." in (await browser.reload()).text
        again = error(await client.call_tool("confirm_change", {"approval_id": approval_id}))
        assert again["message"] == f"This question was answered already. {NOTHING}"
    [address] = person.addresses
    secret = address.rpartition("/")[2]
    logged = [record.getMessage() for record in caplog.records if record.name.startswith(("amo_mcp", "mcp"))]
    assert secret not in f"{failure}{deleted}{again}{logged}"


@pytest.mark.requirement("CONFIRM-14")
async def test_confirm_change_waits_for_the_person_and_reports_progress_every_ten_seconds(
    era: str, sandbox: Sandbox
) -> None:
    person, clock, told = PagePerson(), Clock(), list[Any]()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        if len(told) == 3:
            await person.look()

    async with (
        desk(sandbox, person, approvals=MemoryApprovalStore(clock), sleep=clock.sleep) as served,
        served.client(era) as client,
    ):
        failure = error(await client.call_tool(*DELETE_51))
        started = clock.now
        result = await client.call_tool("confirm_change", approval(failure), progress_callback=note)
    assert answer(result)["deleted"]["id"] == 51
    assert told[:3] == [(step, None, "Waiting for your answer") for step in range(3)]
    assert 30 <= clock.now - started <= 45


@pytest.mark.requirement("CONFIRM-14")
async def test_without_an_answer_for_45_seconds_the_question_is_still_pending_and_can_be_waited_for_again(
    era: str, sandbox: Sandbox
) -> None:
    person, clock = PagePerson(), Clock()
    async with (
        desk(sandbox, person, approvals=MemoryApprovalStore(clock), sleep=clock.sleep) as served,
        served.client(era) as client,
    ):
        first = error(await client.call_tool(*DELETE_51))
        started = clock.now
        failure = error(await client.call_tool("confirm_change", approval(first)))
        assert clock.now - started == 45
        assert failure == {
            **first,
            "code": "confirmation_pending",
            "message": f"The person has not answered yet. {NOTHING}",
            "retryable": True,
            "hint": "Call confirm_change with the approval_id: it goes on waiting for the person's answer.",
        }
        await person.look()
        assert answer(await client.call_tool("confirm_change", approval(first)))["deleted"]["id"] == 51
    assert len(person.addresses) == 1


@pytest.mark.requirement("CONFIRM-1")
async def test_a_no_on_the_page_is_declined_and_final(era: str, sandbox: Sandbox) -> None:
    person = PagePerson("no")
    async with desk(sandbox, person) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))
        browser = await person.look()
        assert f"Your no is recorded. {NOTHING}" in browser.shown.text
        failure = error(await client.call_tool("confirm_change", approval(first)))
        again = error(await client.call_tool("confirm_change", approval(first)))
    assert failure == {
        "code": "declined",
        "message": f"The person said no on the page. {NOTHING}",
        "retryable": False,
        "hint": "Do not call the tool again unless the person asks for it.",
    }
    assert again["code"] == "confirmation_expired"
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-9")
@pytest.mark.parametrize("says", ["yes", ""])
async def test_a_question_of_the_page_dies_after_ten_minutes_also_with_a_yes(
    says: str, era: str, sandbox: Sandbox
) -> None:
    person, clock = PagePerson(says), Clock()
    async with desk(sandbox, person, approvals=MemoryApprovalStore(clock)) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))
        browser = await person.look()
        clock.now += 600
        failure = error(await client.call_tool("confirm_change", approval(first)))
        assert f"in time. {NOTHING}" in (await browser.reload()).text
    assert (failure["code"], failure["message"]) == ("confirmation_expired", f"The confirmation expired. {NOTHING}")
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-14")
async def test_a_question_that_dies_while_it_is_waited_for_is_expired(era: str, sandbox: Sandbox) -> None:
    person, clock = PagePerson(), Clock()
    async with (
        desk(sandbox, person, approvals=MemoryApprovalStore(clock), sleep=clock.sleep) as served,
        served.client(era) as client,
    ):
        first = error(await client.call_tool(*DELETE_51))
        clock.now += 580
        failure = error(await client.call_tool("confirm_change", approval(first)))
    assert failure["code"] == "confirmation_expired"


@pytest.mark.requirement("CONFIRM-10")
async def test_another_client_cannot_collect_a_yes(era: str, sandbox: Sandbox) -> None:
    person = PagePerson()
    async with desk(sandbox, person) as served, served.client(era, name="somebody") as client:
        first = error(await client.call_tool(*DELETE_51))
        await person.look()
        async with served.client(era, name="somebody else") as other:
            assert error(await other.call_tool("confirm_change", approval(first)))["code"] == "confirmation_expired"
        assert served.writes() == []
        assert answer(await client.call_tool("confirm_change", approval(first)))["deleted"]["id"] == 51


@pytest.mark.requirement("CONFIRM-8")
async def test_two_calls_that_wait_for_one_yes_write_once(era: str, sandbox: Sandbox) -> None:
    person, codes = PagePerson(), list[str]()
    async with desk(sandbox, person) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))

        async def confirm() -> None:
            result = await client.call_tool("confirm_change", approval(first))
            codes.append(answer(result).get("error", {}).get("code", "ok"))

        async with anyio.create_task_group() as group:
            group.start_soon(confirm)
            group.start_soon(confirm)
            await person.look()
    assert sorted(codes) == ["confirmation_expired", "ok"]
    assert served.writes() == WRITE


@pytest.mark.requirement("CONFIRM-11")
async def test_a_target_that_changed_since_is_left_alone_and_the_page_says_so(era: str, sandbox: Sandbox) -> None:
    person = PagePerson()
    async with desk(sandbox, person) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))
        browser = await person.look()
        sandbox.account.segments[51]["customers_count"] = 1000
        assert error(await client.call_tool("confirm_change", approval(first)))["code"] == "target_changed"
        assert "The account is no longer as it was when you were asked." in (await browser.reload()).text
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-8")
@pytest.mark.parametrize(
    "fault", [Fault(status=503, method="GET", times=0), Fault(status=500, method="DELETE")], ids=str
)
async def test_a_yes_is_used_once_also_when_amocrm_fails_and_the_page_says_so(
    fault: Fault, era: str, sandbox: Sandbox
) -> None:
    person = PagePerson()
    async with desk(sandbox, person) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))
        browser = await person.look()
        sandbox.faults.add(fault)
        failed = error(await client.call_tool("confirm_change", approval(first)))
        shown = await browser.reload()
        assert (failed["code"], "recorded" in shown.text) == ("unavailable", False)
        assert f"Not done. {NOTHING}" in shown.text
        sandbox.faults.clear()
        written = served.writes()
        again = error(await client.call_tool("confirm_change", approval(first)))
        assert again["message"] == f"This question was answered already. {NOTHING}"
        assert served.writes() == written
        asked = error(await client.call_tool(*DELETE_51))
        assert asked["approval_id"] != first["approval_id"]


@pytest.mark.requirement("CONFIRM-14")
async def test_a_question_that_is_asked_again_while_it_waits_is_the_same_one(era: str, sandbox: Sandbox) -> None:
    person = PagePerson()
    async with desk(sandbox, person) as served, served.client(era) as client:
        first, again = [error(await client.call_tool(*DELETE_51)) for _ in range(2)]
        assert first == again
        await person.look()
        assert error(await client.call_tool(*DELETE_51)) == first
        sandbox.account.segments[51]["customers_count"] += 1
        assert error(await client.call_tool(*DELETE_51))["approval_id"] != first["approval_id"]
        other = error(await client.call_tool("delete_segment", {"segment_id": 21}))
        assert other["approval_id"] != first["approval_id"]


@pytest.mark.requirement("CONFIRM-14")
async def test_a_question_that_gave_way_to_newer_ones_is_withdrawn_on_the_page(era: str, sandbox: Sandbox) -> None:
    person = PagePerson("")
    async with desk(sandbox, person) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))
        browser = await person.look()
        for number in range(MAX_PENDING):
            rename = {"segment_id": 21, "name": f"name {number}"}
            last = error(await client.call_tool("update_segment", rename))
        shown = await browser.press("yes")
        assert f"The question was withdrawn. {NOTHING}" in shown.text
        late = error(await client.call_tool("confirm_change", approval(first)))
        assert late["message"] == f"No such question is pending, or it is not the caller's. {NOTHING}"
        waiting = [item.approval.id for item in served.page.questions.pending()]
        assert (len(waiting), waiting[-1]) == (MAX_PENDING, last["approval_id"])
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-14")
async def test_what_amocrm_refuses_is_told_as_not_done(era: str, sandbox: Sandbox) -> None:
    person = PagePerson()
    async with desk(sandbox, person) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))
        browser = await person.look()
        sandbox.faults.add(Fault(status=402, method="DELETE"))
        assert error(await client.call_tool("confirm_change", approval(first)))["code"] == "payment_required"
        assert f"Not done. {NOTHING}" in (await browser.reload()).text


@pytest.mark.requirement("CONFIRM-14")
async def test_a_plan_that_stops_part_way_is_told_with_its_steps(era: str, sandbox: Sandbox) -> None:
    person = PagePerson()
    changes = [{"action": "delete", "kind": "segment", "id": item} for item in (51, 21)]
    async with desk(sandbox, person) as served, served.client(era) as client:
        plan = answer(await client.call_tool("plan_changes", {"changes": changes}))
        first = error(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]}))
        browser = await person.look()
        sandbox.faults.add(Fault(status=402, method="DELETE", skip=1))
        answer(await client.call_tool("confirm_change", approval(first)))
        shown = await browser.reload()
    assert "It stopped part-way. Steps that were made: 1 of 2." in shown.text


@pytest.mark.requirement("CONFIRM-14")
async def test_where_the_browser_does_not_open_auto_takes_the_next_way_for_this_question_alone(
    era: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    person, clock = PagePerson(opens=False), Clock()
    async with desk(sandbox, person, approvals=MemoryApprovalStore(clock)) as served, served.client(era) as client:
        ways = [error(await client.call_tool(*DELETE_51))["way"]]
        assert served.page.questions.all_told()
        person.opens = True
        ways.append(error(await client.call_tool(*DELETE_51))["way"])
    assert ways == ["chat", "page"]
    said = [record.message for record in caplog.records if "browser" in record.message]
    assert said == ["the browser did not open: a person is asked another way, where there is one"]


@pytest.mark.requirement("CONFIRM-14")
async def test_a_page_that_is_open_goes_on_being_used_when_another_tab_does_not_open(
    era: str, sandbox: Sandbox
) -> None:
    person, clock = PagePerson(""), Clock()
    async with desk(sandbox, person, approvals=MemoryApprovalStore(clock)) as served, served.client(era) as client:
        await client.call_tool(*DELETE_51)
        browser = await person.look()
        clock.now += TAB_SECONDS
        person.opens = False
        second = error(await client.call_tool("delete_segment", {"segment_id": 21}))
        assert second["way"] == "page"
        await browser.press("no")
        await browser.reload()
        await browser.press("yes")
        assert answer(await client.call_tool("confirm_change", approval(second)))["deleted"]["id"] == 21


@pytest.mark.requirement("CONFIRM-14")
async def test_where_the_browser_does_not_open_page_alone_asks_nobody(era: str, sandbox: Sandbox) -> None:
    async with desk(sandbox, PagePerson(opens=False), choice="page") as served, served.client(era) as client:
        failure = error(await client.call_tool(*DELETE_51))
    assert failure == {
        "code": "cannot_ask",
        "message": "This needs a person's confirmation, and no browser can be opened from this server. "
        "Nothing was changed.",
        "retryable": False,
        "hint": "The operator can start the server where a browser opens, or set AMO_CONFIRM=dialog or "
        "AMO_CONFIRM=chat (the model then agrees in the person's name).",
    }


@pytest.mark.requirement("CONFIRM-14")
async def test_two_questions_within_ten_seconds_open_one_tab_that_leads_to_both(era: str, sandbox: Sandbox) -> None:
    person = PagePerson("")
    async with desk(sandbox, person) as served, served.client(era) as client:
        first = error(await client.call_tool(*DELETE_51))
        second = error(await client.call_tool("delete_segment", {"segment_id": 21}))
        [_] = person.addresses
        browser = await person.look()
        await browser.press("no")
        assert "Next question" in browser.shown.text
        await browser.reload()
        await browser.press("yes")
        assert error(await client.call_tool("confirm_change", approval(first)))["code"] == "declined"
        assert answer(await client.call_tool("confirm_change", approval(second)))["deleted"]["id"] == 21
    assert served.writes() == ["DELETE /api/v4/customers/segments/21"]


class TestLinks:
    """A client that declares URL elicitation is given the address of the page."""

    @pytest.mark.requirement("CONFIRM-15")
    async def test_a_yes_on_the_page_carries_the_change_out_in_the_same_call(
        self, era: str, declare: Declare, sandbox: Sandbox
    ) -> None:
        declare("url")
        person = PagePerson()
        async with desk(sandbox, person) as served, served.client(era, person) as client:
            deleted = answer(await client.call_tool(*DELETE_51))
            assert person.browser
            assert "Done." in (await person.browser.reload()).text
        assert deleted["deleted"]["id"] == 51
        [link] = person.links
        assert link.message.startswith("Delete segment «VIP»?\nCustomers in the segment: 48.")
        assert bool(link.elicitation_id) == (era == "2025-11-25")
        assert person.addresses == []

    @pytest.mark.requirement("CONFIRM-15")
    async def test_a_no_on_the_page_is_declined(self, era: str, declare: Declare, sandbox: Sandbox) -> None:
        declare("url")
        person = PagePerson("no")
        async with desk(sandbox, person) as served, served.client(era, person) as client:
            failure = error(await client.call_tool(*DELETE_51))
        assert (failure["code"], failure["message"]) == ("declined", f"The person said no on the page. {NOTHING}")
        assert served.writes() == []

    @pytest.mark.requirement("CONFIRM-15")
    async def test_a_client_that_opens_the_link_has_not_agreed(
        self, era: str, declare: Declare, sandbox: Sandbox
    ) -> None:
        """The call waits 45 seconds; then the question is pending, and confirm_change goes on with it."""
        declare("url")
        person, clock = PagePerson(""), Clock()
        async with (
            desk(sandbox, person, approvals=MemoryApprovalStore(clock), sleep=clock.sleep) as served,
            served.client(era, person, thinks=0) as client,
        ):
            started = clock.now
            failure = error(await client.call_tool(*DELETE_51))
            assert (failure["code"], failure["way"], clock.now - started) == ("confirmation_pending", "page", 45)
            assert served.writes() == []
            assert person.browser
            await person.browser.press("yes")
            assert answer(await client.call_tool("confirm_change", approval(failure)))["deleted"]["id"] == 51

    @pytest.mark.parametrize(
        ("takes", "thinks", "said"),
        [
            ("decline", 1.0, "The dialog was declined."),
            ("cancel", 1.0, "The dialog was closed."),
            ("decline", 0.1, "The client answered no at once, perhaps without showing the question to a person."),
        ],
    )
    async def test_a_client_that_does_not_open_the_link_is_declined_and_the_question_ends(
        self, takes: str, thinks: float, said: str, era: str, declare: Declare, sandbox: Sandbox
    ) -> None:
        declare("url")
        person = PagePerson(takes=takes)
        async with desk(sandbox, person) as served, served.client(era, person, thinks=thinks) as client:
            failure = error(await client.call_tool(*DELETE_51))
            browser = await person.look(person.links[0].url)
        assert (failure["code"], failure["message"]) == ("declined", f"{said} {NOTHING}")
        assert f"The question was withdrawn. {NOTHING}" in browser.shown.text
        assert person.addresses == []
        assert served.writes() == []

    async def test_a_call_that_comes_again_without_an_answer_is_given_the_same_link(
        self, declare: Declare, sandbox: Sandbox
    ) -> None:
        declare("url")
        person = PagePerson()
        async with desk(sandbox, person) as served, served.client("2026-07-28", person) as client:
            first = await client.session.call_tool(*DELETE_51, allow_input_required=True)
            assert isinstance(first, InputRequiredResult)
            again = await client.session.call_tool(
                *DELETE_51, request_state=first.request_state, allow_input_required=True
            )
            assert isinstance(again, InputRequiredResult)
            assert again.input_requests == first.input_requests

    @pytest.mark.requirement("CONFIRM-15")
    async def test_an_answer_that_claims_a_yes_is_none(self, era: str, declare: Declare, sandbox: Sandbox) -> None:
        """The client says that it took the link, and that the person agreed; nobody has been on the page."""
        declare("url")
        clock = Clock()

        async def lies(_: Any, __: Any) -> ElicitResult:
            return ElicitResult(action="accept", content={"confirm": True, "answer": "yes"})

        async with (
            desk(sandbox, PagePerson(), approvals=MemoryApprovalStore(clock), sleep=clock.sleep) as served,
            served.client(era, lies) as client,
        ):
            assert error(await client.call_tool(*DELETE_51))["code"] == "confirmation_pending"
        assert served.writes() == []

    async def test_a_call_that_is_cancelled_takes_its_question_with_it(
        self, declare: Declare, sandbox: Sandbox
    ) -> None:
        declare("url")
        person, opened = PagePerson(""), anyio.Event()

        async def open_and_wait(context: Any, params: Any) -> ElicitResult:
            await person(context, params)
            opened.set()
            return ElicitResult(action="accept")

        async with desk(sandbox, person) as served, served.client("2025-11-25", open_and_wait) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, *DELETE_51)
                await opened.wait()
                group.cancel_scope.cancel()
            answer(await client.call_tool("get_segment", {"segment_id": 51}))
            assert person.browser
            assert f"The question was withdrawn. {NOTHING}" in (await person.browser.reload()).text
        assert served.writes() == []
