"""What a hunt asks of the event store: time slices of the events table, within the owner's limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from collector.store.errors import QueryError
from rules.history.sql import all_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules.history.plan import HuntPlan
    from soc_api.hunting.models import Question

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS: Final = (
    "event_id, log_offset, toUnixTimestamp64Micro(time) / 1e6 AS seconds,"
    " toUnixTimestamp64Micro(received_at) / 1e6 AS received, endpoint_id, agency_id, product, category, service, body"
)
_DAY: Final = "toString(toDate(received_at, 'Asia/Ho_Chi_Minh'))"


class Asks(Protocol):
    """``collector.store.client.StoreClient`` fits."""

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, since: datetime | None = None
    ) -> list[dict[str, Any]]: ...


class Slice(NamedTuple):
    """From ``since`` (inside) to ``until`` (not), by when events were received."""

    since: datetime
    until: datetime


class Count(NamedTuple):
    """A day's ``hits`` that SQL is sure of, its ``doubtful`` events, and the ``newest`` hits: when they were received
    (microseconds) and their ids."""

    day: str
    hits: int
    doubtful: int
    newest: list[tuple[int, str]]


class TooMuchError(Exception):
    """The store gave up in the middle: the slice is too wide for one query."""


class Queries:
    """One hunt's. Every method raises :class:`TooMuchError` where the slice has to be narrower, and
    :class:`~collector.store.errors.StoreError` where the store does not answer."""

    def __init__(self, store: Asks, plan: HuntPlan, question: Question) -> None:
        self._store = store
        self._plan = plan
        self._limit = question.limit
        scope = question.scope.agency_ids
        self._reach = all_of(
            [
                "received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')",
                "received_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')",
                "1" if question.simulated else "NOT simulated",
                "1" if scope is None else "agency_id IN {agencies:Array(UInt32)}",
            ]
        )
        self._values: dict[str, object] = {**plan.values, "agencies": sorted(scope or ())}

    def counts(self, part: Slice) -> list[Count]:
        """By day of receipt."""
        newest = "[]"
        sure = "count()"
        when = ""
        if not self._plan.exact:
            sure, when = f"countIf(({self._plan.sure}) AS certain)", ", certain"
        if self._limit:
            kind = "groupArraySortedIf" if when else "groupArraySorted"
            newest = f"{kind}({self._limit})((-toUnixTimestamp64Micro(received_at), event_id){when})"
        rows = self._ask(
            f"SELECT {_DAY} AS day, count() AS events, {sure} AS hits, {newest} AS newest"  # noqa: S608 - values are bound
            f" FROM events WHERE {self._reach} AND {self._plan.straight} GROUP BY day",
            part,
        )
        return [
            Count(
                row["day"],
                int(row["hits"]),
                int(row["events"]) - int(row["hits"]),
                [(-int(each[0]), str(each[1])) for each in row["newest"]],
            )
            for row in rows
        ]

    def odd(self, part: Slice) -> int:
        """How many events of odd form only the engine can tell."""
        rows = self._ask(
            f"SELECT count() AS events FROM events WHERE {self._reach} AND {self._plan.other}",  # noqa: S608 - as above
            part,
        )
        return int(rows[0]["events"]) if rows else 0

    def bodies(self, part: Slice, wanted: list[tuple[int, str]]) -> list[dict[str, Any]]:
        """Whole rows, by the moment they were received (which the table is sorted by) and their ids."""
        return self._ask(
            f"SELECT {_COLUMNS} FROM events WHERE {self._reach}"  # noqa: S608 - as above
            " AND toUnixTimestamp64Micro(received_at) IN {moments:Array(Int64)} AND event_id IN {ids:Array(String)}",
            part,
            moments=sorted({moment for moment, _ in wanted}),
            ids=[each for _, each in wanted],
        )

    def doubtful(self, part: Slice, after: tuple[int, str], limit: int) -> list[dict[str, Any]]:
        """Events that only the engine can tell, in the order of the log."""
        return self._page(f"{self._plan.straight} AND NOT {self._plan.sure}", part, after, limit)

    def possible(self, part: Slice, after: tuple[int, str], limit: int) -> list[dict[str, Any]]:
        """Every event that may match, in the order of the log."""
        return self._page(self._plan.straight, part, after, limit)

    def _page(self, straight: str, part: Slice, after: tuple[int, str], limit: int) -> list[dict[str, Any]]:
        # Two selections and not one with OR: each can then be decided column by column.
        reach = (
            f"{self._reach} AND log_offset >= {{offset:UInt64}}"
            " AND (log_offset, event_id) > ({offset:UInt64}, {id:String})"
        )
        return self._ask(
            f"SELECT * FROM (SELECT {_COLUMNS} FROM events WHERE {reach} AND {straight} UNION ALL"  # noqa: S608 - as above
            f" SELECT {_COLUMNS} FROM events WHERE {reach} AND {self._plan.other})"
            " ORDER BY log_offset, event_id LIMIT {rows:UInt32}",
            part,
            offset=after[0],
            id=after[1],
            rows=limit,
        )

    def _ask(self, sql: str, part: Slice, **values: object) -> list[dict[str, Any]]:
        try:
            return self._store.query(
                sql,
                {**self._values, "since": _micro(part.since), "until": _micro(part.until), **values},
                since=part.since,
            )
        except QueryError as error:
            text = str(error).lower()
            if "timeout" in text or "memory limit" in text:
                raise TooMuchError(str(error)) from error
            raise


def _micro(time: datetime) -> int:
    return max(0, (time - _EPOCH) // timedelta(microseconds=1))
