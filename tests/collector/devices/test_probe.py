"""What a probe's neighbour table makes of devices: names, vendors, addresses, places, approvals."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from collector.coverage.service import ledger
from collector.detect.values import moment
from collector.devices.cards import cards_of, merged
from collector.devices.history import MOST_ADDRESSES
from collector.devices.unauthorised import UnauthorisedLook, find
from collector.devices.vendors import vendor_of
from collector.settings import Coverage
from collector.state.scope import EVERYTHING
from collector.state.tables import Alert, Device, DeviceAddress, DeviceApproval
from rules.catalogue import OWN_RULES
from tests.collector.pipeline import T0, Pipeline, document

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_both_databases")

PI = "b8:27:eb:00:00:01"
PHONE = "da:a1:19:00:00:02"
OLD = "00:1b:a9:00:00:03"
DAY = 86_400
HOSTILE = "<b>\x00\u202e' OR 1=1--" + "x" * 300


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """An agency whose baseline is over: one old device, two days ago."""
    made = Pipeline(tmp_path, (OWN_RULES / "network" / "initial_access_new_device.yml").read_text())
    made.batch(documents=[seen((OLD, "10.0.0.5"))])
    made.work()
    made.clock.seconds = T0 + 2 * DAY
    return made


def seen(*pairs: tuple[str, str], **more: Any) -> dict[str, Any]:
    entries = [{"ip": ip, "mac": mac, "interface": "eth0", **more} for mac, ip in pairs]
    return document("neighbours", {"entries": entries}, item="eth0")


def device(pipeline: Pipeline, mac: str) -> Device:
    with pipeline.state.read() as session:
        return session.scalars(select(Device).where(Device.mac == mac)).one()


def approve(pipeline: Pipeline, mac: str, *, days: float, since: float | None = None) -> None:
    now = moment(pipeline.clock.seconds if since is None else since)
    with pipeline.state.write() as session:
        session.add(
            DeviceApproval(
                agency_id=pipeline.agency_id,
                mac=mac,
                reason="ok",
                made_at=now,
                made_by="x",
                expires_at=now + timedelta(days=days),
            )
        )


def unauthorised(pipeline: Pipeline, **settings: Any) -> list[dict[str, Any]]:
    with pipeline.state.read() as session:
        return find(session, Coverage(**settings), moment(pipeline.clock.seconds))


def titles(pipeline: Pipeline) -> set[str]:
    with pipeline.state.read() as session:
        return {alert.subject for alert in session.scalars(select(Alert))}


def test_a_new_device_is_an_alert_with_its_maker_and_the_name_that_it_gives_itself(
    pipeline: Pipeline,
) -> None:
    table = seen(
        (OLD, "10.0.0.5"), (PI, "10.0.0.9"), names=["pi-lab"], seen=["arp", "dhcp"], vendor_class="dhcpcd"
    )
    pipeline.batch(documents=[table])
    pipeline.work()
    told = pipeline.store.of("device")[-1]["device"]
    assert (told["mac"], told["vendor"], told["name"]) == (PI, "Raspberry Pi Foundation", "pi-lab")
    assert (told["approved"], told["baseline"], told["managed"]) == (False, False, False)
    known = device(pipeline, PI)
    assert (known.name, known.vendor) == ("pi-lab", "Raspberry Pi Foundation")
    assert known.facts == {"names": ["pi-lab"], "how": ["arp", "dhcp"], "vendor_class": "dhcpcd"}
    assert any(PI in subject for subject in titles(pipeline))


def test_a_device_approved_ahead_is_told_as_such_and_is_no_alert(pipeline: Pipeline) -> None:
    approve(pipeline, PI, days=30)
    pipeline.batch(documents=[seen((OLD, "10.0.0.5"), (PI, "10.0.0.9"))])
    pipeline.work()
    assert pipeline.store.of("device")[-1]["device"]["approved"] is True
    assert not any(PI in subject for subject in titles(pipeline))


def test_a_card_without_an_address_is_a_device_and_gets_its_address_later(pipeline: Pipeline) -> None:
    for ip in ("", "fe80::9", "10.0.0.9", "10.0.0.19"):
        pipeline.batch(documents=[seen((OLD, "10.0.0.5"), (PHONE, ip))])
        pipeline.work()
        assert device(pipeline, PHONE).ip == ip
    assert device(pipeline, PHONE).vendor == ""
    with pipeline.state.read() as session:
        mine = select(DeviceAddress.ip).join(Device).where(Device.mac == PHONE)
        assert set(session.scalars(mine)) == {"fe80::9", "10.0.0.9", "10.0.0.19"}
    assert len([told for told in pipeline.store.of("device") if told["device"]["mac"] == PHONE]) == 1


def test_of_the_addresses_that_a_device_had_the_latest_are_kept(pipeline: Pipeline) -> None:
    for number in range(3):
        pipeline.clock.seconds += 60
        addresses = [f"10.0.{number}.{host}" for host in range(1, 17)]
        pipeline.batch(documents=[seen(*((PI, ip) for ip in addresses))])
        pipeline.work()
    with pipeline.state.read() as session:
        rows = session.scalars(select(DeviceAddress).join(Device).where(Device.mac == PI)).all()
    assert len(rows) == MOST_ADDRESSES
    assert {row.ip.split(".")[2] for row in rows} == {"1", "2"}
    assert all(row.first_seen_at == row.last_seen_at for row in rows)


def test_where_a_device_is_plugged_in_and_that_it_moved(pipeline: Pipeline) -> None:
    def plugged(port: str, switch: str = "sw-1") -> None:
        body = {"mac": OLD, "switch": switch, "port": port, "protocol": "lldp"}
        pipeline.batch(documents=[document("switch_port", body, item="eth0")])
        pipeline.work()

    plugged("Gi0/1")
    known = device(pipeline, OLD)
    assert (known.switch, known.port, known.placed_at) == ("sw-1", "Gi0/1", moment(pipeline.clock.seconds))
    plugged("Gi0/2")
    moved = [told for told in pipeline.store.of("device") if told["event"]["action"] == "device_replugged"]
    assert [told["device"]["port"] for told in moved] == ["Gi0/2"]
    assert moved[0]["previous"]["device"] == {"switch": "sw-1", "port": "Gi0/1"}
    assert moved[0]["changed"] == ["device.port"]
    assert len(pipeline.store.of("switch_port")) == 2


def test_a_new_device_that_nobody_approves_is_unauthorised_once(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[seen((OLD, "10.0.0.5"), (PI, "10.0.0.9"))])
    pipeline.work()
    assert unauthorised(pipeline) == []
    pipeline.clock.seconds += DAY
    pipeline.batch(documents=[seen((OLD, "10.0.0.6"), (PI, "10.0.0.9"))])
    pipeline.work()
    (found,) = unauthorised(pipeline)
    assert (found["device"]["mac"], found["device"]["approval"]) == (PI, "none")
    assert found["agency"]["id"] == pipeline.agency_id
    look = UnauthorisedLook(Coverage(), lambda: pipeline.clock.seconds)
    with pipeline.state.write() as session:
        told = look.look(session, pipeline.store)
        look.write(session, told)
    assert unauthorised(pipeline) == []


def test_an_approval_that_is_over_makes_a_device_unauthorised_also_one_of_the_baseline(
    pipeline: Pipeline,
) -> None:
    pipeline.batch(documents=[seen((OLD, "10.0.0.6"))])
    pipeline.work()
    approve(pipeline, OLD, days=1, since=T0)
    (found,) = unauthorised(pipeline)
    assert (found["device"]["mac"], found["device"]["approval"]) == (OLD, "over")
    approve(pipeline, OLD, days=1)
    assert unauthorised(pipeline) == []


def test_what_is_gone_managed_or_a_gateway_of_the_beginning_is_not_unauthorised(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[seen((PI, "10.0.0.9"), (PHONE, "10.0.0.10"), (OLD, "10.0.0.5"))])
    pipeline.work()
    pipeline.clock.seconds += 3600
    with pipeline.state.write() as session:
        session.execute(update(Device).where(Device.mac == PI).values(endpoint_id="ep-1"))
        session.execute(update(Device).where(Device.mac == PHONE).values(kind="gateway", baseline=True))
    assert unauthorised(pipeline, unauthorised_after_hours=1) == []
    with pipeline.state.write() as session:
        session.execute(update(Device).where(Device.mac == PI).values(endpoint_id=None))
    assert len(unauthorised(pipeline, unauthorised_after_hours=1)) == 1
    pipeline.clock.seconds += 2 * DAY
    assert unauthorised(pipeline, unauthorised_after_hours=1) == []


@pytest.mark.parametrize(
    ("kind", "assigned", "counted"),
    [("", "", True), ("gateway", "", False), ("", "printer", False), ("gateway", "server", True)],
)
def test_what_a_person_says_decides_whether_a_device_counts(
    pipeline: Pipeline, kind: str, assigned: str, counted: bool
) -> None:
    with pipeline.state.write() as session:
        session.execute(update(Device).values(kind=kind, assigned_kind=assigned))
    with pipeline.state.read() as session:
        now = moment(pipeline.clock.seconds)
        (line,) = [
            machine
            for machine in ledger(session, EVERYTHING, Coverage(), now, include_simulated=False).machines
            if machine.mac == OLD
        ]
    assert (line.counted, line.role) == (counted, assigned or kind)


def test_the_history_of_a_table_is_who_came_and_who_went(pipeline: Pipeline) -> None:
    from collector.state.tables import DocumentChange

    pipeline.batch(documents=[seen((PI, "10.0.0.9"))])
    pipeline.work()
    with pipeline.state.read() as session:
        changes = session.scalars(select(DocumentChange).order_by(DocumentChange.id)).all()
    assert changes[-1].body == {"added": [f"{PI} 10.0.0.9"], "removed": [f"{OLD} 10.0.0.5"]}


def test_hostile_names_come_out_as_short_lines() -> None:
    entry = {"mac": PI, "names": [HOSTILE, 5, None], "seen": ["arp", "sql"], "vendor_class": HOSTILE}
    (card,) = cards_of({"entries": [entry, "x", {"mac": 7}]}).values()
    assert card.how == ["arp"]
    for text in (*card.names, card.vendor_class):
        assert text.isprintable()
        assert len(text) <= 64
    assert merged({"names": 5, "how": None}, card)["names"] == card.names
    assert cards_of({"entries": {"a": 1}}) == {}


def test_vendors_come_from_the_register_and_not_from_made_up_addresses() -> None:
    assert vendor_of("00:1b:a9:12:34:56").startswith("Brother")
    assert vendor_of("da:a1:19:00:00:02") == ""
    assert vendor_of("00:50:c2:00:50:03") != ""
