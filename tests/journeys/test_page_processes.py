"""A server as a process that ends while a person is asked on its page."""

import signal
from pathlib import Path

import httpx2
import pytest

from tests import recorder
from tests.cli.test_serve import HELLO, SECONDS, call, hear, process, say

STOPPED = {
    "code": "confirmation_expired",
    "message": "The server was stopped before the question was answered. Nothing was changed.",
    "retryable": False,
    "hint": "If it is still wanted, call the tool again to ask anew.",
}


@pytest.mark.requirement("CONFIRM-14")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None], ids=["sigterm", "sigint", "the client leaves"])
def test_a_server_that_ends_while_a_person_is_waited_for_answers_the_caller_and_closes_the_page(
    how: signal.Signals | None, opened_tabs: Path
) -> None:
    with process("--confirm", "page", BROWSER=recorder.COMMAND, **{recorder.RECORD: str(opened_tabs)}) as running:
        say(running, HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        hear(running)
        say(running, call(1, "delete_segment", {"segment_id": 51}))
        asked = hear(running)["result"]["structuredContent"]["error"]
        assert (asked["code"], asked["way"]) == ("confirmation_required", "page")
        page = opened_tabs.read_text().strip()
        assert httpx2.get(page, follow_redirects=True).status_code == 200
        say(running, call(2, "confirm_change", {"approval_id": asked["approval_id"]}))
        say(running, call(3, "get_segment", {"segment_id": 51}))
        assert hear(running)["id"] == 3
        if how is None:
            assert running.stdin
            running.stdin.close()
        else:
            running.send_signal(how)
        ended = hear(running)
        assert running.wait(SECONDS) == 0
        assert ended["id"] == 2
        if how is not None:
            assert ended["result"]["structuredContent"]["error"] == STOPPED
        assert running.stderr
        assert running.stderr.read() == b""
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(page)
