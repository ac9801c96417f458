"""A connection to the NATS servers, with an event loop in a thread of its own.

It reconnects by itself, for ever; losing it and having it back are each said once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import nats
import nats.errors
from nats.aio.client import Client

from collector.log.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from collector.settings import Log

T = TypeVar("T")
log = logging.getLogger("vonggac.log")

_CONNECT_SECONDS: Final = 15.0
REQUEST_SECONDS: Final = 5.0
#: A server that does not answer this many pings, this far apart, is left for another.
_PING_SECONDS: Final = 5
_PINGS: Final = 2
_NO_RESPONDERS: Final = "503"


class ApiError(LogError):
    """JetStream refused a request. ``code`` is its ``err_code``, 0 where it gave none."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"JetStream: {text}")
        self.code = code


class Link:
    """Connected when made; :meth:`close` it (idempotent).

    Raises:
        LogError: none of the servers answers, or they refuse us; said without the password.
    """

    def __init__(self, settings: Log, name: str) -> None:
        self._servers = [each.strip() for each in settings.url.split(",")]
        self.where = ", ".join(_plain(each) for each in self._servers)
        self._settings = settings
        self._name = name
        self._connected_again: list[Callable[[], None]] = []
        self._lost = False
        self._closed = False
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=f"nats-{name}", daemon=True)
        self._thread.start()
        try:
            self.client = self.wait(self._connect())
        except BaseException:
            self._end_loop()
            raise

    async def _connect(self) -> Client:
        client = Client()
        last = ""
        refused = asyncio.Event()

        async def said(error: Exception) -> None:
            nonlocal last
            log.debug("NATS: %s", error)
            if isinstance(error, ConnectionResetError | BrokenPipeError):
                error = await self._refusal() or error
            last = str(error) or type(error).__name__
            if "authorization" in last.lower():
                refused.set()

        async def lost() -> None:
            if not self._lost and not self._closed:
                self._lost = True
                log.warning("the log's servers are gone; trying to reach one", extra={"servers": self.where})

        async def back() -> None:
            if self._lost:
                self._lost = False
                log.info("the log's servers are back", extra={"servers": self.where})
            for call in self._connected_again:
                call()

        connecting = asyncio.create_task(
            client.connect(
                servers=self._servers,
                name=f"vonggac {self._name}",
                tls=_tls(self._settings),
                error_cb=said,
                disconnected_cb=lost,
                reconnected_cb=back,
                connect_timeout=2,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=_PINGS,
            )
        )
        # It would try for ever; a password that is wrong will not become right.
        giving_up = asyncio.create_task(refused.wait())
        await asyncio.wait(
            {connecting, giving_up}, timeout=_CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        giving_up.cancel()
        if connecting.done() and connecting.exception() is None:
            return client
        why = last or (str(connecting.exception()) if connecting.done() else "no answer")
        connecting.cancel()
        with contextlib.suppress(Exception):
            await client.close()
        raise LogError(f"the log's NATS servers ({self.where}) cannot be reached: {why}; see [log]")

    async def _refusal(self) -> Exception | None:
        """Why a server hangs up, if it says so.

        A server that refuses a password answers and closes; a PING that it has not read then makes the close a
        reset, which may swallow the answer. In the protocol's verbose mode the answer to CONNECT is awaited first.
        """
        asking = Client()
        try:
            await asking.connect(
                servers=self._servers,
                name=f"vonggac {self._name}",
                tls=_tls(self._settings),
                verbose=True,
                allow_reconnect=False,
                connect_timeout=2,
            )
        except Exception as error:
            return None if isinstance(error, OSError) else error
        finally:
            with contextlib.suppress(Exception):
                await asking.close()
        return None

    def connected(self) -> bool:
        return not self._closed and bool(self.client.is_connected)

    def when_connected_again(self, call: Callable[[], None]) -> None:
        """``call`` runs in the link's loop whenever the connection was lost and is back."""
        self._connected_again.append(call)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the link's loop, from any other thread, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def request(self, subject: str, body: object = None) -> dict[str, Any]:
        """Ask JetStream's API (``subject`` without ``$JS.API.``); in the link's loop.

        Raises:
            ApiError: it said no.
            LogError: no answer.
        """
        payload = b"" if body is None else msgspec.json.encode(body)
        try:
            reply = await self.client.request(f"$JS.API.{subject}", payload, timeout=REQUEST_SECONDS)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogError(
                f"JetStream does not answer ({type(error).__name__}): is it enabled, and is a majority of"
                f" its servers ({self.where}) up?"
            ) from error
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        refused = answer.get("error")
        if refused:
            raise ApiError(int(refused.get("err_code", 0)), str(refused.get("description", "refused")))
        return answer

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):
            self.wait(asyncio.wait_for(self.client.close(), REQUEST_SECONDS))
        self._end_loop()

    def _end_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def nobody_there(headers: dict[str, str] | None) -> bool:
    """Whether a reply only says that nobody listens to what was asked (status 503)."""
    return headers is not None and headers.get("Status") == _NO_RESPONDERS


def _plain(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    try:
        return f"{parts.hostname}:{parts.port or 4222}"
    except ValueError:
        return "an address that cannot be read"


def _tls(settings: Log) -> ssl.SSLContext | None:
    if not (settings.authority or settings.certificate or "tls://" in settings.url):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.authority or None)
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.key or None)
    except (OSError, ssl.SSLError) as error:
        raise LogError(f"[log] authority, certificate and key cannot be used: {error}") from error
    return context
