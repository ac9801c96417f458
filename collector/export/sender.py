"""Hands lines to a store with InfluxDB 2's protocol, by influxdb-client's batching writer.

That writer works in a thread of its own and tells what became of a batch to callbacks only. A batch is one of ours (so
many lines, already joined), and what the callback says of it is what :meth:`Sender.send` returns: the spool, not the
client, is what tries again, so the client's own retries are off.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import WriteOptions
from influxdb_client.rest import ApiException

from collector.errors import CollectorError

if TYPE_CHECKING:
    from collector.settings import Metrics

_TIMEOUT_MILLISECONDS: Final = 30_000
#: Longer than any request may take: then the client's thread is dead.
_PATIENCE_SECONDS: Final = 120.0
#: These say that the request itself is at fault, and that sending it again is no use.
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


class ExportSettingsError(CollectorError):
    """``[metrics]`` cannot be used; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch: taken, refused for good (``refused``), or to be sent again. ``reason`` is a word for
    figures, ``detail`` a sentence for the log."""

    taken: bool
    refused: bool = False
    reason: str = ""
    detail: str = ""
    retry_after_seconds: float = 0.0


class Sender:
    """One batch at a time. Call :meth:`close`.

    Raises:
        ExportSettingsError: the token cannot be read.
    """

    def __init__(self, settings: Metrics) -> None:
        self._bucket = settings.export_bucket
        self._answer = threading.Event()
        self._outcome = Outcome(taken=False)
        self._client = InfluxDBClient(
            url=settings.export_url,
            token=_token(settings),
            org=settings.export_org,
            timeout=_TIMEOUT_MILLISECONDS,
            enable_gzip=True,
            ssl_ca_cert=settings.export_ca_file or None,
        )
        self._writer = self._client.write_api(
            write_options=WriteOptions(
                batch_size=1, flush_interval=200, max_retries=0, max_retry_time=0, max_close_wait=1000
            ),
            success_callback=self._taken,
            error_callback=self._failed,
        )
        # The client's logger writes each failure at length; what matters of it is said by us, once.
        logging.getLogger("influxdb_client.client.write_api").setLevel(logging.CRITICAL)

    def send(self, lines: list[str]) -> Outcome:
        """Blocking. A batch whose answer was lost may have been taken: the same points sent again are the same."""
        if not lines:
            return Outcome(taken=True)
        self._answer.clear()
        self._writer.write(self._bucket, record="\n".join(lines).encode("utf-8", "replace"))
        if not self._answer.wait(_PATIENCE_SECONDS):
            return Outcome(taken=False, reason="timeout", detail="the client gave no answer")
        return self._outcome

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call] # theirs has no annotations
        self._client.close()  # type: ignore[no-untyped-call]

    def _taken(self, _target: tuple[str, str, str], _data: bytes) -> None:
        self._outcome = Outcome(taken=True)
        self._answer.set()

    def _failed(self, _target: tuple[str, str, str], _data: bytes, error: Exception) -> None:
        self._outcome = _judge(error)
        self._answer.set()


def _judge(error: Exception) -> Outcome:
    if isinstance(error, ApiException) and error.status:
        headers: Any = error.headers or {}
        after = headers.get("Retry-After", "")
        return Outcome(
            taken=False,
            refused=error.status in _REFUSALS,
            reason=str(error.status),
            detail=f"{error.status} {str(error.reason or '')[:100]}: {str(error.body or '')[:200]}",
            retry_after_seconds=float(after) if after.isdigit() else 0.0,
        )
    return Outcome(taken=False, reason="connection", detail=f"{type(error).__name__}: {error}"[:300])


def _token(settings: Metrics) -> str:
    if not settings.export_token_file:
        return ""
    try:
        token = Path(settings.export_token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportSettingsError(f"[metrics] export_token_file: {error}") from error
    if not token or not token.isprintable():
        raise ExportSettingsError(f"[metrics] export_token_file: {settings.export_token_file} holds no token")
    return token
