"""Network devices in the console: the map, the list, one device; within the reader's reach, whatever devices call
themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.documents.service import Stored
from collector.network.service import write_devices
from collector.network.topology import EVIDENCE as KNOWN_BY
from collector.network.topology import Edge, Node, Topology
from collector.state.tables import Agency, Document, NetworkDevice
from soc_api.network.drawing import HEIGHT, WIDTH, draw
from soc_api.pages import network_words
from tests.soc_api.pages.conftest import HTML

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soc_api.conftest import FakeStore, SignedIn, World
    from tests.soc_api.pages.conftest import Page

HOSTILE = '<script>"x'


def tell(world: World, endpoint_id: str, kind: str, item: str, body: dict[str, Any]) -> int:
    """Store it as the worker does; return the device's number."""
    now = world.clock.now
    stored = Stored(kind, item, body, "", now, now, now)
    with world.services.state.write() as session:
        session.merge(Document(endpoint_id=endpoint_id, **vars(stored)))
        write_devices(session, {(endpoint_id, kind, item): stored}, {endpoint_id})
        session.flush()
        return session.scalar(select(NetworkDevice.id).where(NetworkDevice.item == item)) or 0


def switch(name: str, number: int, other: int, **more: Any) -> dict[str, Any]:
    port = {"name": f"Gi{number}", "alias": HOSTILE, "admin": "up", "status": "up", "speed_bits": 10**9}
    heard = {
        "interface": f"Gi{number}",
        "chassis": f"02:00:00:00:00:0{other}",
        "port": f"Gi{other}",
        "network": True,
    }
    return {
        "address": f"10.0.0.{number}",
        "system_name": name,
        "reachable": True,
        "kind": "switch",
        "model": HOSTILE,
        "chassis": f"02:00:00:00:00:0{number}",
        "interfaces": [{**port, "uplink": True, "duplex": "full", "changed_at": 1}],
        "neighbours": [heard],
        **more,
    }


@pytest.fixture
def devices(world: World) -> dict[str, int]:
    here = world.endpoint(world.here, "dau-do")
    there = world.endpoint(world.there, "dau-do-khac")
    found = {
        "one": tell(world, here, "network_device", "sw-1", switch("sw-1", 1, 2)),
        "two": tell(world, here, "network_device", "sw-2", switch("sw-2", 2, 1)),
        "down": tell(
            world,
            here,
            "network_device",
            "ups-1",
            {
                "reachable": False,
                "reason": "it does not answer SNMP",
                "kind": "ups",
                "ups": {"output": "battery"},
            },
        ),
        "there": tell(world, there, "network_device", "not-yours", switch("not-yours", 3, 9)),
    }
    entries = [{"name": "02:00:00:00:00:11", "interface": "Gi7", "vlan": 5, "uplink": False, "new": True}]
    tell(world, here, "network_addresses", "sw-1", {"entries": entries})
    return found


def test_the_map_shows_the_devices_and_links_of_the_readers_agency_alone(
    devices: dict[str, int], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("officer")
    answer = client.get("/network", headers=HTML)
    assert answer.status_code == 200
    assert answer.text.count("<line ") == 1
    assert "<script>" not in answer.text.replace("<script nonce", "").replace("<script src", "")
    page = look(client, "/network")
    assert f"/network/{devices['one']}" in page.links()
    assert "not-yours" not in answer.text
    assert "sw-1 Gi1 – sw-2 Gi2: LLDP, said by both ends" in page.text
    assert "Does not answer" in page.text
    assert "không trả lời SNMP" in look(client, "/network", lang="vi").text
    assert client.get(f"/network/{devices['there']}", headers=HTML).status_code == 404
    assert client.get(f"/network/{devices['there']}/history", headers=HTML).status_code == 404
    down = look(client, "/network?state=down").text
    assert "ups-1" in down


def test_a_device_shows_its_interfaces_neighbours_and_cards(
    devices: dict[str, int], signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("officer")
    page = look(client, f"/network/{devices['one']}?interface=Gi1")
    assert "1 Gbit/s" in page.text
    assert "02:00:00:00:00:02 (Gi2)" in page.text
    assert "02:00:00:00:00:11" in page.text
    assert "Interface Gi1, last 24 hours" in page.text
    assert HOSTILE in page.text
    assert "On battery" in look(client, f"/network/{devices['down']}").text


def test_the_history_asks_for_one_interface_of_one_device(
    devices: dict[str, int], signed_in: SignedIn, store: FakeStore
) -> None:
    asked: list[dict[str, Any]] = []
    inner = store.query

    def query(sql: str, parameters: Any = None, **more: Any) -> list[dict[str, Any]]:
        asked.append(dict(parameters or {}))
        return inner(sql, parameters, **more)

    store.query = query  # type: ignore[method-assign]
    client = signed_in("officer")
    path = f"/network/{devices['one']}/history"
    client.get(path, params={"group": "traffic", "interface": HOSTILE}, headers=HTML)
    assert (asked[-1]["keys"], asked[-1]["wanted"]) == (["device", "interface"], ["sw-1", HOSTILE])
    assert asked[-1]["names"] == list(network_words.INTERFACE_CHARTS)


def test_every_kind_of_evidence_has_a_word() -> None:
    assert tuple(network_words.EVIDENCE) == KNOWN_BY


def test_boxes_do_not_cover_each_other_and_nobody_is_left_out() -> None:
    nodes = [Node(str(number), f"n{number}", "switch", True) for number in range(40)]
    nodes.append(Node("fw", "tường lửa", "firewall", False))
    edges = [Edge("0", str(number), "a", "b", "lldp_both", True) for number in range(1, 20)]
    edges += [Edge("0", "fw", "", "", "forwarding", None), Edge("1", "20", "", "", "lldp_one", False)]
    drawing = draw(Topology(tuple(nodes), tuple(edges)))
    assert {box.node.id for box in drawing.boxes} == {node.id for node in nodes}
    assert drawing.boxes[0].node.id == "fw"
    places = [(box.x, box.y) for box in drawing.boxes]
    for at, (x, y) in enumerate(places):
        assert 0 <= x <= drawing.width - WIDTH
        assert 0 <= y <= drawing.height - HEIGHT
        assert not any(abs(x - u) < WIDTH and abs(y - v) < HEIGHT for u, v in places[at + 1 :])
    assert len(drawing.lines) == len(edges)
    assert draw(Topology((), ())).boxes == ()


def test_the_api_tells_the_same_within_reach(
    devices: dict[str, int], signed_in: SignedIn, world: World
) -> None:
    client = signed_in("officer")
    found = client.get("/api/v1/network/devices").json()["items"]
    assert [each["item"] for each in found] == ["ups-1", "sw-1", "sw-2"]
    with world.services.state.read() as session:
        here, there = (session.get_one(Agency, each).code for each in (world.here, world.there))
    drawn = client.get("/api/v1/network/map", params={"agency": here}).json()
    assert [each["evidence"] for each in drawn["edges"]] == ["lldp_both"]
    assert client.get("/api/v1/network/map", params={"agency": there}).status_code == 404
