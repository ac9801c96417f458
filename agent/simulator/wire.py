"""The agent's side of the protocol on asyncio: many kept-alive connections in one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agent.runtime.errors import TransportError
from agent.runtime.transport import Reply

if TYPE_CHECKING:
    import ssl

    from agent.runtime.transport import Address

_ANSWER_SECONDS: Final = 30.0
_MOST_OF_AN_ANSWER: Final = 1 << 16


class AsyncConnection:
    """As :class:`agent.runtime.transport.Connection`, for one task at a time."""

    def __init__(self, address: Address, context: ssl.SSLContext, gate: asyncio.Semaphore) -> None:
        self._address = address
        self._context = context
        self._gate = gate
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        """Raise :class:`TransportError` where no answer came; a kept connection that was closed is reopened."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address.authority}"]
        lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
        message = "\r\n".join([*lines, "", ""]).encode("ascii") + body
        kept = self._streams is not None
        try:
            return await self._exchange(message)
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError) as error:
            self.close()
            if not kept:
                raise TransportError("unreachable", str(error) or type(error).__name__) from error
        try:
            return await self._exchange(message)
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError) as error:
            self.close()
            raise TransportError("unreachable", str(error) or type(error).__name__) from error

    async def _exchange(self, message: bytes) -> Reply:
        async with asyncio.timeout(_ANSWER_SECONDS):
            if self._streams is None:
                async with self._gate:
                    self._streams = await asyncio.open_connection(
                        self._address.host,
                        self._address.port,
                        ssl=self._context,
                        server_hostname=self._address.host,
                        limit=_MOST_OF_AN_ANSWER,
                    )
            reader, writer = self._streams
            writer.write(message)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            length = int(headers.get("content-length", "0"))
            if not 0 <= length <= _MOST_OF_AN_ANSWER:
                raise ValueError(f"an answer of {length} bytes")
            body = await reader.readexactly(length)
            if headers.get("connection", "").lower() == "close":
                self.close()
            wait = headers.get("retry-after", "")
            return Reply(
                status=int(head[0].split(" ")[1]),
                body=body,
                retry_after_seconds=min(3600.0, float(wait)) if wait.isdecimal() else 0.0,
            )

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
