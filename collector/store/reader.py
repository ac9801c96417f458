"""Queries of others: one SELECT at a time, within limits, and ended when nobody waits for it any more."""

from __future__ import annotations

import queue
import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store.errors import QueryError, StoreUnavailableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from collector.store.archive import Archive
    from collector.store.place import Place

_QUERIES_AT_ONCE: Final = 2
_FORMAT: Final = "SELECT formatQuerySingleLine({sql:String})"
_READS: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one query: how long it may run, what it may return, and how much memory it may take."""

    seconds: float = 10.0
    rows: int = 10_000
    memory_bytes: int = 1 << 30

    def clause(self, name: str) -> str:
        """``readonly = 1`` also denies table functions that reach files and the network, and changes of settings. It
        stands in the query's own clause: set on the connection it could never be taken back.
        """
        return (
            f"SETTINGS readonly = 1, max_execution_time = {self.seconds}, timeout_before_checking_execution_speed = 0,"
            f" max_result_rows = {self.rows}, result_overflow_mode = 'throw', max_memory_usage = {self.memory_bytes},"
            " query_plan_remove_redundant_sorting = 0,"  # the order is the inner query's
            " query_plan_max_limit_for_lazy_materialization = 10000,"  # bodies are read of the rows that are shown only
            " output_format_json_array_of_rows = 1, output_format_json_quote_64bit_integers = 0,"
            f" date_time_output_format = 'iso', log_comment = '{name}'"
        )


class Reader:
    """Thread-safe; two queries run at a time. Call :meth:`close`."""

    def __init__(self, place: Place, archive: Archive | None, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        self._killer = place.connect()
        self._killer_lock = threading.Lock()
        self._cancelled: set[str] = set()
        self._clients: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(_QUERIES_AT_ONCE):
            self._clients.put(place.connect())

    def query(self, sql: str, parameters: Mapping[str, Any], since: datetime | None, name: str) -> bytes:
        """See :meth:`collector.store.engine.Engine.query`."""
        if not _NAME.fullmatch(name):
            raise QueryError(f"not a name of a query: {name[:40]!r}")
        with self._client() as client:
            if name in self._cancelled:
                self._cancelled.discard(name)
                raise QueryError("the query was cancelled before it began")
            try:
                # The engine runs several statements in one text. Its own parser, given the text as a value, takes
                # one only; and what it gives back cannot leave the parentheses, where only a SELECT may stand.
                plain = client.raw_query(_FORMAT, parameters={"sql": sql}, fmt="TSVRaw").decode("utf-8")
                if not _READS.match(plain):
                    raise QueryError("only SELECT (or WITH … SELECT) is allowed here")
                archived = self._archive.reached(since) if self._archive is not None else ""
                limited = f"{archived}SELECT * FROM (\n{plain}\n)\n{self._limits.clause(name)}"
                reply: bytes = client.raw_query(limited, parameters=dict(parameters), fmt="JSONEachRow")
            except ClickHouseError as error:
                self._drain(client)
                raise QueryError(first_line(error)) from error
        return reply or b"[]"

    def cancel(self, name: str) -> bool:
        """End the query of that name, whether it runs or waits for its turn; whether it ran."""
        if not _NAME.fullmatch(name):
            raise QueryError(f"not a name of a query: {name[:40]!r}")
        self._cancelled.add(name)
        with self._killer_lock:
            try:
                killed = self._killer.query(
                    "KILL QUERY WHERE Settings['log_comment'] = {name:String} ASYNC",
                    parameters={"name": name},
                ).result_rows
            except ClickHouseError as error:
                raise StoreUnavailableError(first_line(error)) from error
        return bool(killed)

    def forget(self, name: str) -> None:
        """The query of that name has ended; a late :meth:`cancel` of it is forgotten."""
        self._cancelled.discard(name)

    def close(self) -> None:
        """Close the clients; running queries end first."""
        for _ in range(_QUERIES_AT_ONCE):
            self._clients.get().close()
        with self._killer_lock:
            self._killer.close()

    @staticmethod
    def _drain(client: Any) -> None:
        """The embedded engine gives what a failed query had already written to whoever asks next."""
        with suppress(ClickHouseError):
            client.command("SELECT 1")

    @contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            client = self._clients.get(timeout=3 * self._limits.seconds)
        except queue.Empty:
            raise StoreUnavailableError("too many queries wait for the event store") from None
        try:
            yield client
        finally:
            self._clients.put(client)
