"""To which addresses a token may be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amo_mcp.addresses import allowed_base_url, is_loopback
from amo_mcp.settings import Settings, load_settings


def test_an_address_is_allowed_by_the_hosts_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMO_ALLOWED_HOSTS", "crm.example.org")
    settings = load_settings(Settings)
    assert settings.checked_base_url("https://CRM.example.org/") == "https://crm.example.org"
    with pytest.raises(ValueError, match="AMO_ALLOWED_HOSTS"):
        settings.checked_base_url("https://other.example.org")


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
