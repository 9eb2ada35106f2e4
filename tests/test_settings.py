"""The environment is read once; everything wrong is reported together, by variable, without values of secrets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.settings import SANDBOX_URL, InvalidSettings, allowed_root, load_settings

TOKEN = "ey.secret-value.of-a-token"


def problems(monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Any] | None = None, **environment: str) -> list[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(**(chosen or {}))
    return caught.value.problems


def test_an_account_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_BASE_URL", "https://shop.kommo.com/")
    monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN)
    settings = load_settings()
    assert settings.root == "https://shop.kommo.com"
    assert settings.access_token is not None
    assert settings.access_token.get_secret_value() == TOKEN


def test_or_by_its_subdomain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_SUBDOMAIN", "my-shop")
    monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN)
    assert load_settings().root == "https://my-shop.amocrm.ru"


def test_the_sandbox_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(sandbox=True).root == SANDBOX_URL
    monkeypatch.setenv("AMO_SANDBOX", "1")
    assert load_settings().root == SANDBOX_URL


def test_what_is_chosen_on_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_SANDBOX", "1")
    monkeypatch.setenv("AMO_CONFIRM", "dialog")
    assert load_settings(confirm="chat").confirm == "chat"
    assert load_settings(confirm=None).confirm == "dialog"


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMO_BASE_URL", "AMO_CONFIRM", "AMO_TIMEOUT", "AMO_READ_ONLY", "AMO_ALLOWED_HOSTS"):
        monkeypatch.setenv(name, "")
    settings = load_settings(sandbox=True)
    assert (settings.confirm, settings.timeout, settings.read_only, settings.allowed_hosts) == ("auto", 20.0, False, ())


def test_an_empty_environment_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch) == [
        "AMO_BASE_URL (such as https://example.amocrm.ru) or AMO_SUBDOMAIN is needed, or AMO_SANDBOX=1",
        "AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration of the account",
    ]


def test_everything_wrong_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(
        monkeypatch,
        AMO_SANDBOX="maybe",
        AMO_READ_ONLY="2",
        AMO_CONFIRM="off",
        AMO_TIMEOUT="0",
        AMO_LOG_LEVEL="LOUD",
        AMO_BASE_URL="http://example.amocrm.ru",
        AMO_SUBDOMAIN="a/b",
        AMO_ACCESS_TOKEN="two words",
    ) == [
        "AMO_SANDBOX must be 1 or 0",
        "AMO_READ_ONLY must be 1 or 0",
        "AMO_CONFIRM must be auto, dialog or chat",
        "AMO_TIMEOUT must be a number of seconds above 0, at most 600",
        "AMO_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR",
        "AMO_BASE_URL must begin with https: plain http is for loopback only",
        "AMO_SUBDOMAIN must be the account's name alone, such as `example` of example.amocrm.ru",
        "AMO_ACCESS_TOKEN must be a token as amoCRM shows it, without spaces or line breaks",
    ]


def test_no_report_and_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    told = problems(monkeypatch, AMO_ACCESS_TOKEN=TOKEN + " x", AMO_TIMEOUT="x")
    assert "secret" not in "".join(told)
    monkeypatch.setenv("AMO_ACCESS_TOKEN", TOKEN)
    monkeypatch.delenv("AMO_TIMEOUT")
    assert "secret" not in repr(load_settings(sandbox=True)) + str(load_settings(sandbox=True))


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
def test_a_token_may_be_sent_to_the_vendor_to_loopback_and_to_named_hosts(address: str) -> None:
    assert allowed_root(address, ("crm.example.org",)) == address.rstrip("/")


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
    ],
)
def test_and_nowhere_else(address: str) -> None:
    with pytest.raises(ValueError, match="AMO_BASE_URL must"):
        allowed_root(address, ("crm.example.org",))


@given(st.text(max_size=40))
def test_whatever_host_is_given_only_an_allowed_one_passes(host: str) -> None:
    try:
        root = allowed_root(f"https://{host}", ())
    except ValueError:
        return
    name = root.removeprefix("https://").partition(":")[0].lower()
    assert name.endswith((".amocrm.ru", ".amocrm.com", ".kommo.com")) or name.startswith(("127.", "localhost", "["))
