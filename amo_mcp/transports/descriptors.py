"""Reads and writes file descriptors without keeping the event loop waiting.

On POSIX the event loop waits until a descriptor is ready; on Windows one thread reads and another writes, and both end
with the process.
"""

import os
import select
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread

import anyio
import anyio.lowlevel

POSIX = sys.platform != "win32"
"""Whether the event loop can wait for pipes, and for signals."""

Write = Callable[[bytes], Awaitable[None]]
"""Writes bytes whole; raises OSError where they cannot be written, as when nobody reads them any more."""

_CHUNK_BYTES = 65_536


def chunks_of(fd: int) -> AsyncGenerator[bytes, None]:
    """What comes out of `fd`, in pieces, until its end or until it is broken."""
    return _chunks_when_ready(fd) if POSIX else _chunks_by_thread(fd)


@contextmanager
def writer_to(fd: int) -> Iterator[Write]:
    """The function that writes to `fd`, for one task at a time."""
    if POSIX:
        yield partial(_write_when_ready, fd)
        return
    thread = _WriterThread(fd)
    try:
        yield thread.write
    finally:
        thread.end()


async def _chunks_when_ready(fd: int) -> AsyncGenerator[bytes, None]:
    while True:
        # A file is always ready, and cannot be waited for.
        if not select.select((fd,), (), (), 0)[0]:
            await anyio.wait_readable(fd)
        if not (chunk := _read(fd)):
            break
        yield chunk


async def _write_when_ready(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        if not select.select((), (fd,), (), 0)[1]:
            await anyio.wait_writable(fd)
        # A pipe that is ready takes so much at once.
        left = left[os.write(fd, left[: select.PIPE_BUF]) :]


async def _chunks_by_thread(fd: int) -> AsyncGenerator[bytes, None]:
    import anyio.from_thread

    send, receive = anyio.create_memory_object_stream[bytes]()
    token = anyio.lowlevel.current_token()

    def read() -> None:
        # What is raised when the server has ended before its input.
        with suppress(RuntimeError, CancelledError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            while chunk := _read(fd):
                anyio.from_thread.run(send.send, chunk, token=token)
            anyio.from_thread.run_sync(send.close, token=token)

    Thread(target=read, name="stdin", daemon=True).start()
    with send, receive:
        async for chunk in receive:
            yield chunk


class _WriterThread:
    """Writes in a thread of its own, which does not keep the process from ending."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._written = anyio.Event()
        self._error: OSError | None = None
        self._token = anyio.lowlevel.current_token()
        Thread(target=self._run, name="stdout", daemon=True).start()

    async def write(self, data: bytes) -> None:
        self._written = anyio.Event()
        self._queue.put(data)
        await self._written.wait()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """End the thread, once it does not write any more."""
        self._queue.put(None)

    def _run(self) -> None:
        import anyio.from_thread

        # What is raised when the server has ended meanwhile.
        with suppress(RuntimeError, CancelledError):
            while (data := self._queue.get()) is not None:
                left = memoryview(data)
                try:
                    while left:
                        left = left[os.write(self._fd, left) :]
                except OSError as error:
                    self._error = error
                anyio.from_thread.run_sync(self._written.set, token=self._token)


def _read(fd: int) -> bytes:
    """What has come; nothing at the end, which a broken connection is as well."""
    try:
        return os.read(fd, _CHUNK_BYTES)
    except OSError:
        return b""
