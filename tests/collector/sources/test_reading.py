"""Probes' reports out of a real event store, also where somebody fills it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from collector.sources.reading import Forms, read_forms, read_reports
from collector.store.rows import EventRow
from tests.collector.store.test_store import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.store.client import StoreClient

T0 = 1_795_316_400.0


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    made = Process(tmp_path_factory.mktemp("store"))
    yield made
    made.end(signal.SIGTERM)
    made.client.close()


@pytest.fixture
def store(process: Process) -> StoreClient:
    process.client.rewind(dict.fromkeys(range(33), 0))
    return process.client


class Rows:
    """Events as workers write them, each of a number of its own."""

    def __init__(self) -> None:
        self.made: list[EventRow] = []

    def add(self, endpoint: str, body: Any, *, at: float = T0, agency: int = 3, **changes: Any) -> None:
        number = len(self.made) + 1
        text = body if isinstance(body, bytes) else msgspec.json.encode(body)
        values: dict[str, Any] = {
            "product": "probe", "category": "syslog_source", "service": "", "simulated": False, "rules": [], **changes
        }  # fmt: skip
        self.made.append(
            EventRow(
                event_id=f"event-{number}",
                time=at,
                received_at=at,
                log_offset=number,
                endpoint_id=endpoint,
                agency_id=agency,
                body=text,
                **values,
            )
        )

    def report(self, endpoint: str, address: str, *, at: float = T0, agency: int = 3, **said: Any) -> None:
        source = {"messages": 6, "seconds": 60.0, "last_at": at, "transport": "tcp", **said}
        body = {"observer.ip": address, "log.syslog.hostname": "fw", "syslog_source": source}
        self.add(endpoint, body, at=at, agency=agency)

    def message(self, endpoint: str, address: str, form: str = "", *, agency: int = 3) -> None:
        body = {"observer.ip": address, "message": "x", **({"log.format": form} if form else {})}
        self.add(endpoint, body, agency=agency, product="", category="syslog")


def test_no_endpoints_reports_take_the_place_of_anothers(store: StoreClient) -> None:
    rows = Rows()
    for number in range(11_000):
        rows.report("hostile", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", messages=10**9)
    rows.report("honest", "192.0.2.1", agency=4)
    store.insert_events(rows.made)
    found = read_reports(store, T0 - 60, T0 + 60)
    assert [each.address for each in found if each.agency_id == 4] == ["192.0.2.1"]
    assert len(found) == 501


def test_several_reports_of_one_device_are_its_times_in_order(store: StoreClient) -> None:
    rows = Rows()
    for minute in (3, 1, 2):
        rows.report("probe", "::ffff:192.0.2.1", at=T0 + 60 * minute)
    rows.report("probe", "192.0.2.2", at=T0 + 10_000)
    store.insert_events(rows.made)
    [found] = read_reports(store, T0, T0 + 600)
    assert (found.address, found.probe_id, found.hostname, found.transport) == (
        "192.0.2.1",
        "probe",
        "fw",
        "tcp",
    )
    assert found.times == [T0 + 60, T0 + 120, T0 + 180]
    assert (found.messages, found.seconds) == (18, 180.0)


def test_reports_that_make_no_sense_are_passed_over(store: StoreClient) -> None:
    rows = Rows()
    for text in (
        "",
        "[]",
        "null",
        '"x"',
        '{"observer.ip": 5}',
        '{"observer.ip": "192.0.2.1", "syslog_source": []}',
    ):
        rows.add("probe", text.encode())
    wrong: tuple[tuple[str, Any], ...] = (
        ("messages", "x"), ("messages", 1e300), ("messages", -5), ("messages", 0), ("messages", None),
        ("messages", 10**10), ("last_at", -1), ("last_at", 1e300), ("last_at", "x"), ("last_at", []),
    )  # fmt: skip
    for name, value in wrong:
        rows.report("probe", "192.0.2.1", **{name: value})
    for address in ("192.0.2.9\0", "192.0.2.9\ufffd", "010.0.0.1", "fw", "", "192.0.2.9/32", "1" * 300):
        rows.report("probe", address)
    rows.add("probe", b'{"observer.ip": "\\ud800", "syslog_source": {"messages": 1, "last_at": 5}}')
    rows.report("probe", "192.0.2.3", transport="x" * 5_000)
    rows.report("probe", "192.0.2.4", transport="\u202egnp", seconds=1e300, last_at=T0 + 9e9)
    store.insert_events(rows.made)
    [found] = read_reports(store, T0 - 60, T0 + 60)
    assert (found.address, found.transport, found.seconds, found.times) == (
        "192.0.2.4",
        "",
        86_400.0,
        [T0 + 60],
    )


def test_of_every_endpoints_messages_some_are_looked_at(store: StoreClient) -> None:
    rows = Rows()
    for _ in range(3_000):
        rows.message("loud", "192.0.2.1", "cef")
    for form in ("fortigate", "fortigate", ""):
        rows.message("quiet", "192.0.2.2", form, agency=4)
    store.insert_events(rows.made)
    found = read_forms(store, T0 - 60, T0 + 60)
    assert found == {
        (3, "192.0.2.1"): Forms(50, 50, "cef", 50),
        (4, "192.0.2.2"): Forms(3, 2, "fortigate", 2),
    }
