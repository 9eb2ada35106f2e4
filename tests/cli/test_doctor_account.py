"""What the doctor finds in the account itself: name, rights, mode and limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from amo_mcp.sandbox import USER_TOKEN, Fault, Sandbox
from amo_mcp.storage.credentials import FileCredentialStore
from tests.cli.machine import ACCOUNT, Machine

pytestmark = pytest.mark.usefixtures("_no_keychain")

NO_ADMIN = "not an administrator. Only an account administrator can make changes."


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unauthorized": (
        {"status": 401},
        (
            "amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. "
            "Give the server a new AMO_ACCESS_TOKEN, or run `amo-mcp login`. "
            "If the account was renamed, its address (AMO_BASE_URL) has to be the new one."
        ),
    ),
    "not paid": (
        {"status": 402},
        (
            "The account's subscription does not include this, or has not been paid. "
            "The account's owner can check the subscription in amoCRM."
        ),
    ),
    "blocked": (
        {"status": 403, "html": True},
        (
            "amoCRM's gateway refuses every request of this integration or address. "
            "Stop calling for now: trying again makes it last longer. If it stays, write to amoCRM's support."
        ),
    ),
    "limited": (
        {"retry_after": 300},
        "Too many requests for amoCRM. amoCRM asks to wait 300 seconds. Wait, then call again once.",
    ),
    "broken": ({"status": 500}, "amoCRM answered with the status 500. Try again in a minute."),
    "no account": (
        {"body": "[]"},
        "amoCRM returned an unexpected response. Try again in a minute.",
    ),
}


class TestAccount:
    @pytest.mark.parametrize("how", REFUSED)
    def test_an_account_that_cannot_be_read_ends_the_checks(self, how: str, machine: Machine) -> None:
        fault, advice = REFUSED[how]
        machine.sandbox.faults.add(Fault(path=ACCOUNT, skip=1, times=0, **fault))
        healthy = machine.healthy()
        expected = {what: healthy[what] for what in list(healthy)[:7]}
        assert machine.seen() == (1, {**expected, "account": f"!! cannot be read. {advice}"})

    def test_the_name_of_an_account_cannot_control_the_terminal(self, machine: Machine) -> None:
        machine.sandbox.account.profile["name"] = "Shop\x1b[31m\nok rights: \u202eall\u200b"
        _, lines = machine.seen()
        assert lines["account"] == "ok Shop[31m ok rights: all (id 28805383)"

    @pytest.mark.requirement("COMMAND-8")
    def test_a_user_without_admin_rights_is_reported(self, machine: Machine) -> None:
        code, lines = machine.seen(AMO_ACCESS_TOKEN=USER_TOKEN)
        assert (code, lines) == (1, {**machine.healthy(), "rights": f"!! {NO_ADMIN}"})

    @pytest.mark.parametrize("fault", [{"status": 403}, {"status": 404}, {"status": 204}])
    def test_a_user_who_may_not_see_users_is_no_administrator(self, fault: dict[str, Any], machine: Machine) -> None:
        machine.sandbox.faults.add(Fault(path="/api/v4/users/*", **fault))
        assert machine.seen() == (1, {**machine.healthy(), "rights": f"!! {NO_ADMIN}"})

    def test_rights_that_cannot_be_read_are_reported(self, machine: Machine) -> None:
        machine.sandbox.faults.add(Fault(path="/api/v4/users/*", body="[]"))
        line = "!! cannot be read. amoCRM returned an unexpected response. Try again in a minute."
        assert machine.seen() == (1, {**machine.healthy(), "rights": line})


class TestJournal:
    @pytest.mark.requirement("COMMAND-8")
    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda file: file.write_bytes(b"not a journal" * 100), "file is not a database"),
            (lambda file: file.mkdir(), "unable to open database file"),
        ],
    )
    def test_a_journal_that_cannot_be_used_is_reported_and_does_not_end_the_checks(
        self, spoil: Callable[[Path], object], reason: str, machine: Machine
    ) -> None:
        machine.state.create()
        spoil(machine.state.journal_file(28805383))
        told = (
            f"!! cannot be used. The journal of changes cannot be used ({reason}), and nothing is changed without it. "
            "Whoever runs the server can check its state directory (AMO_STATE_DIR): space, permissions, the journal's "
            "file."
        )
        assert machine.seen() == (1, {**machine.healthy(), "journal": told})


class TestAddress:
    def test_an_account_that_has_moved_is_found_and_its_address_told(self, machine: Machine) -> None:
        kept = machine.sign_in()
        old = f"http://localhost:{urlsplit(machine.url).port}"
        machine.state.remember(old)
        moved = FileCredentialStore(machine.state.sign_in_file(old))
        anyio.run(moved.save, kept)
        code, lines = machine.seen(AMO_BASE_URL=old, AMO_ACCESS_TOKEN="")
        assert (code, lines["address"]) == (0, f"ok the account has moved to {machine.url}, and is found there")


class TestMode:
    def test_in_the_periodicity_mode_the_statuses_are_counted(self, machine: Machine) -> None:
        machine.host.sandbox = Sandbox(mode="periodicity")
        healthy = machine.healthy()
        expected = {what: healthy[what] for what in healthy if what not in ("segments", "fields")}
        used = len(machine.sandbox.account.statuses)
        assert machine.seen() == (
            0,
            {**expected, "mode": "ok periodicity: the status tools work", "statuses": f"ok {used} of 30"},
        )

    @pytest.mark.parametrize(("mode", "shown"), [("disabled", "disabled"), ("dynamic", "dynamic")])
    def test_a_mode_without_customers_is_reported(self, mode: str, shown: str, machine: Machine) -> None:
        machine.sandbox.account.mode = mode
        _, lines = machine.seen()
        assert list(lines)[-1] == "mode"
        assert lines["mode"] == f"!! {shown}. Switch customers on in amoCRM: segments or periodicity."

    def test_an_account_without_a_mode_is_reported_as_unknown(self, machine: Machine) -> None:
        machine.sandbox.faults.add(
            Fault(path=ACCOUNT, skip=1, body='{"id": 1, "name": "Shop", "current_user_id": 504141}')
        )
        _, lines = machine.seen()
        assert lines["mode"] == "!! unknown. Switch customers on in amoCRM: segments or periodicity."

    @pytest.mark.requirement("COMMAND-8")
    @pytest.mark.parametrize(("used", "full"), [(89, False), (90, True), (100, True)])
    def test_a_limit_that_is_almost_reached_is_reported(self, used: int, full: bool, machine: Machine) -> None:
        segments = machine.sandbox.account.segments
        example = next(iter(segments.values()))
        for number in range(used - len(segments)):
            segments[1000 + number] = {**example, "id": 1000 + number}
        _, lines = machine.seen()
        todo = ". Almost full: delete segments that are not needed." if full else ""
        assert lines["segments"] == f"{'!!' if full else 'ok'} {used} of 100{todo}"

    def test_lists_that_cannot_be_read_are_reported(self, machine: Machine) -> None:
        machine.sandbox.faults.add(Fault(path="/api/v4/customers/segments", body="[]"))
        code, lines = machine.seen()
        assert (code, list(lines)[-2:]) == (1, ["mode", "limits"])
        assert lines["limits"] == "!! cannot be read. amoCRM returned an unexpected response. Try again in a minute."
