"""What a transport serves."""

from abc import ABC, abstractmethod
from typing import Any

from mcp.server import Server


class McpServer(Server[Any], ABC):
    """The SDK's server, and how its subscriptions are closed."""

    @abstractmethod
    def close_subscriptions(self) -> None:
        """End every `subscriptions/listen` stream with its result; called once, when the server begins to end."""
