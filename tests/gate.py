"""
A gate before a server of 127.0.0.1, for tests of what happens while that server is away.

Google's emulators keep all they know in memory: to kill one would not be an outage but the loss of a data centre. Behind
a gate they stay as they are, and their clients see either kind of outage: a refusal at once, or silence.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from tests.running_site import free_port

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

_CHUNK = 65_536


class Gate:
    """Listens on a port of its own and passes everything on to `target`; open at first."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"gate-{target}", daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def open(self) -> None:
        """Pass everything on, what was held back too."""
        self._do(self._open())

    def hold(self) -> None:
        """Go silent: connections stay and can be made, and nothing passes in either direction."""
        self._do(self._hold())

    def shut(self) -> None:
        """Cut all connections and refuse new ones."""
        self._do(self._shut())

    def _do(self, act: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(act, self._loop).result(10)

    async def _open(self) -> None:
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def _hold(self) -> None:
        self._passing.clear()

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        # So that those that were held find out, and end.
        self._passing.set()
        for stream in self._streams:
            stream.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._streams.add(to_client)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            to_client.transport.abort()
            self._streams.discard(to_client)
            return
        self._streams.add(to_server)
        await asyncio.gather(self._pass(from_client, to_server), self._pass(from_server, to_client))
        self._streams -= {to_client, to_server}

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(_CHUNK):
                await self._passing.wait()
                sink.write(chunk)
                await sink.drain()
        # Whichever side ends first takes the other with it.
        with suppress(OSError, RuntimeError):
            sink.close()
            await sink.wait_closed()
