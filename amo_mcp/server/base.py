"""What a transport serves."""

from abc import ABC, abstractmethod
from typing import Any

from mcp.server import Server


class McpServer(Server[Any], ABC):
    """The SDK's server, and how it is told to end."""

    @abstractmethod
    def stop(self, seconds: float) -> None:
        """Begin to end, so that the calls under way are answered soon; called again, `seconds` can be fewer.

        Every `subscriptions/listen` stream ends with its result, open dialogs expire, and changes stop between two
        steps. What was sent to amoCRM has so many seconds to be answered.
        """

    async def at_rest(self) -> None:
        """Wait until nothing is under way that outlives its call; once told to end, that is soon."""
