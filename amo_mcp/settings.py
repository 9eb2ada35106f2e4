"""The environment (`AMO_*`), read once and checked once; everything wrong is reported together, by variable.

An empty variable is an unset one. Values of secrets appear in no message.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from amo_mcp.paths import StateDir

SANDBOX_URL = "http://sandbox.localhost"
"""The address of the sandbox that is mounted in process; no socket stands behind it."""

ConfirmMode = Literal["auto", "dialog", "chat"]

_VENDOR_DOMAINS = (".amocrm.ru", ".amocrm.com", ".kommo.com")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(\.{_LABEL})*|\[[0-9a-f:]+\])(:(?P<port>[0-9]{{1,5}}))?/?",
    re.IGNORECASE | re.ASCII,
)
_SUBDOMAIN = re.compile(_LABEL, re.IGNORECASE | re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")
_PORTS = range(1, 65536)


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
    rate_limit: Annotated[int, Field(ge=1, le=50)] = 7
    timeout: Annotated[float, Field(gt=0, le=600)] = 20.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)] = ()
    state_dir: Path | None = None
    base_url: str | None = None
    subdomain: Annotated[str | None, Field(validate_default=True)] = None
    access_token: Annotated[SecretStr | None, Field(validate_default=True)] = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    redirect_uri: str | None = None

    @property
    def root(self) -> str | None:
        """The account's address, without a slash at its end; None when it is not named."""
        if self.sandbox:
            return SANDBOX_URL
        return _root(self.base_url, self.subdomain)

    @property
    def state(self) -> StateDir:
        """The folder that this machine's processes share."""
        return StateDir(self.state_dir)

    def allowed(self, address: str) -> str:
        """`address`, when a token may be sent there.

        Raises:
            ValueError: it may not.
        """
        return allowed_root(address, self.allowed_hosts)

    @field_validator("base_url")
    @classmethod
    def _allowed_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value if value is None else allowed_root(value, info.data.get("allowed_hosts", ()))

    @field_validator("subdomain")
    @classmethod
    def _account_name(cls, value: str | None) -> str | None:
        if value is not None and not _SUBDOMAIN.fullmatch(value):
            raise ValueError("AMO_SUBDOMAIN must be the account's name alone, such as `example` of example.amocrm.ru")
        return value

    @field_validator("access_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("AMO_ACCESS_TOKEN must be a token as amoCRM shows it, without spaces or line breaks")
        return value


class ServingSettings(Settings):
    """What serving needs: an account, and a way to sign in to it."""

    @property
    def account(self) -> str:
        """The address of the account to serve: the named one, or the one that was signed in to last."""
        root = self.root or self.state.signed_in()[-1]
        assert root is not None  # noqa: S101 - checked below
        return root

    @field_validator("subdomain")
    @classmethod
    def _some_account(cls, value: str | None, info: ValidationInfo) -> str | None:
        named = info.data.get("sandbox") or value is not None or info.data.get("base_url", "wrong") is not None
        if not named and not StateDir(info.data.get("state_dir")).signed_in():
            raise ValueError(
                "AMO_BASE_URL (such as https://example.amocrm.ru) or AMO_SUBDOMAIN is needed, or AMO_SANDBOX=1"
            )
        return value

    @field_validator("access_token")
    @classmethod
    def _some_sign_in(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None or info.data.get("sandbox"):
            return value
        root = _root(info.data.get("base_url"), info.data.get("subdomain"))
        signed_in = StateDir(info.data.get("state_dir")).signed_in()
        if not signed_in or root not in (None, *signed_in):
            raise ValueError(
                "AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; or run `amo-mcp login`"
            )
        return value


def _root(base_url: str | None, subdomain: str | None) -> str | None:
    return base_url or (f"https://{subdomain.lower()}.amocrm.ru" if subdomain else None)


def allowed_root(address: str, allowed_hosts: tuple[str, ...]) -> str:
    """`address` without a slash at its end, when a token may be sent there.

    Plain http is for loopback only; any other host must be https under the vendor's domains, or be named in
    `allowed_hosts`.

    Raises:
        ValueError: it may not.
    """
    match = _ADDRESS.fullmatch(address.strip())
    if not match or int(match["port"] or 1) not in _PORTS:
        raise ValueError(
            "AMO_BASE_URL must be an address such as https://example.amocrm.ru, with nothing after the host"
        )
    root = address.strip().rstrip("/").lower()
    host = match["host"].strip("[]").lower()
    if is_loopback(root):
        return root
    if match["scheme"].lower() != "https":
        raise ValueError("AMO_BASE_URL must begin with https: plain http is for loopback only")
    if host not in allowed_hosts and not host.endswith(_VENDOR_DOMAINS):
        raise ValueError(
            "AMO_BASE_URL must be under amocrm.ru, amocrm.com or kommo.com, or its host be named in AMO_ALLOWED_HOSTS"
        )
    return root


def is_loopback(root: str) -> bool:
    """Whether an address is this machine's own."""
    match = _ADDRESS.fullmatch(root)
    host = match["host"].strip("[]").lower() if match else ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_WANTED = {
    "sandbox": "AMO_SANDBOX must be 1 or 0",
    "read_only": "AMO_READ_ONLY must be 1 or 0",
    "confirm": "AMO_CONFIRM must be auto, dialog or chat",
    "rate_limit": "AMO_RATE_LIMIT must be a whole number of requests a second, from 1 to 50",
    "timeout": "AMO_TIMEOUT must be a number of seconds above 0, at most 600",
    "log_level": "AMO_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR",
}

_SettingsT = TypeVar("_SettingsT", bound=Settings)


def load_settings(kind: type[_SettingsT], **chosen: Any) -> _SettingsT:
    """The settings of the environment, overridden by what was `chosen` on the command line (`None`: not chosen).

    Raises:
        InvalidSettings: one or more variables are wrong or missing.
    """
    try:
        return kind(**{name: value for name, value in chosen.items() if value is not None})
    except ValidationError as error:
        problems = [_sentence(item) for item in error.errors()]
    raise InvalidSettings(problems)


def _sentence(item: Any) -> str:
    """Our own words for one wrong variable."""
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return _WANTED[str(item["loc"][0])]
