"""From a probe's documents to rows, events, places of cards and the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.detect import placing
from collector.documents.service import MAX_DEVICES
from collector.errors import NotFoundError
from collector.network.placing import MOST_TOLD, Touch, moves_of, touches
from collector.network.reading import Device as NetworkSwitch
from collector.network.reading import Entry, read_device, read_entries
from collector.network.service import Filters, get_device, list_devices, map_of
from collector.network.topology import BOTH, FORWARDING, ONE, topology_of
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import DeadLetter, Device, NetworkDevice
from tests.collector.pipeline import Pipeline, document

if TYPE_CHECKING:
    from pathlib import Path

both = pytest.mark.usefixtures("on_both_databases")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def mac(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def port(name: str, status: str = "up", **more: Any) -> dict[str, Any]:
    return {"name": name, "admin": "up", "status": status, "uplink": False, "many_errors": False, **more}


def switch(name: str, number: int, *ports: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {
        "name": name,
        "address": f"10.0.0.{number}",
        "reachable": True,
        "system_name": name,
        "kind": "switch",
        "chassis": mac(number << 8),
        "macs": [mac(number << 8)],
        "interfaces": list(ports),
        "neighbours": [],
        **more,
    }
    return document("network_device", body, name)


def hears(interface: str, number: int, name: str, other: str) -> dict[str, Any]:
    return {
        "name": f"{interface} {number}",
        "interface": interface,
        "chassis": mac(number << 8),
        "port": other,
        "system_name": name,
        "network": True,
    }


def learned(name: str, *rows: tuple[int, str, bool]) -> dict[str, Any]:
    entries = [
        {"name": mac(number), "interface": interface, "vlan": 1, "uplink": uplink, "new": False}
        for number, interface, uplink in rows
    ]
    return document("network_addresses", {"name": name, "count": len(entries), "entries": entries}, name)


@both
def test_devices_become_rows_events_and_a_map(pipeline: Pipeline) -> None:
    core = switch("sw-loi", 1, port("Gi1"), port("Gi2"), neighbours=[hears("Gi1", 2, "sw-1", "p1")])
    first = switch(
        "sw-1", 2, port("p1", uplink=True), port("p2"), neighbours=[hears("p1", 1, "sw-loi", "Gi1")]
    )
    second = switch("sw-2", 3, port("q1"), port("q2", "down"))
    tables = [
        learned("sw-loi", (0x200, "Gi1", True), (11, "Gi1", True), (0x300, "Gi2", True), (21, "Gi2", True)),
        learned("sw-1", (11, "p2", False), (0x100, "p1", True), (0x300, "p1", True)),
        learned("sw-2", (21, "q2", False), (0x100, "q1", True), (0x200, "q1", True)),
    ]
    arp = document(
        "network_arp",
        {"entries": [{"ip": "10.0.1.11", "mac": mac(11)}, {"ip": "10.0.1.21", "mac": mac(21)}]},
        "sw-loi",
    )
    pipeline.batch(documents=[core, first, second, arp, *tables])
    pipeline.work()
    pipeline.turn()
    assert [fields["event"]["action"] for fields in pipeline.store.of("network_device")] == ["first"] * 3
    with pipeline.state.read() as session:
        rows, total = list_devices(session, EVERYTHING, Filters(), offset=0, limit=10)
        assert total == 3
        found = {row.item: row for row, _ in rows}
        assert (found["sw-2"].interfaces, found["sw-2"].interfaces_up) == (2, 1)
        agency = rows[0][1]
        drawn = map_of(session, EVERYTHING, agency.id)
        names = {node.id: node.name for node in drawn.nodes}
        assert {
            (names[each.one], each.one_port, names[each.other], each.other_port, each.evidence)
            for each in drawn.edges
        } == {
            ("sw-loi", "Gi1", "sw-1", "p1", BOTH),
            ("sw-loi", "Gi2", "sw-2", "q1", FORWARDING),
        }
        assert {node.name: node.machines for node in drawn.nodes} == {"sw-loi": 0, "sw-1": 1, "sw-2": 1}
        shown = get_device(session, EVERYTHING, found["sw-loi"].id)
        assert shown.arp == [("10.0.1.11", mac(11)), ("10.0.1.21", mac(21))]
        # Where the cards are, is with the devices of the agency.
        devices = {each.mac: (each.switch, each.port) for each in session.scalars(select(Device))}
        assert devices[mac(11)] == ("sw-1", "p2")
        assert devices[mac(21)] == ("sw-2", "q2")

        # Of another agency it is as if there were none.
        other = Scope(frozenset({agency.id + 1}))
        assert list_devices(session, other, Filters(), offset=0, limit=10) == ([], 0)
        assert map_of(session, other, agency.id).nodes == ()
        with pytest.raises(NotFoundError):
            get_device(session, other, found["sw-loi"].id)


@both
def test_an_interface_that_goes_down_is_an_event_with_its_device_and_a_device_that_is_named_no_more_is_gone(
    pipeline: Pipeline,
) -> None:
    pipeline.batch(documents=[switch("sw-1", 2, port("p1", uplink=True), port("p2"))])
    pipeline.batch(documents=[switch("sw-1", 2, port("p1", "down", uplink=True), port("p2"))])
    pipeline.work()
    _, event = pipeline.store.of("network_device")
    assert event["network_device"]["name"] == "sw-1"
    assert event["network_device"]["address"] == "10.0.0.2"
    assert event["network_device"]["interface"] == port("p1", "down", uplink=True)
    assert event["changed"] == ["network_device.interface.status"]
    assert event["previous"] == {"network_device": {"interface": {"status": "up"}}}
    gone = document("network_device", {}, "sw-1")
    gone["body"] = None
    pipeline.batch(documents=[gone])
    pipeline.work()
    with pipeline.state.read() as session:
        assert list(session.scalars(select(NetworkDevice))) == []


@both
def test_a_probe_may_tell_of_many_devices_but_not_of_any_number(pipeline: Pipeline) -> None:
    documents = [switch(f"sw-{number}", 1) for number in range(MAX_DEVICES)]
    pipeline.batch(documents=documents)
    pipeline.batch(
        documents=[switch("sw-x", 1), switch("sw-0", 1, port("p1")), document("host", {"name": "may"})]
    )
    pipeline.work()
    with pipeline.state.read() as session:
        _, total = list_devices(session, EVERYTHING, Filters(), offset=0, limit=1)
        assert total == MAX_DEVICES
        assert [letter.part for letter in session.scalars(select(DeadLetter))] == ["documents[0]"]
        found, _ = list_devices(session, EVERYTHING, Filters(text="SW-0"), offset=0, limit=9)
        assert [(row.item, row.interfaces) for row, _ in found] == [("sw-0", 1)]


def test_what_a_device_says_is_text_whatever_it_is() -> None:
    device = read_device(
        "sw\x00",
        {
            "reachable": "yes",
            "system_name": ["x"],
            "model": "a\x1b[31m\n" + "b" * 999,
            "macs": ["ff", 3, "01:00:5e:00:00:01", mac(1)],
            "interfaces": [None, {"name": 3, "speed_bits": -1, "uplink": 1}],
            "neighbours": {"a": 1},
            "ups": [],
        },
    )
    assert not device.reachable
    assert "\x1b" not in device.model
    assert len(device.model) <= 255
    assert device.macs == (mac(1),)
    assert (device.interfaces[0].name, device.interfaces[0].speed_bits, device.interfaces[0].uplink) == (
        "",
        0,
        False,
    )
    assert read_entries({"entries": [{"name": mac(1)}, {"interface": "p"}, 3]}) == []


def at(number: int, interface: str, *, uplink: bool = False) -> Entry:
    return Entry(mac(number), interface, None, uplink=uplink, new=False)


def test_a_card_is_at_the_port_with_the_fewest_cards() -> None:
    tables = {
        # Between a and b stands a switch that nobody asks, so a's port towards b is no uplink that it knows.
        "a": [at(1, "a1"), at(2, "a1"), at(3, "a2")],
        "b": [at(1, "b1"), at(2, "b2"), at(3, "b9", uplink=True)],
    }
    unplaced = {mac(number): ("", "") for number in (1, 2, 3)}
    assert moves_of(tables, unplaced, {}) == (
        [],
        [(mac(1), "b", "b1"), (mac(2), "b", "b2"), (mac(3), "a", "a2")],
    )
    # Cards that nobody saw are no devices.
    assert moves_of(tables, {}, {mac(1): Touch.ARRIVED}) == ([], [])


def test_made_up_cards_behind_a_port_move_no_card_of_others() -> None:
    placed = {mac(number): ("b", "b1") for number in range(10)}
    tables = {
        "a": [at(number, "a1") for number in range(10)],
        "b": [at(number, "b1") for number in range(60)],
    }
    made_up = dict.fromkeys(map(mac, range(10, 60)), Touch.ARRIVED)
    assert moves_of(tables, placed, made_up) == ([], [])
    assert moves_of(tables, placed, {}, everything=True) == ([], [])


@pytest.mark.parametrize(
    ("was", "touch", "told", "noted"),
    [
        (("a", "a7"), Touch.ARRIVED, True, False),  # it came here
        (("a", "a1"), Touch.ARRIVED, False, True),  # a's port is known to lead to b by now
        (("a", "a7"), Touch.FOUND, False, True),  # b is asked since today
        (("a", "a7"), Touch.LEFT, True, False),  # its row at a went
        (("a", "a2"), Touch.LEFT, False, False),  # it is at a still
        (("z", "z1"), Touch.LEFT, False, False),  # another probe placed it
        (("z", "z1"), Touch.ARRIVED, True, False),
        (("b", "b1"), Touch.ARRIVED, False, False),
    ],
)
def test_what_is_a_move(was: tuple[str, str], touch: Touch, told: bool, noted: bool) -> None:
    tables = {
        "a": [at(1, "a1", uplink=True), *([at(1, "a2"), at(2, "a2")] if was[1] == "a2" else [])],
        "b": [at(1, "b1")],
    }
    moves = moves_of(tables, {mac(1): was}, {mac(1): touch})
    assert (moves.told, moves.noted) == (
        [(mac(1), "b", "b1")] if told else [],
        [(mac(1), "b", "b1")] if noted else [],
    )


def test_of_many_moves_those_to_crowded_ports_are_noted_alone() -> None:
    tables = {"a": [at(1, "a1"), *(at(number, "a2") for number in range(2, 200))]}
    placed = {mac(number): ("a", "a9") for number in range(1, 200)}
    moves = moves_of(tables, placed, dict.fromkeys(placed, Touch.ARRIVED))
    assert moves.told[0] == (mac(1), "a", "a1")
    assert (len(moves.told), len(moves.noted)) == (MOST_TOLD, 199 - MOST_TOLD)


def test_what_a_new_table_says_of_cards() -> None:
    def table(*rows: tuple[int, str, bool], more: int = 0) -> dict[str, Any]:
        body: dict[str, Any] = learned("a", *rows)["body"]
        return {**body, "count": len(rows) + more}

    before = table((1, "p1", False), (2, "p2", False), (3, "p3", True), (4, "p4", False), (5, "p5", False))
    after = ((1, "p1", False), (2, "p9", False), (3, "p3", False), (4, "p4", True), (6, "p6", False))
    same = {mac(2): Touch.ARRIVED, mac(3): Touch.FOUND, mac(4): Touch.LEFT, mac(6): Touch.ARRIVED}
    assert touches(before, table(*after)) == {**same, mac(5): Touch.LEFT}
    # What a table has no room for may be there all the same.
    assert touches(before, table(*after, more=1)) == same
    assert touches(None, table((1, "p1", False), (2, "p2", True))) == {mac(1): Touch.FOUND}


@both
def test_a_card_that_is_plugged_in_at_another_switch_is_told_once_a_minute_at_most_and_after_a_restart(
    pipeline: Pipeline,
) -> None:
    def moves() -> list[tuple[str, str]]:
        return [
            (told["device"]["switch"], told["device"]["port"])
            for told in pipeline.store.of("device")
            if told["event"]["action"] == "device_replugged"
        ]

    def tell(*documents: dict[str, Any]) -> None:
        pipeline.batch(documents=list(documents))
        pipeline.work()
        pipeline.turn()

    arp = document("network_arp", {"entries": [{"ip": "10.0.1.11", "mac": mac(11)}]}, "sw-1")
    pipeline.batch(documents=[arp])
    pipeline.work()
    tell(learned("sw-1", (11, "p1", False), (12, "p1", False)), learned("sw-2", (13, "q1", False)))
    pipeline.clock.seconds += 30
    tell(learned("sw-2", (13, "q1", False), (11, "q2", False)))
    assert moves() == []
    pipeline.clock.seconds += 30
    pipeline.turn()
    assert moves() == [("sw-2", "q2")]
    pipeline.clock.seconds += 10
    tell(learned("sw-2", (13, "q1", False), (11, "q3", False)))
    assert moves() == [("sw-2", "q2")]
    # What was put off is looked at by whoever takes over.
    pipeline.restart()
    pipeline.turn()
    assert moves() == [("sw-2", "q2"), ("sw-2", "q3")]
    pipeline.turn()
    assert len(moves()) == 2


@both
def test_tables_without_end_are_read_up_to_a_bound_and_many_cards_find_their_places_by_turns(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "ENTRIES", 5)
    monkeypatch.setattr(placing, "MOST_NOTED", 2)
    arp = [{"ip": f"10.0.1.{number}", "mac": mac(number)} for number in range(1, 10)]
    pipeline.batch(documents=[document("network_arp", {"entries": arp}, "sw-1")])
    pipeline.work()
    rows = [(number, f"p{number}", False) for number in range(1, 4)]
    tables = [
        learned("sw-1", *rows),
        learned("sw-2", (4, "q4", False), (5, "q5", False), (6, "q6", False)),
        learned("sw-3", (7, "r7", False)),
    ]
    pipeline.batch(documents=tables)
    pipeline.work()

    def placed() -> int:
        with pipeline.state.read() as session:
            return len(session.scalars(select(Device.mac).where(Device.switch != "")).all())

    counts = []
    for _ in range(4):
        pipeline.turn()
        counts.append(placed())
        pipeline.clock.seconds += 61
    assert counts == [2, 4, 6, 6]
    pipeline.turn()
    with pipeline.state.read() as session:
        switches = session.scalars(select(Device.switch).where(Device.switch != "").distinct()).all()
    assert sorted(switches) == ["sw-1", "sw-2"]


def test_a_chain_by_forwarding_tables_has_no_link_past_the_one_between() -> None:
    bodies = {name: switch(name, number)["body"] for number, name in enumerate("abc", 1)}
    devices = {name: read_device(name, body) for name, body in bodies.items()}
    tables = {
        "a": read_entries(learned("a", (0x200, "a1", True), (0x300, "a1", True))["body"]),
        "b": read_entries(learned("b", (0x100, "b1", True), (0x300, "b2", True))["body"]),
        "c": read_entries(learned("c", (0x100, "c1", True), (0x200, "c1", True))["body"]),
    }
    edges = topology_of(devices, tables).edges
    assert [(each.one, each.one_port, each.other, each.other_port) for each in edges] == [
        ("a", "a1", "b", "b1"),
        ("b", "b2", "c", "c1"),
    ]


def test_many_switches_at_a_core_that_nobody_asks_are_joined_by_one_node() -> None:
    count = 300
    devices = {f"{n:03}": read_device(f"sw-{n}", switch(f"sw-{n}", n + 1)["body"]) for n in range(count)}
    tables = {
        f"{n:03}": [at((other + 1) << 8, "up", uplink=True) for other in range(count) if other != n]
        for n in range(count)
    }
    found = topology_of(devices, tables)
    assert [(each.one, each.one_port, each.other) for each in found.edges] == [
        (key, "up", "?hub:1") for key in devices
    ]
    assert [node.id for node in found.nodes if node.up is None] == ["?hub:1"]
    assert not found.cut
    # Where some have not learned all of the others it is the same, and where it would take too long it is said.
    for n, entries in enumerate(tables.values()):
        del entries[(7 * n) % 200 : (7 * n) % 200 + 60]
    found = topology_of(devices, tables)
    assert len(found.edges) <= count


def test_a_port_whose_neighbour_lldp_names_has_no_guessed_one() -> None:
    def device(name: str, number: int) -> NetworkSwitch:
        return read_device(
            name, switch(name, number, neighbours=[hears("up", 9, "core", f"g{number}")])["body"]
        )

    devices = {"a": device("a", 1), "b": device("b", 2), "c": device("c", 3)}
    tables = {
        name: [at(number << 8, "up", uplink=True) for number in (1, 2, 3) if number != mine]
        for mine, name in enumerate("abc", 1)
    }
    edges = topology_of(devices, tables).edges
    assert [(each.one, each.other, each.evidence) for each in edges] == [
        (f"?{mac(0x900)}", name, ONE) for name in "abc"
    ]


def test_what_lldp_says_stands_between_two_that_only_learned_each_other() -> None:
    core = switch("core", 1, neighbours=[hears("c1", 2, "a", "a1")])["body"]
    devices = {
        "core": read_device("core", core),
        "a": read_device("a", switch("a", 2)["body"]),
        "b": read_device("b", switch("b", 3)["body"]),
    }
    tables = {
        "core": read_entries(learned("core", (0x300, "c2", True))["body"]),
        "a": read_entries(learned("a", (0x300, "a1", True))["body"]),
        "b": read_entries(learned("b", (0x100, "b1", True), (0x200, "b1", True))["body"]),
    }
    assert [(each.one, each.other, each.evidence) for each in topology_of(devices, tables).edges] == [
        ("a", "core", ONE),
        ("b", "core", FORWARDING),
    ]


def test_a_neighbour_that_nobody_asks_is_on_the_map_as_such_and_a_machine_with_lldp_is_not() -> None:
    machine = {**hears("p3", 8, "pc", "eth0"), "network": False}
    body = switch("a", 1, port("p2", "down"), neighbours=[hears("p2", 9, "<b>x</b>", "g1"), machine])["body"]
    drawn = topology_of({"7": read_device("a", body)}, {})
    assert [(node.id, node.up) for node in drawn.nodes] == [("7", True), (f"?{mac(0x900)}", None)]
    (edge,) = drawn.edges
    assert (edge.evidence, edge.up, edge.one_port, edge.other_port) == (ONE, False, "p2", "g1")
