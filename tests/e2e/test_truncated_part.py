"""A disk gives back less of the event store than was written to it: what is lost there is still in the log."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from collector.partitions import partition_of
from collector.state.database import StateStore
from collector.store.client import StoreClient
from tests.support.marks import MARKED, TOGETHER, counted, fill_log, mark_rules, marked_stack, stored
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

_ENDPOINTS: Final = 20
_BATCHES: Final = 10
_EVENTS: Final = 50
_ALL: Final = _ENDPOINTS * _BATCHES * _EVENTS
_RULES: Final = mark_rules(
    f"type: value_count, timespan: 5m, condition: {{field: machine, gte: {_ENDPOINTS}}}"
)


def test_what_truncated_parts_held_comes_back_from_the_log_exactly_once(tmp_path: Path) -> None:
    with marked_stack(tmp_path, _RULES, _ENDPOINTS) as (stack, data, endpoints):
        # Within a few seconds: all of it is of one day, nearly always.
        fill_log(data, endpoints, batches=_BATCHES, events=_EVENTS, seconds=5.0)
        stack.start()
        with closing(StateStore(data.state)) as state, closing(StoreClient(data.store_socket)) as store:
            wait_until(lambda: stored(store)[0] >= _ALL, seconds=60, what="all events")
            wait_until(
                lambda: sum(counted(state, TOGETHER).values()) >= _BATCHES, seconds=60, what="correlations"
            )
            before = _everything(store)
            alerts = counted(state, MARKED), counted(state, TOGETHER)
            stack.stop()
            for column in ("event_id", "value"):
                _cut_largest_part(data.events, column)
            stack.start()
            looked_through = sorted({partition_of(each) for each in endpoints})
            wait_until(
                lambda: all(set(looked_through) <= set(each.looked_through) for each in store.damages()),
                seconds=90,
                what="the log to be looked through",
            )
            assert stored(store) == (_ALL, _ALL)
            assert _everything(store) == before
            assert (counted(state, MARKED), counted(state, TOGETHER)) == alerts
            restored = {each.table: each.restored for each in store.damages()}
            assert restored.keys() == {"events", "metrics"}
            assert min(restored.values()) > 0


def _everything(store: StoreClient) -> list[dict[str, object]]:
    """What agents sent, by endpoint: places, rules and contents of events, and metrics."""
    events = store.query(
        "SELECT endpoint_id, groupArraySorted(10000)((log_offset, event_id, body, rules)) AS held"
        " FROM events WHERE product = 'trial' GROUP BY endpoint_id ORDER BY endpoint_id"
    )
    metrics = store.query(
        "SELECT endpoint_id, groupArraySorted(10000)((log_offset, value)) AS held"
        " FROM metrics WHERE name = 'trial.count' GROUP BY endpoint_id ORDER BY endpoint_id"
    )
    assert len(events) == len(metrics) == _ENDPOINTS
    return [*events, *metrics]


def _cut_largest_part(folder: Path, column: str) -> None:
    """Truncate the data of the largest part of the table that has this column."""
    parts = [
        path.parent / "data.bin"
        for path in folder.glob("store/*/*/*/columns.txt")
        if f"`{column}`" in path.read_text() and path.parent.parent.name != "detached"
    ]
    largest = max(parts, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
