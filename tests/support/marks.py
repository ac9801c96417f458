"""Events of product ``trial`` with a mark and an account, the rules that find them, and what alerts count of them."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.log.interface import LogRow
from collector.log.sqlite_writer import SqliteWriter
from collector.settings import DataDirectory
from collector.state.database import StateStore
from collector.state.tables import Alert
from collector.store.errors import StoreError
from tests.collector.pipeline import STREAM, add_agency, add_endpoint, frame
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from collector.store.client import StoreClient

MARKED: Final = "7d1c9d52-1f04-4d3b-9d0a-6f3d1a8f0001"
TOGETHER: Final = "7d1c9d52-1f04-4d3b-9d0a-6f3d1a8f0002"


def mark_rules(correlation: str) -> str:
    """A rule (``MARKED``) for each event with ``mark: 1``, and one (``TOGETHER``) that puts those of an account
    together, as ``correlation`` says (its type, timespan and condition, in YAML's flow style)."""
    return f"""
title: A mark
id: {MARKED}
status: test
level: high
logsource: {{product: trial}}
detection: {{selection: {{mark: 1}}, condition: selection}}
---
title: A sign-in
id: 7d1c9d52-1f04-4d3b-9d0a-6f3d1a8f0003
name: a_sign_in
status: test
level: high
logsource: {{product: trial}}
detection: {{selection: {{mark: 1}}, condition: selection}}
---
title: The same account on several machines
id: {TOGETHER}
status: test
level: high
correlation: {{rules: [a_sign_in], group-by: [User], {correlation}}}
"""


@contextmanager
def marked_stack(
    folder: Path, rules: str, endpoints: int
) -> Iterator[tuple[Stack, DataDirectory, list[str]]]:
    """A server with these rules that was started once and knows so many endpoints of one agency: stopped now, killed
    at the end."""
    (folder / "rules").mkdir()
    (folder / "rules" / "trial.yml").write_text(rules)
    stack = Stack(folder, f'[detect]\nrule_folders = ["{folder / "rules"}"]\n')
    data = DataDirectory(stack.data)
    try:
        stack.start()
        stack.stop()
        with closing(StateStore(data.state)) as state:
            agency = add_agency(state)
            ids = [add_endpoint(state, f"ep-{number}", agency) for number in range(endpoints)]
        yield stack, data, ids
    finally:
        stack.kill()


def counted(state: StateStore, rule_id: str) -> dict[str | None, int]:
    """How often alerts of the rule count what was found, by endpoint."""
    with state.read() as session:
        query = (
            select(Alert.endpoint_id, func.sum(Alert.count))
            .where(Alert.rule_id == rule_id)
            .group_by(Alert.endpoint_id)
        )
        return {endpoint: int(count) for endpoint, count in session.execute(query)}


def fill_log(
    data: DataDirectory, endpoints: Sequence[str], *, batches: int, events: int, seconds: float
) -> None:
    """The log as ingest left it: so many batches of each endpoint within the last ``seconds``, all in turn, each with
    a metric and so many events. The first of a batch is marked, with an account that all endpoints name at that time.
    """
    now = time.time()

    async def append() -> None:
        for number in range(batches):
            at = now - seconds * (1 - (number + 1) / batches)
            async with asyncio.TaskGroup() as group:
                for endpoint in endpoints:
                    body = _body(endpoint, number, events, at)
                    row = LogRow(0, "batch", endpoint, STREAM, number + 1, at, at, body)
                    group.create_task(writer.append(row))

    with closing(SqliteWriter(data.log)) as writer:
        asyncio.run(append())


def _body(endpoint: str, number: int, count: int, at: float) -> bytes:
    """Events of half a minute."""
    events = [
        {
            "time": at - 30.0 + place * 30.0 / count,
            "logsource": {"product": "trial"},
            "fields": {
                "number": number * count + place,
                "mark": int(not place),
                "User": f"u{number}",
                "machine": endpoint,
            },
        }
        for place in range(count)
    ]
    metrics = [{"name": "trial.count", "time": at, "value": number, "unit": "count"}]
    return frame({"schema": 1, "created_at": at, "events": events, "metrics": metrics})


def stored(store: StoreClient) -> tuple[int, int]:
    """How many of these events are in the store, and how many ids they have; nothing while it cannot be asked."""
    try:
        (row,) = store.query(
            "SELECT count() AS n, uniqExact(event_id) AS ids FROM events WHERE product = 'trial'"
        )
    except StoreError:
        return 0, 0
    return int(row["n"]), int(row["ids"])
