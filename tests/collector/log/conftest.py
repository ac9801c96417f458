"""The durable logs that the contract is tested on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats
import nats.js.errors
import pytest

from collector.log.jetstream.stream import NAME
from collector.log.opening import open_reader, open_writer, prepare_log
from collector.partitions import all_from
from collector.settings import DataDirectory, Ingest, Log, Settings
from tests.support.nats import NatsServer, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.log.interface import LogReader, LogWriter


@dataclass
class Place:
    """A log to open as the processes do; what a test opens is closed after it."""

    data: DataDirectory
    settings: Settings
    _opened: list[LogReader | LogWriter] = field(default_factory=list)

    def prepare(self, checkpoint: int = 0) -> bool:
        return prepare_log(self.settings, self.data, all_from(checkpoint))

    def writer(self) -> LogWriter:
        writer = open_writer(self.settings, self.data)
        self._opened.append(writer)
        return writer

    def reader(self) -> LogReader:
        reader = open_reader(self.settings, self.data)
        self._opened.append(reader)
        return reader

    def close(self) -> None:
        for opened in reversed(self._opened):
            opened.close()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    if program() is None:
        pytest.skip("nats-server is not on this machine: apt-get install nats-server")
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


async def _remove_stream(url: str) -> None:
    client = await nats.connect(url)
    try:
        await client.jetstream().delete_stream(NAME)
    except nats.js.errors.NotFoundError:
        pass
    finally:
        await client.close()


@pytest.fixture
def jetstream(tmp_path: Path, nats_server: NatsServer) -> Iterator[Place]:
    """A log on JetStream, empty and not yet prepared."""
    asyncio.run(_remove_stream(nats_server.url))
    settings = Settings(
        ingest=Ingest(queue_bytes=256 << 20), log=Log(url=nats_server.url, replicas=1, max_bytes=1 << 30)
    )
    place = Place(DataDirectory(tmp_path), settings)
    yield place
    place.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Place]:
    """A log on SQLite, not yet prepared."""
    place = Place(DataDirectory(tmp_path), Settings(ingest=Ingest(queue_bytes=256 << 20, reserve_bytes=0)))
    yield place
    place.close()


@pytest.fixture(params=["sqlite", "jetstream"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each log in turn, empty and prepared."""
    made: Place = request.getfixturevalue(request.param)
    made.prepare()
    return made


@pytest.fixture
def writer(place: Place) -> LogWriter:
    return place.writer()


@pytest.fixture
def reader(place: Place, writer: LogWriter) -> LogReader:
    return place.reader()
