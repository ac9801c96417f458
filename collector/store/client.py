"""Asks the owner of the event store, over its Unix socket. Everybody but the owner comes this way."""

from __future__ import annotations

import http.client
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from collector.store.channel import Channel
from collector.store.damage import Damage
from collector.store.errors import FencedError, QueryError, StoreError, StoreUnavailableError
from collector.store.fence import write_epochs
from collector.store.forecast import Forecast
from collector.store.rows import EventRow, MetricRow, encode, events_table, metrics_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

__all__ = ["EventRow", "MetricRow", "QueryError", "StoreClient", "StoreError", "StoreUnavailableError"]

_ARROW = "application/vnd.apache.arrow.stream"
#: Longer than the owner lets any query run, so that its own refusal arrives.
_TIMEOUT_SECONDS = 120.0
_HEALTH_SECONDS = 5.0


class StoreClient:
    """Synchronous; threads may share it. Call :meth:`close`, or use it as a context manager.

    Every method raises :class:`StoreUnavailableError` while the owner is down (also while it starts) and
    :class:`StoreError` where it failed.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._channel = Channel(socket)

    def insert_events(self, rows: Sequence[EventRow], epochs: Mapping[int, int] | None = None) -> None:
        """Durable (fsynced) when it returns. The same rows twice are stored twice: see :meth:`rewind`.

        ``epochs``: of the leases under which the rows were made, by partition. A :class:`FencedError` says that one
        of them was taken over meanwhile; nothing is written then.
        """
        if rows:
            self._insert("events", events_table(rows), epochs)

    def insert_metrics(self, rows: Sequence[MetricRow], epochs: Mapping[int, int] | None = None) -> None:
        """As :meth:`insert_events`."""
        if rows:
            self._insert("metrics", metrics_table(rows), epochs)

    def rewind(self, positions: Mapping[int, int], epochs: Mapping[int, int] | None = None) -> int:
        """Delete the events and metrics of each partition named in ``positions`` whose log offset is above its
        position; return how many there were. Whoever takes a partition over calls it first: from then on the store
        refuses lower ``epochs`` of these partitions with :class:`FencedError`, this call's own too.
        """
        wanted = {"positions": dict(positions), "epochs": dict(epochs or {})}
        return int(msgspec.json.decode(self._post("/rewind", msgspec.json.encode(wanted)))["deleted"])

    def query(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        since: datetime | None = None,
        name: str = "",
    ) -> list[dict[str, Any]]:
        """Rows of one SELECT, at most 10,000 and within 10 seconds where the settings say nothing else; more is a
        :class:`QueryError`. Where the asking process ends, the query is ended too.

        ``since``: the query asks for events received then or later, and wants the archived ones among them too.
        ``name``: what :meth:`cancel` calls it; letters, digits and hyphens.

        Values go in as ``{name:Type}`` placeholders and ``parameters``, never into the text. Times come back
        as text (``2026-11-21 20:00:00.000000``, UTC) unless the query converts them
        (``toUnixTimestamp64Micro(time) / 1e6``).
        """
        body = msgspec.json.encode(
            {"sql": sql, "parameters": dict(parameters or {}), "since": since, "name": name}
        )
        rows: list[dict[str, Any]] = msgspec.json.decode(self._post("/query", body))
        return rows

    def cancel(self, name: str) -> bool:
        """End the query of that name; its asker gets a :class:`QueryError`. Whether it ran already."""
        return bool(msgspec.json.decode(self._post("/cancel", msgspec.json.encode({"name": name})))["ran"])

    def forecast(self) -> Forecast:
        """How large the store is, how fast it grows, and how long the disk lasts."""
        return msgspec.json.decode(self._ask("GET", "/forecast", None, ""), type=Forecast)

    def damages(self) -> list[Damage]:
        """What is damaged, and how far it was brought back."""
        return msgspec.json.decode(self._ask("GET", "/damages", None, ""), type=list[Damage])

    def note_restored(self, damage_id: str, log_offset: int, rows: int) -> None:
        """That so many rows of it were inserted again, the first of them of ``log_offset``."""
        said = {"damage": damage_id, "log_offset": log_offset, "rows": rows}
        self._post("/damages/restored", msgspec.json.encode(said))

    def note_looked_through(self, damage_id: str, partitions: Iterable[int]) -> None:
        """That the log has nothing more of it in these partitions."""
        said = {"damage": damage_id, "partitions": sorted(partitions)}
        self._post("/damages/looked-through", msgspec.json.encode(said))

    def forget_simulated(self) -> int:
        """Delete every row that came from a simulated endpoint; return how many there were."""
        return int(msgspec.json.decode(self._post("/forget-simulated", b"{}"))["deleted"])

    def freeze(self, name: str) -> None:
        """Pin all tables as they are now under ``shadow/<name>`` of the store's directory (for a backup)."""
        self._post("/freeze", msgspec.json.encode({"name": name}))

    def healthy(self) -> bool:
        """Whether the owner answers and its tables are there. Never raises."""
        try:
            return self._channel.request("GET", "/healthz", None, "", _HEALTH_SECONDS)[0] == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def metrics(self) -> bytes:
        """The owner's own figures in Prometheus's text format."""
        return self._ask("GET", "/metrics", None, "")

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> StoreClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _insert(self, name: str, rows: pa.Table, epochs: Mapping[int, int] | None) -> None:
        self._post(f"/insert/{name}?epochs={write_epochs(epochs or {})}", encode(rows), _ARROW)

    def _post(self, path: str, content: bytes, kind: str = "application/json") -> bytes:
        return self._ask("POST", path, content, kind)

    def _ask(self, method: str, path: str, content: bytes | None, kind: str) -> bytes:
        try:
            status, body = self._channel.request(method, path, content, kind, _TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailableError(
                f"the event store does not answer on {self._socket}: {error or type(error).__name__}"
            ) from error
        if status < HTTPStatus.BAD_REQUEST:
            return body
        detail = _detail(status, body)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise QueryError(detail)
        if status == HTTPStatus.CONFLICT:
            raise FencedError(detail)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise StoreUnavailableError(detail)
        raise StoreError(detail)


def _detail(status: int, body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the event store answered {status}"
