"""``/metrics`` and ``/pulse``: what all processes say of themselves, by one port."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from collector.health import Heartbeat
from collector.machine import machine_name
from collector.metrics import DetectMetrics, StoreMetrics
from collector.state.tables import ProcessHealth, WatchState
from collector.watch.record import PULSE
from soc_api.app import assemble

if TYPE_CHECKING:
    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn


def client(services: Services) -> TestClient:
    return TestClient(assemble(services), base_url="https://localhost", client=("127.0.0.1", 5))


def families(services: Services) -> dict[str, Any]:
    answer = client(services).get("/metrics")
    assert answer.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def beat(services: Services, kind: str, name: str, metrics: DetectMetrics | StoreMetrics) -> Heartbeat:
    heartbeat = Heartbeat(services.state, services.data, kind=kind, name=name, registry=metrics.registry)
    heartbeat.beat()
    return heartbeat


def test_every_process_is_in_one_answer_with_its_name(services: Services) -> None:
    first, second, store = DetectMetrics(), DetectMetrics(), StoreMetrics()
    first.events.inc(5)
    second.events.inc(7)
    with store.insert_seconds.labels("events").time():
        pass
    beat(services, "detect", "detect-1", first)
    beat(services, "detect", "detect-2", second)
    beat(services, "store", "store", store)

    found = families(services)

    events = {each.labels["process"]: each.value for each in found["vonggac_detect_events"].samples}
    assert events == {"detect-1": 5, "detect-2": 7}
    assert {each.labels["machine"] for each in found["vonggac_detect_events"].samples} == {machine_name()}
    inserts = {each.name: each.value for each in found["vonggac_store_insert_seconds"].samples}
    assert inserts["vonggac_store_insert_seconds_count"] == 1
    started = {each.labels["process"] for each in found["process_start_time_seconds"].samples}
    assert started == {"detect-1", "detect-2", "store"}
    assert found["vonggac_machine_disk_free_bytes"].samples[0].value > 0
    assert found["vonggac_state_up"].samples[0].value == 1


def test_a_process_that_left_is_gone_and_one_that_is_late_only_says_when_it_was_heard(
    services: Services,
) -> None:
    beat(services, "detect", "detect-1", DetectMetrics()).leave()
    beat(services, "detect", "detect-2", DetectMetrics())
    with services.state.write() as session:
        row = session.get(ProcessHealth, f"{machine_name()}/detect-2")
        assert row is not None
        row.beat_at -= timedelta(seconds=300)

    found = families(services)

    assert "vonggac_detect_events" not in found
    beats = found["vonggac_process_beat_timestamp_seconds"].samples
    assert [each.labels["process"] for each in beats] == ["detect-2"]


def test_the_web_processs_own_requests_are_counted_by_route(services: Services, signed_in: SignedIn) -> None:
    browser = signed_in("officer")
    browser.get("/api/v1/rules?limit=1")
    browser.get("/nowhere/at/all")
    browser.request("BREW", "/coffee")

    requests = families(services)["vonggac_web_requests"].samples
    counted = {(each.labels["method"], each.labels["route"], each.labels["status"]) for each in requests}

    assert ("GET", "/api/v1/rules", "200") in counted
    assert ("GET", "*", "404") in counted
    assert not any("nowhere" in route for _, route, _ in counted)
    assert not any(method == "BREW" for method, _, _ in counted)


def test_names_and_units_keep_prometheus_conventions(services: Services) -> None:
    """https://prometheus.io/docs/practices/naming/: one prefix, base units, ``_total`` for what only rises."""
    for kind, name, metrics in (("detect", "detect-1", DetectMetrics()), ("store", "store", StoreMetrics())):
        beat(services, kind, name, metrics)

    found = families(services)

    for name, family in found.items():
        assert re.fullmatch(r"(vonggac|process)_[a-z0-9_]+", name), name
        assert family.documentation, name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|days|kb|mb|percent)(_|$)", name), name
        assert not name.endswith("_total"), name  # the parser takes it off counters; a gauge must not have it
        for sample in family.samples:
            assert (sample.name == f"{name}_total") == (family.type == "counter"), sample.name


@pytest.mark.parametrize(("age", "status"), [(5, 200), (59, 200), (61, 503), (-86_400, 503)])
def test_the_pulse_is_there_while_the_collector_looks_at_itself(
    services: Services, age: float, status: int
) -> None:
    at = services.clock() - timedelta(seconds=age)
    with services.state.write() as session:
        session.add(WatchState(concern=PULSE, subject="", state="ok", since=at, looked_at=at, detail={}))

    assert client(services).get("/pulse").status_code == status


def test_there_is_no_pulse_before_the_first_look(services: Services) -> None:
    answer = client(services).get("/pulse")

    assert answer.status_code == 503
    assert answer.json() == {"alive": False, "age_seconds": None}
