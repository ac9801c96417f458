from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.enrolment.files import ensure_server_certificate, make_authority
from collector.exposition import Exposition
from collector.health import Heartbeat
from collector.machine import ClockGuard, Machine, read_synchronisation, since_boot
from collector.metrics import DetectMetrics
from collector.settings import DataDirectory
from collector.state.base import utcnow
from collector.state.database import StateStore

if TYPE_CHECKING:
    from pathlib import Path


class Clocks:
    wall, steady = 1_795_000_000.0, 500.0

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_a_clock_that_was_set_is_told_for_an_hour_and_one_that_is_slewed_is_not() -> None:
    clocks = Clocks()
    guard = ClockGuard(lambda: clocks.wall, lambda: clocks.steady)
    clocks.sleep(100)
    clocks.wall += 0.4
    assert (guard.look(), guard.jump, guard.since_jump) == (0.0, 0.0, float("inf"))

    clocks.wall -= 86_400
    assert guard.look() == pytest.approx(-86_400)
    assert guard.look() == 0.0
    clocks.sleep(3599)
    assert guard.jump == pytest.approx(-86_400)
    clocks.sleep(2)
    assert guard.jump == 0.0
    assert guard.since_jump == 3601


def test_the_kernel_says_whether_its_clock_is_synchronised() -> None:
    said = read_synchronisation()

    assert said is not None
    assert 0 <= said.error_seconds < 10_000


def test_time_since_boot_goes_forward() -> None:
    first = since_boot()

    assert 0 < first <= since_boot()


def test_a_machine_tells_its_disk_and_when_its_certificates_end(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.create()
    now = utcnow()
    ensure_server_certificate(data.ca, make_authority(data.ca, now), [], now)

    said = Machine(data).figures()

    assert said["disk_size_bytes"] == shutil.disk_usage(tmp_path).total
    assert said["clock_jump_seconds"] == 0
    assert now.timestamp() < said["certificates"]["server"] <= said["certificates"]["ca"]


def test_without_the_state_store_a_process_still_tells_its_own_figures_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = StateStore(tmp_path / "state.db")  # without its tables
    data = DataDirectory(tmp_path)
    metrics = DetectMetrics()
    metrics.events.inc(3)
    heartbeat = Heartbeat(state, data, kind="detect", name="detect-1", registry=metrics.registry)

    heartbeat.beat()
    heartbeat.beat()
    heartbeat.leave()
    text = prometheus_client.generate_latest(
        Exposition(state, metrics.registry, "detect-1").registry()
    ).decode()
    state.close()

    found = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert found["vonggac_state_up"][0].value == 0
    assert found["vonggac_detect_events"][0].value == 3
    assert [record.message for record in caplog.records].count("the sign of life cannot be written") == 1
