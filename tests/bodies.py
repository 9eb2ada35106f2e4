"""The bodies of requests, for what stands in front of an ASGI application."""

from starlette.types import Message, Receive


async def whole_body(receive: Receive) -> bytes:
    """The whole body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("morewhole_body", False)
    return body


def receiving(body: bytes) -> Receive:
    """A body, as something that can be received at any time."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "morewhole_body": False}

    return receive
