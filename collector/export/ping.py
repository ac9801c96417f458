"""The dead-man signal: a sign of life that goes outside while, and only while, the pipeline works.

It is sent when the collector's watch over itself (:mod:`collector.watch`) has looked again since the last one. The
watch runs in the process at the pipeline's far end; so what keeps that from working, the machine's death included, ends
the signal, and whoever receives it raises the alarm when it stays away.

A POST of JSON, ``{"installation", "sent_at", "looked_at", "troubles"}``. With a secret it is signed:
``X-Vonggac-Signature: t=<seconds>,v1=<hex>``, HMAC-SHA-256 over ``<seconds>.<body>``; a receiver refuses old ``t``.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import msgspec
from sqlalchemy import select

from collector.errors import CollectorError
from collector.machine import machine_name
from collector.state.tables import WatchState
from collector.watch.record import PULSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.metrics import ExportMetrics
    from collector.settings import Watch
    from collector.state.database import StateStore

_TIMEOUT_SECONDS: Final = 20.0
#: The signal rests when the watch has not looked for so many of its own intervals.
_MISSED_LOOKS: Final = 6

log = logging.getLogger("vonggac.ping")


class PingSettingsError(CollectorError):
    """``[watch]`` cannot be used; ``str()`` says why."""


class Pinger:
    """Call :meth:`turn` every ``ping_seconds``, and :meth:`close`.

    Raises:
        PingSettingsError: the secret or the authority cannot be read.
    """

    def __init__(
        self,
        settings: Watch,
        state: StateStore,
        metrics: ExportMetrics,
        *,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._state = state
        self._metrics = metrics
        self._now = now
        self._steady = steady
        self._secret = _secret(settings.ping_secret_file)
        self._client = httpx.Client(verify=_context(settings.ping_ca_file), timeout=_TIMEOUT_SECONDS)
        self._pulse: datetime | None = None
        self._changed_at = float("-inf")
        self._last = "sent"

    def turn(self) -> str:
        """``sent``, ``failed`` (nobody took it) or ``withheld`` (the watch stands still)."""
        result = self._turn()
        self._metrics.pings.labels(result).inc()
        if result != self._last:
            say = log.info if result == "sent" else log.error
            say("sign of life", extra={"result": result, "url": self._settings.ping_url})
        self._last = result
        return result

    def close(self) -> None:
        self._client.close()

    def _turn(self) -> str:
        # By what changes, not by how old it claims to be: a clock that was set must not stop the signal or feign it.
        pulse, troubles = self._look()
        if pulse != self._pulse:
            self._pulse, self._changed_at = pulse, self._steady()
        patience = max(_MISSED_LOOKS * self._settings.seconds, self._settings.ping_seconds)
        if pulse is None or self._steady() - self._changed_at > patience:
            return "withheld"
        body = msgspec.json.encode(
            {
                "installation": machine_name(),
                "sent_at": datetime.fromtimestamp(self._now(), UTC),
                "looked_at": pulse,
                "troubles": troubles,
            }
        )
        headers = {"content-type": "application/json"}
        if self._secret:
            headers["x-vonggac-signature"] = sign(self._secret, body, int(self._now()))
        try:
            self._client.post(self._settings.ping_url, content=body, headers=headers).raise_for_status()
        except httpx.HTTPError as error:
            log.debug("sign of life failed", extra={"error": str(error)[:200]})
            return "failed"
        return "sent"

    def _look(self) -> tuple[datetime | None, int]:
        with self._state.read() as session:
            rows = session.execute(select(WatchState.concern, WatchState.state, WatchState.looked_at)).all()
        pulse = next((looked_at for concern, _, looked_at in rows if concern == PULSE), None)
        return pulse, sum(state != "ok" for _, state, _ in rows)


def sign(secret: bytes, body: bytes, seconds: int) -> str:
    """The value of ``X-Vonggac-Signature``."""
    digest = hmac.new(secret, f"{seconds}.".encode("ascii") + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _secret(path: str) -> bytes:
    if not path:
        return b""
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise PingSettingsError(f"[watch] ping_secret_file: {error}") from error
    if len(secret) < 16:
        raise PingSettingsError(f"[watch] ping_secret_file: {path} holds less than 16 characters")
    return secret


def _context(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path or None)
    except (OSError, ssl.SSLError) as error:
        raise PingSettingsError(f"[watch] ping_ca_file: {error}") from error
