"""What hosts and agents that lie can do to an agency's devices: made-up cards, cards of others, tables that swing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, func, select, update

from collector.detect.looking import WholeStep
from collector.detect.values import moment
from collector.devices import service, unauthorised
from collector.devices.keeping import make_room, refresh
from collector.devices.service import DevicesView, Watcher
from collector.devices.sightings import Sighting, neighbours_difference
from collector.devices.standing import managed
from collector.devices.unauthorised import UnauthorisedLook, find
from collector.registry.service import assign_endpoint
from collector.settings import Coverage
from collector.state.tables import Alert, Device, DeviceCensus, Endpoint
from rules.catalogue import OWN_RULES
from tests.collector.pipeline import Pipeline, add_agency, add_endpoint, document

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_both_databases")

OLD, PC, SPARE = "00:1b:a9:00:00:03", "3c:52:82:00:00:02", "3c:52:82:00:00:07"
DAY = 86_400
RULES = ("initial_access_new_device", "initial_access_many_devices", "availability_devices_full")


def table(macs: Iterable[str], *, item: str = "eth0") -> dict[str, Any]:
    entries = [{"ip": "", "mac": mac, "interface": "eth0"} for mac in macs]
    return document("neighbours", {"entries": entries}, item=item)


def made_up(number: int) -> list[str]:
    return [f"02:00:00:00:{each >> 8:02x}:{each & 255:02x}" for each in range(number)]


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """An agency whose baseline is over: one old device, two days ago. A second endpoint is of another agency."""
    texts = [(OWN_RULES / "network" / f"{name}.yml").read_text() for name in RULES]
    made = Pipeline(tmp_path, *texts)
    add_endpoint(made.state, "foreign", add_agency(made.state, "other"))
    made.batch(documents=[table([OLD])])
    made.work()
    forward(made, 2 * DAY)
    return made


def forward(pipeline: Pipeline, seconds: float) -> None:
    pipeline.clock.seconds += seconds


def see(pipeline: Pipeline, *macs: str, endpoint_id: str = "ep-1", item: str = "eth0") -> None:
    pipeline.batch(endpoint_id=endpoint_id, documents=[table(macs, item=item)])
    pipeline.work()


def say(pipeline: Pipeline, kind: str, body: dict[str, Any], *, endpoint_id: str = "ep-1") -> None:
    pipeline.batch(endpoint_id=endpoint_id, documents=[document(kind, body)])
    pipeline.work()


def rows(pipeline: Pipeline) -> dict[str, Device]:
    with pipeline.state.read() as session:
        mine = select(Device).where(Device.agency_id == pipeline.agency_id)
        return {each.mac: each for each in session.scalars(mine)}


def actions(pipeline: Pipeline) -> list[str]:
    return [told["event"]["action"] for told in pipeline.store.of("device")]


def unapproved(pipeline: Pipeline) -> list[str]:
    with pipeline.state.read() as session:
        found = find(session, Coverage(), moment(pipeline.clock.seconds))
    return [row["device"]["mac"] for row in found]


def test_a_flood_of_new_cards_is_told_once_and_all_of_them_are_listed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_NEW", 3)
    see(pipeline, OLD, *made_up(6))
    see(pipeline, OLD, *made_up(9))
    assert actions(pipeline)[1:] == ["device_new"] * 3 + ["devices_many"]
    assert len(rows(pipeline)) == 10
    with pipeline.state.read() as session:
        levels = session.scalars(select(Alert.level).order_by(Alert.level)).all()
    assert levels == ["low"] * 3 + ["medium"]
    forward(pipeline, DAY + 1)
    see(pipeline, OLD, SPARE)
    assert actions(pipeline)[-1] == "device_new"


def test_a_full_agency_says_so_once_and_what_says_least_makes_room(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_DEVICES", 10)
    see(pipeline, OLD, *made_up(9), PC)
    see(pipeline, OLD, PC, SPARE)
    assert actions(pipeline).count("devices_full") == 1
    assert not {PC, SPARE} & rows(pipeline).keys()
    with pipeline.state.read() as session:
        assert session.scalars(select(Alert.level).where(Alert.level == "high")).all() == ["high"]
    with pipeline.state.write() as session:
        named = update(Device).where(Device.mac == made_up(1)[0])
        session.execute(named.values(assigned_kind="printer"))
    forward(pipeline, 2 * 3600)
    with pipeline.state.write() as session:
        assert make_room(session, moment(pipeline.clock.seconds), most=10) == 2
        assert session.scalars(select(DeviceCensus.full_at)).all() == [None]
    assert {OLD, made_up(1)[0]} < rows(pipeline).keys()
    see(pipeline, OLD, PC)
    assert PC in rows(pipeline)


def test_of_many_unauthorised_devices_real_cards_are_told_first_and_the_rest_as_a_number(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unauthorised, "MOST_A_DAY", 3)
    see(pipeline, OLD, *made_up(6), PC)
    forward(pipeline, DAY + 60)
    see(pipeline, OLD, *made_up(6), PC, SPARE)
    look = UnauthorisedLook(Coverage(), lambda: pipeline.clock.seconds)
    found = []
    for _ in range(3):
        with pipeline.state.write() as session:
            found.append(look.look(session, pipeline.store))
            look.write(session, found[-1])
    assert [row["device"]["mac"] for row in found[0].devices] == [PC, *made_up(2)]
    assert [each.devices for each in found[1:]] == [[], []]
    assert [[row["device"] for row in each.many] for each in found] == [[], [{"count": 4}], []]
    step = WholeStep.__new__(WholeStep)
    step.events = []
    look.tell(step, found[1], 1)
    (told,) = (record.event.fields for record in step.events)
    assert (told["event"]["action"], told["device"]) == ("devices_unauthorised_many", {"count": 4})


def test_an_endpoint_of_another_agency_owns_no_card_here(pipeline: Pipeline) -> None:
    say(pipeline, "host", {"name": "x", "mac_addresses": [PC]}, endpoint_id="foreign")
    see(pipeline, OLD, PC)
    forward(pipeline, DAY + 60)
    see(pipeline, OLD, PC, SPARE)
    assert rows(pipeline)[PC].endpoint_id is None
    assert unapproved(pipeline) == [PC]
    say(pipeline, "host", {"name": "y", "mac_addresses": [PC]})
    assert rows(pipeline)[PC].endpoint_id == "ep-1"
    assert unapproved(pipeline) == []


@pytest.mark.parametrize("lost", ["retired", "silent"])
def test_a_card_of_an_endpoint_that_is_no_more_is_not_managed(pipeline: Pipeline, lost: str) -> None:
    say(pipeline, "host", {"name": "y", "mac_addresses": [OLD]})
    see(pipeline, OLD, PC)
    assert unapproved(pipeline) == []
    now = moment(pipeline.clock.seconds)
    gone = {"retired": {"retired_at": now}, "silent": {"last_seen_at": now - timedelta(days=8)}}
    with pipeline.state.write() as session:
        session.execute(update(Endpoint).where(Endpoint.id == "ep-1").values(gone[lost]))
        session.execute(update(Device).where(Device.mac == OLD).values(last_seen_at=now + timedelta(hours=1)))
    assert unapproved(pipeline) == [OLD]
    with pipeline.state.read() as session:
        assert session.scalars(select(Device.mac).where(managed(now))).all() == []


def test_machines_that_went_over_to_another_agency_are_no_strangers_where_they_were(
    pipeline: Pipeline,
) -> None:
    """Agencies merge, and the probe of the old one stays for a while."""
    add_endpoint(pipeline.state, "moves", pipeline.agency_id)
    say(pipeline, "host", {"name": "y", "mac_addresses": [PC]}, endpoint_id="moves")
    see(pipeline, OLD, PC)
    forward(pipeline, 2 * DAY)
    see(pipeline, PC)
    successor = add_agency(pipeline.state, "successor")
    with pipeline.state.write() as session:
        assign_endpoint(session, "moves", successor, moment(pipeline.clock.seconds))
    assert rows(pipeline)[PC].endpoint_id == "moves"
    assert unapproved(pipeline) == []
    forward(pipeline, DAY / 2)
    see(pipeline, OLD, PC)
    assert unapproved(pipeline) == []
    forward(pipeline, DAY)
    see(pipeline, PC)
    assert unapproved(pipeline) == [PC]


def test_a_gateway_that_came_later_needs_an_approval_and_one_of_the_beginning_does_not(
    pipeline: Pipeline,
) -> None:
    say(pipeline, "lan", {"gateway": {"ip": "10.0.0.1", "mac": PC}})
    say(pipeline, "lan", {"gateway": {"ip": "10.0.0.1", "mac": SPARE}})
    forward(pipeline, DAY)
    assert unapproved(pipeline) == [SPARE]
    assert {told["device"]["baseline"] for told in pipeline.store.of("device")} == {True}


def test_a_second_lan_is_a_beginning_of_its_own(pipeline: Pipeline) -> None:
    add_endpoint(pipeline.state, "probe-2", pipeline.agency_id)
    see(pipeline, PC, endpoint_id="probe-2")
    see(pipeline, PC, SPARE, endpoint_id="probe-2")
    forward(pipeline, DAY)
    assert unapproved(pipeline) == [SPARE]


def test_what_a_person_says_while_a_step_looks_stays(pipeline: Pipeline) -> None:
    now = moment(pipeline.clock.seconds)
    watcher = Watcher("ep-1", pipeline.agency_id, simulated=False, when=now)
    with pipeline.state.read() as session:
        view = DevicesView(session, timedelta(hours=24))
        view.observe(watcher, [Sighting(OLD, "10.0.0.77")], first_look=False)
    with pipeline.state.write() as session:
        session.execute(update(Device).values(assigned_kind="printer", unauthorised_at=now))
    with pipeline.state.write() as session:
        view.flush(session)
    found = rows(pipeline)[OLD]
    assert (found.ip, found.assigned_kind, found.unauthorised_at) == ("10.0.0.77", "printer", now)


def test_a_device_told_once_is_told_again_after_it_was_managed_or_long_away(pipeline: Pipeline) -> None:
    now = moment(pipeline.clock.seconds)
    with pipeline.state.write() as session:
        session.execute(update(Device).values(unauthorised_at=now, endpoint_id="ep-1", last_seen_at=now))
        session.execute(update(Endpoint).values(last_seen_at=now))
    look = UnauthorisedLook(Coverage(), lambda: pipeline.clock.seconds)
    with pipeline.state.write() as session:
        look.write(session, look.look(session, pipeline.store))
    assert rows(pipeline)[OLD].unauthorised_at is None
    with pipeline.state.write() as session:
        session.execute(update(Device).values(unauthorised_at=now))
    forward(pipeline, 31 * DAY)
    see(pipeline, OLD, PC)
    assert rows(pipeline)[OLD].unauthorised_at is None


def test_what_is_only_seen_again_is_not_written_and_a_table_is_told_in_short(pipeline: Pipeline) -> None:
    written: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(("UPDATE device ", "INSERT INTO ip_binding", "INSERT INTO device_address")):
            written.append(statement)

    now = moment(pipeline.clock.seconds)
    event.listen(pipeline.state.engine, "before_cursor_execute", note)
    for minutes, writes in ((0, 3), (5, 0), (11, 3)):
        written.clear()
        watcher = Watcher("ep-1", pipeline.agency_id, simulated=False, when=now + timedelta(minutes=minutes))
        with pipeline.state.write() as session:
            view = DevicesView(session, timedelta(hours=24))
            view.observe(watcher, [Sighting(OLD, "10.0.0.5")], first_look=False)
            view.flush(session)
        assert len(written) == writes, (minutes, written)
    event.remove(pipeline.state.engine, "before_cursor_execute", note)
    many = {"entries": [{"mac": mac, "ip": ""} for mac in made_up(500)]}
    told = neighbours_difference({"entries": []}, many)
    assert (len(told["added"]), told["added_count"], told["removed"]) == (200, 500, [])


def test_where_a_machine_says_it_is_plugged_in_does_not_stand_against_its_switchs_table(
    pipeline: Pipeline,
) -> None:
    watcher = Watcher("ep-1", pipeline.agency_id, simulated=False, when=moment(pipeline.clock.seconds))
    said = []
    with pipeline.state.write() as session:
        view = DevicesView(session, timedelta(hours=24))
        for by, port in (("self", "1"), ("table", "Gi1"), ("self", "2"), ("table", "Gi2")):
            said += view.place(watcher, [(OLD, "sw", port)], by=by)
        view.flush(session)
    assert [(each.previous_port, each.port) for each in said] == [("Gi1", "Gi2")]
    assert (rows(pipeline)[OLD].port, rows(pipeline)[OLD].placed_by) == ("Gi2", "table")


def test_a_routers_table_keeps_its_devices_and_one_whose_source_fails_keeps_none(pipeline: Pipeline) -> None:
    arp = {"entries": [{"ip": "10.0.0.9", "mac": PC}]}
    pipeline.batch(documents=[document("network_arp", arp, item="router")])
    pipeline.work()
    forward(pipeline, 2 * DAY)
    pipeline.heartbeat()
    pipeline.work()
    now = moment(pipeline.clock.seconds)
    with pipeline.state.write() as session:
        assert refresh(session, now, timedelta(days=1), agencies=[pipeline.agency_id + 1]) == 0
        assert refresh(session, now, timedelta(days=1), agencies=[pipeline.agency_id]) == 2
    health = {"name": "snmp_devices", "ok": False, "reason": "x", "duration_seconds": 0.0}
    forward(pipeline, DAY)
    pipeline.batch(health=[health])
    pipeline.work()
    with pipeline.state.write() as session:
        assert refresh(session, moment(pipeline.clock.seconds), timedelta(days=1)) == 1
        assert session.scalar(select(func.max(Device.last_seen_at)).where(Device.mac == PC)) == now
