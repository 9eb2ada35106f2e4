"""What a transport serves."""

from typing import Any, Protocol

from mcp.server import InitializationOptions
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.routing import Route


class McpServer(Protocol):
    """What the transports use of the SDK's public `mcp.server.Server`, and one method of ours."""

    @property
    def version(self) -> str:
        """The version of this program."""

    @property
    def session_manager(self) -> StreamableHTTPSessionManager:
        """The sessions of 2025-11-25 over HTTP; there once `streamable_http_app` has been called."""

    def create_initialization_options(self) -> InitializationOptions:
        """What the server says of itself when a client of 2025-11-25 initializes."""

    async def run(self, read_stream: Any, write_stream: Any, initialization_options: InitializationOptions, /) -> None:
        """Serve the client at the other end of two streams of `SessionMessage` until the first one ends."""

    def streamable_http_app(
        self,
        *,
        streamable_http_path: str = ...,
        max_request_body_size: int = ...,
        max_sessions: int | None = ...,
        transport_security: TransportSecuritySettings | None = ...,
        custom_starlette_routes: list[Route] | None = ...,
    ) -> Starlette:
        """The ASGI application that serves both eras of the protocol at one path."""

    def close_subscriptions(self) -> None:
        """End every `subscriptions/listen` stream with its result; called once, when the server begins to end."""
