from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.settings import DataDirectory
from collector.store.client import EventRow, MetricRow, StoreClient
from collector.store.errors import FencedError, QueryError, StoreUnavailableError
from collector.store.rows import EVENT_SCHEMA, decode, encode, events_table, microseconds
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def event(number: int, offset: int | None = None, **changes: object) -> EventRow:
    values: dict[str, object] = {
        "event_id": f"event-{number}",
        "time": 1_700_000_000.25 + number,
        "received_at": 1_700_000_001.5,
        "log_offset": number if offset is None else offset,
        "endpoint_id": "endpoint",
        "agency_id": 3,
        "product": "linux",
        "category": "",
        "service": "auth",
        "simulated": False,
        "rules": ["rule-1"],
        "body": json.dumps({"User": "nguyễn", "n": number}, ensure_ascii=False),
    }
    values.update(changes)
    values["body"] = str(values["body"]).encode("utf-8", "surrogatepass")
    return EventRow(**values)  # type: ignore[arg-type] # the test's own shorthand


class Process:
    """The owner as the real process."""

    def __init__(self, folder: Path) -> None:
        self.data = DataDirectory(folder)
        self.data.create()
        self.client = StoreClient(self.data.store_socket)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "collector.process", "store", "--data", str(self.data.root)]
        with (self.data.logs / "store.log").open("ab") as output:
            self.process = subprocess.Popen(command, stderr=output)
        wait_until(self.client.healthy, seconds=30, what="the event store to answer", every=0.05)

    def end(self, kind: signal.Signals) -> int:
        self.process.send_signal(kind)
        return self.process.wait(15)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("store"))
    yield process
    process.end(signal.SIGTERM)
    process.client.close()


@pytest.fixture
def store(shared: Process) -> StoreClient:
    shared.client.rewind(dict.fromkeys(range(33), 0))
    return shared.client


def count(store: StoreClient, table: str = "events") -> int:
    return int(store.query(f"SELECT count() AS n FROM {table}")[0]["n"])


def test_events_come_back_as_they_went_in(store: StoreClient) -> None:
    store.insert_events([event(1), event(2, rules=[], simulated=True)])

    rows = store.query("SELECT * FROM events ORDER BY event_id")

    assert rows[0] == {
        "event_id": "event-1",
        "time": "2023-11-14T22:13:21.250000Z",
        "received_at": "2023-11-14T22:13:21.500000Z",
        "log_offset": 1,
        "endpoint_id": "endpoint",
        "agency_id": 3,
        "product": "linux",
        "category": "",
        "service": "auth",
        "simulated": False,
        "rules": ["rule-1"],
        "body": '{"User": "nguyễn", "n": 1}',
        "partition": 0,
    }
    assert (rows[1]["rules"], rows[1]["simulated"]) == ([], True)


def test_metrics_that_claim_a_year_of_days_are_taken(store: StoreClient) -> None:
    days = [MetricRow("e", "x_count", 1.7e9 + 86_400 * day, 1.0, "count", {}, 1, False) for day in range(368)]
    store.insert_metrics(days)
    assert count(store, "metrics") == 368


def test_metrics_come_back_as_they_went_in(store: StoreClient) -> None:
    store.insert_metrics(
        [
            MetricRow(
                "endpoint", "lan.gateway_rtt_seconds", 1_700_000_000.5, 0.25, "seconds", {"via": "eth0"}, 9
            )
        ]
    )

    assert store.query("SELECT name, value, unit, attributes, log_offset FROM metrics") == [
        {
            "name": "lan.gateway_rtt_seconds",
            "value": 0.25,
            "unit": "seconds",
            "attributes": {"via": "eth0"},
            "log_offset": 9,
        }
    ]


def test_rewinding_removes_what_came_after_from_both_tables_and_nothing_else(store: StoreClient) -> None:
    store.insert_events([event(number) for number in range(1, 11)])
    store.insert_metrics([MetricRow("e", "m", 1.0, 1.0, "count", {}, offset) for offset in (4, 5, 6)])

    assert store.rewind({0: 5}) == 6
    assert store.rewind({0: 5}) == 0
    assert (count(store), count(store, "metrics")) == (5, 2)

    store.insert_events([event(6)])
    assert count(store) == 6


def test_each_partition_is_rewound_to_its_own_position(store: StoreClient) -> None:
    store.insert_events([event(number, partition=number % 3) for number in range(1, 10)])
    store.insert_metrics([MetricRow("e", "m", 1.0, 1.0, "count", {}, 7, partition=n) for n in (0, 1, 32)])

    assert store.rewind({0: 3, 1: 7, 32: 6}) == 2 + 0 + 1 + 1
    assert store.rewind({}) == 0

    kept = store.query("SELECT log_offset AS o FROM events ORDER BY o")
    assert [row["o"] for row in kept] == [1, 2, 3, 4, 5, 7, 8]
    assert store.query("SELECT partition FROM metrics") == [{"partition": 1}]


def test_a_worker_that_lost_its_partition_can_neither_write_nor_delete(store: StoreClient) -> None:
    store.insert_events([event(1, partition=7)], {7: 3})
    store.rewind({7: 1, 8: 1}, {7: 4, 8: 2})

    for old in ({7: 3}, {7: 3, 8: 2}, {8: 1}):
        with pytest.raises(FencedError, match="was taken over"):
            store.insert_events([event(2, partition=7)], old)
        with pytest.raises(FencedError):
            store.insert_metrics([MetricRow("e", "m", 1.0, 1.0, "count")], old)
        with pytest.raises(FencedError):
            store.rewind({7: 0}, old)
    assert count(store) == 1

    store.insert_events([event(2, partition=7)], {7: 4, 8: 2})
    store.insert_events([event(3, partition=7)], {7: 5})
    assert count(store) == 3


def test_parameters_are_values_and_never_sql(store: StoreClient) -> None:
    store.insert_events([event(1)])
    hostile = "event-1' OR 1=1 --\n\\"

    assert store.query("SELECT 1 FROM events WHERE event_id = {id:String}", {"id": hostile}) == []
    assert store.query("SELECT {text:String} AS text", {"text": hostile}) == [{"text": hostile}]
    assert store.query("SELECT {n:UInt64} + 1 AS n", {"n": 2**53}) == [{"n": 2**53 + 1}]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "SELECT 1) SETTINGS max_result_rows = 0 --",
        "SELECT 1) SETTINGS readonly = 0; DROP TABLE events; --",
        "SELECT 1; DROP TABLE events",
        "SELECT 1 /* ; */; SELECT 2",
        "EXPLAIN SELECT 1",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT 1 INTO OUTFILE '/dev/null'",
        "SELECT nonsense",
        "SELECT number FROM numbers(10001)",
        "SELECT number FROM numbers(10001) SETTINGS max_result_rows = 0",
        "",
    ],
)
def test_a_query_that_is_not_a_bounded_reading_one_is_refused(store: StoreClient, sql: str) -> None:
    with pytest.raises(QueryError):
        store.query(sql)
    assert count(store) == 0


def test_the_order_of_a_query_is_kept_over_many_parts(store: StoreClient) -> None:
    for number in range(1, 8):
        store.insert_events([event(number * 100 + step) for step in range(50)])

    rows = store.query("SELECT log_offset AS o FROM events ORDER BY sipHash64(log_offset) LIMIT 300")

    assert rows == store.query("SELECT log_offset AS o FROM events ORDER BY sipHash64(o) LIMIT 300;")
    assert [row["o"] for row in rows] != sorted(row["o"] for row in rows)


def test_a_query_that_takes_too_long_is_ended_and_inserts_go_on_beside_it(store: StoreClient) -> None:
    # About a second and a half of work: long enough to overlap, far below the bound.
    slow = "SELECT max(sleepEachRow(0.05)) AS s FROM numbers(30) SETTINGS max_block_size = 1"
    thread = threading.Thread(target=store.query, args=(slow,))
    thread.start()
    store.insert_events([event(1)])
    assert thread.is_alive()
    thread.join()
    assert count(store) == 1


def test_odd_values_are_stored_rather_than_refused(store: StoreClient) -> None:
    store.insert_events(
        [
            event(1, time=float("nan")),
            event(2, time=-5.0),
            event(3, time=float("inf")),
            event(4, body='{"User": "\ud800"}', service="a'b\"\\\n\0"),
        ]
    )

    rows = store.query("SELECT toYear(time) AS year, service, body FROM events ORDER BY event_id")
    assert [row["year"] for row in rows[:3]] == [1970, 1970, 2262]
    assert (rows[3]["service"], rows[3]["body"]) == ("a'b\"\\\n\0", '{"User": "\ufffd\ufffd\ufffd"}')


def test_only_its_owner_may_reach_the_socket(shared: Process) -> None:
    assert shared.data.store_socket.stat().st_mode & 0o777 == 0o600


def test_without_an_owner_asking_says_so(tmp_path: Path) -> None:
    with StoreClient(tmp_path / "none.sock") as client:
        assert not client.healthy()
        with pytest.raises(StoreUnavailableError, match=r"none\.sock"):
            client.query("SELECT 1")


def test_rows_answered_for_survive_kill_9_and_the_store_opens_again(tmp_path: Path) -> None:
    process = Process(tmp_path / "data")
    answered: list[int] = []

    def insert_until_it_dies() -> None:
        for number in range(1, 100_000):
            try:
                process.client.insert_events([event(number)] * 10)
            except StoreUnavailableError:
                return
            answered.append(number)

    process.client.rewind({7: 0}, {7: 5})
    thread = threading.Thread(target=insert_until_it_dies)
    thread.start()
    wait_until(lambda: len(answered) > 20, seconds=30, what="some inserts", every=0.01)
    process.end(signal.SIGKILL)
    thread.join()

    process.start()
    found = process.client.query("SELECT log_offset, count() AS n FROM events GROUP BY log_offset")
    stored = {row["log_offset"]: row["n"] for row in found}
    assert {number: stored.get(number) for number in answered} == dict.fromkeys(answered, 10)
    assert process.client.rewind({0: answered[-1]}) in (0, 10)
    with pytest.raises(FencedError):
        process.client.rewind({7: 0}, {7: 4})
    assert process.end(signal.SIGTERM) == 0
    process.client.close()


def test_the_schema_is_made_once_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    process = Process(tmp_path / "data")
    versions = process.client.query("SELECT version FROM schema_version ORDER BY version")
    process.end(signal.SIGTERM)
    process.start()
    assert process.client.query("SELECT version FROM schema_version ORDER BY version") == versions
    process.end(signal.SIGTERM)
    process.client.close()

    made_newer = (
        "import clickhouse_connect, sys\n"
        "client = clickhouse_connect.get_client(dsn='chdb://' + sys.argv[1])\n"
        "client.command('INSERT INTO schema_version (version) VALUES (999)')\n"
        "client.close()\n"
    )
    subprocess.run([sys.executable, "-c", made_newer, str(process.data.events)], check=True, timeout=60)
    command = [sys.executable, "-m", "collector.process", "store", "--data", str(process.data.root)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 78
    assert "newer program" in refused.stderr


def test_a_second_owner_is_refused(shared: Process) -> None:
    from collector import locks

    with pytest.raises(locks.AlreadyRunningError), locks.hold(shared.data.run / "store.lock", "store"):
        pytest.fail("the lock was free")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_float_becomes_a_time_that_the_store_holds(seconds: float) -> None:
    assert 0 <= microseconds(seconds) <= 2**63 - 1


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_survives_the_way_to_the_store(texts: list[str]) -> None:
    table = events_table([event(1, body=text, rules=texts) for text in texts])

    assert decode(encode(table), EVENT_SCHEMA).column("body").to_pylist() == texts


def test_a_stream_of_another_schema_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        decode(encode(pa.table({"a": [1]})), EVENT_SCHEMA)
