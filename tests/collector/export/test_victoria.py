"""The exporter against a real VictoriaMetrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.export.exporter import Exporter
from collector.export.lines import LabelBook
from collector.export.sender import Sender
from collector.export.spool import SpoolReader, SpoolWriter
from collector.metrics import ExportMetrics
from collector.settings import Metrics
from collector.store.rows import MetricRow
from tests.collector.export.test_spool import PLENTY
from tests.collector.pipeline import add_agency, add_endpoint
from tests.support.state import new_state
from tests.support.victoria import Victoria

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BEGAN = 1_795_000_000.0
HOUR, STEP = 3600, 10


class Site:
    """A spool, an exporter on a clock of the test's, and a VictoriaMetrics that is not started."""

    def __init__(self, folder: Path) -> None:
        self.victoria = Victoria(folder / "victoria")
        self.state = new_state(folder)
        agency = add_agency(self.state)
        for number in range(3):
            add_endpoint(self.state, f"ep-{number}", agency)
        self.folder = folder / "export"
        self.writer = SpoolWriter(self.folder, "detect-1", PLENTY)
        self.sender = Sender(Metrics(export_url=self.victoria.url))
        self.metrics = ExportMetrics()
        self.clock = 0.0
        self.exporter = self.restart()
        self.offset = 0

    def restart(self) -> Exporter:
        self.exporter = Exporter(
            SpoolReader(self.folder),
            self.sender,
            LabelBook(self.state),
            self.metrics,
            batch_points=500,
            pause_seconds=2,
            now=lambda: self.clock,
        )
        return self.exporter

    def work(self, second: int) -> None:
        """What a worker does in the second: a point of each of three endpoints."""
        self.offset += 1
        self.writer.put(
            [
                MetricRow(
                    f"ep-{number}", "host.cpu_used_ratio", BEGAN + second, float(second), "ratio",
                    log_offset=self.offset, partition=number,
                )
                for number in range(3)
            ],
            {0: 1, 1: 1, 2: 1},
        )  # fmt: skip

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"vonggac_export_{name}", labels) or 0.0

    def expected(self, seconds: Iterable[int]) -> dict[tuple[str, ...], list[tuple[int, float]]]:
        return {
            (
                "vonggac_host_cpu_used_ratio",
                "agency=so-tai-chinh",
                f"endpoint=ep-{number}",
                f"host=host-ep-{number}",
            ): [(int((BEGAN + second) * 1000), float(second)) for second in seconds]
            for number in range(3)
        }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.writer.close()
    made.sender.close()
    made.victoria.stop()


def test_an_hour_away_loses_nothing_and_doubles_nothing(site: Site) -> None:
    """The hour is the test's clock: as many turns as an hour has, at the pauses that the exporter asks for, against a
    server that is stopped. Nothing of the server tells an hour from a second."""
    site.victoria.start()
    for second in range(0, 60, STEP):
        site.work(second)
    assert site.exporter.turn() == 2
    site.victoria.stop()

    due, turns = 0.0, 0
    for second in range(60, 60 + HOUR, STEP):
        site.work(second)
        site.clock = float(second)
        if site.clock >= due:
            due = site.clock + site.exporter.turn()
            turns += 1
    away = site.value("spool_bytes")
    site.restart()  # the exporter may die meanwhile
    site.victoria.start()
    site.clock = due
    site.exporter.turn()

    assert 100 < turns < 200  # it came to ask every 30 seconds, not every two
    assert away > 10_000
    assert site.value("lag_seconds") == 0
    assert site.value("points_total") == 3 * (60 + HOUR) / STEP
    assert site.value("failures_total", reason="connection") == turns
    assert site.value("dropped_points_total") == site.value("refused_points_total") == 0
    assert site.victoria.series() == site.expected(range(0, 60 + HOUR, STEP))


def test_lag_is_told_while_the_store_is_away(site: Site) -> None:
    site.work(0)
    site.exporter.turn()
    site.clock = 900.0
    site.exporter.turn()

    assert site.value("lag_seconds") == 900
    assert site.value("spool_bytes") > 0


def test_a_spool_cut_off_in_the_middle_of_sending_goes_on_where_it_was(site: Site) -> None:
    site.victoria.start()
    for second in range(500):
        site.work(second)
    stops = iter([False, True])
    site.exporter._stopping = lambda: next(stops, True)
    site.exporter.turn()
    sent = site.value("points_total")

    site.restart().turn()

    assert 0 < sent < 1500
    assert site.value("points_total") == 1500
    assert site.victoria.series() == site.expected(range(500))
