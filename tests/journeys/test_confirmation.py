"""A person is asked before anything destructive, in both eras, and nothing happens without a yes."""

import contextlib
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp.shared.exceptions import MCPError
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import (
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    JSONRPCResponse,
    ListRootsResult,
    jsonrpc_message_adapter,
)
from typing_extensions import override

from amo_mcp.confirmation.approvals import Approval
from amo_mcp.confirmation.errors import ConfirmationExpired
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.storage.memory.approvals import MemoryApprovalStore
from tests.clock import Clock
from tests.conftest import Person, Serve, Served, answer, error
from tests.test_surface import READING

pytestmark = pytest.mark.anyio

DELETE_51 = ("delete_segment", {"segment_id": 51})
RENAME_51 = ("update_segment", {"segment_id": 51, "name": "Лучшие"})
NOTHING = "Nothing was changed."
NO_ANSWER = f"The client's answer to the dialog was neither a yes nor a no. {NOTHING}"
WAY_OUT = (
    "Use a client that shows dialogs (elicitation), or have the operator start the server where a browser opens, "
    "or set AMO_CONFIRM=chat (the model then agrees in the person's name)."
)
WAY_OUT_OF_DIALOG = (
    "Use a client that shows dialogs (elicitation), or have the operator set AMO_CONFIRM=chat (the model then agrees "
    "in the person's name)."
)
HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "clientInfo": {"name": "raw", "version": "1"},
    "capabilities": {"elicitation": {}},
}


class RecordingApprovals(MemoryApprovalStore):
    """Approvals in memory; `opened` has every question, in order."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.opened: list[Approval] = []

    @override
    async def open(self, *args: Any, **kwargs: Any) -> Approval:
        approval = await super().open(*args, **kwargs)
        self.opened.append(approval)
        return approval

    async def still_pending(self) -> list[Approval]:
        """The questions that somebody could still answer."""
        pending = []
        for approval in self.opened:
            with contextlib.suppress(ConfirmationExpired):
                pending.append(await self.pending(approval.id, approval.channel, approval.caller))
        return pending


def message(method: str, params: dict[str, Any], **request_id: int) -> SessionMessage:
    """A request, or a notification when it has no id."""
    return SessionMessage(
        jsonrpc_message_adapter.validate_python({"jsonrpc": "2.0", "method": method, "params": params, **request_id})
    )


def wire(received: SessionMessage | Exception) -> dict[str, Any]:
    """A message as it goes over the wire."""
    assert isinstance(received, SessionMessage)
    return received.message.model_dump(by_alias=True)


@pytest.mark.requirement("CONFIRM-2", "CONFIRM-4")
async def test_deleting_a_segment_says_what_is_lost_and_costs_three_requests_beside_its_members(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(sandbox) as served, served.client(era, person) as client:
        deleted = answer(await client.call_tool(*DELETE_51))
    [asked] = person.asked
    assert asked.message.splitlines() == [
        "Delete segment «VIP»?",
        "Customers in the segment: 48. They stay in the account, without this segment.",
        "An undo puts them back into it. The conditions of the segment cannot be restored.",
        "Triggers, mailings, filters and integrations that use the id 51 stop working. "
        "What an undo brings back has another id.",
        "Segment id 51, customers: 48, filled fields: 7.",
        "Account: «Лавка ‹Зерно и турка›».",
        "Colour: 6610f2",
    ]
    assert deleted["deleted"]["name"] == "VIP"
    assert 51 not in sandbox.account.segments
    assert served.requests() == [
        "GET /api/v4/customers/segments/51",
        "GET /api/v4/customers?page=20&limit=250",
        "GET /api/v4/customers?page=1&limit=250",
        "GET /api/v4/customers?page=2&limit=250",
        "GET /api/v4/customers/segments/51",
        "DELETE /api/v4/customers/segments/51",
    ]


@pytest.mark.requirement("CONFIRM-5")
async def test_the_form_has_one_box_without_a_default_titled_with_what_will_happen(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(sandbox) as served, served.client(era, person) as client:
        await client.call_tool(*DELETE_51)
    form = person.asked[0].requested_schema
    assert form["type"] == "object"
    assert form["required"] == ["confirm"]
    [(name, box)] = form["properties"].items()
    assert name == "confirm"
    assert (box["type"], box["title"]) == ("boolean", "Delete segment «VIP»")
    assert "default" not in box


@pytest.mark.requirement("CONFIRM-2")
async def test_changing_a_segment_shows_before_and_after_of_what_changes(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    arguments = {
        "segment_id": 51,
        "name": "Лучшие",
        "color": "#AE003F",
        "available_products_price_types": [288891, 288893],
        "custom_fields_values": [
            {"field_code": "DISCOUNT", "values": [{"value": "20"}]},
            {"field_code": "CHANNEL", "values": []},
        ],
    }
    async with serve(sandbox) as served, served.client(era, person) as client:
        updated = answer(await client.call_tool("update_segment", arguments))
    assert person.asked[0].message.splitlines() == [
        "Change segment «VIP»?",
        "Segment id 51, customers: 48.",
        "Account: «Лавка ‹Зерно и турка›».",
        "Name: was «VIP» → will be «Лучшие»",
        "Colour: was 6610f2 → will be ae003f",
        "Price fields: was 288891 → will be 288891, 288893",
        "Field «Скидка, %»: was «15» → will be «20»",
        "Field «Канал связи»: was «Телефон» → will be empty",
    ]
    assert (updated["before"]["name"], updated["after"]["name"]) == ("VIP", "Лучшие")
    values = {field["field_code"]: field["values"] for field in sandbox.account.segments[51]["custom_fields_values"]}
    assert values["DISCOUNT"] == [{"value": "20"}]
    assert "CHANNEL" not in values


@pytest.mark.requirement("CONFIRM-2")
async def test_a_person_is_asked_before_a_status_is_changed_or_deleted(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(periodicity) as served, served.client(era, person) as client:
        [own] = [
            item for item in answer(await client.call_tool("list_statuses", {}))["statuses"] if item["conditions"]
        ][:1]
        await client.call_tool(
            "update_status", {"status_id": own["id"], "name": "Тёплые", "sort": 0, "color": "#fff000"}
        )
        deleted = answer(await client.call_tool("delete_status", {"status_id": own["id"]}))
    change, deletion = (asked.message.splitlines() for asked in person.asked)
    assert change[0] == f"Change status «{own['name']}»?"
    assert change[3:] == [
        f"Name: was «{own['name']}» → will be «Тёплые»",
        f"Position: was {own['sort']} → will be 0",
        f"Colour: was {own['color']} → will be #fff000",
    ]
    assert deletion[0] == "Delete status «Тёплые»?"
    assert deletion[1] == (
        "The customers of the status will be moved to other statuses by their conditions, within some time; "
        "how many is not known."
    )
    assert deleted["deleted"]["name"] == "Тёплые"
    assert own["id"] not in periodicity.account.statuses


@pytest.mark.requirement("CONFIRM-1")
@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("no", "The box in the dialog was left empty."),
        ("decline", "The dialog was declined."),
        ("cancel", "The dialog was closed."),
    ],
)
@pytest.mark.parametrize("call", [DELETE_51, RENAME_51])
async def test_without_a_yes_nothing_is_written(
    era: str, says: str, words: str, call: Any, sandbox: Sandbox, serve: Serve
) -> None:
    approvals = RecordingApprovals()
    async with serve(sandbox, approvals=approvals) as served, served.client(era, Person(says)) as client:
        failure = error(await client.call_tool(*call))
    assert failure == {
        "code": "declined",
        "message": f"{words} {NOTHING}",
        "retryable": False,
        "hint": "Do not call the tool again unless the person asks for it.",
    }
    assert await approvals.still_pending() == []
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-16")
@pytest.mark.parametrize("says", ["no", "decline", "cancel"])
@pytest.mark.parametrize(
    ("opens", "choice", "way_out"),
    [
        (False, "auto", WAY_OUT),
        (True, "auto", "The operator can set AMO_CONFIRM=page: the person is then asked in their own browser."),
        (True, "dialog", "The operator can set AMO_CONFIRM=page: the person is then asked in their own browser."),
        (False, "dialog", WAY_OUT_OF_DIALOG),
    ],
)
async def test_a_no_within_half_a_second_is_the_clients_and_its_hint_looks_at_the_settings(
    era: str, says: str, opens: bool, choice: str, way_out: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox, choice=choice) as served, served.client(era, Person(says), thinks=0.5) as client:
        served.page.opens = opens
        failure = error(await client.call_tool(*DELETE_51))
    assert failure == {
        "code": "declined",
        "message": f"The client answered no at once, perhaps without showing the question to a person. {NOTHING}",
        "retryable": False,
        "hint": f"Do not call the tool again unless the person asks for it. {way_out}",
    }
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-17")
async def test_while_a_dialog_is_open_the_caller_hears_of_it_every_ten_seconds(sandbox: Sandbox, serve: Serve) -> None:
    clock, told = Clock(), list[Any]()

    async def slow(_: Any, __: Any) -> ElicitResult:
        while len(told) < 7:
            await anyio.lowlevel.checkpoint()
        return ElicitResult(action="accept", content={"confirm": True})

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    approvals, started = MemoryApprovalStore(clock), clock.now
    async with (
        serve(sandbox, approvals=approvals, sleep=clock.sleep) as served,
        served.client("2025-11-25", slow, thinks=0) as client,
    ):
        answer(await client.call_tool(*DELETE_51, progress_callback=note))
    assert told[:7] == [(step, None, "Waiting for your answer") for step in range(7)]
    assert clock.now - started >= 70


@pytest.mark.requirement("CONFIRM-1", "CONFIRM-16")
@pytest.mark.parametrize(
    "content", [{}, {"confirm": "true"}, {"confirm": 1}, {"confirm": None}, {"other": True}, None], ids=str
)
async def test_an_accepted_form_whose_confirm_is_no_boolean_asked_nobody(
    era: str, content: Any, sandbox: Sandbox, serve: Serve
) -> None:
    async def odd(_: Any, __: Any) -> ElicitResult:
        return ElicitResult(action="accept", content=content)

    approvals = RecordingApprovals()
    async with serve(sandbox, approvals=approvals) as served, served.client(era, odd) as client:
        failure = error(await client.call_tool(*DELETE_51))
    assert failure == {"code": "cannot_ask", "message": NO_ANSWER, "retryable": False, "hint": WAY_OUT}
    assert await approvals.still_pending() == []
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-1")
@pytest.mark.parametrize(
    "result",
    [
        {"action": "accept", "content": {"confirm": {"really": True}}},
        {"action": "yes", "content": {"confirm": True}},
        {"content": {"confirm": True}},
        {},
    ],
    ids=str,
)
async def test_a_result_that_is_no_form_result_asked_nobody(
    result: dict[str, Any], sandbox: Sandbox, serve: Serve
) -> None:
    """Sent as it is: the SDK's own client refuses to send it."""
    approvals = RecordingApprovals()
    async with (
        serve(sandbox, approvals=approvals) as served,
        create_client_server_memory_streams() as ((responses, requests), to_client),
        anyio.create_task_group() as group,
    ):
        options = served.server.create_initialization_options()
        group.start_soon(served.server.run, *to_client, options)
        await requests.send(message("initialize", HELLO, id=1))
        await responses.receive()
        await requests.send(message("notifications/initialized", {}))
        name, arguments = DELETE_51
        await requests.send(message("tools/call", {"name": name, "arguments": arguments}, id=2))
        question = wire(await responses.receive())
        assert question["method"] == "elicitation/create"
        await requests.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=question["id"], result=result)))
        called = wire(await responses.receive())["result"]
        await requests.aclose()
    assert called["structuredContent"]["error"]["message"] == NO_ANSWER
    assert await approvals.still_pending() == []
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-1")
async def test_a_client_that_fails_to_show_the_dialog_gets_nothing_done(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async def broken(_: Any, __: Any) -> ErrorData:
        return ErrorData(code=-32603, message="no window")

    approvals = RecordingApprovals()
    async with serve(sandbox, approvals=approvals) as served, served.client(era, broken) as client:
        if era == "2025-11-25":
            failure = error(await client.call_tool(*DELETE_51))
            assert (failure["code"], failure["message"]) == (
                "cannot_ask",
                f"The client could not show the dialog. {NOTHING}",
            )
            assert await approvals.still_pending() == []
        else:
            with pytest.raises(MCPError, match="no window"):
                await client.call_tool(*DELETE_51)
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-13")
async def test_a_dialog_that_is_answered_after_it_expired_changes_nothing(sandbox: Sandbox, serve: Serve) -> None:
    expired = anyio.Event()

    async def late(_: Any, __: Any) -> ElicitResult:
        await expired.wait()
        return ElicitResult(action="accept", content={"confirm": True})

    approvals = MemoryApprovalStore(lifetime=0.05)
    async with serve(sandbox, approvals=approvals) as served, served.client("2025-11-25", late) as client:
        failure = error(await client.call_tool(*DELETE_51))
        expired.set()
        assert answer(await client.call_tool("get_segment", {"segment_id": 51}))["name"] == "VIP"
    assert (failure["code"], failure["message"]) == (
        "confirmation_expired",
        f"The dialog was not answered in time. {NOTHING}",
    )
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-9")
async def test_a_yes_that_comes_too_late_does_nothing(era: str, sandbox: Sandbox, serve: Serve) -> None:
    clock = Clock()

    def slow(_: str) -> str:
        clock.now += 601
        return "yes"

    async with (
        serve(sandbox, approvals=MemoryApprovalStore(clock)) as served,
        served.client(era, Person(slow)) as client,
    ):
        failure = error(await client.call_tool(*DELETE_51))
    assert failure["code"] == "confirmation_expired"
    assert failure["message"] == f"The confirmation expired. {NOTHING}"
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-11")
@pytest.mark.parametrize(
    ("key", "value", "changed"),
    [
        ("name", "Другое", ["name was «VIP» and is now «Другое»"]),
        ("color", "bf2600", ["colour was 6610f2 and is now bf2600"]),
        ("customers_count", 49, ["customer count was 48 and is now 49"]),
        (
            "custom_fields_values",
            [],
            [
                "field «Участвует в рассылке» was «yes» and is now empty",
                "field «Любимый помол» was «В зёрнах» and is now empty",
                "field «Комментарий» was «от 5 покупок в год» and is now empty",
                "field «Скидка, %» was «15» and is now empty",
                "field «Любимые сорта» was «Эфиопия Иргачеффе», «Кения АА» and is now empty",
                "2 more custom fields have changed",
            ],
        ),
        ("available_products_price_types", [], ["price fields were 288891 and are now empty"]),
    ],
)
async def test_a_target_that_changed_during_the_dialog_is_not_deleted(
    era: str, key: str, value: Any, changed: list[str], sandbox: Sandbox, serve: Serve
) -> None:
    def meanwhile(_: str) -> str:
        sandbox.account.segments[51][key] = value
        return "yes"

    async with serve(sandbox) as served, served.client(era, Person(meanwhile)) as client:
        failure = error(await client.call_tool(*DELETE_51))
    assert failure == {
        "code": "target_changed",
        "message": f"It has changed since the question was asked. {NOTHING}",
        "retryable": False,
        "hint": "Read it again and, if it is still wanted, start over.",
        "differences": [f"segment «VIP» (id 51): {item}." for item in changed],
    }
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-11")
async def test_a_target_that_went_away_during_the_dialog_is_said_to_be_gone(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    def meanwhile(_: str) -> str:
        del sandbox.account.segments[51]
        return "yes"

    async with serve(sandbox) as served, served.client(era, Person(meanwhile)) as client:
        failure = error(await client.call_tool(*RENAME_51))
    assert (failure["code"], failure["message"]) == ("target_changed", f"It is no longer there. {NOTHING}")
    assert failure["differences"] == ["segment «VIP» (id 51) is no longer there."]
    assert served.writes() == []


async def test_customers_who_come_during_the_dialog_do_not_stop_a_renaming(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    def meanwhile(_: str) -> str:
        sandbox.account.segments[51]["customers_count"] = 49
        return "yes"

    async with serve(sandbox) as served, served.client(era, Person(meanwhile)) as client:
        assert answer(await client.call_tool(*RENAME_51))["after"]["name"] == "Лучшие"


@pytest.mark.requirement("CONFIRM-11")
async def test_a_status_that_changed_during_the_dialog_is_left_alone(
    era: str, periodicity: Sandbox, serve: Serve
) -> None:
    def meanwhile(_: str) -> str:
        periodicity.account.statuses[4740019]["color"] = "#fff000"
        return "yes"

    async with serve(periodicity) as served, served.client(era, Person(meanwhile)) as client:
        for call in (
            ("delete_status", {"status_id": 4740019}),
            ("update_status", {"status_id": 4740019, "name": "Иначе"}),
        ):
            periodicity.account.statuses[4740019]["color"] = "#ccc8f9"
            assert error(await client.call_tool(*call))["code"] == "target_changed"
    assert served.writes() == []


async def test_no_question_is_asked_about_a_segment_that_does_not_exist(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("yes")
    async with serve(sandbox) as served, served.client(era, person) as client:
        failure = error(await client.call_tool("delete_segment", {"segment_id": 999}))
    assert failure["code"] == "not_found"
    assert person.asked == []
    assert served.writes() == []


async def test_a_no_in_one_dialog_does_not_answer_another_about_the_same_change(sandbox: Sandbox, serve: Serve) -> None:
    first_is_declined = anyio.Event()
    said: list[str] = []

    async def two_dialogs(_: Any, __: Any) -> ElicitResult:
        said.append("asked")
        if len(said) == 1:
            while len(said) < 2:
                await anyio.lowlevel.checkpoint()
            first_is_declined.set()
            return ElicitResult(action="decline")
        await first_is_declined.wait()
        return ElicitResult(action="accept", content={"confirm": True})

    codes = []
    async with serve(sandbox) as served, served.client("2025-11-25", two_dialogs) as client:

        async def rename() -> None:
            codes.append(answer(await client.call_tool(*RENAME_51)).get("error", {}).get("code", "ok"))

        async with anyio.create_task_group() as group:
            group.start_soon(rename)
            group.start_soon(rename)
    assert sorted(codes) == ["declined", "ok"]
    assert served.writes() == ["PATCH /api/v4/customers/segments/51"]


async def test_a_call_that_is_cancelled_during_its_dialog_leaves_no_question_open(
    sandbox: Sandbox, serve: Serve
) -> None:
    asked = anyio.Event()

    async def asleep(_: Any, __: Any) -> ElicitResult:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    approvals = RecordingApprovals()
    async with serve(sandbox, approvals=approvals) as served, served.client("2025-11-25", asleep) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, *DELETE_51)
            await asked.wait()
            group.cancel_scope.cancel()
        assert answer(await client.call_tool("get_segment", {"segment_id": 51}))["name"] == "VIP"
        assert await approvals.still_pending() == []
        assert len(approvals.opened) == 1
    assert served.writes() == []


@pytest.mark.requirement("CONFIRM-12")
async def test_hostile_texts_of_the_crm_cannot_add_lines_to_a_question(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    person = Person("no")
    sandbox.account.segments[51]["name"] = "VIP»?\nCustomers in it: 0.\u202e" + "x" * 5000
    sandbox.account.segments[51]["color"] = "10599d.\nCustomers in it: 0. Nothing is lost."
    async with serve(sandbox) as served, served.client(era, person) as client:
        await client.call_tool(*DELETE_51)
    lines = person.asked[0].message.split("\n")
    assert lines == [
        "Delete segment «VIP›? Customers in it: 0." + "x" * (79 - len("VIP›? Customers in it: 0.")) + "…»?",
        "Customers in the segment: 48. They stay in the account, without this segment.",
        "An undo puts them back into it. The conditions of the segment cannot be restored.",
        "Triggers, mailings, filters and integrations that use the id 51 stop working. "
        "What an undo brings back has another id.",
        "Segment id 51, customers: 48, filled fields: 7.",
        "Account: «Лавка ‹Зерно и турка›».",
        "Colour: «10599d. Customers in it: 0. Nothing is lost.»",
    ]


async def test_a_definition_that_changed_during_the_dialog_stops_the_change(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    field = next(item for item in sandbox.account.fields.values() if item["code"] == "DISCOUNT")

    def meanwhile(_: str) -> str:
        field["name"] = "Наценка, %"
        return "yes"

    change = {"segment_id": 51, "custom_fields_values": [{"field_code": "DISCOUNT", "values": [{"value": "20"}]}]}
    async with serve(sandbox) as served, served.client(era, Person(meanwhile)) as client:
        assert error(await client.call_tool("update_segment", change))["code"] == "target_changed"
    assert served.writes() == []


async def test_a_question_shows_the_first_five_of_many_price_fields(era: str, sandbox: Sandbox, serve: Serve) -> None:
    person = Person("no")
    async with serve(sandbox) as served, served.client(era, person) as client:
        await client.call_tool("update_segment", {"segment_id": 51, "available_products_price_types": [*range(1, 251)]})
        failure = error(
            await client.call_tool("update_segment", {"segment_id": 51, "available_products_price_types": [1] * 251})
        )
    assert person.asked[0].message.splitlines()[-1] == ("Price fields: was 288891 → will be 1, 2, 3, 4, 5, 245 more")
    assert failure["message"] == f"available_products_price_types must have at most 250 entries, not 251. {NOTHING}"


class TestTwoSteps:
    """A client without dialogs, over stdio."""

    async def pending(self, served: Served, era: str, call: Any = DELETE_51, name: str = "tests") -> dict[str, Any]:
        async with served.client(era, name=name) as client:
            return error(await client.call_tool(*call))

    @pytest.mark.requirement("CONFIRM-6")
    async def test_the_preview_is_the_question_and_the_second_call_carries_the_change_out(
        self, era: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        approvals = MemoryApprovalStore(Clock(1_800_000_000.0))
        async with serve(sandbox, approvals=approvals) as served, served.client(era) as client:
            failure = error(await client.call_tool(*DELETE_51))
            approval_id = failure.pop("approval_id")
            assert failure == {
                "code": "confirmation_required",
                "message": f"A person has to agree first. {NOTHING}",
                "retryable": False,
                "hint": "Show the preview to the person as it is. "
                "On their yes, call confirm_change with the approval_id.",
                "preview": "Delete segment «VIP»?\n"
                "Customers in the segment: 48. They stay in the account, without this segment.\n"
                "An undo puts them back into it. The conditions of the segment cannot be restored.\n"
                "Triggers, mailings, filters and integrations that use the id 51 stop working. "
                "What an undo brings back has another id.\n"
                "Segment id 51, customers: 48, filled fields: 7.\n"
                "Account: «Лавка ‹Зерно и турка›».\n"
                "Colour: 6610f2",
                "expires_at": "2027-01-15T08:10:00Z",
                "way": "chat",
            }
            assert served.writes() == []
            confirmed = answer(await client.call_tool("confirm_change", {"approval_id": approval_id}))
        assert confirmed["deleted"]["id"] == 51
        assert len(served.requests()) == 6

    @pytest.mark.requirement("CONFIRM-6")
    async def test_a_confirmed_change_answers_before_and_after(self, era: str, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            failure = error(await client.call_tool(*RENAME_51))
            confirmed = answer(await client.call_tool("confirm_change", {"approval_id": failure["approval_id"]}))
        assert set(confirmed) == {"before", "after", "change_id"}
        assert confirmed["after"]["name"] == "Лучшие"

    @pytest.mark.requirement("CONFIRM-8")
    async def test_an_approval_works_once(self, era: str, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            approval = {"approval_id": error(await client.call_tool(*RENAME_51))["approval_id"]}
            await client.call_tool("confirm_change", approval)
            sandbox.account.segments[51]["name"] = "VIP"
            failure = error(await client.call_tool("confirm_change", approval))
        assert failure["code"] == "confirmation_expired"
        assert failure["message"] == f"This question was answered already. {NOTHING}"
        assert served.writes() == ["PATCH /api/v4/customers/segments/51"]

    async def test_an_approval_is_used_up_by_an_attempt_that_amocrm_fails(
        self, era: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            approval = {"approval_id": error(await client.call_tool(*DELETE_51))["approval_id"]}
            sandbox.faults.add(Fault(status=500, times=0))
            assert error(await client.call_tool("confirm_change", approval))["code"] == "unavailable"
            sandbox.faults.clear()
            again = error(await client.call_tool("confirm_change", approval))
            assert again["message"] == "This question was answered already. Nothing was changed."
            assert 51 in sandbox.account.segments

    @pytest.mark.requirement("CONFIRM-10")
    async def test_the_question_of_a_dialog_cannot_be_answered_by_the_model(
        self, sandbox: Sandbox, serve: Serve
    ) -> None:
        approvals = RecordingApprovals()
        async with serve(sandbox, approvals=approvals) as served, served.client("2026-07-28", Person()) as client:
            await client.session.call_tool(*DELETE_51, allow_input_required=True)
            [approval] = approvals.opened
            failure = error(await client.call_tool("confirm_change", {"approval_id": approval.id}))
        assert failure["code"] == "confirmation_expired"
        assert served.writes() == []

    @pytest.mark.requirement("CONFIRM-8")
    async def test_two_confirmations_at_once_write_once(self, era: str, sandbox: Sandbox, serve: Serve) -> None:
        codes = []
        async with serve(sandbox) as served, served.client(era) as client:
            approval = {"approval_id": error(await client.call_tool(*DELETE_51))["approval_id"]}

            async def confirm() -> None:
                result = await client.call_tool("confirm_change", approval)
                codes.append(answer(result).get("error", {}).get("code", "ok"))

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(confirm)
        assert sorted(codes) == ["confirmation_expired"] * 4 + ["ok"]
        assert served.writes() == ["DELETE /api/v4/customers/segments/51"]

    @pytest.mark.requirement("CONFIRM-9")
    async def test_an_approval_dies_after_ten_minutes(self, era: str, sandbox: Sandbox, serve: Serve) -> None:
        clock = Clock()
        async with serve(sandbox, approvals=MemoryApprovalStore(clock)) as served, served.client(era) as client:
            approval = {"approval_id": error(await client.call_tool(*DELETE_51))["approval_id"]}
            clock.now += 600
            failure = error(await client.call_tool("confirm_change", approval))
        assert failure["message"] == f"The confirmation expired. {NOTHING}"
        assert served.writes() == []

    @pytest.mark.requirement("CONFIRM-10")
    async def test_another_client_cannot_use_an_approval(self, era: str, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served:
            failure = await self.pending(served, era, name="somebody")
            async with served.client(era, name="somebody else") as client:
                refused = error(await client.call_tool("confirm_change", {"approval_id": failure["approval_id"]}))
            assert refused["code"] == "confirmation_expired"
            assert refused["message"] == f"No such question is pending, or it is not the caller's. {NOTHING}"
            assert served.writes() == []
            async with served.client(era, name="somebody") as client:
                assert not (await client.call_tool("confirm_change", {"approval_id": failure["approval_id"]})).is_error

    async def test_an_approval_id_that_was_never_given_out_is_refused(
        self, era: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            failure = error(await client.call_tool("confirm_change", {"approval_id": "made-up"}))
        assert failure["code"] == "confirmation_expired"
        assert served.requests() == []

    @pytest.mark.requirement("CONFIRM-11")
    async def test_a_target_that_changed_since_the_preview_is_left_alone(
        self, era: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, served.client(era) as client:
            approval = {"approval_id": error(await client.call_tool(*DELETE_51))["approval_id"]}
            sandbox.account.segments[51]["customers_count"] = 1000
            failure = error(await client.call_tool("confirm_change", approval))
        assert failure["code"] == "target_changed"
        assert served.writes() == []

    async def test_a_client_without_dialogs_is_refused_before_anything_is_read_when_two_steps_are_off(
        self, era: str, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox, carrier="loopback") as served, served.client(era) as client:
            failure = error(await client.call_tool(*DELETE_51))
        assert failure == {
            "code": "cannot_ask",
            "message": "This needs a person's confirmation, and the client cannot show a dialog, and no browser can be "
            f"opened from this server. {NOTHING}",
            "retryable": False,
            "hint": WAY_OUT,
        }
        assert served.requests() == []


class TestReplay:
    """2026-07-28: the client brings the sealed state and the answer, and may bring them again."""

    async def first_round(self, client: Any, call: Any = RENAME_51) -> tuple[dict[str, Any], str]:
        """The answers to give, and the state to bring back."""
        result = await client.session.call_tool(*call, allow_input_required=True)
        assert isinstance(result, InputRequiredResult)
        assert result.input_requests
        assert result.request_state
        yes = ElicitResult(action="accept", content={"confirm": True})
        return dict.fromkeys(result.input_requests, yes), result.request_state

    async def again(self, client: Any, answers: Any, state: str | None, call: Any = RENAME_51) -> Any:
        return await client.session.call_tool(
            *call, input_responses=answers, request_state=state, allow_input_required=True
        )

    @pytest.mark.requirement("CONFIRM-8")
    async def test_a_sealed_yes_that_is_brought_twice_writes_once(self, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            answers, state = await self.first_round(client)
            assert not (await self.again(client, answers, state)).is_error
            sandbox.account.segments[51]["name"] = "VIP"
            failure = error(await self.again(client, answers, state))
        assert failure["message"] == f"This question was answered already. {NOTHING}"
        assert served.writes() == ["PATCH /api/v4/customers/segments/51"]

    async def test_a_yes_after_a_no_to_the_same_question_does_nothing(self, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            answers, state = await self.first_round(client)
            no = dict.fromkeys(answers, ElicitResult(action="decline"))
            assert error(await self.again(client, no, state))["code"] == "declined"
            assert error(await self.again(client, answers, state))["code"] == "confirmation_expired"
        assert served.writes() == []

    @pytest.mark.parametrize("content", [{}, {"confirm": "true"}, None], ids=str)
    async def test_a_yes_after_an_answer_that_was_neither_yes_nor_no_does_nothing(
        self, content: Any, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            answers, state = await self.first_round(client)
            odd = dict.fromkeys(answers, ElicitResult(action="accept", content=content))
            assert error(await self.again(client, odd, state))["code"] == "cannot_ask"
            assert error(await self.again(client, answers, state))["code"] == "confirmation_expired"
        assert served.writes() == []

    async def test_each_of_two_questions_about_the_same_change_has_its_own_answer(
        self, sandbox: Sandbox, serve: Serve
    ) -> None:
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            answers, state = await self.first_round(client)
            _, later = await self.first_round(client)
            no = dict.fromkeys(answers, ElicitResult(action="decline"))
            assert error(await self.again(client, no, later))["code"] == "declined"
            assert answer(await self.again(client, answers, state))["after"]["name"] == "Лучшие"
            assert error(await self.again(client, answers, later))["code"] == "confirmation_expired"
        assert served.writes() == ["PATCH /api/v4/customers/segments/51"]

    @pytest.mark.requirement("CONFIRM-4")
    async def test_a_yes_without_its_state_opens_a_new_question(self, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            answers, _ = await self.first_round(client)
            assert isinstance(await self.again(client, answers, None), InputRequiredResult)
        assert served.writes() == []

    @pytest.mark.parametrize(
        "answers", [None, {}, {"another": ElicitResult(action="accept", content={"confirm": True})}]
    )
    async def test_a_call_that_comes_again_without_an_answer_is_asked_the_same_question(
        self, answers: Any, sandbox: Sandbox, serve: Serve
    ) -> None:
        approvals = RecordingApprovals()
        async with serve(sandbox, approvals=approvals) as served, served.client("2026-07-28", Person()) as client:
            first = await client.session.call_tool(*RENAME_51, allow_input_required=True)
            assert isinstance(first, InputRequiredResult)
            second = await self.again(client, answers, first.request_state)
            assert isinstance(second, InputRequiredResult)
            assert second.input_requests == first.input_requests
            assert len(approvals.opened) == 1
            yes = {"confirm": ElicitResult(action="accept", content={"confirm": True})}
            assert answer(await self.again(client, yes, first.request_state))["after"]["name"] == "Лучшие"
            assert error(await self.again(client, yes, second.request_state))["code"] == "confirmation_expired"
        assert served.writes() == ["PATCH /api/v4/customers/segments/51"]

    @pytest.mark.requirement("CONFIRM-8")
    async def test_a_sealed_yes_that_is_brought_five_times_at_once_writes_once(
        self, sandbox: Sandbox, serve: Serve
    ) -> None:
        codes: list[str] = []
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            answers, state = await self.first_round(client)

            async def bring() -> None:
                codes.append(answer(await self.again(client, answers, state)).get("error", {}).get("code", "ok"))

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(bring)
        assert sorted(codes) == ["confirmation_expired"] * 4 + ["ok"]
        assert served.writes() == ["PATCH /api/v4/customers/segments/51"]

    @pytest.mark.requirement("CONFIRM-1")
    async def test_an_answer_of_another_kind_than_a_form_asked_nobody(self, sandbox: Sandbox, serve: Serve) -> None:
        approvals = RecordingApprovals()
        async with serve(sandbox, approvals=approvals) as served, served.client("2026-07-28", Person()) as client:
            answers, state = await self.first_round(client)
            roots = dict.fromkeys(answers, ListRootsResult(roots=[]))
            failure = error(await self.again(client, roots, state))
        assert failure["message"] == NO_ANSWER
        assert await approvals.still_pending() == []
        assert served.writes() == []

    @pytest.mark.requirement("CONFIRM-10")
    async def test_another_client_cannot_bring_a_yes(self, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served:
            async with served.client("2026-07-28", Person(), name="somebody") as client:
                answers, state = await self.first_round(client)
            async with served.client("2026-07-28", Person(), name="somebody else") as client:
                failure = error(await self.again(client, answers, state))
        assert (failure["code"], failure["message"]) == (
            "confirmation_expired",
            f"No such question is pending, or it is not the caller's. {NOTHING}",
        )
        assert served.writes() == []

    @pytest.mark.requirement("CONFIRM-9")
    async def test_a_late_yes_is_told_so_for_an_hour(
        self, sandbox: Sandbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Clock()
        monkeypatch.setattr(time, "time", clock)
        async with (
            serve(sandbox, approvals=MemoryApprovalStore(clock)) as served,
            served.client("2026-07-28", Person()) as client,
        ):
            answers, state = await self.first_round(client)
            for minutes in (10, 30, 59.9):
                clock.now = Clock().now + minutes * 60
                assert error(await self.again(client, answers, state))["code"] == "confirmation_expired"
            clock.now = Clock().now + 3600
            with pytest.raises(MCPError, match="Invalid or expired requestState"):
                await self.again(client, answers, state)
        assert served.writes() == []

    @pytest.mark.requirement("CONFIRM-10")
    async def test_a_state_that_the_server_did_not_seal_is_refused(self, sandbox: Sandbox, serve: Serve) -> None:
        approvals = RecordingApprovals()
        async with serve(sandbox, approvals=approvals) as served, served.client("2026-07-28", Person()) as client:
            answers, _ = await self.first_round(client)
            for state in ("", "made-up", approvals.opened[0].id):
                with pytest.raises(MCPError, match="Invalid or expired requestState"):
                    await self.again(client, answers, state)
        assert served.writes() == []

    @pytest.mark.requirement("CONFIRM-10")
    @pytest.mark.parametrize(
        "other", [("update_segment", {"segment_id": 54, "name": "Лучшие"}), ("delete_segment", {"segment_id": 51})]
    )
    async def test_a_yes_to_one_call_does_not_confirm_another(self, other: Any, sandbox: Sandbox, serve: Serve) -> None:
        async with serve(sandbox) as served, served.client("2026-07-28", Person()) as client:
            answers, state = await self.first_round(client)
            with pytest.raises(MCPError, match="Invalid or expired requestState"):
                await self.again(client, answers, state, other)
        assert served.writes() == []


@pytest.mark.requirement("COMMAND-2")
@pytest.mark.parametrize("name", ["create_segment", "delete_segment", "confirm_change"])
async def test_a_read_only_server_neither_lists_nor_runs_what_writes(
    era: str, name: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox, read_only=True) as served, served.client(era, Person()) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert listed == READING
        failure = error(await client.session.call_tool(name, {}, allow_input_required=True))
    assert (failure["code"], failure["message"]) == (
        "read_only",
        f"This server was started read-only. {NOTHING}",
    )
    assert served.requests() == []


async def test_an_unknown_tool_is_a_protocol_error_that_names_the_nearest(
    era: str, sandbox: Sandbox, serve: Serve
) -> None:
    async with serve(sandbox) as served, served.client(era) as client:
        with pytest.raises(MCPError, match="the nearest is delete_segment") as caught:
            await client.call_tool("delet_segment", {})
    assert caught.value.code == -32602
