"""What neighbour tables make of devices, through the whole worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.devices.keeping import forget, refresh
from collector.state.tables import Alert, Device, EndpointMac, IpBinding
from tests.collector.pipeline import NOW, T0, Pipeline, add_agency, add_endpoint, document

if TYPE_CHECKING:
    from pathlib import Path

PRINTER = "00:1b:a9:00:00:01"
LAPTOP = "3c:52:82:00:00:02"
ROUTER = "00:1d:aa:00:00:03"
DAY = 86_400


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    made = Pipeline(tmp_path)
    add_endpoint(made.state, "ep-2", made.agency_id)
    return made


def neighbours(*pairs: tuple[str, str], interface: str = "eth0") -> dict[str, Any]:
    entries = [{"ip": ip, "mac": mac, "interface": interface} for ip, mac in pairs]
    return document("neighbours", {"entries": entries})


def devices(pipeline: Pipeline) -> dict[str, Device]:
    with pipeline.state.read() as session:
        return {device.mac: device for device in session.scalars(select(Device))}


def test_the_first_look_is_the_baseline_and_later_a_new_mac_is_news(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[neighbours(("10.0.0.5", PRINTER))])
    pipeline.work()
    pipeline.clock.seconds = T0 + 2 * DAY
    pipeline.batch(documents=[neighbours(("10.0.0.5", PRINTER), ("10.0.0.6", LAPTOP))])
    pipeline.work()
    first, second = (fields["device"] for fields in pipeline.store.of("device"))
    assert (first["mac"], first["baseline"], first["agency_known_devices"]) == (PRINTER, True, 0)
    assert (second["mac"], second["baseline"], second["agency_known_devices"]) == (LAPTOP, False, 1)
    assert second["first_seen"] == T0 + 2 * DAY


def test_a_new_watchers_first_table_is_baseline_too(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[neighbours(("10.0.0.5", PRINTER))])
    pipeline.work()
    pipeline.clock.seconds = T0 + 2 * DAY
    pipeline.batch(endpoint_id="ep-2", documents=[neighbours(("10.1.0.6", LAPTOP))])
    pipeline.work()
    assert [fields["device"]["baseline"] for fields in pipeline.store.of("device")] == [True, True]


@pytest.mark.parametrize(
    "rubbish", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", "00:00:00:00:00:00", "Default string", ""]
)
def test_addresses_of_no_single_card_are_passed_over(pipeline: Pipeline, rubbish: str) -> None:
    pipeline.batch(
        documents=[neighbours(("10.0.0.5", rubbish), ("10.0.0.6", LAPTOP.upper().replace(":", "-")))]
    )
    pipeline.work()
    assert list(devices(pipeline)) == [LAPTOP]


def test_neighbours_inside_the_machine_are_no_devices(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[neighbours(("172.17.0.2", "02:42:ac:11:00:02"), interface="docker0")])
    pipeline.work()
    assert devices(pipeline) == {}


def test_a_device_is_an_endpoint_by_any_of_its_macs_and_never_by_ip(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[neighbours(("10.0.0.6", LAPTOP), ("10.0.0.7", PRINTER))])
    pipeline.batch(
        endpoint_id="ep-2",
        documents=[document("host", {"name": "l", "mac_addresses": [LAPTOP], "addresses": ["10.0.0.7"]})],
    )
    pipeline.work()
    found = devices(pipeline)
    assert (found[LAPTOP].endpoint_id, found[PRINTER].endpoint_id) == ("ep-2", None)


def test_a_card_moved_to_another_machine_moves_the_device(pipeline: Pipeline) -> None:
    def owns(endpoint_id: str, *macs: str) -> None:
        pipeline.batch(endpoint_id=endpoint_id, documents=[document("host", {"mac_addresses": list(macs)})])
        pipeline.work()

    owns("ep-1", LAPTOP)
    pipeline.batch(endpoint_id="ep-2", documents=[neighbours(("10.0.0.6", LAPTOP))])
    pipeline.work()
    assert devices(pipeline)[LAPTOP].endpoint_id == "ep-1"
    owns("ep-1")
    assert devices(pipeline)[LAPTOP].endpoint_id is None
    owns("ep-2", LAPTOP)
    assert devices(pipeline)[LAPTOP].endpoint_id == "ep-2"


def test_where_two_endpoints_claim_a_mac_the_first_keeps_it(pipeline: Pipeline) -> None:
    for endpoint_id in ("ep-1", "ep-2"):
        pipeline.batch(
            endpoint_id=endpoint_id,
            documents=[document("host", {"mac_addresses": [LAPTOP]}), neighbours(("10.0.0.6", LAPTOP))],
        )
        pipeline.work()
    assert devices(pipeline)[LAPTOP].endpoint_id == "ep-1"
    with pipeline.state.read() as session:
        assert len(session.scalars(select(EndpointMac)).all()) == 2


def test_the_default_gateway_is_network_equipment(pipeline: Pipeline) -> None:
    lan = {"gateway": {"ip": "10.0.0.1", "mac": ROUTER, "interface": "eth0"}}
    pipeline.batch(documents=[neighbours(("10.0.0.1", ROUTER), ("10.0.0.2", "00:00:5e:00:01:0a"))])
    pipeline.batch(documents=[document("lan", lan)])
    pipeline.work()
    assert {mac: device.kind for mac, device in devices(pipeline).items()} == {
        ROUTER: "gateway",
        "00:00:5e:00:01:0a": "",  # anybody can take such a MAC
    }


def test_an_address_that_another_mac_answers_for_is_told_once(pipeline: Pipeline) -> None:
    for mac in (PRINTER, LAPTOP, LAPTOP):
        pipeline.clock.seconds += 60
        pipeline.batch(documents=[neighbours(("10.0.0.5", mac), ("10.0.0.9", mac))])
    pipeline.work()
    moved = pipeline.store.of("ip_binding")
    assert [fields["device"]["ip"] for fields in moved] == ["10.0.0.5", "10.0.0.9"]
    assert moved[0]["device"] == {"ip": "10.0.0.5", "mac": LAPTOP, "held_seconds": 60, "gateway": False}
    assert moved[0]["previous"] == {"device": {"mac": PRINTER}}
    with pipeline.state.read() as session:
        assert {row.mac for row in session.scalars(select(IpBinding))} == {LAPTOP}


def test_an_address_that_two_cards_have_at_a_time_has_not_moved(pipeline: Pipeline) -> None:
    for host in range(3):
        pipeline.clock.seconds += 60
        both = (("10.0.0.5", PRINTER), ("10.0.0.5", LAPTOP), (f"10.0.0.{10 + host}", ROUTER))
        pipeline.batch(documents=[neighbours(*both)])
        pipeline.work()
    assert pipeline.store.of("ip_binding") == []
    pipeline.clock.seconds += 60
    pipeline.batch(documents=[neighbours(("10.0.0.5", LAPTOP), ("10.0.0.12", ROUTER))])
    pipeline.work()
    assert [fields["device"]["mac"] for fields in pipeline.store.of("ip_binding")] == [LAPTOP]


def test_two_networks_of_one_agency_may_use_the_same_addresses(pipeline: Pipeline) -> None:
    def lan(gateway: str) -> dict[str, Any]:
        return document("lan", {"gateway": {"ip": "192.168.1.1", "mac": gateway}})

    pipeline.batch(documents=[lan(ROUTER), neighbours(("192.168.1.5", PRINTER))])
    pipeline.batch(
        endpoint_id="ep-2", documents=[lan("00:1d:aa:00:00:04"), neighbours(("192.168.1.5", LAPTOP))]
    )
    pipeline.work()
    assert pipeline.store.of("ip_binding") == []
    pipeline.batch(
        endpoint_id="ep-2",
        documents=[lan(ROUTER), neighbours(("192.168.1.5", LAPTOP), ("192.168.1.6", LAPTOP))],
    )
    pipeline.work()
    moved = {fields["device"]["ip"] for fields in pipeline.store.of("ip_binding")}
    assert moved == {"192.168.1.5"}


def test_what_only_simulated_endpoints_saw_is_simulated_until_a_real_one_sees_it(pipeline: Pipeline) -> None:
    add_endpoint(pipeline.state, "sim", pipeline.agency_id, simulated=True)
    pipeline.batch(endpoint_id="sim", documents=[neighbours(("10.0.0.5", PRINTER), ("10.0.0.6", LAPTOP))])
    pipeline.batch(documents=[neighbours(("10.0.0.6", LAPTOP))])
    pipeline.work()
    assert {mac: device.simulated for mac, device in devices(pipeline).items()} == {
        PRINTER: True,
        LAPTOP: False,
    }
    assert [row.simulated for row in pipeline.store.events] == [True, True]


def test_an_endpoint_of_no_agency_makes_no_devices(pipeline: Pipeline) -> None:
    add_endpoint(pipeline.state, "lost")
    pipeline.batch(endpoint_id="lost", documents=[neighbours(("10.0.0.5", PRINTER))])
    pipeline.work()
    assert devices(pipeline) == {}


def test_an_unchanged_neighbour_table_of_a_living_endpoint_keeps_its_devices(pipeline: Pipeline) -> None:
    add_agency(pipeline.state, "other")
    pipeline.batch(documents=[neighbours(("10.0.0.5", PRINTER))])
    pipeline.work()
    pipeline.clock.seconds = T0 + 10 * DAY
    pipeline.heartbeat()
    pipeline.work()
    with pipeline.state.write() as session:
        assert (
            refresh(session, NOW.fromtimestamp(T0 + 10 * DAY, NOW.tzinfo), within=NOW - NOW.replace(hour=2))
            == 1
        )
    assert devices(pipeline)[PRINTER].last_seen_at.timestamp() == T0 + 10 * DAY


def test_the_shipped_rules_see_a_moved_gateway(tmp_path: Path) -> None:
    from rules.catalogue import OWN_RULES

    pipeline = Pipeline(tmp_path)
    pipeline.rules = OWN_RULES
    pipeline.restart()
    for mac in (ROUTER, LAPTOP):
        pipeline.batch(documents=[document("lan", {"gateway": {"ip": "10.0.0.1", "mac": mac}})])
    pipeline.work()
    with pipeline.state.read() as session:
        subjects = {alert.subject for alert in session.scalars(select(Alert).where(Alert.level == "high"))}
    assert subjects == {"So-Tai-Chinh · 10.0.0.1"}


def test_what_nobody_saw_for_long_is_forgotten_but_for_gateways(pipeline: Pipeline) -> None:
    gateway = {"gateway": {"ip": "10.0.0.1", "mac": ROUTER, "interface": "eth0"}}
    pipeline.batch(
        documents=[neighbours(("10.0.0.5", PRINTER), ("10.0.0.6", LAPTOP)), document("lan", gateway)]
    )
    pipeline.work()
    pipeline.clock.seconds = T0 + 10 * DAY
    pipeline.batch(documents=[neighbours(("10.0.0.7", LAPTOP))])
    pipeline.work()
    with pipeline.state.write() as session:
        assert forget(session, NOW + timedelta(days=20), timedelta(days=15)) == 1
    assert set(devices(pipeline)) == {LAPTOP, ROUTER}
    with pipeline.state.read() as session:
        assert set(session.scalars(select(IpBinding.ip))) == {"10.0.0.1", "10.0.0.7"}
