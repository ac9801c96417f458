"""The same engine on a ClickHouse server: what our client sends, answered by the real engine over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from collector.errors import CollectorError
from collector.settings import DataDirectory, Events
from collector.store.engine import Engine
from collector.store.errors import FencedError, QueryError, StoreUnavailableError
from collector.store.place import Server, place_of
from collector.store.rows import encode, events_table
from tests.collector.store.test_store import event
from tests.support.clickhouse import clickhouse_server

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_holds_events_as_the_embedded_store_does_and_fences_every_writer(tmp_path: Path) -> None:
    with clickhouse_server(tmp_path / "server") as url:
        one, other = Engine(Server(url)), Engine(Server(url))
        one.insert("events", encode(events_table([event(1), event(2), event(3, partition=7)])), {7: 3})
        assert json.loads(other.query("SELECT count() AS n FROM events WHERE f_User = 'nguyễn'", {})) == [
            {"n": 3}
        ]
        with pytest.raises(QueryError):
            other.query("DROP TABLE events", {})
        batches = list(one.export("events", one.partitions("events")[0]))
        assert sum(batch.num_rows for batch in batches) == one.count("events", "20231114") == 3

        assert one.rewind({0: 1, 7: 2}, {7: 4}) == 2
        late = encode(events_table([event(4, partition=7)]))
        with pytest.raises(FencedError, match="epoch 4"):
            other.insert("events", late, {7: 3})
        # A gateway that was stopped between its own look and the insert: the server itself refuses.
        other._writer._fence._highest.clear()
        other._writer._fence._read = lambda: None  # type: ignore[method-assign]
        with pytest.raises(FencedError, match="taken over"):
            other.insert("events", late, {7: 3})
        assert one.count("events", "20231114") == 1
        assert one.forecast().events == 3  # as many as were written: what was deleted is still on disk
        one.drop("events", "20231114")
        assert one.partitions("events") == []
        one.close()

    with pytest.raises(StoreUnavailableError):
        other.insert("events", late)
    other.close()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        Engine(Server(url))


def test_settings_name_the_server_and_never_its_password(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("p@ss:word\n")

    place = place_of(
        Events(url="https://soc@ch1:8443/events", cluster="soc", password_file=str(secret)), data
    )

    assert place == Server("https://soc@ch1:8443/events", "soc", "p@ss:word")
    assert "p@ss" not in repr(place)
    for wrong in ("ch1:8123", "tcp://ch1", "http://u:secret@ch1:8123/x"):
        with pytest.raises(CollectorError, match=r"\[events\] url"):
            place_of(Events(url=wrong), data)
    with pytest.raises(CollectorError, match="password_file"):
        place_of(Events(url="http://ch1", password_file=str(tmp_path / "none")), data)
