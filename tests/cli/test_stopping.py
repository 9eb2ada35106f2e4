"""`amo-mcp serve` as a process that is stopped in the middle of a change."""

import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client

from amo_mcp.sandbox import ADMIN_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running as sandbox_running
from amo_mcp.transports.limits import LAST_WRITE_SECONDS, SHUTDOWN_SECONDS
from tests.cli.test_serve import HELLO, SECONDS, call, hear, over_http, process, say
from tests.conftest import ERAS, Person, answer
from tests.transports.peers import modern

RENAMINGS = [
    {"action": "update", "kind": "segment", "id": segment_id, "name": name}
    for segment_id, name in ((51, "Первые"), (54, "Вторые"), (66, "Третьи"))
]
WITH_DIALOGS: dict[str, Any] = {**HELLO, "params": {**HELLO["params"], "capabilities": {"elicitation": {}}}}


@contextmanager
def account(sandbox: Sandbox, folder: Path) -> Iterator[dict[str, str]]:
    with sandbox_running(sandbox) as url:
        yield {"AMO_BASE_URL": url, "AMO_ACCESS_TOKEN": ADMIN_TOKEN, "AMO_STATE_DIR": str(folder)}


def writes(sandbox: Sandbox) -> list[str]:
    return [f"{item.method} {item.path.rpartition('/')[2]}" for item in sandbox.requests if item.method != "GET"]


def confirm(running: Any) -> None:
    """Say yes to the dialog that comes next."""
    dialog = hear(running)
    assert dialog["method"] == "elicitation/create"
    say(running, {"jsonrpc": "2.0", "id": dialog["id"], "result": {"action": "accept", "content": {"confirm": True}}})


async def stopped_during(
    call: Callable[[], Coroutine[Any, Any, None]], running: Any, sandbox: Sandbox, how: signal.Signals
) -> float:
    """Send a signal when the write of a call has reached the sandbox, and wait for the call's end; when it was sent."""
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.to_thread.run_sync(reached, sandbox)
            running.send_signal(how)
            sent = time.monotonic()
    return sent


def ends_quietly(running: Any) -> None:
    assert (running.wait(SECONDS), running.stderr.read()) == (0, b"")


def changes(environment: dict[str, str]) -> list[Any]:
    """What the next process says of the changes."""
    with process(account=(), **environment) as running:
        say(running, HELLO)
        hear(running)
        say(running, call(1, "list_changes", {}))
        return list(hear(running)["result"]["structuredContent"]["changes"])


@pytest.mark.requirement("HTTP-8")
@pytest.mark.anyio
async def test_a_plan_over_http_stops_between_two_steps_and_says_what_was_done(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(method="PATCH", delay=0.5))
    with account(sandbox, tmp_path) as environment, over_http(account=(), **environment) as (running, url):
        stopped: list[Any] = []
        async with Client(url, mode=ERAS[era], elicitation_callback=Person(), cache=None) as client:
            plan = answer(await client.call_tool("plan_changes", {"changes": RENAMINGS}))

            async def apply() -> None:
                stopped.append(answer(await client.call_tool("apply_plan", {"plan_id": plan["plan_id"]})))

            await stopped_during(apply, running, sandbox, signal.SIGTERM)
        ends_quietly(running)
        [told] = stopped
        assert told == {
            "change_id": told["change_id"],
            "status": "stopped",
            "done": ["Change segment «VIP» (id 51)"],
            "not_done": ["Change segment «vip клиенты» (id 54): planned", "Change segment «новички» (id 66): planned"],
            "reason": "unavailable",
            "message": "It stopped there: The server was stopped before it could do this. That step changed nothing. "
            "What was done stays; undo_change takes it back, plan the rest anew.",
        }
        assert writes(sandbox) == ["PATCH 51"]
        [change] = changes(environment)
        assert (change["status"], [step["status"] for step in change["steps"]]) == (
            "interrupted",
            ["done", "planned", "planned"],
        )


def test_a_plan_over_stdio_stops_between_two_steps_and_says_what_was_done(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults.add(Fault(method="PATCH", delay=0.5))
    with account(sandbox, tmp_path) as environment, process(account=(), **environment) as running:
        say(running, WITH_DIALOGS)
        hear(running)
        say(running, call(1, "plan_changes", {"changes": RENAMINGS}))
        plan_id = hear(running)["result"]["structuredContent"]["plan_id"]
        say(running, call(2, "apply_plan", {"plan_id": plan_id}))
        confirm(running)
        reached(sandbox)
        running.send_signal(signal.SIGINT)
        told = hear(running)["result"]["structuredContent"]
        assert (told["status"], told["done"], len(told["not_done"])) == ("stopped", ["Change segment «VIP» (id 51)"], 2)
        assert running.wait(SECONDS) == 0
        left = {file.name.partition("-")[0] for file in tmp_path.iterdir()}
        assert (left, [*tmp_path.glob("*lock*"), *tmp_path.glob("*-wal")]) == (
            {"account", "journal", "rate", "sealing"},
            [],
        )
        assert writes(sandbox) == ["PATCH 51"]


@pytest.mark.requirement("HTTP-8")
@pytest.mark.anyio
async def test_a_write_over_http_that_amocrm_does_not_answer_is_told_in_time_and_found_out_by_the_next_process(
    era: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(method="DELETE", delay=8))
    with account(sandbox, tmp_path) as environment, over_http(account=(), **environment) as (running, url):
        told: list[Any] = []
        async with Client(url, mode=ERAS[era], elicitation_callback=Person(), cache=None) as client:

            async def delete() -> None:
                told.append(answer(await client.call_tool("delete_segment", {"segment_id": 51}))["error"])

            await client.list_tools()
            began = await stopped_during(delete, running, sandbox, signal.SIGINT)
        ends_quietly(running)
        assert time.monotonic() - began < SHUTDOWN_SECONDS + 2
        assert told == [
            {
                "code": "outcome_unknown",
                "message": "The server was stopped while the change was being sent. It may or may not have been made.",
                "retryable": False,
                "hint": "list_changes finds out whether it was made, once the server runs again.",
            }
        ]
        [change] = changes(environment)
        assert change["summary"] == "Delete segment «VIP» (id 51)"
        assert change["status"] in {"done", "interrupted"}


def test_a_write_over_stdio_that_amocrm_does_not_answer_does_not_keep_the_server_from_ending_with_its_input(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(method="DELETE", delay=8))
    with account(sandbox, tmp_path) as environment, process(account=(), **environment) as running:
        say(running, WITH_DIALOGS)
        hear(running)
        say(running, call(1, "delete_segment", {"segment_id": 51}))
        confirm(running)
        reached(sandbox)
        assert running.stdin
        running.stdin.close()
        began = time.monotonic()
        ends_quietly(running)
        assert time.monotonic() - began < SHUTDOWN_SECONDS + 2


def test_a_second_signal_waits_for_no_answer_of_amocrm_and_the_caller_is_told_all_the_same(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(method="PATCH", delay=8))
    with account(sandbox, tmp_path) as environment, process(account=(), **environment) as running:
        say(running, WITH_DIALOGS)
        hear(running)
        say(running, call(1, "update_segment", {"segment_id": 51, "name": "Первые"}))
        confirm(running)
        reached(sandbox)
        running.send_signal(signal.SIGINT)
        while "error" not in (heard := ping(running)):
            assert heard == {"jsonrpc": "2.0", "id": 2, "result": {}}
        assert heard["error"]["message"] == "The server is shutting down"
        running.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert hear(running)["result"]["structuredContent"]["error"]["code"] == "outcome_unknown"
        assert running.wait(SECONDS) == 0
        assert time.monotonic() - began < LAST_WRITE_SECONDS


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_open_dialog_over_stdio_expires(how: signal.Signals, sandbox: Sandbox, tmp_path: Path) -> None:
    with account(sandbox, tmp_path) as environment, process(account=(), **environment) as running:
        say(running, WITH_DIALOGS)
        hear(running)
        say(running, call(1, "delete_segment", {"segment_id": 51}))
        assert hear(running)["method"] == "elicitation/create"
        running.send_signal(how)
        heard = [hear(running), hear(running)]
        assert [item.get("method") for item in heard] == ["notifications/cancelled", None]
        failure = heard[1]["result"]["structuredContent"]["error"]
        assert (failure["code"], failure["message"]) == (
            "confirmation_expired",
            "The server was stopped before the question was answered. Nothing was changed.",
        )
        assert running.wait(SECONDS) == 0
        assert running.stderr
        assert running.stderr.read() == b""
    assert writes(sandbox) == []


def ping(running: Any) -> Any:
    say(running, {"jsonrpc": "2.0", "id": 2, "method": "ping"})
    return hear(running)


def reached(sandbox: Sandbox) -> None:
    """Wait until a write has come."""
    until = time.monotonic() + SECONDS
    while not writes(sandbox):
        assert time.monotonic() < until, "it does not write"
        time.sleep(0.01)


@pytest.mark.requirement("CONFIRM-9")
def test_a_yes_that_comes_after_a_restart_has_expired_and_a_tampered_one_is_an_error(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    def asking(state: str | None = None) -> Any:
        request = modern(call(1, "delete_segment", {"segment_id": 51}))
        request["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"elicitation": {}}
        if state is not None:
            answers = {"confirm": {"action": "accept", "content": {"confirm": True}}}
            request["params"] |= {"requestState": state, "inputResponses": answers}
        with process(account=(), **environment) as running:
            say(running, request)
            return hear(running)

    with account(sandbox, tmp_path) as environment:
        state = asking()["result"]["requestState"]
        late = asking(state)["result"]["structuredContent"]["error"]
        middle = len(state) // 2
        tampered = asking(state[:middle] + ("A" if state[middle] != "A" else "B") + state[middle + 1 :])["error"]
    assert (late["code"], late["message"]) == (
        "confirmation_expired",
        "No such question is pending, or it is not the caller's. Nothing was changed.",
    )
    assert tampered["code"] == -32602
    assert writes(sandbox) == []
