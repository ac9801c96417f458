"""The engine in this process: schema, upkeep, archive, limits, faults."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import pyarrow.parquet
import pytest

from collector.partitions import ALL
from collector.settings import Events
from collector.store import schema
from collector.store.engine import Engine
from collector.store.errors import QueryError, StoreError
from collector.store.place import Embedded, Server
from collector.store.policy import Policy, policy_of
from collector.store.reader import Limits
from collector.store.rows import METRIC_SCHEMA, MetricRow, encode, events_table, metrics_table
from tests.collector.store.test_store import event
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.store.rows import EventRow

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def opened(folder: Path, limits: Limits | None = None) -> Engine:
    return Engine(Embedded(folder / "events", folder / "spill"), folder / "archive", limits)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = opened(tmp_path)
    yield engine
    engine.close()


def put(engine: Engine, *rows: EventRow) -> None:
    engine.insert("events", encode(events_table(rows)))


def ask(engine: Engine, sql: str, since: datetime | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(engine.query(sql, {}, since))
    return rows


def numbers(engine: Engine, since: datetime | None = None) -> list[int]:
    return [row["o"] for row in ask(engine, "SELECT log_offset AS o FROM events ORDER BY o", since)]


def aged(number: int, age: timedelta, **changes: object) -> EventRow:
    moment = (NOW - age).timestamp()
    return event(number, None, time=moment, received_at=moment, **changes)


def test_inserts_that_wait_for_each_other_are_made_together(engine: Engine) -> None:
    threads = [threading.Thread(target=put, args=(engine, event(number))) for number in range(8)]
    with engine._writer._lock:  # a rewind takes its time
        for thread in threads:
            thread.start()
        wait_until(
            lambda: len(engine._writer._queues["events"]) == 8, seconds=60, what="eight inserts", every=0.01
        )
    for thread in threads:
        thread.join()

    assert numbers(engine) == list(range(8))
    made = "SELECT uniqExact(_part) AS parts FROM events"
    assert ask(engine, made) == [{"parts": 1}]


def test_one_insert_that_cannot_be_read_spoils_no_other_for_long(engine: Engine) -> None:
    errors: list[StoreError] = []

    def try_it(stream: bytes) -> None:
        try:
            engine.insert("events", stream)
        except StoreError as error:
            errors.append(error)

    good = encode(events_table([event(1)]))
    threads = [threading.Thread(target=try_it, args=(each,)) for each in (good, b"nonsense")]
    with engine._writer._lock:
        for thread in threads:
            thread.start()
        wait_until(
            lambda: len(engine._writer._queues["events"]) == 2, seconds=60, what="two inserts", every=0.01
        )
    for thread in threads:
        thread.join()
    assert len(errors) == 2
    assert numbers(engine) == []

    threads = [threading.Thread(target=try_it, args=(each,)) for each in (good, b"nonsense")]
    with engine._writer._lock:
        for thread in threads:
            thread.start()
        wait_until(
            lambda: len(engine._writer._queues["events"]) == 2, seconds=60, what="two inserts", every=0.01
        )
    for thread in threads:
        thread.join()
    assert len(errors) == 3
    assert numbers(engine) == [1]


def test_events_of_version_2_are_there_after_the_upgrade_also_where_it_was_cut_short(tmp_path: Path) -> None:
    client = clickhouse_connect.get_client(dsn=f"chdb://{tmp_path / 'events'}")
    columns = ", ".join(
        f"{name} {kind}" for name, (kind, _) in schema.COLUMNS["events"].items() if name != "partition"
    )
    client.command(
        f"CREATE TABLE events ({columns}, f_Image String MATERIALIZED JSONExtractString(body, 'Image'))"
        " ENGINE = MergeTree PARTITION BY toYYYYMMDD(received_at) ORDER BY (received_at, endpoint_id)"
    )
    metrics = ", ".join(
        f"{name} {kind}" for name, (kind, _) in schema.COLUMNS["metrics"].items() if name != "partition"
    )
    client.command(
        f"CREATE TABLE metrics ({metrics}) ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (name, time)"
    )
    client.command("CREATE TABLE schema_version (version UInt32, applied_at DateTime DEFAULT now())"
                   " ENGINE = MergeTree ORDER BY version")  # fmt: skip
    client.command("INSERT INTO schema_version (version) VALUES (1), (2)")
    for day in (20, 21):
        client.command(
            "INSERT INTO events (event_id, time, received_at, log_offset, endpoint_id, body)"
            f" SELECT toString(number), '2026-11-{day} 10:00:00', '2026-11-{day} 10:00:00', number, 'e',"
            ' \'{"Image":"C:\\\\\\\\X"}\' FROM numbers(100)'
        )
    client.command("INSERT INTO metrics (name, time, value) VALUES ('a', '2026-11-20 10:00:00', 1.5)")
    # What an upgrade that was killed while it copied the first day leaves behind.
    client.command("RENAME TABLE events TO events_2")
    place = Embedded(tmp_path / "events")
    for statement in schema.create(place):
        client.command(statement)
    client.command("INSERT INTO events (event_id, received_at) VALUES ('half a copy', '2026-11-20 10:00:00')")
    client.close()

    engine = opened(tmp_path)
    try:
        rows = ask(
            engine,
            "SELECT toDate(received_at) AS day, count() AS n, sum(log_offset) AS o, any(f_Image) AS image,"
            " any(partition) AS p"
            " FROM events GROUP BY day ORDER BY day",
        )
        assert [(row["day"], row["n"], row["o"]) for row in rows] == [
            ("2026-11-20", 100, 4950),
            ("2026-11-21", 100, 4950),
        ]
        assert (rows[0]["image"], rows[0]["p"]) == ("c:\\x", 0)
        engine.insert("metrics", encode(metrics_table([MetricRow("e", "b", 1.0, 2.0, "count", partition=3)])))
        assert ask(engine, "SELECT name, partition AS p FROM metrics ORDER BY p") == [
            {"name": "a", "p": 0},
            {"name": "b", "p": 3},
        ]
        assert ask(engine, "SELECT max(version) AS v FROM schema_version") == [{"v": 3}]
        with pytest.raises(QueryError, match="events_2"):
            ask(engine, "SELECT count() FROM events_2")
    finally:
        engine.close()


def test_events_are_kept_as_long_as_the_level_of_their_agencys_system_says(engine: Engine) -> None:
    policy = policy_of(Events(levels={"so-a": 2, "so-b": 4, "nobody": 1}), {"so-a": 1, "so-b": 2, "so-c": 3})
    assert policy == Policy(otherwise=92, days_of={31: (1,), 184: (2,)}, metrics=92, archive_after=0)
    rows = [
        aged(100 * agency + days, timedelta(days=days), agency_id=agency)
        for agency in (0, 1, 2, 3)
        for days in (30, 32, 91, 93, 183, 185)
    ]
    put(engine, *rows)
    engine.insert(
        "metrics",
        encode(
            metrics_table(
                [MetricRow("e", "m", (NOW - timedelta(days=d)).timestamp(), 1.0, "c") for d in (5, 130)]
            )
        ),
    )

    done = engine.upkeep.run(NOW, policy, idle=False)

    assert numbers(engine) == [30, 32, 91, 130, 230, 232, 291, 293, 330, 332, 383, 391]
    assert done["dropped"] == 2
    assert ask(engine, "SELECT count() AS n FROM metrics") == [{"n": 1}]
    assert engine.upkeep.run(NOW, policy, idle=False)["thinned"] == 0


def test_a_day_that_is_over_gets_the_index_of_texts_once_and_again_when_rows_came_late(
    engine: Engine,
) -> None:
    def granules() -> str:
        explained = engine._keeper.query(
            "EXPLAIN indexes = 1 SELECT count() FROM events WHERE lowerUTF8(body) LIKE '%lsass.dmp%'"
        ).result_rows
        text = " ".join(str(row[0]).strip() for row in explained)
        return text[text.index("by_text") :] if "by_text" in text else ""

    put(engine, *(aged(n, timedelta(days=1), body=json.dumps({"Image": f"C:\\x{n}.exe"})) for n in range(50)))
    put(engine, aged(99, timedelta(0), body='{"Image":"LSASS.dmp"}'))
    assert engine.upkeep.run(NOW, Policy(), idle=False)["indexed"] == 0  # the machine is busy: later
    assert engine.upkeep.run(NOW, Policy(), idle=True)["indexed"] == 1
    assert "Granules: 1/2" in granules()  # that of the day that goes on, which has no index yet
    assert ask(engine, "SELECT log_offset AS o FROM events WHERE lowerUTF8(body) LIKE '%lsass.dmp%'") == [
        {"o": 99}
    ]
    assert engine.upkeep.run(NOW, Policy(), idle=True)["indexed"] == 0

    put(engine, aged(100, timedelta(days=1), body='{"Image":"lsass.dmp"}'))
    assert engine.upkeep.run(NOW + timedelta(hours=7), Policy(), idle=False)["indexed"] == 1
    found = "SELECT count() AS n FROM events WHERE lowerUTF8(body) LIKE '%lsass.dmp%'"
    assert ask(engine, found) == [{"n": 2}]


def test_old_days_go_to_parquet_and_queries_that_reach_back_still_find_them(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    policy = Policy(otherwise=92, days_of={31: (7,)}, archive_after=10)
    old = timedelta(days=11)
    put(
        engine,
        aged(1, old, body='{"Image":"C:\\\\EVIL.exe"}', rules=["r"]),
        aged(2, old, agency_id=7),
        aged(3, old, simulated=True),
        aged(4, timedelta(days=1)),
    )
    assert engine.upkeep.run(NOW, policy, idle=False)["archived"] == 1
    engine.close()
    folder = tmp_path / "moved"
    tmp_path.joinpath("events").rename(tmp_path / "e2")
    folder.mkdir()
    (tmp_path / "e2").rename(folder / "events")
    (tmp_path / "archive").rename(folder / "archive")

    engine = opened(folder)
    try:
        assert numbers(engine) == [4]
        assert numbers(engine, NOW - timedelta(days=2)) == [4]
        assert numbers(engine, NOW - timedelta(days=20)) == [1, 2, 4]
        found = ask(
            engine,
            "SELECT log_offset AS o, rules, odd, toTypeName(f_EventID) AS t FROM events"
            " WHERE f_Image LIKE '%evil%' AND received_at < now64()",
            NOW - timedelta(days=20),
        )
        assert found == [{"o": 1, "rules": ["r"], "odd": 0, "t": "LowCardinality(String)"}]

        files = json.loads((folder / "archive" / "manifest.json").read_text())["files"]
        day = (NOW - old).strftime("%Y%m%d")
        assert [(each["file"], each["rows"]) for each in files] == [
            (f"{day}-d31.parquet", 1),
            (f"{day}-d92.parquet", 1),
        ]
        table = pyarrow.parquet.read_table(folder / "archive" / "events" / files[1]["file"])
        assert table.column("body").to_pylist() == ['{"Image":"C:\\\\EVIL.exe"}']
        assert table.column_names == list(schema.COLUMNS["events"])
        assert engine.forecast().archive_bytes == sum(each["bytes"] for each in files)

        put(engine, aged(5, old))  # it came late
        assert engine.upkeep.run(NOW, policy, idle=False)["archived"] == 1
        assert numbers(engine, NOW - timedelta(days=20)) == [1, 2, 4, 5]
        assert engine.upkeep.run(NOW + timedelta(days=21), policy, idle=False)["forgotten"] == 1
        assert numbers(engine, NOW - timedelta(days=20)) == [1, 4, 5]
    finally:
        engine.close()


@pytest.mark.parametrize("marked", [False, True])
def test_an_archiving_that_was_cut_short_is_undone_or_brought_to_its_end(
    tmp_path: Path, marked: bool
) -> None:
    engine = opened(tmp_path)
    put(engine, aged(1, timedelta(days=11)), aged(2, timedelta(days=1)))
    day = (NOW - timedelta(days=11)).strftime("%Y%m%d")
    assert engine.archive is not None
    engine.archive._write(day, 92, "1")
    if marked:
        (tmp_path / "archive" / "events" / f"{day}.whole").touch()
    engine.close()

    engine = opened(tmp_path)
    try:
        assert numbers(engine) == ([2] if marked else [1, 2])
        assert numbers(engine, NOW - timedelta(days=20)) == [1, 2]
        names = sorted(path.name for path in (tmp_path / "archive" / "events").iterdir())
        assert names == ([f"{day}-d92.parquet"] if marked else [])
    finally:
        engine.close()


def test_a_query_is_ended_when_it_is_cancelled_takes_too_long_or_needs_too_much(tmp_path: Path) -> None:
    engine = opened(tmp_path, Limits(seconds=0.5, rows=10, memory_bytes=64 << 20))
    try:
        with pytest.raises(QueryError, match=r"TIMEOUT"):
            ask(engine, "SELECT sum(sipHash64(number)) FROM numbers(100000000000)")
        with pytest.raises(QueryError, match="Limit for result"):
            ask(engine, "SELECT number FROM numbers(11)")
        with pytest.raises(QueryError, match=r"(?i)memory"):
            ask(engine, "SELECT length(groupArray(number)) FROM numbers(100000000)")
        engine.cancel("later")
        with pytest.raises(QueryError, match="cancelled before"):
            engine.query("SELECT 1", {}, None, "later")
        assert engine.query("SELECT 1 AS one", {}, None, "later")
        with pytest.raises(QueryError, match="not a name"):
            engine.query("SELECT 1", {}, None, "x'y")
    finally:
        engine.close()


def test_what_runs_is_ended_at_once_when_it_is_cancelled(engine: Engine) -> None:
    errors: list[str] = []

    def ask_long() -> None:
        try:
            engine.query("SELECT sum(sipHash64(number)) FROM numbers(100000000000)", {}, None, "long")
        except QueryError as error:
            errors.append(str(error))

    thread = threading.Thread(target=ask_long)
    thread.start()
    running = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'long'"
    wait_until(
        lambda: int(str(engine._keeper.command(running))) == 1,
        seconds=10,
        what="the query to run",
        every=0.02,
    )
    assert engine.cancel("long")
    thread.join(5)
    assert not thread.is_alive()
    assert "cancelled" in errors[0]


def test_a_truncated_part_is_set_aside_and_said_and_all_others_are_there(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    day = (NOW - timedelta(days=3)).strftime("%Y%m%d")
    put(engine, *(aged(number, timedelta(days=1)) for number in range(100)))
    put(engine, *(aged(number, timedelta(days=3)) for number in range(100, 200)))
    engine.close()
    truncate(tmp_path, day)

    engine = opened(tmp_path)
    try:
        assert numbers(engine) == list(range(100))
        assert (engine.forecast().damaged_parts, engine.damaged()) == (1, 1)
        (damage,) = engine.damages.look()
        assert (damage.table, damage.partition, damage.rows, damage.restored) == ("events", day, 100, 0)
        put(engine, aged(300, timedelta(days=3)))
        assert numbers(engine)[-1] == 300
    finally:
        engine.close()


def test_what_is_brought_back_of_a_damaged_part_is_noted_and_a_further_one_is_another_damage(
    tmp_path: Path,
) -> None:
    engine = opened(tmp_path)
    day = (NOW - timedelta(days=3)).strftime("%Y%m%d")
    put(engine, *(aged(number, timedelta(days=3)) for number in range(100)))
    engine.close()
    truncate(tmp_path, day)
    engine = opened(tmp_path)
    (damage,) = engine.damages.look()
    engine.damages.note_restored(damage.id, 1, 60)
    engine.damages.note_looked_through(damage.id, [0, 3, 31])
    assert engine.damaged() == 1
    put(engine, *(aged(number, timedelta(days=3)) for number in range(60)))
    engine.close()

    engine = opened(tmp_path)
    (noted,) = engine.damages.look()
    assert (noted.id, noted.restored, noted.looked_through) == (damage.id, 60, [0, 3, 31])
    engine.damages.note_restored(damage.id, 61, 40)
    assert engine.damaged() == 0
    assert engine.damages.look()[0].whole
    engine.close()

    truncate(tmp_path, day)
    engine = opened(tmp_path)
    try:
        (further,) = engine.damages.look()
        assert further.id != damage.id
        assert (len(further.parts), further.rows, further.restored) == (2, 160, 100)
        assert (further.looked_through, engine.damaged()) == ([], 2)
    finally:
        engine.close()


def test_a_day_is_not_archived_while_the_log_is_looked_through_for_its_damage(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    put(engine, *(aged(number, timedelta(days=3)) for number in range(100)))
    engine.close()
    truncate(tmp_path, (NOW - timedelta(days=3)).strftime("%Y%m%d"))
    engine = opened(tmp_path)
    policy = Policy(otherwise=92, archive_after=1)
    try:
        put(engine, *(aged(number, timedelta(days=3)) for number in range(60)))
        assert engine.upkeep.run(NOW, policy, idle=False)["archived"] == 0
        (damage,) = engine.damages.look()
        engine.damages.note_looked_through(damage.id, ALL)
        assert engine.upkeep.run(NOW, policy, idle=False)["archived"] == 1
        assert numbers(engine, NOW - timedelta(days=20)) == list(range(60))
    finally:
        engine.close()


def test_a_damaged_part_that_does_not_say_how_much_it_held_is_never_whole(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    put(engine, *(aged(number, timedelta(days=3)) for number in range(100)))
    engine.close()
    part = truncate(tmp_path, (NOW - timedelta(days=3)).strftime("%Y%m%d"))
    (part / "count.txt").write_bytes(b"\x00\xff")
    engine = opened(tmp_path)
    try:
        (damage,) = engine.damages.look()
        engine.damages.note_restored(damage.id, 1, 1_000)
        assert (damage.rows, engine.damaged()) == (None, 1)
    finally:
        engine.close()


def truncate(folder: Path, day: str) -> Path:
    """Half of the data of the day's only part is lost."""
    (data,) = (
        path
        for path in (folder / "events" / "store").rglob(f"{day}_*/data.bin")
        if path.parent.parent.name != "detached"
    )
    os.truncate(data, data.stat().st_size // 2)
    return data.parent


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_an_archived_day_that_cannot_be_read_is_set_aside_and_said_and_all_others_are_there(
    tmp_path: Path, known: bool
) -> None:
    engine = opened(tmp_path)
    put(engine, aged(1, timedelta(days=12)), aged(2, timedelta(days=11)), aged(3, timedelta(days=1)))
    assert engine.upkeep.run(NOW, Policy(otherwise=92, archive_after=10), idle=False)["archived"] == 2
    engine.close()
    first = min((tmp_path / "archive" / "events").glob("*.parquet"))
    os.truncate(first, first.stat().st_size // 2)
    if not known:
        (tmp_path / "archive" / "manifest.json").unlink()

    engine = opened(tmp_path)
    try:
        assert numbers(engine, NOW - timedelta(days=20)) == [2, 3]
        assert engine.forecast().damaged_parts == 1
        assert first.with_name(f"{first.name}.damaged").exists()
        manifest = json.loads((tmp_path / "archive" / "manifest.json").read_text())
        assert [each["rows"] for each in manifest["files"]] == [1]
    finally:
        engine.close()


def test_a_full_disk_refuses_inserts_and_takes_them_again_when_there_is_room(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(folder)], check=True)
    try:
        engine = Engine(Embedded(folder / "events", tmp_path / "spill"))
        kept = 0
        padding = folder / "padding"
        with padding.open("wb") as file:
            try:
                while file.write(os.urandom(1 << 20)):
                    file.flush()
            except OSError:
                pass
        rows = [event(number, body=json.dumps({"x": os.urandom(200).hex()})) for number in range(2_000)]
        with pytest.raises(StoreError, match=r"(?i)space|NOT_ENOUGH"):
            put(engine, *rows)
        assert numbers_of(engine) == kept
        padding.unlink()
        put(engine, *rows)
        assert numbers_of(engine) == 2_000
        engine.close()
        engine = Engine(Embedded(folder / "events", tmp_path / "spill"))
        assert numbers_of(engine) == 2_000
        engine.close()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def numbers_of(engine: Engine) -> int:
    return int(ask(engine, "SELECT count() AS n FROM events")[0]["n"])


def test_the_forecast_says_how_long_the_disk_lasts(engine: Engine) -> None:
    now = datetime.now(UTC)
    assert engine.forecast().days_left is None
    put(engine, *(event(n, received_at=(now - timedelta(days=1 + n % 2)).timestamp()) for n in range(24)))

    said = engine.forecast()

    assert said.events == 24
    assert said.bytes_a_day == pytest.approx(said.events_bytes / 2)
    assert said.days_left == pytest.approx(said.free_bytes / said.bytes_a_day)


def test_every_statement_for_a_cluster_is_one_that_the_engine_reads(engine: Engine) -> None:
    cluster = Server("http://ch1:8123/vonggac", cluster="soc")
    statements = [
        *schema.create(cluster),
        schema.insert_select("events", ""),
        schema.insert_select("metrics", ""),
    ]
    table = schema.stored(cluster, "events") + schema.on_cluster(cluster)
    statements += [
        f"ALTER TABLE {table} DROP PARTITION ID '2026112205'",
        f"ALTER TABLE {table} MATERIALIZE INDEX by_text IN PARTITION ID '2026112205' SETTINGS mutations_sync = 2",
        f"ALTER TABLE {table} DELETE IN PARTITION ID '2026112205' WHERE agency_id IN (1) SETTINGS mutations_sync = 2",
        f"DELETE FROM {table} IN PARTITION ID '2026112205' WHERE log_offset > 5 SETTINGS lightweight_deletes_sync = 2",
        f"SELECT count() FROM {schema.everywhere(cluster, 'system.parts')}",
    ]
    for statement in statements:
        text = statement.removesuffix(" FORMAT ArrowStream")
        read = engine._keeper.command("SELECT formatQuerySingleLine({sql:String})", parameters={"sql": text})
        assert read, statement
        if statement.startswith("CREATE"):
            assert "ON CLUSTER" in statement
            assert "ReplicatedMergeTree" in statement or "Distributed" in statement
    assert METRIC_SCHEMA.names == list(schema.COLUMNS["metrics"])
