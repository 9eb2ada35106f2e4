"""Change events within one process."""

from amo_mcp.changes.events import ChangeEvent, Listener


class MemoryChangeEvents:
    """`ChangeEvents` for one process: listeners are called one after the other."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    async def publish(self, event: ChangeEvent) -> None:
        """Call every listener."""
        for listener in self._listeners:
            await listener(event)

    def subscribe(self, listener: Listener) -> None:
        """Add a listener."""
        self._listeners.append(listener)
