"""The ingest process killed with -9 while agents send, and started again."""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from collector.log.sqlite_reader import SqliteReader
from collector.partitions import all_from
from tests.support.collector import make_site, send_batch
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.collector import Endpoint

SENDERS = 6
BATCHES_EACH = 150


class Sender(threading.Thread):
    """An agent that repeats a batch until it is acknowledged, over connections that break."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self.acknowledged: list[int] = []
        self.attempts = 0
        self.unexpected: list[int] = []

    def run(self) -> None:
        connection = self._endpoint.connect()
        for number in range(1, BATCHES_EACH + 1):
            while not self._send(connection, number):
                connection.close()
        connection.close()

    def _send(self, connection: http.client.HTTPSConnection, number: int) -> bool:
        self.attempts += 1
        try:
            status = send_batch(connection, number).status
        except (OSError, http.client.HTTPException):
            return False
        if status == 202:
            self.acknowledged.append(number)
            return True
        self.unexpected.append(status)
        return status not in (429, 503)


# A reset between TCP's connect and TLS's first byte makes CPython's SSLSocket._create raise without closing itself:
# what that socket is until the collector of garbage takes it is not this test's matter.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.e2e
def test_what_was_acknowledged_survives_kill_9_and_nothing_is_there_twice(tmp_path: Path) -> None:
    site = make_site(tmp_path / "data")
    senders = [Sender(site.enrol(tmp_path / f"endpoint-{number}")) for number in range(SENDERS)]
    process = site.start_ingest()
    for sender in senders:
        sender.start()

    for round_ in range(1, 4):
        goal = round_ * SENDERS * BATCHES_EACH // 4

        def reached(goal: int = goal) -> bool:
            return sum(len(sender.acknowledged) for sender in senders) >= goal

        wait_until(reached, seconds=60, what=f"{goal} acknowledged batches", every=0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = site.start_ingest()
    for sender in senders:
        sender.join(60)
        assert not sender.is_alive()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0

    with contextlib.closing(SqliteReader(site.data.log)) as reader:
        rows = reader.read(all_from(0), 10 * SENDERS * BATCHES_EACH)
    stored = Counter((row.endpoint_id, row.seq) for row in rows)
    assert stored == Counter(
        (sender._endpoint.id, number) for sender in senders for number in range(1, BATCHES_EACH + 1)
    )
    assert [row.offset for row in rows] == sorted({row.offset for row in rows})
    assert all(sender.unexpected == [] for sender in senders)
    assert sum(sender.attempts for sender in senders) > SENDERS * BATCHES_EACH, "the kills disturbed nobody"
    site.state.close()
