"""Whether serving would work: each line is ok or says what to do, nothing is written, no token is shown."""

import base64
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import anyio
import anyio.lowlevel
import pytest
from click.testing import CliRunner

from amo_mcp.amocrm.http import Response
from amo_mcp.cli import cli, doctor
from amo_mcp.network import Proxy
from amo_mcp.sandbox import Fault, Sandbox
from amo_mcp.settings import ServingSettings, load_settings
from amo_mcp.storage.rate_limit import SharedRateLimiter
from tests.cli.machine import ACCOUNT, SHOP, Machine

pytestmark = pytest.mark.usefixtures("_no_keychain")

NOW = 1_790_000_000.0
"""2026-09-21T14:13:20Z"""


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
        "ok settings:     http://sandbox.localhost",
        "ok confirmation: auto: the client's dialog, else a page in this machine's browser",
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
        "!! settings:     wrong. AMO_CONFIRM must be auto, dialog, page or chat",
        (
            "!! settings:     wrong. AMO_BASE_URL (such as https://example.amocrm.ru or https://example.kommo.com) "
            "or AMO_SUBDOMAIN is needed, or AMO_SANDBOX=1"
        ),
        (
            "!! settings:     wrong. AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; "
            "or run `amo-mcp login`"
        ),
    ]


@pytest.mark.requirement("COMMAND-8")
@pytest.mark.parametrize(
    ("setting", "display", "said"),
    [
        (
            "auto",
            "",
            "ok auto: the client's dialog; else no page, since {why}, but the conversation over stdio, and "
            "nobody over HTTP",
        ),
        ("auto", ":0", "ok auto: the client's dialog, else a page in this machine's browser"),
        ("dialog", "", "ok dialog: the client's dialog, and no other way"),
        ("page", ":0", "ok page: a page in this machine's browser"),
        (
            "page",
            "",
            "!! page: no page, since {why}. Start the server where a browser opens, set BROWSER, or set "
            "AMO_CONFIRM=dialog or chat.",
        ),
        ("chat", "", "ok chat: in the conversation, where a model could agree by itself"),
    ],
)
def test_the_way_in_which_a_person_is_asked_is_told_with_its_reason(
    setting: str, display: str, said: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BROWSER")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr("sys.platform", "linux")
    why = "there is no graphical session (DISPLAY or WAYLAND_DISPLAY), and BROWSER is not set"
    _, lines = machine.seen(AMO_CONFIRM=setting)
    assert lines["confirmation"] == said.format(why=why)


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

    def test_a_pause_that_amocrm_asked_for_is_reported(self, machine: Machine) -> None:
        machine.state.create()
        limiter = SharedRateLimiter(machine.state.rate_limit_file(machine.url), 7)
        anyio.run(limiter.pause, 120.0)
        code, lines = machine.seen()
        assert code == 1
        assert re.fullmatch(
            r"!! amoCRM asked for a pause, 1[12]\d s are left. Wait until it is over.", lines["rate limit"]
        )

    def test_the_chosen_rate_limit_is_shown(self, machine: Machine) -> None:
        _, lines = machine.seen(AMO_RATE_LIMIT="49")
        assert lines["rate limit"] == "ok 49 requests per second, shared by all processes on this machine"


class TestHost:
    @pytest.mark.requirement("COMMAND-8")
    def test_a_host_that_cannot_be_reached_ends_the_checks(self, machine: Machine) -> None:
        code, lines = machine.seen(AMO_BASE_URL="http://127.0.0.1:1")
        assert (code, list(lines)) == (1, ["settings", "confirmation", "state dir", "rate limit", "host"])
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
        set_up(machine, monkeypatch, AMO_BASE_URL="https://shop.amocrm.ru")
        host = Answering({})
        assert host.seen(monkeypatch) == {
            "host": doctor.Line("host", "answers (TLS)"),
            "clock": doctor.Line("clock", "amoCRM does not send the time"),
            "proxy": doctor.Line("proxy", "socks5://127.0.0.1:1080 (ALL_PROXY)"),
        }
        assert host.asked == [
            {"timeout": 20.0, "direct": False},
            {"method": "GET", "url": f"https://shop.amocrm.ru{ACCOUNT}", "headers": {}},
            {},
        ]


def set_up(machine: Machine, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    for name, value in {**machine.environment, **settings}.items():
        monkeypatch.setenv(name, value)


class Answering:
    """A host that refuses every request without a token, with the same headers."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **chosen: Any) -> Self:
        self.asked.append(chosen)
        return self

    async def send(self, method: str, url: str, *, headers: dict[str, str]) -> Response:
        await anyio.lowlevel.checkpoint()
        self.asked.append({"method": method, "url": url, "headers": headers})
        return Response(401, self.headers, b"")

    def proxy_to(self, url: str) -> Proxy:
        return Proxy("socks5://127.0.0.1:1080", "ALL_PROXY")

    async def aclose(self) -> None:
        self.asked.append({})

    def seen(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, doctor.Line]:
        """What the doctor says of it, of its clock, and of the way to it."""
        monkeypatch.setattr(doctor, "HttpTransport", self)

        async def look() -> dict[str, doctor.Line]:
            lines: dict[str, doctor.Line] = {}
            checks = doctor.checks(load_settings(ServingSettings))
            while "clock" not in lines:
                line = await anext(checks)
                lines[line.subject] = line
            return {subject: lines[subject] for subject in ("host", "clock", "proxy")}

        return anyio.run(look)


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
        self, ahead: int, line: doctor.Line, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_up(machine, monkeypatch)
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: NOW + ahead))
        assert Answering({"date": "Mon, 21 Sep 2026 14:13:20 GMT"}).seen(monkeypatch)["clock"] == line

    def test_the_clock_is_compared_with_the_hosts(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: time.time() + 1e6))
        code, lines = machine.seen()
        line = lines.pop("clock")
        assert (code, lines) == (1, {what: line for what, line in machine.healthy().items() if what != "clock"})
        assert re.fullmatch(r"!! differs from amoCRM's by \+100000[0-9] s\. Set this machine's clock\.", line)

    @pytest.mark.parametrize("headers", [{}, *({"date": date} for date in ("", "yesterday", "Mon, 99 Jan 2026"))])
    def test_a_host_that_does_not_send_the_time_is_no_problem(
        self, headers: dict[str, str], machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_up(machine, monkeypatch)
        line = doctor.Line("clock", "amoCRM does not send the time")
        assert Answering(headers).seen(monkeypatch)["clock"] == line


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
