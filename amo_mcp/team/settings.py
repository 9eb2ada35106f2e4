"""The environment of a team's server, checked as a whole before anything is served."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, cast, get_args

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode
from typing_extensions import override

from amo_mcp.addresses import is_address, is_loopback
from amo_mcp.keys import InvalidKeys, Keys
from amo_mcp.settings import Settings

CALLBACK_PATH = "/amocrm/callback"

MAX_LEASE = 3600
"""Seconds of a lease that an operator can choose."""

Effect = Literal["update", "delete", "plan"]
"""What a question is about: one change, one deletion, or several steps at once."""

Policy = Literal["self", "second"]
"""Who may say yes: an approver, who may be the one who asks; or an approver who is not."""

_EFFECTS: tuple[Effect, ...] = get_args(Effect)
_POLICIES: tuple[Policy, ...] = get_args(Policy)
_METRICS = re.compile(r"(?P<host>\[[0-9a-f:]+\]|[a-z0-9.-]+):(?P<port>[0-9]{1,5})", re.IGNORECASE | re.ASCII)


def _confirm(value: object) -> object:
    if value not in ("page", "dialog"):
        raise ValueError("AMO_CONFIRM must be page or dialog for a team: any other way lets a model agree for a person")
    return value


def _policies(value: str) -> dict[str, str]:
    """What is said of each effect by `self`, `second`, or such as `delete=second,update=self`; unchecked."""
    if "=" not in value:
        return dict.fromkeys(_EFFECTS, value)
    return dict.fromkeys(_EFFECTS, "self") | dict(part.strip().partition("=")[::2] for part in value.split(","))


def _lease(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(_LEASE) from None


def _origins(value: object) -> object:
    """The origins of a comma-separated list."""
    if not isinstance(value, str):
        return value
    origins = tuple(origin.strip().lower().rstrip("/") for origin in value.split(",") if origin.strip())
    if not all(map(is_address, origins)):
        raise ValueError(
            "AMO_ALLOWED_ORIGINS must be origins with commas between them, such as https://app.example.org"
        )
    return origins


_LEASE = f"AMO_LEASE must be a number of seconds above AMO_TIMEOUT, at most {MAX_LEASE}"


class TeamSettings(Settings):
    """What the operator of a team's server chose. What stands before a semicolon is also what people are told.

    Attributes:
        confirm: how a person is asked before a change; `auto` and `chat` are not for a team, since nobody is beside it,
            and a model could agree in the person's name.
        public_url: the server's address as its clients have it, such as https://crm.example.org; every address comes
            from it, never from a request.
        database_url: the PostgreSQL database that all replicas share, as postgresql://user:password@host/name.
        secret_key: one key or more, newest first, each as id:base64; `amo-mcp team keys new` makes one.
        lease: seconds after which another replica takes over what one that has died was doing, more than AMO_TIMEOUT.
        log_level: the lowest level that is logged.
        approval: who may say yes to a change: `self` an approver, also to their own, `second` another one, or by
            effect, such as delete=second,plan=second; as it was given, `policies` is what to use.
        allowed_origins: additional origins whose pages may call the server from a browser.
        metrics: host and port where this replica says what its operator watches; not for its clients.
        client_id: the integration by which people sign in with amoCRM, whose card has to name AMO_PUBLIC_URL with
            /amocrm/callback behind it.
        client_secret: the secret key of that integration.
        access_token: a long-lived token that does everybody's work; without it each works with their own rights.
    """

    confirm: Annotated[Literal["page", "dialog"], BeforeValidator(_confirm)] = "page"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    public_url: Annotated[str, Field(validate_default=True)] = ""
    database_url: Annotated[SecretStr, Field(validate_default=True)] = SecretStr("")
    secret_key: Annotated[SecretStr, Field(validate_default=True)] = SecretStr("")
    lease: Annotated[float, BeforeValidator(_lease), Field(validate_default=True)] = 30.0
    approval: str = "self"
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = ()
    metrics: Annotated[str, Field(validate_default=True)] = "127.0.0.1:9464"
    base_url: Annotated[str, Field(validate_default=True)] = ""
    client_secret: Annotated[SecretStr | None, Field(validate_default=True)] = None

    @property
    def callback(self) -> str:
        """Where amoCRM sends people's browsers back to, which the integration's card has to name."""
        return self.public_url + CALLBACK_PATH

    @property
    def is_per_person(self) -> bool:
        """Whether everybody works with their own rights in amoCRM; else one token does everybody's work."""
        return self.access_token is None

    @property
    def has_sign_in(self) -> bool:
        """Whether people sign in with amoCRM."""
        return self.client_id is not None

    @property
    @override
    def uses_network(self) -> bool:
        return not is_loopback(self.base_url)

    @property
    def keys(self) -> Keys:
        """The key ring."""
        return Keys.parse(self.secret_key)

    @property
    def policies(self) -> Mapping[Effect, Policy]:
        """Who may say yes, by effect."""
        return cast("Mapping[Effect, Policy]", _policies(self.approval))

    @property
    def metrics_address(self) -> tuple[str, int]:
        """The host and the port of `metrics`."""
        host, _, port = self.metrics.rpartition(":")
        return host, int(port)

    @field_validator("sandbox")
    @classmethod
    def _is_not_in_process(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "AMO_SANDBOX is for one machine: serve one with `amo-mcp sandbox`, and set AMO_BASE_URL to its address"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _is_named(cls, value: str | None) -> str:
        if not value:
            raise ValueError(
                "AMO_BASE_URL (such as https://example.amocrm.ru or https://example.kommo.com) or AMO_SUBDOMAIN is "
                "needed"
            )
        return value

    @field_validator("client_secret")
    @classmethod
    def _has_its_integration(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("client_id") is None and info.data.get("access_token", "") is None:
            raise ValueError(
                "AMO_CLIENT_ID and AMO_CLIENT_SECRET are needed: the integration with which people sign in with "
                "amoCRM, each to work with their own rights; or AMO_ACCESS_TOKEN, a long-lived token with which the "
                "server does everybody's work"
            )
        if (value is None) != (info.data.get("client_id") is None):
            raise ValueError(
                "AMO_CLIENT_ID and AMO_CLIENT_SECRET are both needed for people to sign in with amoCRM: the "
                "integration's card shows them"
            )
        return value

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, value: str) -> str:
        address = value.strip().rstrip("/").lower()
        if not is_address(address):
            raise ValueError(
                "AMO_PUBLIC_URL is needed: the server's address as its clients have it, such as "
                "https://crm.example.org, with nothing after the host"
            )
        if not address.startswith("https:") and not is_loopback(address):
            raise ValueError("AMO_PUBLIC_URL must begin with https: plain http is for loopback only")
        # Clients leave it out, whoever has given it here.
        return re.sub(r"^(https:.*):443$|^(http:.*):80$", r"\1\2", address)

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError(
                "AMO_DATABASE_URL is needed: a PostgreSQL database, as postgresql://user:password@host:port/name"
            )
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_a_ring(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value():
            raise ValueError("AMO_SECRET_KEY is needed: `amo-mcp team keys new` makes a key")
        try:
            Keys.parse(value)
        except InvalidKeys as error:
            raise ValueError(f"AMO_SECRET_KEY: {error}") from None
        return value

    @field_validator("lease")
    @classmethod
    def _outlives_a_request(cls, value: float, info: ValidationInfo) -> float:
        if not info.data.get("timeout", 0) < value <= MAX_LEASE:
            raise ValueError(_LEASE)
        return value

    @field_validator("approval")
    @classmethod
    def _can_be_asked(cls, value: str, info: ValidationInfo) -> str:
        policies = _policies(value)
        if not {*policies} <= {*_EFFECTS} or not {*policies.values()} <= {*_POLICIES}:
            raise ValueError(
                "AMO_APPROVAL must be self, second, or one of them for each of update, delete and plan, such as "
                "delete=second,plan=second"
            )
        if info.data.get("confirm") == "dialog" and "second" in policies.values():
            raise ValueError(
                "AMO_CONFIRM=dialog asks only who calls, so AMO_APPROVAL must be self with it: another person's yes "
                "needs AMO_CONFIRM=page"
            )
        return value

    @field_validator("metrics")
    @classmethod
    def _is_where_to_listen(cls, value: str) -> str:
        match = _METRICS.fullmatch(value.strip())
        if match is None or int(match["port"]) >= 65536:
            raise ValueError("AMO_METRICS must be a host and a port, such as 127.0.0.1:9464")
        return value.strip()
