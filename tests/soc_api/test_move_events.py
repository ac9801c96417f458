"""Events moved from a data directory to a ClickHouse server: one whose engine is the embedded one, behind the server's
HTTP interface (``tests.support.clickhouse``)."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collector.settings import DataDirectory, Settings
from collector.store.engine import Engine
from collector.store.place import Embedded, Server
from collector.store.rows import EventRow, MetricRow, encode, events_table, metrics_table
from soc_api.move_events import EventsMoveError, copy_events, move_events
from tests.support.clickhouse import clickhouse_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.store.place import Place

START = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)
DAYS = 3
EACH = 40


class CutError(Exception):
    """Stands for kill -9 between two partitions."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with clickhouse_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def there(server: str) -> Iterator[Server]:
    place = Server(server)
    yield place
    with closing(Engine(place)) as engine:
        for table in ("events", "metrics"):
            for partition in engine.partitions(table):
                engine.drop(table, partition)


@pytest.fixture
def here(tmp_path: Path) -> Embedded:
    place = Embedded(tmp_path / "here")
    with closing(Engine(place)) as engine:
        engine.insert("events", encode(events_table(list(events()))))
        engine.insert("metrics", encode(metrics_table(list(metrics()))))
    return place


def events() -> list[EventRow]:
    return [
        EventRow(
            event_id=f"{day}-{number}", time=at.timestamp() - number, received_at=at.timestamp() + number / 7,
            log_offset=number, endpoint_id=f"ep-{number % 3}", agency_id=number % 2, product="linux", category="",
            service="auth", simulated=number % 5 == 0, rules=["r"] * (number % 3),
            body=json.dumps({"message": f"đăng nhập {number}", "n": [number, None]}, ensure_ascii=False).encode(),
            partition=number % 32,
        )
        for day in range(DAYS) for at in [START + timedelta(days=day)] for number in range(EACH)
    ]  # fmt: skip


def metrics() -> list[MetricRow]:
    return [
        MetricRow(endpoint_id="ep-1", name="cpu_ratio", time=START.timestamp() + number * 86400 * 20, value=number / 3,
                  unit="ratio", attributes={"core": str(number), "đĩa": "c"}, log_offset=number, partition=3)
        for number in range(3)
    ]  # fmt: skip


def rows(place: Place) -> list[list[dict[str, Any]]]:
    with closing(Engine(place)) as engine:
        return [
            json.loads(engine.query("SELECT * FROM events ORDER BY event_id", {})),
            json.loads(engine.query("SELECT * FROM metrics ORDER BY time", {})),
        ]


def test_every_row_arrives_as_it_was(here: Embedded, there: Server, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    told: list[str] = []

    moved = copy_events(here, there, mark, told.append)

    assert moved.rows == {"events": DAYS * EACH, "metrics": 3}
    assert moved.copied == DAYS * EACH + 3
    assert rows(there) == rows(here)
    assert [line.rpartition(": ")[2] for line in told[:DAYS]] == [str(EACH)] * DAYS
    assert not mark.exists()


def test_a_move_that_was_cut_off_goes_on_where_it_was(here: Embedded, there: Server, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    told: list[str] = []

    def cut(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            raise CutError

    with pytest.raises(CutError):
        copy_events(here, there, mark, cut)
    with closing(Engine(there)) as engine:  # half of the next day came before the end
        half = [row for row in events() if row.event_id.startswith("1-")][: EACH // 2]
        engine.insert("events", encode(events_table(half)))
    moved = copy_events(here, there, mark, lambda _line: None)

    assert moved.rows == {"events": DAYS * EACH, "metrics": 3}
    assert moved.copied == (DAYS - 1) * EACH + 3
    assert rows(there) == rows(here)


def test_a_store_that_holds_other_events_is_refused_and_left_alone(
    here: Embedded, there: Server, tmp_path: Path
) -> None:
    with closing(Engine(there)) as engine:
        engine.insert("events", encode(events_table(events()[:1])))
    before = rows(there)

    with pytest.raises(EventsMoveError, match="holds events already"):
        copy_events(here, there, tmp_path / "mark", lambda _line: None)

    assert rows(there) == before


def test_a_move_to_one_place_is_not_gone_on_with_to_another(
    here: Embedded, there: Server, tmp_path: Path
) -> None:
    def cut(_line: str) -> None:
        raise CutError

    with pytest.raises(CutError):
        copy_events(here, there, tmp_path / "mark", cut)

    with pytest.raises(EventsMoveError, match="to another place"):
        copy_events(here, Server(f"{there.url}2"), tmp_path / "mark", cut)


def test_what_arrives_changed_is_told(
    here: Embedded, there: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    insert = Engine.insert

    def lose_one(engine: Engine, table: str, stream: bytes) -> None:
        rows = events()[: EACH - 1]
        insert(engine, table, encode(events_table(rows)) if table == "events" else stream)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "insert", lose_one)
        with pytest.raises(EventsMoveError, match=r"events 20261121\d* does not hold"):
            copy_events(here, there, mark, lambda _line: None)

    assert mark.exists()
    copy_events(here, there, mark, lambda _line: None)
    assert rows(there) == rows(here)


def test_without_another_store_in_the_settings_events_stay(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.events.mkdir(parents=True)

    assert move_events(data, Settings(), lambda _line: None) is None
