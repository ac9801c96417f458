"""The use of leased lines out of a real event store."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from collector.links.lines import METRICS, Lines
from collector.services.models import Probed
from collector.settings import Availability
from collector.store.rows import MetricRow
from tests.collector.store.test_store import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.store.client import StoreClient

NOW = 1_795_316_400.0
LINE = {"device": "rt-1", "interface": "Gi0/0 'x'", "received_bits": 100e6, "sent_bits": 50e6}


@pytest.fixture
def store(tmp_path: Any) -> Iterator[StoreClient]:
    made = Process(tmp_path / "store")
    yield made.client
    made.end(signal.SIGTERM)
    made.client.close()


def measured(
    endpoint: str, interface: str, received: float, sent: float, *, simulated: bool = False
) -> list[MetricRow]:
    """In bits a second, every five minutes of the last quarter of an hour."""
    return [
        MetricRow(
            time=NOW - 5 - 300 * back,
            log_offset=1,
            endpoint_id=endpoint,
            name=METRICS[direction],
            value=bits / 8,
            unit="bytes",
            attributes={"device": "rt-1", "interface": interface},
            simulated=simulated,
        )
        for back in range(3)
        for direction, bits in (("received", received), ("sent", sent))
    ]


def test_a_line_is_measured_by_its_own_interface_as_its_own_probe_tells_it(store: StoreClient) -> None:
    interface = str(LINE["interface"])
    rows = [
        *measured("probe-1", interface, 20e6, 48e6),
        *measured("probe-1", "Gi0/1", 99e6, 99e6),
        *measured("probe-2", interface, 10e6, 5e6),
        *measured("probe-3", interface, 99e6, 49e6, simulated=True),
    ]
    store.insert_metrics(rows)
    links = [
        Probed(f"probe-{agency}", agency, "link", "tslcd", {"line": LINE}, fresh=agency != 4)
        for agency in (1, 2, 3, 4)
    ]
    found = {each.subject_id: each for each in Lines(Availability()).verdicts(links, {}, store, NOW)}
    assert {agency: each.state for agency, each in found.items()} == {
        1: "busy",
        2: "free",
        3: "unknown",
        4: "unknown",
    }
    assert (found[1].fields["direction"], found[1].fields["used_ratio"]) == ("sent", 0.96)
    assert found[2].detail["lines"][0]["received_ratio"] == 0.1
