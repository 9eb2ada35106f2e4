"""The environment (`AMO_*`), read once and checked once; everything wrong is reported together, by variable.

An empty variable is an unset one. No message contains the value of a variable: it may be a secret.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from typing_extensions import override

from amo_mcp import network
from amo_mcp.addresses import LABEL, allowed_base_url, is_loopback
from amo_mcp.language import SOURCE, Language, known_language
from amo_mcp.paths import StateDir

SANDBOX_URL = "http://sandbox.localhost"
"""The address of the sandbox that is mounted in process; no socket stands behind it."""

MAX_RATE_LIMIT = 50
"""Requests a second to one account that an operator can allow."""

MAX_TIMEOUT = 600
"""Seconds that an operator can have a request take."""

_SUBDOMAIN = re.compile(rf"\A{LABEL}(\.amocrm\.ru|\.amocrm\.com|\.kommo\.com)?\Z", re.IGNORECASE | re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")

_REFERENCE = re.compile(
    r"""
      .*\$\{[^{}]*\}.*             # ${NAME}, ${env:NAME}, anywhere
    | \$(env:)?[A-Z_][A-Z0-9_]*([/\\].*)?  # $NAME, $env:NAME, alone or as the first folder of a path
    | %[A-Z_][A-Z0-9_]*%([/\\].*)?  # %NAME%, as on Windows
    | \$\(.*\)                     # $(command)
    | \{\{.*\}\}                   # {{name}} of a template
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL | re.ASCII,
)
"""What a client or a shell replaces by a value, and has not."""


class InvalidSettings(Exception):
    """The environment cannot be used.

    Attributes:
        problems: one sentence for each wrong or missing variable, beginning with its name.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _hosts(value: object) -> object:
    """The host names of a comma-separated list."""
    if isinstance(value, str):
        return tuple(host.strip().lower() for host in value.split(",") if host.strip())
    return value


def _language(value: object) -> object:
    """The language that a code such as `pt_BR` begins with; one that is not known is English."""
    return value if value is None else known_language(str(value).strip()) or SOURCE


class Settings(BaseSettings):
    """What the operator chose. What stands before a semicolon is also what people are told of a variable.

    Attributes:
        sandbox: serve the embedded sandbox instead of an account.
        read_only: leave out every tool that writes.
        customers: what tools tell of customers, who are people: `names`, only their `ids`, or `off` for no such tools.
        confirm: how a person is asked before a change.
        language: the language that a person is spoken to in, and English for any other code; None for that of who is
            signed in.
        rate_limit: requests per second per account, of all processes on this machine.
        timeout: seconds for each of connecting, sending and waiting for bytes.
        log_level: the lowest level that is logged.
        allowed_hosts: additional hosts the token may be sent to.
        state_dir: the directory that all servers on this machine share; None for the platform's default, and `state` is
            what to use.
        subdomain: instead of the address, `example` of example.amocrm.ru, or the whole host example.kommo.com; as it
            was given, `base_url` is what to use.
        base_url: the account's address, such as https://example.amocrm.ru or https://example.kommo.com; without a slash
            at its end, whichever variable named it, and None when none did.
        access_token: a long-lived token of a private integration; not needed after `amo-mcp login`.
        client_id: the integration, for `amo-mcp login`; so are `client_secret` and `redirect_uri`.
    """

    model_config = SettingsConfigDict(
        env_prefix="AMO_", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    sandbox: bool = False
    read_only: bool = False
    customers: Literal["off", "ids", "names"] = "names"
    confirm: Literal["auto", "dialog", "page", "chat"] = "auto"
    language: Annotated[Language | None, BeforeValidator(_language)] = None
    rate_limit: Annotated[int, Field(ge=1, le=MAX_RATE_LIMIT)] = 7
    timeout: Annotated[float, Field(gt=0, le=MAX_TIMEOUT)] = 20.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)] = ()
    state_dir: Path | None = None
    subdomain: Annotated[str, Field(pattern=_SUBDOMAIN)] | None = None
    base_url: Annotated[str | None, Field(validate_default=True)] = None
    access_token: Annotated[SecretStr | None, Field(validate_default=True)] = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    redirect_uri: str | None = None

    @property
    def uses_network(self) -> bool:
        """Whether anything is sent that leaves this machine, so that proxies and certificates count."""
        return False

    @property
    def state(self) -> StateDir:
        """The state directory, shared by all processes on this machine."""
        return StateDir(self.state_dir)

    def checked_base_url(self, address: str) -> str:
        """`address` as a base URL, when the token may be sent there.

        Raises:
            ValueError: it may not.
        """
        return allowed_base_url(address, self.allowed_hosts)

    @field_validator("*", mode="before")
    @classmethod
    def _is_expanded(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and is_reference(value):
            raise ValueError(
                f"AMO_{(info.field_name or '').upper()} is a reference that nothing has replaced, such as ${{NAME}}: "
                "set the variable that it refers to, or put the value itself there"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _resolved(cls, value: str | None, info: ValidationInfo) -> str | None:
        named = allowed_base_url(value, info.data.get("allowed_hosts", ())) if value else None
        if info.data.get("sandbox"):
            return SANDBOX_URL
        subdomain = info.data.get("subdomain")
        if named or not subdomain:
            return named
        return f"https://{subdomain if '.' in subdomain else f'{subdomain}.amocrm.ru'}".lower()

    @field_validator("access_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("AMO_ACCESS_TOKEN must be a token as amoCRM shows it, without spaces or line breaks")
        return value


class ServingSettings(Settings):
    """What serving needs: an account, and a way to sign in to it.

    Attributes:
        base_url: the address of the account to serve: the named one, else the one that was signed in to last.
    """

    base_url: Annotated[str, Field(validate_default=True)] = ""

    @property
    @override
    def uses_network(self) -> bool:
        return not self.sandbox and not is_loopback(self.base_url)

    @field_validator("base_url")
    @classmethod
    def _named_or_signed_in(cls, value: str | None, info: ValidationInfo) -> str:
        signed_in = [] if value else StateDir(info.data.get("state_dir")).signed_in()
        if not value and not signed_in and "subdomain" in info.data:
            raise ValueError(
                "AMO_BASE_URL (such as https://example.amocrm.ru or https://example.kommo.com) or AMO_SUBDOMAIN is "
                "needed, or AMO_SANDBOX=1"
            )
        return value or next(reversed(signed_in), "")

    @field_validator("access_token")
    @classmethod
    def _some_sign_in(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None or info.data.get("sandbox"):
            return value
        base_url = info.data.get("base_url")
        signed_in = StateDir(info.data.get("state_dir")).signed_in()
        if not signed_in or (base_url and base_url not in signed_in):
            raise ValueError(
                "AMO_ACCESS_TOKEN is needed: a long-lived token of a private integration; or run `amo-mcp login`"
            )
        return value


class LoginSettings(Settings):
    """What signing in needs: the keys of the integration, as its card shows them."""

    client_id: str
    client_secret: SecretStr
    redirect_uri: str

    @property
    @override
    def uses_network(self) -> bool:
        return self.base_url is None or not is_loopback(self.base_url)


def is_reference(value: str) -> bool:
    """Whether a value is a reference that a client or a shell has not replaced by what it stands for."""
    return _REFERENCE.fullmatch(value.strip()) is not None


_EXPECTED = {
    "sandbox": "AMO_SANDBOX must be 1 or 0",
    "read_only": "AMO_READ_ONLY must be 1 or 0",
    "customers": "AMO_CUSTOMERS must be off, ids or names",
    "confirm": "AMO_CONFIRM must be auto, dialog, page or chat",
    "rate_limit": "AMO_RATE_LIMIT must be a whole number of requests a second, from 1 to 50",
    "timeout": "AMO_TIMEOUT must be a number of seconds above 0, at most 600",
    "log_level": "AMO_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR",
    "subdomain": "AMO_SUBDOMAIN must be the account's name alone, such as `example` of example.amocrm.ru, "
    "or its whole host, such as example.kommo.com",
}

_SettingsT = TypeVar("_SettingsT", bound=Settings)


def load_settings(kind: type[_SettingsT], **chosen: Any) -> _SettingsT:
    """The settings of the environment, overridden by what was `chosen` on the command line (None: not chosen).

    Raises:
        InvalidSettings: one or more variables are wrong or missing.
    """
    problems: list[str] = []
    try:
        settings = kind(**{name: value for name, value in chosen.items() if value is not None})
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
    else:
        if not settings.uses_network:
            return settings
    if problems := [*dict.fromkeys(problems), *network.problems()]:
        raise InvalidSettings(problems)
    return settings


def _problem(item: Any) -> str:
    """One wrong variable in our own words."""
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "missing":
        return f"AMO_{item['loc'][0].upper()} is needed: the integration's card shows it"
    return _EXPECTED[str(item["loc"][0])]
