"""The environment is read once; everything wrong is reported together, by variable, without values of secrets."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.paths import StateDir
from amo_mcp.settings import (
    SANDBOX_URL,
    InvalidSettings,
    ServingSettings,
    Settings,
    allowed_base_url,
    is_loopback,
    load_settings,
)

TOKEN = "ey.secret-value.of-a-token"
NAME_IT = "AMO_BASE_URL (such as https://example.amocrm.ru) or AMO_SUBDOMAIN is needed, or AMO_SANDBOX=1"
SIGN_IN = "AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; or run `amo-mcp login`"
SUBDOMAIN = (
    "AMO_SUBDOMAIN must be the account's name alone, such as `example` of example.amocrm.ru, "
    "or its whole host, such as example.kommo.com"
)
SHOP, CAFE = "https://shop.amocrm.ru", "https://cafe.kommo.com"


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StateDir:
    """A machine on which nobody is signed in."""
    made = StateDir(tmp_path / "state")
    made.create()
    monkeypatch.setenv("AMO_STATE_DIR", str(made.path))
    return made


def serving(**chosen: Any) -> ServingSettings:
    return load_settings(ServingSettings, **chosen)


def problems(monkeypatch: pytest.MonkeyPatch, kind: type[Settings] = ServingSettings, **environment: str) -> list[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(kind)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


@pytest.mark.requirement("ENV-1")
def test_an_account_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_BASE_URL", "https://shop.kommo.com/")
    monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN)
    settings = serving()
    assert settings.base_url == "https://shop.kommo.com"
    assert settings.access_token is not None
    assert settings.access_token.get_secret_value() == TOKEN


@pytest.mark.requirement("ENV-1")
@pytest.mark.parametrize(
    ("subdomain", "base_url"),
    [
        ("My-Shop", "https://my-shop.amocrm.ru"),
        ("my-shop.kommo.com", "https://my-shop.kommo.com"),
        ("My-Shop.AMOCRM.com", "https://my-shop.amocrm.com"),
        ("my-shop.amocrm.ru", "https://my-shop.amocrm.ru"),
        ("kommo", "https://kommo.amocrm.ru"),
    ],
)
def test_an_account_is_named_by_its_subdomain_or_its_whole_host(
    subdomain: str, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMO_SUBDOMAIN", subdomain)
    monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN)
    assert serving().base_url == base_url


def test_an_address_wins_over_a_subdomain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_BASE_URL", "https://shop.kommo.com")
    monkeypatch.setenv("AMO_SUBDOMAIN", "other")
    assert load_settings(Settings).base_url == "https://shop.kommo.com"


@pytest.mark.requirement("ENV-3")
def test_the_sandbox_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving(sandbox=True).base_url == SANDBOX_URL
    monkeypatch.setenv("AMO_SANDBOX", "1")
    assert serving().base_url == SANDBOX_URL


def test_the_sandbox_wins_over_a_named_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_BASE_URL", SHOP)
    monkeypatch.setenv("AMO_SUBDOMAIN", "shop")
    assert serving(sandbox=True).base_url == SANDBOX_URL


def test_what_is_chosen_on_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_SANDBOX", "1")
    monkeypatch.setenv("AMO_CONFIRM", "dialog")
    assert serving(confirm="chat").confirm == "chat"
    assert serving(confirm=None).confirm == "dialog"


@pytest.mark.requirement("ENV-4")
def test_unset_variables_have_the_documented_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMO_STATE_DIR")
    assert load_settings(Settings).model_dump() == {
        "sandbox": False,
        "read_only": False,
        "confirm": "auto",
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
        "AMO_CONFIRM": "chat",
        "AMO_RATE_LIMIT": "50",
        "AMO_TIMEOUT": "0.5",
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
        "confirm": "chat",
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


class TestSignedIn:
    def test_serving_without_a_token_is_fine_for_who_is_signed_in(
        self, monkeypatch: pytest.MonkeyPatch, state: StateDir
    ) -> None:
        state.remember(SHOP)
        monkeypatch.setenv("AMO_BASE_URL", f"{SHOP}/")
        settings = serving()
        assert (settings.base_url, settings.access_token) == (SHOP, None)

    def test_without_an_address_it_is_the_account_that_was_signed_in_to_last(self, state: StateDir) -> None:
        for base_url in (SHOP, CAFE):
            state.remember(base_url)
        assert serving().base_url == CAFE
        assert load_settings(Settings).base_url is None

    def test_another_account_than_the_signed_in_ones_needs_a_token(
        self, monkeypatch: pytest.MonkeyPatch, state: StateDir
    ) -> None:
        state.remember(SHOP)
        assert problems(monkeypatch, AMO_BASE_URL=CAFE) == [SIGN_IN]
        monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN)
        assert serving().base_url == CAFE

    def test_a_signed_in_account_is_found_by_its_subdomain(
        self, monkeypatch: pytest.MonkeyPatch, state: StateDir
    ) -> None:
        state.remember(SHOP)
        monkeypatch.setenv("AMO_SUBDOMAIN", "SHOP")
        assert serving().base_url == SHOP

    def test_a_wrong_address_is_not_replaced_by_a_signed_in_one(
        self, monkeypatch: pytest.MonkeyPatch, state: StateDir
    ) -> None:
        state.remember(SHOP)
        assert problems(monkeypatch, AMO_BASE_URL="http://shop.amocrm.ru") == [
            "AMO_BASE_URL must begin with https: plain http is for loopback only"
        ]


@pytest.mark.requirement("CONFIRM-7", "ENV-7")
def test_everything_wrong_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(
        monkeypatch,
        AMO_SANDBOX="maybe",
        AMO_READ_ONLY="2",
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
        "AMO_CONFIRM must be auto, dialog or chat",
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


def test_an_address_is_allowed_by_the_hosts_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_ALLOWED_HOSTS", "crm.example.org")
    settings = load_settings(Settings)
    assert settings.allowed("https://CRM.example.org/") == "https://crm.example.org"
    with pytest.raises(ValueError, match="AMO_ALLOWED_HOSTS"):
        settings.allowed("https://other.example.org")


@pytest.mark.requirement("ENV-5")
@pytest.mark.parametrize(
    "address",
    [
        "https://example.amocrm.ru",
        "https://example.amocrm.com/",
        "https://EXAMPLE.kommo.com:8443",
        "http://localhost:8901",
        "http://127.0.0.1:1",
        "http://[::1]:8901/",
        "https://crm.example.org",
    ],
)
def test_a_token_may_be_sent_to_the_vendors_domains_to_loopback_and_to_allowed_hosts(address: str) -> None:
    assert allowed_base_url(address, ("crm.example.org",)) == address.rstrip("/").lower()
    assert allowed_base_url(f" {address}\n", ("crm.example.org",)) == address.rstrip("/").lower()


@pytest.mark.requirement("ENV-5")
@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "https://amocrm.ru.evil.example",
        "https://evilamocrm.ru",
        "https://user@example.amocrm.ru",
        "https://example.amocrm.ru@evil.example",
        "https://example.amocrm.ru/path",
        "https://example.amocrm.ru?x=1",
        "https://example.amocrm.ru#@evil.example",
        "https://evil.example\\.amocrm.ru",
        "https://evil.example%00.amocrm.ru",
        "http://example.amocrm.ru",
        "http://127.evil.example",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "https://sub.crm.example.org",
        "ftp://example.amocrm.ru",
        "example.amocrm.ru",
        "https://",
        "https://аmocrm.ru",
        "https://exa mple.amocrm.ru",
        "https://example.amocrm.ru\n.evil.example",
        "https://ſ.amocrm.ru",
        "httpſ://127.0.0.1",
        "httpſ://example.amocrm.ru",
        "https://x.\u212aommo.com",
        "https://x.ＫOMMO.com",
        "https://127.0.0.1:0",
        "https://example.amocrm.ru:0",
        "https://example.amocrm.ru:65536",
        "https://example.amocrm.ru:99999",
        "https://example.amocrm.ru:٨",
        "https://example.amocrm.ru:",
        f"https://{'a' * 64}.amocrm.ru",
        "https://example..amocrm.ru",
        "https://.amocrm.ru",
        "https://example.amocrm.ru.",
        "https://-example.amocrm.ru",
        "https://example-.amocrm.ru",
        "https://exa_mple.amocrm.ru",
        "https://amocrm.ru",
        "https://example.amocrm.ru//",
        "https://[::ffff:8.8.8.8]",
        "http://2130706433",
        "http://127.1",
        "http://0x7f000001",
        "http://0.0.0.0",
        "http://169.254.169.254",
        "https://evil.example\tamocrm.ru",
        "//example.amocrm.ru",
        "",
    ],
)
def test_a_token_may_be_sent_to_no_other_address(address: str) -> None:
    with pytest.raises(ValueError, match="AMO_BASE_URL must"):
        allowed_base_url(address, ("crm.example.org",))


@pytest.mark.parametrize(
    ("base_url", "loopback"),
    [
        ("http://127.0.0.1:8901", True),
        ("http://127.8.9.1", True),
        ("https://[::1]", True),
        ("http://LOCALHOST:1", True),
        ("http://sandbox.localhost", False),
        ("https://example.amocrm.ru", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://127.0.0.1/path", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_only(base_url: str, loopback: bool) -> None:
    assert is_loopback(base_url) is loopback


HOSTS = st.text(max_size=40) | st.from_regex(
    r"[a-zA-Z0-9.:@/?#\[\]%_-]{1,20}(\.amocrm\.ru|\.kommo\.com)?", fullmatch=True
)


@given(host=HOSTS)
def test_no_generated_host_passes_that_is_not_allowed(host: str) -> None:
    try:
        base_url = allowed_base_url(f"https://{host}", ())
    except ValueError:
        return
    name = base_url.removeprefix("https://").partition(":")[0].lower()
    assert name.endswith((".amocrm.ru", ".amocrm.com", ".kommo.com")) or name.startswith(("127.", "localhost", "["))
