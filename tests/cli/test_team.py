"""What the operator of a team's server does from a shell."""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import anyio
import asyncpg
import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from amo_mcp.amocrm.credentials import Credentials
from amo_mcp.amocrm.inputs import SegmentDraft, SegmentPatch
from amo_mcp.changes.leases import Asked
from amo_mcp.changes.pending import PendingChange
from amo_mcp.changes.steps import Create, Update
from amo_mcp.cli import cli
from amo_mcp.cli.team import desk
from amo_mcp.compose.team import TeamSettings, open_office
from amo_mcp.keys import Keys
from amo_mcp.sandbox import ADMIN_TOKEN, USER_TOKEN, Sandbox
from amo_mcp.sandbox.serving import running
from amo_mcp.settings import load_settings
from amo_mcp.storage.postgres.credentials import PostgresCredentialStore
from amo_mcp.storage.postgres.database import Database
from amo_mcp.team.audit import KINDS
from scripts.postgres import Cluster
from tests.postgres import new_database
from tests.team.environment import KEY, OLD_KEY

ANNA = ("--name", "Анна", "--role", "editor")
TOKEN = re.compile(r"amo_(?P<id>[0-9a-f]{12})_[\w-]{43}\n")


@dataclass
class Shell:
    """A shell in the environment of a server."""

    environment: dict[str, str]
    sandbox: Sandbox

    def run(self, *arguments: str, **environment: str) -> Result:
        result = CliRunner().invoke(cli, ["team", *arguments], env={**self.environment, **environment})
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    def said(self, *arguments: str, **environment: str) -> str:
        """What a command prints that succeeds."""
        result = self.run(*arguments, **environment)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def refused(self, *arguments: str, **environment: str) -> str:
        """What a command says that fails."""
        result = self.run(*arguments, **environment)
        assert (result.exit_code != 0, result.stdout) == (True, "")
        return result.stderr.splitlines()[-1].removeprefix("Error: ")

    def rows(self, *arguments: str) -> list[list[str]]:
        """The cells of what is printed as a table, without its head."""
        _, *lines = self.said(*arguments).splitlines()
        return [re.split(r"  +", line) for line in lines]

    def token(self, *options: str) -> str:
        found = TOKEN.fullmatch(self.said("token", *(options or ANNA)))
        assert found
        return found["id"]


@pytest.fixture
def shell(database_url: SecretStr, sandbox: Sandbox) -> Iterator[Shell]:
    with running(sandbox) as url:
        environment = {
            "AMO_PUBLIC_URL": "https://crm.example.org",
            "AMO_DATABASE_URL": database_url.get_secret_value(),
            "AMO_SECRET_KEY": KEY,
            "AMO_BASE_URL": url,
            "AMO_ACCESS_TOKEN": ADMIN_TOKEN,
            "AMO_CONFIRM": "dialog",
        }
        yield Shell(environment, sandbox)


class TestTokens:
    @pytest.mark.requirement("TEAM-4")
    def test_a_token_is_printed_alone_and_listed_without_its_secret(self, shell: Shell) -> None:
        token_id = shell.token(*ANNA, "--days", "90")
        [[listed, name, role, made, expires, used, state]] = shell.rows("token", "--list")
        assert (listed, name, role, used, state) == (token_id, "Анна", "editor", "never", "good")
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment) for moment in (made, expires))

    @pytest.mark.requirement("TEAM-4")
    def test_a_token_is_revoked_once(self, shell: Shell) -> None:
        token_id = shell.token()
        assert shell.said("token", "--revoke", token_id) == f"Revoked {token_id}.\n"
        assert shell.rows("token", "--list")[0][-1] == "revoked"
        assert shell.refused("token", "--revoke", token_id) == (
            f"no good token has the id {token_id}: amo-mcp team token --list has the ids"
        )

    def test_a_person_has_one_role_whatever_their_tokens(self, shell: Shell) -> None:
        shell.token()
        assert shell.refused("token", "--name", " Анна ", "--role", "admin") == (
            "Анна has the role editor; to change it: amo-mcp team people --name 'Анна' --role admin"
        )
        assert len(shell.rows("token", "--list")) == 1

    @pytest.mark.parametrize("name", ["", "  ", "x" * 129, "А\u202eнна", "А\x00"])
    def test_a_name_is_something_that_can_be_seen(self, name: str, shell: Shell) -> None:
        assert shell.refused("token", "--name", name, "--role", "viewer") == (
            "--name has to be 1 to 128 characters that can be seen"
        )

    def test_a_name_may_be_as_long_as_its_bound(self, shell: Shell) -> None:
        shell.token("--name", "x" * 128, "--role", "viewer")

    @pytest.mark.parametrize("days", ["0", "3651"])
    def test_a_token_is_good_for_a_day_to_ten_years(self, days: str, shell: Shell) -> None:
        assert "is not in the range 1<=x<=3650" in shell.refused("token", *ANNA, "--days", days)
        shell.token(*ANNA, "--days", "3650")

    @pytest.mark.parametrize(
        "options",
        [(), ("--name", "Анна"), ("--role", "viewer"), ("--list", *ANNA), ("--list", "--revoke", "x"), ("--days", "1")],
    )
    def test_one_thing_is_done_at_a_time(self, options: tuple[str, ...], shell: Shell) -> None:
        assert shell.refused("token", *options) == (
            "give --name and --role, and perhaps --days; or --list; or --revoke ID"
        )


class TestPeople:
    def test_people_are_listed_with_what_they_have(self, shell: Shell) -> None:
        first = shell.token()
        shell.token()
        shell.token("--name", "Борис", "--role", "viewer")
        shell.said("token", "--revoke", first)
        assert shell.rows("people") == [["Анна", "editor", "1", "never"], ["Борис", "viewer", "1", "never"]]

    @pytest.mark.requirement("TEAM-3")
    def test_somebody_is_given_another_role(self, shell: Shell) -> None:
        shell.token()
        assert shell.said("people", "--name", "Анна", "--role", "approver") == "Анна has the role approver now.\n"
        assert shell.rows("token", "--list")[0][2] == "approver"

    def test_somebody_is_removed_with_all_their_tokens(self, shell: Shell) -> None:
        shell.token()
        assert shell.said("people", "--name", "Анна", "--remove") == (
            "Removed Анна: none of their tokens is good any more.\n"
        )
        assert shell.rows("people") == []
        assert shell.rows("token", "--list")[0][-1] == "revoked"

    @pytest.mark.parametrize("how", [("--role", "admin"), ("--remove",)])
    def test_nobody_of_that_name_is_told_so(self, how: tuple[str, ...], shell: Shell) -> None:
        assert shell.refused("people", "--name", "Нина", *how) == (
            "nobody has the name 'Нина': amo-mcp team people lists everybody"
        )

    @pytest.mark.parametrize(
        "options", [("--remove",), ("--name", "А"), ("--name", "А", "--role", "admin", "--remove")]
    )
    def test_one_thing_is_done_at_a_time(self, options: tuple[str, ...], shell: Shell) -> None:
        assert shell.refused("people", *options) == "give nothing, to list; or --name, and --role or --remove"


class TestKeys:
    def test_a_new_key_is_printed_alone_and_needs_no_environment(self) -> None:
        result = CliRunner().invoke(cli, ["team", "keys", "new"])
        assert re.fullmatch(r"k\d{8}:[\w+/]{43}=\n", result.stdout)
        assert CliRunner().invoke(cli, ["team", "keys", "new", "--id", "spring"]).stdout.startswith("spring:")

    def test_the_keys_are_listed_with_what_they_have_encrypted(self, shell: Shell) -> None:
        anyio.run(sign_ins, shell, OLD_KEY, "gone:" + KEY[3:])
        assert shell.rows("keys") == [
            ["k1", "0", "newest"],
            ["gone", "1", "missing"],
            ["k0", "1", "missing"],
        ]

    def test_rotating_encrypts_anew_what_an_older_key_encrypted(self, shell: Shell) -> None:
        anyio.run(sign_ins, shell, OLD_KEY)
        ring = {"AMO_SECRET_KEY": f"{KEY},{OLD_KEY}"}
        assert shell.said("keys", "rotate", **ring) == "Encrypted anew: 1.\n"
        assert shell.rows("keys") == [["k1", "1", "newest"]]
        assert shell.said("keys", "rotate", **ring) == "Encrypted anew: 0.\n"

    def test_what_no_key_can_read_is_counted(self, shell: Shell) -> None:
        anyio.run(sign_ins, shell, OLD_KEY)
        result = shell.run("keys", "rotate")
        assert (result.exit_code, result.stdout) == (1, "Encrypted anew: 0.\n")
        assert result.stderr == "Error: 1 cannot be read: their keys are not in AMO_SECRET_KEY\n"


async def sign_ins(shell: Shell, *rings: str) -> None:
    """Keep a sign-in of somebody under each of these rings."""
    database = Database(SecretStr(shell.environment["AMO_DATABASE_URL"]))
    await database.open()
    for number, ring in enumerate(rings):
        kept = PostgresCredentialStore(database, Keys.parse(SecretStr(ring)), f"28805383:{number}")
        await kept.begin(
            Credentials(
                base_url="https://example.amocrm.ru",
                client_id="integration",
                client_secret=SecretStr("secret"),
                redirect_uri="https://crm.example.org/callback",
                access_token=SecretStr("access"),
                refresh_token=SecretStr("refresh"),
                expires=0.0,
            )
        )
    await database.close()


async def made(shell: Shell, by: str = "Анна") -> None:
    """Let Anna create a segment and rename another."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shell.environment.items():
            patch.setenv(name, value)
        settings = load_settings(TeamSettings)
    async with open_office(settings) as office:
        account = replace(office.account, asked=Asked("anna", by, client="Claude 1.0"))
        await account.execute("create_segment", PendingChange((Create(SegmentDraft(name="Новые")),)))
        segment = await account.client.segment(51)
        rename = Update(segment, SegmentPatch(name="Лучшие"))
        await account.execute("update_segment", PendingChange((rename,)))


class TestAudit:
    @pytest.mark.requirement("TEAM-9", "TEAM-40")
    def test_every_change_is_told_with_who_asked_and_what_came_of_it(self, shell: Shell) -> None:
        anyio.run(made, shell)
        lines = [json.loads(line) for line in shell.said("audit", "--kind", "change").splitlines()]
        assert [(line["what"], line["outcome"], line["name"], line["client"]) for line in lines] == [
            ("update_segment", "done", "Анна", "Claude 1.0"),
            ("update_segment", "begun", "Анна", "Claude 1.0"),
            ("create_segment", "done", "Анна", "Claude 1.0"),
            ("create_segment", "begun", "Анна", "Claude 1.0"),
        ]
        [renamed] = lines[0]["touched"]
        assert (renamed["before"]["name"], renamed["after"]["name"]) == ("VIP", "Лучшие")
        assert [renamed[key] for key in ("action", "kind", "id", "outcome")] == ["update", "segment", "51", "done"]
        assert re.fullmatch("[0-9a-f]{32}", renamed["request_id"])
        assert lines[0]["subject"] == lines[1]["subject"] != lines[2]["subject"]
        assert [json.loads(line) for line in shell.said("audit", "--limit", "1").splitlines()] == lines[:1]

    def test_every_kind_can_be_asked_for(self, shell: Shell) -> None:
        for kind in KINDS:
            assert shell.said("audit", "--kind", kind) == ""

    @pytest.mark.requirement("TEAM-40")
    def test_it_is_told_by_person_kind_and_time(self, shell: Shell) -> None:
        anyio.run(made, shell)
        for nothing in (["--who", "Борис"], ["--kind", "token"], ["--since", "2999-01-01"], ["--until", "2000-01-01"]):
            assert shell.said("audit", *nothing) == ""
        both = shell.said("audit", "--who", "Анна", "--since", "2000-01-01T00:00:00Z", "--until", "2999-01-01")
        assert len(both.splitlines()) == 4

    def test_what_nobody_sees_is_escaped_and_nothing_begins_a_line_of_its_own(self, shell: Shell) -> None:
        anyio.run(made, shell, "Ан\u202eна\n{}")
        lines = shell.said("audit").splitlines()
        assert len(lines) == 4
        assert "Ан\\u202eна\\n{}" in lines[0]


class TestDoctor:
    HEALTHY: ClassVar = {
        "settings": "ok https://crm.example.org for …",
        "confirmation": "ok dialog: asks who calls, an approver whose client speaks 2026-07-28",
        "figures": "ok http://127.0.0.1:9464/metrics",
        "host": "ok answers (plain http, on this machine)",
        "clock": "ok right",
        "sign-in": "ok a long-lived token, expiry unknown",
        "database": "ok PostgreSQL …",
        "schema": "ok up to date",
        "db clock": "ok the database's is right",
        "keys": "ok k1, and everything that is encrypted can be read",
        "tokens": "ok 1 good, of 1 person",
        "account": "ok Лавка «Зерно и турка» (id 28805383)",
        "rights": "ok administrator",
        "mode": "ok segments: the segment tools work",
    }

    def seen(self, shell: Shell, **environment: str) -> tuple[int, dict[str, str]]:
        """How it ends, and each line by its subject, without what differs from machine to machine."""
        result = shell.run("doctor", **environment)
        lines = {}
        for line in result.stdout.splitlines():
            mark, subject, finding = line[:2], *line[3:].split(":", 1)
            lines[subject] = f"{mark} {finding.strip()}"
        lines = {key: lines[key] for key in lines if key not in ("segments", "fields")}
        for key, kept in (("settings", "for "), ("database", "ok PostgreSQL ")):
            if kept in lines.get(key, ""):
                lines[key] = lines[key].partition(kept)[0] + kept + "…"
        return result.exit_code, lines

    @pytest.mark.requirement("TEAM-9")
    def test_when_all_is_well_every_line_says_so(self, shell: Shell) -> None:
        shell.token()
        assert self.seen(shell) == (0, self.HEALTHY)

    def test_a_wrong_environment_is_told_and_ends_the_checks(self, shell: Shell) -> None:
        code, lines = self.seen(shell, AMO_SECRET_KEY="", AMO_LEASE="1")
        assert (code, list(lines)) == (1, ["settings"])

    def test_where_nobody_can_sign_in_it_says_what_to_do(self, shell: Shell) -> None:
        told = "!! nobody can sign in. Make one: amo-mcp team token --name NAME --role ROLE"
        assert self.seen(shell) == (1, self.HEALTHY | {"tokens": told})

    def test_a_token_that_ends_within_a_week_is_told(self, shell: Shell) -> None:
        shell.token(*ANNA, "--days", "7")
        shell.token("--name", "Борис", "--role", "viewer")
        told = "!! 2 good, of 2 people, and within a week no more: Анна. Make new ones: amo-mcp team token"
        assert self.seen(shell)[1]["tokens"] == told

    def test_what_no_key_can_read_is_told(self, shell: Shell) -> None:
        anyio.run(sign_ins, shell, OLD_KEY)
        told = (
            "!! k1, and what k0 has encrypted cannot be read. Put it back into AMO_SECRET_KEY, behind the newest, and "
            "run amo-mcp team keys rotate."
        )
        assert self.seen(shell)[1]["keys"] == told

    def test_who_answers_on_the_page_is_told(self, shell: Shell) -> None:
        shell.token()
        asked = {"AMO_CONFIRM": "page", "AMO_CLIENT_ID": "id", "AMO_CLIENT_SECRET": "secret"}
        _, lines = self.seen(shell, AMO_APPROVAL="delete=second", **asked)
        told = "ok page: an approver or an admin answers on it (AMO_APPROVAL=delete=second)"
        assert lines["confirmation"] == told

    def test_a_page_to_which_nobody_can_sign_in_is_told(self, shell: Shell) -> None:
        shell.token()
        code, lines = self.seen(shell, AMO_CONFIRM="page")
        assert (code, lines["confirmation"]) == (
            1,
            "!! page: nothing can be changed or deleted. Set AMO_CLIENT_ID and AMO_CLIENT_SECRET, so that people can "
            "sign in to the page, or AMO_CONFIRM=dialog.",
        )

    def test_a_database_that_is_away_is_told_and_the_account_s_host_is_checked_all_the_same(self, shell: Shell) -> None:
        code, lines = self.seen(shell, AMO_DATABASE_URL="postgresql://amo@127.0.0.1:1/none")
        assert (code, lines["database"], lines["host"]) == (
            1,
            "!! cannot be used (ConnectionRefusedError). Check AMO_DATABASE_URL, and that PostgreSQL runs.",
            self.HEALTHY["host"],
        )

    def test_an_empty_database_is_left_as_it_is(self, shell: Shell, postgres: Cluster) -> None:
        url = anyio.run(new_database, postgres, "tests-doctor")
        code, lines = self.seen(shell, AMO_DATABASE_URL=url.get_secret_value())
        assert (code, list(lines)[-2:]) == (0, ["schema", "db clock"])
        assert lines["schema"].startswith("ok the next replica or command applies 0001_storage.sql, ")
        assert anyio.run(tables, url) == []
        # A role that PostgreSQL brings along, and that may not make tables.
        code, lines = self.seen(shell, AMO_DATABASE_URL=f"{url.get_secret_value()}&role=pg_monitor")
        assert (code, lines["schema"].startswith("!! 0001_storage.sql, ")) == (1, True)
        assert lines["schema"].endswith(
            "cannot be applied. GRANT CREATE ON SCHEMA public TO the user of AMO_DATABASE_URL."
        )

    def test_a_host_that_does_not_answer_is_told_and_the_database_is_checked_all_the_same(self, shell: Shell) -> None:
        shell.token()
        code, lines = self.seen(shell, AMO_BASE_URL="http://127.0.0.1:1")
        assert (code, lines["host"].startswith("!! amoCRM could not be reached")) == (1, True)
        assert list(lines)[-1] == "tokens"

    def test_an_account_that_cannot_be_read_is_told(self, shell: Shell) -> None:
        shell.token()
        code, lines = self.seen(shell, AMO_ACCESS_TOKEN="wrong")
        assert (code, lines["account"].startswith("!! cannot be read. amoCRM did not accept")) == (1, True)
        assert "rights" not in lines

    def test_a_user_without_rights_is_told(self, shell: Shell) -> None:
        shell.token()
        assert self.seen(shell, AMO_ACCESS_TOKEN=USER_TOKEN)[1]["rights"].startswith("!! not an administrator")

    def test_without_the_extra_for_figures_it_says_so(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        shell.token()
        monkeypatch.setattr("amo_mcp.cli.team.doctor.find_spec", lambda _: None)
        assert self.seen(shell)[1]["figures"] == "ok not kept, and /metrics is 404: amo-mcp[otel] is not installed"


async def tables(url: SecretStr) -> list[str]:
    connection = await asyncpg.connect(url.get_secret_value())
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [row["tablename"] for row in rows]
    finally:
        await connection.close()


class TestWhatIsMissing:
    @pytest.mark.parametrize("command", ["token", "people", "keys", "audit"])
    def test_a_wrong_environment_is_told_by_variable(self, command: str, shell: Shell) -> None:
        options = ["--list"] if command == "token" else []
        result = shell.run(command, *options, AMO_SECRET_KEY="", AMO_CONFIRM="auto")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "Error: the environment is wrong:",
            "  AMO_CONFIRM must be page or dialog for a team: any other way lets a model agree for a person",
            "  AMO_SECRET_KEY is needed: `amo-mcp team keys new` makes a key",
        ]

    def test_a_database_that_is_away_is_told_without_its_address(self, shell: Shell) -> None:
        told = shell.refused("people", AMO_DATABASE_URL="postgresql://amo:pa55word@127.0.0.1:1/none")
        assert told == "the database cannot be used: ConnectionRefusedError"

    @pytest.mark.parametrize("command", [("token", "--list"), ("doctor",)])
    def test_without_the_extra_every_command_says_what_to_install(
        self, command: tuple[str, ...], shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desk, "find_spec", lambda _: None)
        assert shell.refused(*command) == "a team's server needs the package asyncpg: install amo-mcp[team]"


class TestServing:
    """What is told instead of serving."""

    def told(self, *arguments: str, **environment: str) -> list[str]:
        result = CliRunner().invoke(cli, ["serve", *arguments], env=environment)
        assert (result.exit_code, result.stdout) == (2, "")
        first, *problems = result.stderr.splitlines()
        assert first == "amo-mcp cannot start:"
        return [problem.removeprefix("  ") for problem in problems]

    @pytest.mark.requirement("TEAM-2")
    def test_everything_wrong_in_the_environment_is_told_at_once(self) -> None:
        assert [problem.split()[0] for problem in self.told("--team")] == [
            "AMO_BASE_URL",
            "AMO_CLIENT_ID",
            "AMO_PUBLIC_URL",
            "AMO_DATABASE_URL",
            "AMO_SECRET_KEY",
        ]

    def test_a_team_is_served_over_http_and_says_so(self) -> None:
        assert self.told("--team", "--http") == ["--team serves over HTTP: leave --http out"]

    def test_a_way_of_asking_that_is_not_for_a_team_is_refused(self, shell: Shell) -> None:
        assert self.told("--team", "--confirm", "chat", **shell.environment) == [
            "AMO_CONFIRM must be page or dialog for a team: any other way lets a model agree for a person"
        ]

    @pytest.mark.parametrize("setting", ["port", "metrics"])
    def test_an_address_that_cannot_be_listened_on_is_told(self, setting: str, shell: Shell) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            port = address.rpartition(":")[2] if setting == "port" else "0"
            metrics = address if setting == "metrics" else "127.0.0.1:0"
            told = self.told("--team", "--port", port, **{**shell.environment, "AMO_METRICS": metrics})
        what = "--host and --port" if setting == "port" else "AMO_METRICS"
        assert told == [f"{what}: {address} cannot be listened on: Address already in use"]

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(desk, "find_spec", lambda _: None)
        assert self.told("--team") == ["a team's server needs the package asyncpg: install amo-mcp[team]"]
