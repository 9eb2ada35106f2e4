"""The environment is read once; everything wrong is reported together, by variable, without values of secrets."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.settings import InvalidSettings, Settings, load_settings
from tests.environment import TOKEN, problems, serving

NAME_IT = (
    "AMO_BASE_URL (such as https://example.amocrm.ru or https://example.kommo.com) or AMO_SUBDOMAIN is needed, "
    "or AMO_SANDBOX=1"
)
SIGN_IN = "AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; or run `amo-mcp login`"
SUBDOMAIN = (
    "AMO_SUBDOMAIN must be the account's name alone, such as `example` of example.amocrm.ru, "
    "or its whole host, such as example.kommo.com"
)


def test_what_is_chosen_on_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_SANDBOX", "1")
    monkeypatch.setenv("AMO_CONFIRM", "dialog")
    assert serving(confirm="chat").confirm == "chat"
    assert serving(confirm=None).confirm == "dialog"


@pytest.mark.requirement("ENV-4")
def test_unset_variables_have_the_documented_defaults() -> None:
    assert load_settings(Settings).model_dump() == {
        "sandbox": False,
        "read_only": False,
        "customers": "names",
        "confirm": "auto",
        "language": None,
        "rate_limit": 7,
        "timeout": 20.0,
        "log_level": "WARNING",
        "allowed_hosts": (),
        "state_dir": None,
        "subdomain": None,
        "base_url": None,
        "access_token": None,
        "client_id": None,
        "client_secret": None,
        "redirect_uri": None,
    }


@pytest.mark.requirement("ENV-4")
def test_every_variable_chooses_what_it_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = {
        "AMO_READ_ONLY": "1",
        "AMO_CUSTOMERS": "ids",
        "AMO_CONFIRM": "chat",
        "AMO_RATE_LIMIT": "50",
        "AMO_TIMEOUT": "0.5",
        "AMO_LANGUAGE": "pt",
        "AMO_LOG_LEVEL": "DEBUG",
        "AMO_ALLOWED_HOSTS": " CRM.example.org, ,other.example ",
        "AMO_STATE_DIR": str(tmp_path / "other"),
        "AMO_CLIENT_ID": "id",
        "AMO_CLIENT_SECRET": "client-secret",
        "AMO_REDIRECT_URI": "http://127.0.0.1:8919/callback",
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(Settings)
    assert settings.model_dump(exclude={"client_secret"}, exclude_none=True) == {
        "sandbox": False,
        "read_only": True,
        "customers": "ids",
        "confirm": "chat",
        "language": "pt",
        "rate_limit": 50,
        "timeout": 0.5,
        "log_level": "DEBUG",
        "allowed_hosts": ("crm.example.org", "other.example"),
        "state_dir": tmp_path / "other",
        "client_id": "id",
        "redirect_uri": "http://127.0.0.1:8919/callback",
    }
    assert settings.client_secret is not None
    assert settings.client_secret.get_secret_value() == "client-secret"
    assert settings.state.path == tmp_path / "other"


@pytest.mark.requirement("ENV-6")
def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings(Settings, sandbox=True)
    names = [f"AMO_{name.upper()}" for name in Settings.model_fields if name != "state_dir"]
    for name in names:
        monkeypatch.setenv(name, "")
    assert load_settings(Settings, sandbox=True) == before


def test_in_an_empty_environment_serving_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch) == [NAME_IT, SIGN_IN]


def test_commands_that_do_not_serve_need_no_account() -> None:
    assert load_settings(Settings).base_url is None


@pytest.mark.requirement("LANGUAGE-1", "ENV-4")
@pytest.mark.parametrize(
    ("value", "language"),
    [("ru", "ru"), ("RU", "ru"), ("pt-BR", "pt"), ("es_MX.UTF-8", "es"), ("de", "en"), ("rus", "en"), ("", None)],
)
def test_a_language_that_is_not_known_is_english(
    value: str, language: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMO_LANGUAGE", value)
    assert load_settings(Settings).language == language


@pytest.mark.requirement("CONFIRM-7", "ENV-7")
def test_everything_wrong_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(
        monkeypatch,
        AMO_SANDBOX="maybe",
        AMO_READ_ONLY="2",
        AMO_CUSTOMERS="all",
        AMO_CONFIRM="off",
        AMO_RATE_LIMIT="0",
        AMO_TIMEOUT="0",
        AMO_LOG_LEVEL="LOUD",
        AMO_SUBDOMAIN="a/b",
        AMO_BASE_URL="http://example.amocrm.ru",
        AMO_ACCESS_TOKEN="two words",
    ) == [
        "AMO_SANDBOX must be 1 or 0",
        "AMO_READ_ONLY must be 1 or 0",
        "AMO_CUSTOMERS must be off, ids or names",
        "AMO_CONFIRM must be auto, dialog, page or chat",
        "AMO_RATE_LIMIT must be a whole number of requests a second, from 1 to 50",
        "AMO_TIMEOUT must be a number of seconds above 0, at most 600",
        "AMO_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR",
        SUBDOMAIN,
        "AMO_BASE_URL must begin with https: plain http is for loopback only",
        "AMO_ACCESS_TOKEN must be a token as amoCRM shows it, without spaces or line breaks",
    ]


def test_a_wrong_subdomain_is_the_only_thing_said_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch, AMO_SUBDOMAIN="a/b", AMO_ACCESS_TOKEN=TOKEN) == [SUBDOMAIN]


SUBDOMAINS = (
    *("a.b", "-a", "a" * 64, "ſhop", "a b", "ма", ".kommo.com", "kommo.com", "a.b.kommo.com", "shop.kommo.com.evil"),
    *("shop.evilkommo.com", "https://shop.kommo.com", "shop.kommo.com/x", "shop.kommo.com:443", "shop.\u212aommo.com"),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("AMO_RATE_LIMIT", value) for value in ("0", "-1", "51", "7.5", "seven", "1e1")),
        *(("AMO_TIMEOUT", value) for value in ("-1", "600.1", "inf", "nan", "1s")),
        *(("AMO_SUBDOMAIN", value) for value in SUBDOMAINS),
        *(("AMO_ACCESS_TOKEN", value) for value in ("two words", "line\nbreak", "токен", "tab\t", "\x7f")),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(Settings)
    assert [problem.split()[0] for problem in caught.value.problems] == [name]


@pytest.mark.requirement("ENV-7")
@pytest.mark.parametrize("name", [f"AMO_{name.upper()}" for name in Settings.model_fields])
@pytest.mark.parametrize(
    "reference",
    [
        "${AMO_ACCESS_TOKEN}",
        "${env:AMO_ACCESS_TOKEN}",
        "${input:amo-access-token}",
        "https://${SUBDOMAIN}.amocrm.ru",
        " ${user_config.token}\n",
        "${}",
        "$AMO_ACCESS_TOKEN",
        "$env:AMO_ACCESS_TOKEN",
        "$HOME/amo-mcp",
        "%AMO_ACCESS_TOKEN%",
        "$(pass show amo)",
        "{{ amo_access_token }}",
    ],
)
def test_a_reference_that_nothing_has_replaced_is_refused_by_name(
    name: str, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(monkeypatch, Settings, **{name: reference}) == [
        f"{name} is a reference that nothing has replaced, such as ${{NAME}}: "
        "set the variable that it refers to, or put the value itself there"
    ]


@pytest.mark.parametrize("value", ["a$b", "$5", "100%", "%d", "{x}", "$", "a${b", "def502$NAME"])
def test_a_secret_with_a_dollar_or_a_percent_sign_is_no_reference(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_CLIENT_SECRET", value)
    secret = load_settings(Settings).client_secret
    assert secret is not None
    assert secret.get_secret_value() == value


@given(
    environment=st.dictionaries(
        st.sampled_from([f"AMO_{name.upper()}" for name in Settings.model_fields]),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12),
    )
)
def test_whatever_the_environment_is_it_is_taken_or_refused_by_name(environment: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AMO_"):
                patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        refused: list[str] = []
        try:
            load_settings(Settings)
        except InvalidSettings as error:
            refused = error.problems
    assert {problem.split()[0] for problem in refused} <= set(environment)


@pytest.mark.requirement("ENV-8")
def test_no_report_and_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = problems(monkeypatch, AMO_ACCESS_TOKEN=TOKEN + " x", AMO_CLIENT_SECRET="client-secret", AMO_TIMEOUT="x")
    assert "secret" not in "".join(reported)
    monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN)
    monkeypatch.delenv("AMO_TIMEOUT")
    settings = serving(sandbox=True)
    assert "secret-value" not in repr(settings) + str(settings)
    assert "client-secret" not in repr(settings) + str(settings)


@pytest.mark.requirement("ENV-8")
def test_a_refusal_holds_nothing_of_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN + " x")
    with pytest.raises(InvalidSettings) as caught:
        load_settings(Settings)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
