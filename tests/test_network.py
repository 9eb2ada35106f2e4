"""What the environment says of proxies and certificates, without a password, and what is wrong with it, by variable."""

import os
from pathlib import Path

import pytest

from amo_mcp.network import Proxy, problems, proxy_to
from amo_mcp.settings import InvalidSettings, LoginSettings, ServingSettings, Settings, load_settings

SHOP = "https://shop.amocrm.ru"
SUCH_AS = "must be the address of a proxy, such as http://proxy.example.com:3128 or socks5://127.0.0.1:1080"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, Proxy("http://proxy.example:3128", "HTTPS_PROXY")),
        ({"https_proxy": "proxy.example"}, Proxy("http://proxy.example", "https_proxy")),
        ({"HTTP_PROXY": "http://proxy.example"}, None),
        ({"ALL_PROXY": "socks5h://u:secret@[::1]:1080/"}, Proxy("socks5h://[::1]:1080", "ALL_PROXY")),
        ({"ALL_PROXY": "socks5://a", "HTTPS_PROXY": "http://b"}, Proxy("http://b", "HTTPS_PROXY")),
        ({"ALL_PROXY": "socks5://a", "NO_PROXY": "amocrm.ru"}, None),
        ({"ALL_PROXY": "socks5://a", "NO_PROXY": "*"}, None),
        ({"ALL_PROXY": "socks5://a", "NO_PROXY": "kommo.com"}, Proxy("socks5://a", "ALL_PROXY")),
        ({"ALL_PROXY": "", "HTTPS_PROXY": ""}, None),
    ],
)
def test_the_proxy_to_an_address_is_named_with_its_variable_and_without_its_password(
    environment: dict[str, str], proxy: Proxy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_to(SHOP) == proxy
    assert problems() == []


def test_a_proxy_that_no_variable_names_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy.example:8080"})
    assert proxy_to(SHOP) == Proxy("http://proxy.example:8080", "the system's settings")


@pytest.mark.requirement("ENV-7", "ENV-8", "ENV-10")
@pytest.mark.parametrize(
    "value",
    ["socks://u:secret@a:1080", "socks4://a", "ftp://a", "http://", "http://a:port", "http://[::1", "http://a:99999"],
)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_one_is_refused_by_the_name_of_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert problems() == [f"{name} {SUCH_AS}"]


@pytest.mark.requirement("ENV-7", "ENV-10")
def test_certificates_that_cannot_be_read_are_refused_by_the_name_of_their_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_certificates = tmp_path / "empty.pem"
    no_certificates.write_text("secret")
    for file in (tmp_path / "missing.pem", tmp_path, no_certificates):
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert problems() == ["SSL_CERT_FILE must be a file with certificates (PEM) that can be read"]
    certificates = tmp_path / "own.pem"
    certificates.write_text("# ours\n-----BEGIN CERTIFICATE-----\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    assert problems() == []
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(no_certificates))
    assert problems() == ["SSL_CERT_DIR must be a folder with certificates"]
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert problems() == []


BROKEN = {"ALL_PROXY": "socks://a", "SSL_CERT_FILE": os.devnull}
TOLD = [f"ALL_PROXY {SUCH_AS}", "SSL_CERT_FILE must be a file with certificates (PEM) that can be read"]
KEYS = {"AMO_CLIENT_ID": "a", "AMO_CLIENT_SECRET": "b", "AMO_REDIRECT_URI": "http://127.0.0.1:8919/"}


@pytest.mark.requirement("ENV-7", "ENV-10")
@pytest.mark.parametrize(
    ("kind", "environment", "told"),
    [
        (ServingSettings, {"AMO_BASE_URL": SHOP, "AMO_ACCESS_TOKEN": "t"}, TOLD),
        (
            ServingSettings,
            {"AMO_BASE_URL": SHOP, "AMO_ACCESS_TOKEN": "t", "AMO_RATE_LIMIT": "0"},
            ["AMO_RATE_LIMIT must be a whole number of requests a second, from 1 to 50", *TOLD],
        ),
        (ServingSettings, {"AMO_BASE_URL": "http://127.0.0.1:8901", "AMO_ACCESS_TOKEN": "t"}, []),
        (ServingSettings, {"AMO_SANDBOX": "1"}, []),
        (LoginSettings, KEYS, TOLD),
        (LoginSettings, {**KEYS, "AMO_BASE_URL": "http://127.0.0.1:8901"}, []),
        (Settings, {}, []),
    ],
)
def test_what_is_wrong_with_the_network_is_told_with_all_else_before_serving_where_the_network_is_needed(
    kind: type[Settings], environment: dict[str, str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (BROKEN | environment).items():
        monkeypatch.setenv(name, value)
    found: list[str] = []
    try:
        load_settings(kind)
    except InvalidSettings as error:
        found = error.problems
    assert found == told
