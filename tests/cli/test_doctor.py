"""Whether serving would work: each line ok or with what to do, nothing written, no token told."""

import base64
import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import keyring
import pytest
from click.testing import CliRunner
from keyring.backends import fail
from pydantic import SecretStr

from amo_mcp.amocrm.auth import Credentials
from amo_mcp.amocrm.http import Response
from amo_mcp.cli import cli, doctor
from amo_mcp.paths import StateDir
from amo_mcp.sandbox import ADMIN_TOKEN, USER_TOKEN, Fault, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.settings import ServingSettings, load_settings
from amo_mcp.storage.credentials import FileCredentialStore
from tests.cli.test_login import Standing

ACCOUNT = "/api/v4/account"
SHOP = "Лавка «Зерно и турка» (id 28805383)"
NO_ADMIN = "not an administrator's. Writing needs a token of an administrator."


NOW = 1_790_000_000.0
"""2026-09-21T14:13:20Z"""


@pytest.fixture(autouse=True)
def _logs_and_keychain_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Standing, str]]:
    made = Standing()
    with running(made) as url:
        yield made, url


@dataclass
class Patient:
    """A machine with a sandbox to serve, and what the doctor finds there."""

    standing: Standing
    url: str
    state: StateDir
    environment: dict[str, str] = field(default_factory=dict)
    wrote: bool = False

    @property
    def sandbox(self) -> Sandbox:
        return self.standing.now

    def healthy(self) -> dict[str, str]:
        """The lines of a machine on which all is well."""
        segments, fields = len(self.sandbox.account.segments), len(self.sandbox.account.fields)
        return {
            "settings": f"ok {self.url}, confirmation auto",
            "state folder": f"ok {self.state.path}",
            "pace": "ok 7 requests a second, shared by all processes of this machine",
            "host": "ok answers (plain http, on this machine)",
            "clock": "ok right",
            "sign-in": "ok a long-lived token; its end is not known",
            "account": f"ok {SHOP}",
            "rights": "ok an administrator's",
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
        return self.state.path / f"sign-in-{self.url.removeprefix('http://').replace(':', '_')}.json"


@pytest.fixture
def patient(standing: tuple[Standing, str], sandbox: Sandbox, tmp_path: Path) -> Patient:
    standing[0].now = sandbox
    made = Patient(*standing, StateDir(tmp_path / "state"))
    made.environment = {
        "AMO_BASE_URL": made.url,
        "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
        "AMO_STATE_DIR": str(made.state.path),
    }
    return made


@pytest.mark.requirement("COMMAND-8")
def test_where_all_is_well_every_line_is_ok(patient: Patient) -> None:
    assert patient.seen() == (0, patient.healthy())
    assert patient.sandbox.requests


def test_it_is_printed_line_by_line_and_without_colours_where_there_is_no_terminal(patient: Patient) -> None:
    result = CliRunner().invoke(cli, ["doctor"], env=patient.environment)
    expected = [f"{found[:2]} {what + ':':<14}{found[3:]}" for what, found in patient.healthy().items()]
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
        "ok rights:       an administrator's",
        "ok mode:         segments: the segment tools work",
        f"ok segments:     {segments} of 100",
        f"ok fields:       {fields} of 30",
    ]


@pytest.mark.requirement("COMMAND-8")
def test_settings_that_are_wrong_are_all_told(tmp_path: Path) -> None:
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


class TestFolder:
    def test_a_folder_that_others_can_open_is_to_be_closed(self, patient: Patient) -> None:
        patient.state.create()
        patient.state.path.chmod(0o750)
        todo = f"!! {patient.state.path} is open to other users. Run: chmod 700 {patient.state.path}"
        assert patient.seen() == (1, {**patient.healthy(), "state folder": todo})

    def unusable(self, patient: Patient) -> dict[str, str]:
        patient.state.path.write_text("")
        path = patient.state.path
        return {
            "state folder": f"!! {path} cannot be used. Make it writable or set AMO_STATE_DIR (File exists).",
            "pace": "!! 7 requests a second, of this process alone. Make the state folder writable.",
        }

    def test_a_folder_that_cannot_be_used_is_told_with_why(self, patient: Patient) -> None:
        expected = self.unusable(patient)
        _, lines = patient.seen(AMO_BASE_URL="http://127.0.0.1:1")
        assert {what: lines[what] for what in expected} == expected

    def test_a_folder_that_cannot_be_used_does_not_end_the_examination(self, patient: Patient) -> None:
        expected = self.unusable(patient)
        code, lines = patient.seen()
        assert code == 1
        assert {what: lines[what] for what in expected} == expected

    def test_a_folder_that_cannot_be_written_to_is_told_with_why(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amo_mcp.paths.os.access", lambda *_: False)
        _, lines = patient.seen(AMO_BASE_URL="http://127.0.0.1:1")
        assert lines["state folder"].startswith("!! ")
        assert "None" not in lines["state folder"]

    def test_a_pace_that_cannot_be_shared_is_told(self, patient: Patient) -> None:
        patient.state.create()
        patient.state.rate_limit_file(patient.url).mkdir()
        alone = "!! 7 requests a second, of this process alone. Make the state folder writable."
        assert patient.seen() == (1, {**patient.healthy(), "pace": alone})

    def test_the_limit_that_was_chosen_is_told(self, patient: Patient) -> None:
        _, lines = patient.seen(AMO_RATE_LIMIT="49")
        assert lines["pace"] == "ok 49 requests a second, shared by all processes of this machine"


class TestHost:
    @pytest.mark.requirement("COMMAND-8")
    def test_a_host_that_cannot_be_reached_ends_the_examination(self, patient: Patient) -> None:
        code, lines = patient.seen(AMO_BASE_URL="http://127.0.0.1:1")
        assert (code, list(lines)) == (1, ["settings", "state folder", "pace", "host"])
        assert lines["host"] == (
            "!! amoCRM could not be reached; check the address and the network. "
            "Check AMO_BASE_URL, the network, and that its certificate is valid."
        )

    def test_without_a_token_is_how_it_is_reached(self, patient: Patient) -> None:
        patient.seen()
        assert [(request.path, request.status) for request in patient.sandbox.requests[:2]] == [
            (ACCOUNT, 401),
            (ACCOUNT, 200),
        ]

    @pytest.mark.parametrize("status", [401, 403, 500])
    def test_whatever_a_host_answers_it_is_there(self, status: int, patient: Patient) -> None:
        patient.sandbox.faults.add(Fault(status=status, html=True))
        assert patient.seen() == (0, patient.healthy())

    def test_over_tls_it_says_so(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
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
        for name, value in {**patient.environment, "AMO_BASE_URL": "https://shop.amocrm.ru"}.items():
            monkeypatch.setenv(name, value)

        async def looked() -> tuple[doctor.Line, doctor.Line]:
            return await doctor._reached(load_settings(ServingSettings))

        assert anyio.run(looked) == (
            doctor.Line("host", "answers (TLS)"),
            doctor.Line("clock", "amoCRM does not tell the time"),
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
    def test_a_clock_that_is_wrong_is_to_be_set(
        self, ahead: int, line: doctor.Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: NOW + ahead))
        assert doctor._clock("Mon, 21 Sep 2026 14:13:20 GMT") == line

    def test_the_hosts_own_time_is_what_it_is_held_to(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: time.time() + 1e6))
        code, lines = patient.seen()
        told = lines.pop("clock")
        assert (code, lines) == (1, {what: line for what, line in patient.healthy().items() if what != "clock"})
        assert re.fullmatch(r"!! differs from amoCRM's by \+100000[0-9] s\. Set this machine's clock\.", told)

    @pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Jan 2026 00:00:00 GMT"])
    def test_a_host_that_does_not_tell_the_time_is_no_reason_to_worry(self, date: str | None) -> None:
        assert doctor._clock(date) == doctor.Line("clock", "amoCRM does not tell the time")


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


class TestSignIn:
    def told(self, expires: float, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: NOW))
        _, lines = patient.seen(AMO_ACCESS_TOKEN=token(exp=expires))
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
    def test_a_token_that_ends_within_a_week_is_to_be_replaced(
        self, days: int, line: str, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.told(NOW + days * 86_400, patient, monkeypatch) == line

    @pytest.mark.parametrize("expires", [1e20, -1e20, float("nan"), float("inf")])
    def test_a_token_that_claims_an_end_that_cannot_be_is_looked_at_all_the_same(
        self, expires: float, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "a long-lived token" in self.told(expires, patient, monkeypatch)

    def test_who_is_signed_in_needs_no_token(self, patient: Patient) -> None:
        patient.sign_in()
        oauth = f"ok OAuth, renewed by itself, kept in {patient.file}"
        assert patient.seen(AMO_ACCESS_TOKEN="") == (0, {**patient.healthy(), "sign-in": oauth})

    def test_a_sign_in_past_its_time_is_renewed_and_serves(self, patient: Patient) -> None:
        patient.sign_in(expired=True)
        patient.wrote = True
        code, lines = patient.seen(AMO_ACCESS_TOKEN="")
        assert (code, lines["account"]) == (0, f"ok {SHOP}")
        writes = [f"{item.method} {item.path}" for item in patient.sandbox.requests if item.method != "GET"]
        assert writes == ["POST /oauth2/access_token"]

    def test_a_sign_in_that_cannot_be_read_is_to_be_done_again(self, patient: Patient) -> None:
        patient.sign_in()
        patient.file.write_text("{")
        code, lines = patient.seen(AMO_ACCESS_TOKEN="")
        assert (code, list(lines)[-2:]) == (1, ["sign-in", "account"])
        assert lines["sign-in"] == f"!! nothing that can be read in {patient.file}. Run amo-mcp login."
        assert lines["account"] == (
            "!! cannot be read. amoCRM did not accept the sign-in: it is missing, wrong, expired or revoked. "
            "Run `amo-mcp login` on the machine of this server."
        )


REFUSED = {
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
            "The account's tariff does not include this, or has not been paid. "
            "The account's owner can check the tariff in amoCRM."
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
    def test_an_account_that_cannot_be_read_ends_the_examination(self, how: str, patient: Patient) -> None:
        fault, told = REFUSED[how]
        patient.sandbox.faults.add(Fault(path=ACCOUNT, skip=1, times=0, **fault))
        healthy = patient.healthy()
        expected = {what: healthy[what] for what in list(healthy)[:6]}
        assert patient.seen() == (1, {**expected, "account": f"!! cannot be read. {told}"})

    def test_its_name_cannot_draw_on_the_terminal(self, patient: Patient) -> None:
        patient.sandbox.account.profile["name"] = "Shop\x1b[31m\nok rights: \u202eall\u200b"
        _, lines = patient.seen()
        assert lines["account"] == "ok Shop[31m ok rights: all (id 28805383)"

    @pytest.mark.requirement("COMMAND-8")
    def test_who_may_only_read_is_told(self, patient: Patient) -> None:
        code, lines = patient.seen(AMO_ACCESS_TOKEN=USER_TOKEN)
        assert (code, lines) == (1, {**patient.healthy(), "rights": f"!! {NO_ADMIN}"})

    @pytest.mark.parametrize("fault", [{"status": 403}, {"status": 404}, {"status": 204}])
    def test_who_may_not_even_see_users_is_no_administrator(self, fault: dict[str, Any], patient: Patient) -> None:
        patient.sandbox.faults.add(Fault(path="/api/v4/users/*", **fault))
        assert patient.seen() == (1, {**patient.healthy(), "rights": f"!! {NO_ADMIN}"})

    def test_rights_that_cannot_be_read_are_told_as_that(self, patient: Patient) -> None:
        patient.sandbox.faults.add(Fault(path="/api/v4/users/*", status=500, times=4))
        told = "!! cannot be read. amoCRM answered with the status 500. Try again in a minute."
        assert patient.seen() == (1, {**patient.healthy(), "rights": told})


class TestMode:
    def test_in_periodicity_the_statuses_are_counted(self, patient: Patient) -> None:
        patient.standing.now = Sandbox(mode="periodicity")
        healthy = patient.healthy()
        expected = {what: healthy[what] for what in healthy if what not in ("segments", "fields")}
        held = len(patient.sandbox.account.statuses)
        assert patient.seen() == (
            0,
            {**expected, "mode": "ok periodicity: the status tools work", "statuses": f"ok {held} of 30"},
        )

    @pytest.mark.parametrize(("mode", "shown"), [("disabled", "disabled"), ("dynamic", "dynamic")])
    def test_in_any_other_mode_customers_are_to_be_switched_on(self, mode: str, shown: str, patient: Patient) -> None:
        patient.sandbox.account.mode = mode
        _, lines = patient.seen()
        assert list(lines)[-1] == "mode"
        assert lines["mode"] == f"!! {shown}. Switch customers on in amoCRM: segments or periodicity."

    def test_a_mode_that_is_not_told_is_unknown(self, patient: Patient) -> None:
        patient.sandbox.faults.add(
            Fault(path=ACCOUNT, skip=1, body='{"id": 1, "name": "Shop", "current_user_id": 504141}')
        )
        _, lines = patient.seen()
        assert lines["mode"] == "!! unknown. Switch customers on in amoCRM: segments or periodicity."

    @pytest.mark.requirement("COMMAND-8")
    @pytest.mark.parametrize(("held", "full"), [(89, False), (90, True), (100, True)])
    def test_a_limit_that_is_almost_reached_is_told(self, held: int, full: bool, patient: Patient) -> None:
        segments = patient.sandbox.account.segments
        example = next(iter(segments.values()))
        for number in range(held - len(segments)):
            segments[1000 + number] = {**example, "id": 1000 + number}
        _, lines = patient.seen()
        todo = ". Little room is left: delete segments that are not needed." if full else ""
        assert lines["segments"] == f"{'!!' if full else 'ok'} {held} of 100{todo}"

    def test_lists_that_cannot_be_read_are_told(self, patient: Patient) -> None:
        patient.sandbox.faults.add(Fault(path="/api/v4/customers/segments", status=500, times=4))
        code, lines = patient.seen()
        assert (code, list(lines)[-2:]) == (1, ["mode", "limits"])
        assert lines["limits"] == "!! cannot be read. amoCRM answered with the status 500. Try again in a minute."
