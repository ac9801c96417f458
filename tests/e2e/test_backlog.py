"""Detection was down for an hour while agents went on reporting: a million events wait in the log when it is back."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import func, select

from collector.state.database import StateStore
from collector.state.tables import Endpoint, Stream
from collector.store.client import StoreClient
from tests.support.marks import MARKED, TOGETHER, counted, fill_log, mark_rules, marked_stack, stored
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.long]

_ENDPOINTS: Final = 50
_BATCHES: Final = 40
_EVENTS: Final = 500
_ALL: Final = _ENDPOINTS * _BATCHES * _EVENTS
_OUTAGE_SECONDS: Final = 3_600.0
_SILENT: Final = "7d1c9d52-1f04-4d3b-9d0a-6f3d1a8f0014"
_TOGETHER: Final = f"type: value_count, timespan: 5m, condition: {{field: machine, gte: {_ENDPOINTS}}}"
_RULES: Final = f"""{mark_rules(_TOGETHER)}---
title: Silent
id: {_SILENT}
status: test
level: low
logsource: {{product: vonggac, category: silence}}
detection: {{selection: {{silence.seconds|gte: 1}}, condition: selection}}
"""


def test_a_million_events_that_waited_are_worked_on_exactly_once_and_nobody_is_called_silent(
    tmp_path: Path,
) -> None:
    with marked_stack(tmp_path, _RULES, _ENDPOINTS) as (stack, data, endpoints):
        fill_log(data, endpoints, batches=_BATCHES, events=_EVENTS, seconds=_OUTAGE_SECONDS)
        stack.start()
        with closing(StoreClient(data.store_socket)) as store:
            wait_until(lambda: stored(store)[0] >= _ALL, seconds=400, what="a million events", every=1.0)
            assert stored(store) == (_ALL, _ALL)
            found = store.query(
                "SELECT endpoint_id, max(toInt64(JSONExtractInt(body, 'number'))) AS last FROM events"
                " WHERE product = 'trial' GROUP BY endpoint_id HAVING count() = {each:UInt64}",
                {"each": _BATCHES * _EVENTS},
            )
            assert {row["endpoint_id"]: int(row["last"]) for row in found} == dict.fromkeys(
                endpoints, _BATCHES * _EVENTS - 1
            )
        with closing(StateStore(data.state)) as state:
            wait_until(
                lambda: counted(state, TOGETHER), seconds=60, what="the correlation of the last batches"
            )
            time.sleep(1.0)  # room for one too many
            assert counted(state, MARKED) == dict.fromkeys(endpoints, _BATCHES)
            assert sum(counted(state, TOGETHER).values()) == _BATCHES
            assert counted(state, _SILENT) == {}, "who spoke while nobody listened is not silent"
            with state.read() as session:
                streams = session.scalars(select(Stream)).all()
                assert [(each.last_seq, each.missing) for each in streams] == [(_BATCHES, 0)] * _ENDPOINTS
                assert session.scalar(select(func.max(Endpoint.dead_letters))) == 0
