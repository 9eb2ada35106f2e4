"""Which account is served: the one that is named, the sandbox, or the one that was signed in to last."""

import pytest

from amo_mcp.paths import StateDir
from amo_mcp.settings import SANDBOX_URL, Settings, load_settings
from tests.environment import TOKEN, problems, serving

SIGN_IN = "AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; or run `amo-mcp login`"
SHOP, CAFE = "https://shop.amocrm.ru", "https://cafe.kommo.com"


@pytest.fixture
def state() -> StateDir:
    """The state directory of a machine on which nobody is signed in."""
    made = StateDir(None)
    made.create()
    return made


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


class TestSignedIn:
    def test_serving_without_a_token_is_fine_for_who_is_signed_in(
        self, monkeypatch: pytest.MonkeyPatch, state: StateDir
    ) -> None:
        state.remember(SHOP)
        monkeypatch.setenv("AMO_BASE_URL", f"{SHOP}/")
        settings = serving()
        assert (settings.base_url, settings.access_token) == (SHOP, None)

    def test_without_an_address_the_account_is_the_one_that_was_signed_in_to_last(self, state: StateDir) -> None:
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
