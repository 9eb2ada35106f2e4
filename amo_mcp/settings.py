"""The environment (`AMO_*`), read once and checked once; everything wrong is reported together, by variable.

An empty variable is an unset one. Values of secrets appear in no message.
"""

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SANDBOX_URL = "http://sandbox.localhost"
"""The address of the sandbox that is mounted in process; no socket stands behind it."""

ConfirmMode = Literal["auto", "dialog", "chat"]

_VENDOR_DOMAINS = (".amocrm.ru", ".amocrm.com", ".kommo.com")
_ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?/?", re.IGNORECASE)
_SUBDOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


class InvalidSettings(Exception):
    """The environment cannot be served from; `problems` has one sentence a variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _hosts(value: object) -> object:
    """The host names of a comma-separated list."""
    if isinstance(value, str):
        return tuple(host.strip().lower() for host in value.split(",") if host.strip())
    return value


class Settings(BaseSettings):
    """What the operator chose."""

    model_config = SettingsConfigDict(
        env_prefix="AMO_", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    sandbox: bool = False
    read_only: bool = False
    confirm: ConfirmMode = "auto"
    timeout: Annotated[float, Field(gt=0, le=600)] = 20.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)] = ()
    base_url: str | None = None
    subdomain: Annotated[str | None, Field(validate_default=True)] = None
    access_token: Annotated[SecretStr | None, Field(validate_default=True)] = None

    @property
    def root(self) -> str:
        """The account's address, without a slash at its end."""
        if self.sandbox:
            return SANDBOX_URL
        return self.base_url or f"https://{self.subdomain}.amocrm.ru"

    @field_validator("base_url")
    @classmethod
    def _allowed_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value if value is None else allowed_root(value, info.data.get("allowed_hosts", ()))

    @field_validator("subdomain")
    @classmethod
    def _account_named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and not info.data.get("sandbox") and info.data.get("base_url", "wrong") is None:
            raise ValueError(
                "AMO_BASE_URL (such as https://example.amocrm.ru) or AMO_SUBDOMAIN is needed, or AMO_SANDBOX=1"
            )
        if value is not None and not _SUBDOMAIN.fullmatch(value):
            raise ValueError("AMO_SUBDOMAIN must be the account's name alone, such as `example` of example.amocrm.ru")
        return value

    @field_validator("access_token")
    @classmethod
    def _signed_in(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and not info.data.get("sandbox"):
            raise ValueError("AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration of the account")
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("AMO_ACCESS_TOKEN must be a token as amoCRM shows it, without spaces or line breaks")
        return value


def allowed_root(address: str, allowed_hosts: tuple[str, ...]) -> str:
    """`address` without a slash at its end, when a token may be sent there.

    Plain http is for loopback only; any other host must be https under the vendor's domains, or be named in
    `allowed_hosts`.

    Raises:
        ValueError: it may not.
    """
    match = _ADDRESS.fullmatch(address.strip())
    if not match:
        raise ValueError(
            "AMO_BASE_URL must be an address such as https://example.amocrm.ru, with nothing after the host"
        )
    host = match["host"].strip("[]").lower()
    root = address.strip().rstrip("/")
    if _is_loopback(host):
        return root
    if match["scheme"].lower() != "https":
        raise ValueError("AMO_BASE_URL must begin with https: plain http is for loopback only")
    if host not in allowed_hosts and not host.endswith(_VENDOR_DOMAINS):
        raise ValueError(
            "AMO_BASE_URL must be under amocrm.ru, amocrm.com or kommo.com, or its host be named in AMO_ALLOWED_HOSTS"
        )
    return root


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_WANTED = {
    "sandbox": "AMO_SANDBOX must be 1 or 0",
    "read_only": "AMO_READ_ONLY must be 1 or 0",
    "confirm": "AMO_CONFIRM must be auto, dialog or chat",
    "timeout": "AMO_TIMEOUT must be a number of seconds above 0, at most 600",
    "log_level": "AMO_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR",
}


def load_settings(**chosen: Any) -> Settings:
    """The settings of the environment, overridden by what was `chosen` on the command line (`None`: not chosen).

    Raises:
        InvalidSettings: one or more variables are wrong or missing.
    """
    try:
        return Settings(**{name: value for name, value in chosen.items() if value is not None})
    except ValidationError as error:
        raise InvalidSettings([_sentence(item) for item in error.errors()]) from None


def _sentence(item: Any) -> str:
    """Our own words for one wrong variable."""
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return _WANTED[str(item["loc"][0])]
