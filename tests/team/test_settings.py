"""The environment of a team's server: checked as a whole, told by variable, without the values of secrets."""

import pytest

from amo_mcp.settings import load_settings
from amo_mcp.team.settings import TeamSettings
from tests.environment import problems
from tests.team.environment import ENVIRONMENT, KEY, OLD_KEY

NEEDED = [
    "AMO_BASE_URL (such as https://example.amocrm.ru or https://example.kommo.com) or AMO_SUBDOMAIN is needed",
    "AMO_CLIENT_ID and AMO_CLIENT_SECRET are needed: the integration with which people sign in with amoCRM, each to "
    "work with their own rights; or AMO_ACCESS_TOKEN, a long-lived token with which the server does everybody's work",
    "AMO_PUBLIC_URL is needed: the server's address as its clients have it, such as https://crm.example.org, with "
    "nothing after the host",
    "AMO_DATABASE_URL is needed: a PostgreSQL database, as postgresql://user:password@host:port/name",
    "AMO_SECRET_KEY is needed: `amo-mcp team keys new` makes a key",
]
CONFIRM = "AMO_CONFIRM must be page or dialog for a team: any other way lets a model agree for a person"
LEASE = "AMO_LEASE must be a number of seconds above AMO_TIMEOUT, at most 3600"
POLICY = (
    "AMO_APPROVAL must be self, second, or one of them for each of update, delete and plan, such as "
    "delete=second,plan=second"
)
METRICS = "AMO_METRICS must be a host and a port, such as 127.0.0.1:9464"


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> TeamSettings:
    for name, value in (ENVIRONMENT | environment).items():
        monkeypatch.setenv(name, value)
    return load_settings(TeamSettings)


def wrong(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    return problems(monkeypatch, TeamSettings, **(ENVIRONMENT | environment))


@pytest.mark.requirement("TEAM-2")
def test_what_is_needed_is_all_that_has_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch)
    assert (settings.public_url, settings.base_url) == ("https://crm.example.org", "https://example.amocrm.ru")
    assert (settings.confirm, settings.lease, settings.timeout) == ("page", 30.0, 20.0)
    assert settings.policies == {"update": "self", "delete": "self", "plan": "self"}
    assert (settings.allowed_origins, settings.metrics_address) == ((), ("127.0.0.1", 9464))
    assert settings.log_level == "INFO"
    assert settings.keys.newest == "k1"


@pytest.mark.requirement("TEAM-2")
def test_everything_that_is_missing_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch, TeamSettings) == NEEDED


@pytest.mark.requirement("TEAM-2")
def test_everything_that_is_wrong_is_told_at_once_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    told = wrong(
        monkeypatch,
        AMO_PUBLIC_URL="http://crm.example.org",
        AMO_DATABASE_URL="mysql://amo:pa55word@db/amo",
        AMO_SECRET_KEY="k1:c2hvcnQ=",
        AMO_SANDBOX="1",
        AMO_CONFIRM="chat",
        AMO_LEASE="20",
        AMO_APPROVAL="delete=nobody",
        AMO_METRICS="9464",
        AMO_ALLOWED_ORIGINS="https://app.example.org/path",
    )
    assert told == [
        "AMO_SANDBOX is for one machine: serve one with `amo-mcp sandbox`, and set AMO_BASE_URL to its address",
        CONFIRM,
        "AMO_PUBLIC_URL must begin with https: plain http is for loopback only",
        "AMO_DATABASE_URL is needed: a PostgreSQL database, as postgresql://user:password@host:port/name",
        "AMO_SECRET_KEY: key 1 has 5 bytes, and at least 32 are needed",
        LEASE,
        POLICY,
        "AMO_ALLOWED_ORIGINS must be origins with commas between them, such as https://app.example.org",
        METRICS,
    ]
    assert not any(secret in "\n".join(told) for secret in ("pa55word", "c2hvcnQ", "mysql"))


@pytest.mark.requirement("TEAM-2")
def test_the_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(loaded(monkeypatch, AMO_SECRET_KEY=f"{KEY},{OLD_KEY}"))
    assert not any(secret in shown for secret in ("pa55word", "ey.long-lived", KEY.partition(":")[2]))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("HTTPS://CRM.Example.org/", "https://crm.example.org"),
        ("https://crm.example.org:8443", "https://crm.example.org:8443"),
        ("https://crm.example.org:443", "https://crm.example.org"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_the_public_address_is_https_or_on_loopback(given: str, taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, AMO_PUBLIC_URL=given).public_url == taken


@pytest.mark.parametrize(
    "given",
    [
        "crm.example.org",
        "https://crm.example.org/mcp",
        "https://crm.example.org?x",
        "https://u:p@crm.example.org",
        "https://crm.example.org:99999",
        "ftp://crm.example.org",
    ],
)
def test_another_public_address_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, AMO_PUBLIC_URL=given) == [NEEDED[2]]


@pytest.mark.requirement("TEAM-2")
@pytest.mark.parametrize("confirm", ["auto", "chat", "never"])
def test_no_way_of_asking_by_which_a_model_could_agree_is_for_a_team(
    confirm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wrong(monkeypatch, AMO_CONFIRM=confirm) == [CONFIRM]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("self", ("self", "self", "self")),
        ("second", ("second", "second", "second")),
        ("delete=second", ("self", "second", "self")),
        ("delete=second, update=self,plan=second", ("self", "second", "second")),
    ],
)
def test_who_may_say_yes_is_chosen_for_all_or_by_effect(
    given: str, taken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = loaded(monkeypatch, AMO_APPROVAL=given).policies
    assert (approval["update"], approval["delete"], approval["plan"]) == taken


@pytest.mark.parametrize("given", ["nobody", "delete", "create=self", "delete=second,", "delete:second"])
def test_another_policy_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, AMO_APPROVAL=given) == [POLICY]


@pytest.mark.requirement("TEAM-2")
def test_a_dialog_cannot_ask_a_second_person(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, AMO_CONFIRM="dialog", AMO_APPROVAL="delete=second") == [
        "AMO_CONFIRM=dialog asks only who calls, so AMO_APPROVAL must be self with it: another person's yes needs "
        "AMO_CONFIRM=page"
    ]


@pytest.mark.requirement("TEAM-2")
@pytest.mark.parametrize(
    ("lease", "timeout"), [("20", "20"), ("3601", "20"), ("ten", "20"), ("30", "30"), ("nan", "20")]
)
def test_a_lease_outlives_a_request(lease: str, timeout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, AMO_LEASE=lease, AMO_TIMEOUT=timeout) == [LEASE]


def test_a_short_lease_with_a_shorter_timeout_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, AMO_LEASE="1", AMO_TIMEOUT="0.5").lease == 1.0


@pytest.mark.parametrize("given", ["9464", "host:", ":9464", "a b:1", "127.0.0.1:65536"])
def test_metrics_need_a_host_and_a_port(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, AMO_METRICS=given) == [METRICS]


def test_metrics_can_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, AMO_METRICS="[::1]:0").metrics_address == ("[::1]", 0)


def test_origins_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    origins = loaded(monkeypatch, AMO_ALLOWED_ORIGINS="https://App.example.org/, http://localhost:5173").allowed_origins
    assert origins == ("https://app.example.org", "http://localhost:5173")


def test_a_reference_that_nothing_has_replaced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    [told] = wrong(monkeypatch, AMO_SECRET_KEY="${AMO_KEYS}")
    assert told.startswith("AMO_SECRET_KEY is a reference that nothing has replaced")


@pytest.mark.requirement("TEAM-2")
def test_people_sign_in_with_amocrm_where_an_integration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"AMO_CLIENT_ID": "id", "AMO_CLIENT_SECRET": "secret"}
    modes = [loaded(monkeypatch, **given) for given in ({}, both, {**both, "AMO_ACCESS_TOKEN": ""})]
    assert [(mode.has_sign_in, mode.is_per_person) for mode in modes] == [(False, False), (True, False), (True, True)]
    assert modes[1].callback == "https://crm.example.org/amocrm/callback"


@pytest.mark.requirement("TEAM-2")
@pytest.mark.parametrize("given", ["AMO_CLIENT_ID", "AMO_CLIENT_SECRET"])
def test_half_of_an_integration_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, **{given: "x"}) == [
        "AMO_CLIENT_ID and AMO_CLIENT_SECRET are both needed for people to sign in with amoCRM: the integration's card "
        "shows them"
    ]
