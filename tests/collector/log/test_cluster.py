"""Three replicas on three servers: one of them killed, or cut off, under load."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.detect.streams import Came, StreamState, digest_of
from tests.support.nats_cluster import NatsCluster, possible
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not possible(), reason="network namespaces and nats-server are needed"),
]

_HERE = Path(__file__).parent
_ENDPOINTS = 20


@dataclass
class Far:
    """A program in the clients' namespace, with the lines that it has said."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            (self.complaints if line.startswith("!") else self.lines).append(line.strip())

    def finish(self, seconds: float) -> list[str]:
        """Let it end; all that it said, in order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        wait_until(lambda: self.lines and self.lines[-1] == "end", seconds=seconds, what="the end")
        assert self.process.wait(10) == 0
        return self.lines[:-1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    made = NatsCluster(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def reader(cluster: NatsCluster) -> Far:
    far = Far(cluster.client(str(_HERE / "far_reader.py"), cluster.url))
    wait_until(lambda: far.lines, seconds=90, what="the stream to be made")
    return far


@pytest.fixture
def sender(cluster: NatsCluster, reader: Far) -> Far:
    far = Far(cluster.client(str(_HERE / "far_sender.py"), cluster.url, str(_ENDPOINTS)))
    wait_until(lambda: len(far.lines) > 200, seconds=60, what="the first acknowledgements")
    return far


def leader_of(cluster: NatsCluster) -> int:
    found = wait_until(cluster.stream_leader, seconds=60, what="the stream's leader")
    assert found is not None
    return found


def goes_on(far: Far, more: int = 500, seconds: float = 90) -> None:
    begun = len(far.lines)
    wait_until(lambda: len(far.lines) > begun + more, seconds=seconds, what="more of it")


def assert_all_is_there_once(sender: Far, reader: Far) -> None:
    """As the worker takes it. The log itself may have a batch twice that was sent again in the very moment in which
    the stream's leader changed: the new one does not know yet what the old one was about to store."""
    acknowledged = sender.finish(60)
    got = [line.split() for line in reader.finish(120)[1:]]
    streams: dict[str, StreamState] = {}
    taken: dict[str, list[int]] = {}
    for endpoint, number, body in got:
        assert body == f"{endpoint}/{number}"
        came = streams.setdefault(endpoint, StreamState()).take(int(number), digest_of(body.encode()))
        assert came in {Came.FRESH, Came.REPEATED}
        if came is Came.FRESH:
            taken.setdefault(endpoint, []).append(int(number))

    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in taken.values())
    for line in acknowledged:
        endpoint, number = line.split()
        assert int(number) <= len(taken[endpoint])
    assert len(got) - sum(map(len, taken.values())) <= len(got) / 10


def test_the_streams_leader_killed_twice_loses_nothing_and_doubles_nothing(
    cluster: NatsCluster, sender: Far, reader: Far
) -> None:
    for _ in range(2):
        leader = leader_of(cluster)
        cluster.kill(leader)
        goes_on(sender)
        goes_on(reader)
        cluster.start_node(leader)
        goes_on(sender)
    assert_all_is_there_once(sender, reader)


def test_a_leader_cut_off_from_the_others_and_back_loses_nothing_and_doubles_nothing(
    cluster: NatsCluster, sender: Far, reader: Far
) -> None:
    leader = leader_of(cluster)
    cluster.network.unplug(leader)
    goes_on(sender)
    goes_on(reader)
    cluster.network.plug_in(leader)
    goes_on(sender)
    goes_on(reader)
    assert_all_is_there_once(sender, reader)


def test_without_a_majority_nothing_is_acknowledged_and_it_recovers_by_itself(
    cluster: NatsCluster, sender: Far, reader: Far
) -> None:
    leader = leader_of(cluster)
    others = [node for node in (1, 2, 3) if node != leader]
    for node in others:
        cluster.network.unplug(node)
    wait_until(lambda: sender.complaints, seconds=60, what="the sender to be refused")
    acknowledged = len(sender.lines)
    wait_until(lambda: reader.complaints, seconds=60, what="the reader to know that it knows nothing")
    assert len(sender.lines) == acknowledged
    for node in others:
        cluster.network.plug_in(node)
    goes_on(sender)
    assert_all_is_there_once(sender, reader)
