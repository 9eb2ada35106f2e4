"""Whether serving would work: each line is ok or says what to do, nothing is written, no token is shown."""

import base64
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from amo_mcp.amocrm.auth import Credentials
from amo_mcp.amocrm.http import Response
from amo_mcp.cli import cli, doctor
from amo_mcp.paths import StateDir
from amo_mcp.sandbox import ADMIN_TOKEN, USER_TOKEN, Fault, Sandbox
from amo_mcp.settings import ServingSettings, load_settings
from amo_mcp.storage.credentials import FileCredentialStore
from tests.cli.conftest import Host

pytestmark = pytest.mark.usefixtures("_no_keychain", "_logs_as_before")

ACCOUNT = "/api/v4/account"
SHOP = "Лавка «Зерно и турка» (id 28805383)"
NO_ADMIN = "not an administrator. Only an account administrator can make changes."


NOW = 1_790_000_000.0
"""2026-09-21T14:13:20Z"""


@dataclass
class Machine:
    """A machine that would serve a sandbox, and what the doctor finds there."""

    host: Host
    state: StateDir
    environment: dict[str, str] = field(default_factory=dict)
    wrote: bool = False

    @property
    def sandbox(self) -> Sandbox:
        return self.host.sandbox

    @property
    def url(self) -> str:
        return self.host.url

    def healthy(self) -> dict[str, str]:
        """The lines of a machine on which all is well."""
        segments, fields = len(self.sandbox.account.segments), len(self.sandbox.account.fields)
        return {
            "settings": f"ok {self.url}, confirmation auto",
            "state dir": f"ok {self.state.path}",
            "rate limit": "ok 7 requests per second, shared by all processes on this machine",
            "host": "ok answers (plain http, on this machine)",
            "clock": "ok right",
            "sign-in": "ok a long-lived token, expiry unknown",
            "account": f"ok {SHOP}",
            "rights": "ok administrator",
            "mode": "ok segments: the segment tools work",
            "segments": f"ok {segments} of 100",
            "fields": f"ok {fields} of 30",
        }

    def seen(self, *arguments: str, **environment: str) -> tuple[int, dict[str, str]]:
        """The exit code and the lines, by what each is about."""
        result = CliRunner().invoke(cli, ["doctor", *arguments], env={**self.environment, **environment})
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.stderr == ""
        assert not [token for token in (ADMIN_TOKEN, USER_TOKEN, "sandbox-secret") if token in result.output]
        assert self.wrote or {request.method for request in self.sandbox.requests} <= {"GET"}
        lines = {}
        for line in result.stdout.splitlines():
            mark, what, found = line[:2], line[3:17].strip(), line[17:]
            assert mark in ("ok", "!!")
            lines[what.removesuffix(":")] = f"{mark} {found}"
        assert result.exit_code == (1 if any(line.startswith("!!") for line in lines.values()) else 0)
        return result.exit_code, lines

    def sign_in(self, *, expired: bool = False) -> Credentials:
        host = self.url.removeprefix("http://")
        access, refresh = self.sandbox.oauth.issue_tokens(expired=expired, host=host)
        signed_in = Credentials(
            base_url=self.url,
            client_id=self.sandbox.oauth.client_id,
            client_secret=SecretStr(self.sandbox.oauth.client_secret),
            redirect_uri=self.sandbox.oauth.redirect_uri,
            access_token=SecretStr(access),
            refresh_token=SecretStr(refresh),
            expires=time.time() + (0 if expired else 86_400),
        )
        self.state.create()
        anyio.run(FileCredentialStore(self.file).save, signed_in)
        self.state.remember(self.url)
        return signed_in

    @property
    def file(self) -> Path:
        return self.state.sign_in_file(self.url)


@pytest.fixture
def machine(host: Host, tmp_path: Path) -> Machine:
    made = Machine(host, StateDir(tmp_path / "state"))
    made.environment = {
        "AMO_BASE_URL": made.url,
        "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
        "AMO_STATE_DIR": str(made.state.path),
    }
    return made


@pytest.mark.requirement("COMMAND-8")
def test_where_all_is_well_every_line_is_ok(machine: Machine) -> None:
    assert machine.seen() == (0, machine.healthy())
    assert machine.sandbox.requests


def test_without_a_terminal_lines_are_printed_without_colours(machine: Machine) -> None:
    result = CliRunner().invoke(cli, ["doctor"], env=machine.environment)
    expected = [f"{found[:2]} {what + ':':<14}{found[3:]}" for what, found in machine.healthy().items()]
    assert result.output.splitlines() == expected
    coloured = CliRunner().invoke(cli, ["doctor", "--sandbox"], color=True)
    assert coloured.output.startswith("\x1b[32mok\x1b[0m settings:     ")


def test_the_embedded_sandbox_needs_no_network() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--sandbox"])
    assert (result.exit_code, result.stderr) == (0, "")
    segments, fields = len(Sandbox().account.segments), len(Sandbox().account.fields)
    assert result.stdout.splitlines() == [
        "ok settings:     http://sandbox.localhost, confirmation auto",
        f"ok account:      {SHOP}",
        "ok rights:       administrator",
        "ok mode:         segments: the segment tools work",
        f"ok segments:     {segments} of 100",
        f"ok fields:       {fields} of 30",
    ]


@pytest.mark.requirement("COMMAND-8")
def test_wrong_settings_are_all_reported(tmp_path: Path) -> None:
    environment = {"AMO_CONFIRM": "off", "AMO_STATE_DIR": str(tmp_path)}
    result = CliRunner().invoke(cli, ["doctor"], env=environment)
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.splitlines() == [
        "!! settings:     wrong. AMO_CONFIRM must be auto, dialog or chat",
        (
            "!! settings:     wrong. AMO_BASE_URL (such as https://example.amocrm.ru) or AMO_SUBDOMAIN is needed, "
            "or AMO_SANDBOX=1"
        ),
        (
            "!! settings:     wrong. AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; "
            "or run `amo-mcp login`"
        ),
    ]


class TestStateDir:
    def test_a_directory_that_others_can_open_is_reported(self, machine: Machine) -> None:
        machine.state.create()
        machine.state.path.chmod(0o750)
        todo = f"!! {machine.state.path} is open to other users. Run: chmod 700 {machine.state.path}"
        assert machine.seen() == (1, {**machine.healthy(), "state dir": todo})

    def unusable(self, machine: Machine) -> dict[str, str]:
        machine.state.path.write_text("")
        path = machine.state.path
        return {
            "state dir": f"!! {path} cannot be used. Make it writable or set AMO_STATE_DIR (File exists).",
            "rate limit": "!! 7 requests per second, for this process only. Make the state directory writable.",
        }

    def test_a_directory_that_cannot_be_used_is_reported_with_the_reason(self, machine: Machine) -> None:
        expected = self.unusable(machine)
        _, lines = machine.seen(AMO_BASE_URL="http://127.0.0.1:1")
        assert {what: lines[what] for what in expected} == expected

    def test_a_directory_that_cannot_be_used_does_not_end_the_checks(self, machine: Machine) -> None:
        expected = self.unusable(machine)
        code, lines = machine.seen()
        assert code == 1
        assert {what: lines[what] for what in expected} == expected

    def test_a_directory_that_cannot_be_written_to_is_reported_with_the_reason(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amo_mcp.paths.os.access", lambda *_: False)
        _, lines = machine.seen(AMO_BASE_URL="http://127.0.0.1:1")
        assert lines["state dir"].startswith("!! ")
        assert "None" not in lines["state dir"]

    def test_a_rate_limit_that_cannot_be_shared_is_reported(self, machine: Machine) -> None:
        machine.state.create()
        machine.state.rate_limit_file(machine.url).mkdir()
        alone = "!! 7 requests per second, for this process only. Make the state directory writable."
        assert machine.seen() == (1, {**machine.healthy(), "rate limit": alone})

    def test_the_chosen_rate_limit_is_shown(self, machine: Machine) -> None:
        _, lines = machine.seen(AMO_RATE_LIMIT="49")
        assert lines["rate limit"] == "ok 49 requests per second, shared by all processes on this machine"


class TestHost:
    @pytest.mark.requirement("COMMAND-8")
    def test_a_host_that_cannot_be_reached_ends_the_checks(self, machine: Machine) -> None:
        code, lines = machine.seen(AMO_BASE_URL="http://127.0.0.1:1")
        assert (code, list(lines)) == (1, ["settings", "state dir", "rate limit", "host"])
        assert lines["host"] == (
            "!! amoCRM could not be reached; check the address and the network. "
            "Check AMO_BASE_URL, the network, and that its certificate is valid."
        )

    def test_the_host_is_first_asked_without_a_token(self, machine: Machine) -> None:
        machine.seen()
        assert [(request.path, request.status) for request in machine.sandbox.requests[:2]] == [
            (ACCOUNT, 401),
            (ACCOUNT, 200),
        ]

    @pytest.mark.parametrize("status", [401, 403, 500])
    def test_a_host_counts_as_reached_whatever_it_answers(self, status: int, machine: Machine) -> None:
        machine.sandbox.faults.add(Fault(status=status, html=True))
        assert machine.seen() == (0, machine.healthy())

    def test_a_host_that_is_reached_over_tls_is_said_to_be(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[dict[str, Any]] = []

        class Tls:
            def __init__(self, **chosen: Any) -> None:
                asked.append(chosen)

            async def send(self, method: str, url: str, *, headers: dict[str, str]) -> Response:
                await anyio.lowlevel.checkpoint()
                asked.append({"method": method, "url": url, "headers": headers})
                return Response(401, {}, b"")

            async def aclose(self) -> None:
                asked.append({})

        monkeypatch.setattr(doctor, "HttpTransport", Tls)
        for name, value in {**machine.environment, "AMO_BASE_URL": "https://shop.amocrm.ru"}.items():
            monkeypatch.setenv(name, value)

        async def looked() -> tuple[doctor.Line, doctor.Line]:
            return await doctor._host_and_clock(load_settings(ServingSettings))

        assert anyio.run(looked) == (
            doctor.Line("host", "answers (TLS)"),
            doctor.Line("clock", "amoCRM does not send the time"),
        )
        assert asked == [
            {"timeout": 20.0, "direct": False},
            {"method": "GET", "url": f"https://shop.amocrm.ru{ACCOUNT}", "headers": {}},
            {},
        ]


class TestClock:
    @pytest.mark.requirement("COMMAND-8")
    @pytest.mark.parametrize(
        ("ahead", "line"),
        [
            (0, doctor.Line("clock", "right")),
            (30, doctor.Line("clock", "right")),
            (-30, doctor.Line("clock", "right")),
            (31, doctor.Line("clock", "differs from amoCRM's by +31 s", "Set this machine's clock.")),
            (-86_400, doctor.Line("clock", "differs from amoCRM's by -86400 s", "Set this machine's clock.")),
        ],
    )
    def test_a_clock_that_differs_by_more_than_thirty_seconds_is_reported(
        self, ahead: int, line: doctor.Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: NOW + ahead))
        assert doctor._clock("Mon, 21 Sep 2026 14:13:20 GMT") == line

    def test_the_clock_is_compared_with_the_hosts(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: time.time() + 1e6))
        code, lines = machine.seen()
        line = lines.pop("clock")
        assert (code, lines) == (1, {what: line for what, line in machine.healthy().items() if what != "clock"})
        assert re.fullmatch(r"!! differs from amoCRM's by \+100000[0-9] s\. Set this machine's clock\.", line)

    @pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Jan 2026 00:00:00 GMT"])
    def test_a_host_that_does_not_send_the_time_is_no_problem(self, date: str | None) -> None:
        assert doctor._clock(date) == doctor.Line("clock", "amoCRM does not send the time")


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


class TestSignIn:
    def sign_in_line(self, expires: float, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: NOW))
        _, lines = machine.seen(AMO_ACCESS_TOKEN=token(exp=expires))
        return lines["sign-in"]

    @pytest.mark.parametrize(
        ("days", "line"),
        [
            (30, "ok a long-lived token, until 2026-10-21T14:13:20Z"),
            (7, "ok a long-lived token, until 2026-09-28T14:13:20Z"),
            (6, "!! a long-lived token, until 2026-09-27T14:13:20Z. Get a new AMO_ACCESS_TOKEN."),
            (-1, "!! a long-lived token, until 2026-09-20T14:13:20Z. Get a new AMO_ACCESS_TOKEN."),
        ],
    )
    def test_a_token_that_expires_within_a_week_is_to_be_replaced(
        self, days: int, line: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.sign_in_line(NOW + days * 86_400, machine, monkeypatch) == line

    @pytest.mark.parametrize("expires", [1e20, -1e20, float("nan"), float("inf")])
    def test_a_token_with_an_impossible_expiry_does_not_stop_the_checks(
        self, expires: float, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "a long-lived token" in self.sign_in_line(expires, machine, monkeypatch)

    def test_a_signed_in_machine_needs_no_token(self, machine: Machine) -> None:
        machine.sign_in()
        oauth = f"ok OAuth, refreshed automatically, kept in {machine.file}"
        assert machine.seen(AMO_ACCESS_TOKEN="") == (0, {**machine.healthy(), "sign-in": oauth})

    def test_an_expired_sign_in_is_refreshed_and_works(self, machine: Machine) -> None:
        machine.sign_in(expired=True)
        machine.wrote = True
        code, lines = machine.seen(AMO_ACCESS_TOKEN="")
        assert (code, lines["account"]) == (0, f"ok {SHOP}")
        writes = [f"{item.method} {item.path}" for item in machine.sandbox.requests if item.method != "GET"]
        assert writes == ["POST /oauth2/access_token"]

    def test_a_sign_in_that_cannot_be_read_is_reported(self, machine: Machine) -> None:
        machine.sign_in()
        machine.file.write_text("{")
        code, lines = machine.seen(AMO_ACCESS_TOKEN="")
        assert (code, list(lines)[-2:]) == (1, ["sign-in", "account"])
        assert lines["sign-in"] == f"!! nothing readable in {machine.file}. Run amo-mcp login."
        assert lines["account"] == (
            "!! cannot be read. amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. "
            "Run `amo-mcp login` on the machine of this server."
        )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unauthorized": (
        {"status": 401},
        (
            "amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. "
            "Give the server a new AMO_ACCESS_TOKEN, or run `amo-mcp login`."
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
        expected = {what: healthy[what] for what in list(healthy)[:6]}
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
