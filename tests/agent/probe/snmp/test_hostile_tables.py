"""One host that makes up MACs behind its port hides nobody behind another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from agent.probe.snmp.around import Around
from agent.probe.snmp.known import Known, Memory
from agent.probe.snmp.tables import Entry
from agent.probe.snmp.telling import addresses_document

DAY = 86_400.0


def test_made_up_cards_behind_one_port_leave_the_others_their_room() -> None:
    known = Known()
    real = [(Entry(f"f0:de:f1:00:00:{number:02x}", 1, 1), "Gi1") for number in range(40)]
    made_up = [
        (Entry(f"00:00:00:01:{number >> 8:02x}:{number & 255:02x}", 2, 1), "Gi2") for number in range(2_000)
    ]
    known.take(real, 1.0, DAY)
    known.take(real + made_up, 2 * DAY, DAY)
    known.take([*real, (Entry("f0:99:99:00:00:01", 3, 1), "Gi3")], 5 * DAY, DAY)
    polled: Any = SimpleNamespace(
        uplinks=set,
        around=Around(300),
        memory=Memory(known=known),
        entries=[],
        interfaces={},
        settings=SimpleNamespace(name="sw", address="10.0.0.2"),
        entries_total=0,
        poll=SimpleNamespace(max_addresses=2_000),
    )
    body = cast("dict[str, Any]", addresses_document(polled, 5 * DAY).body)
    told = {entry["name"] for entry in body["entries"]}
    assert len(told) == 2_000
    assert {entry.mac for entry, _interface in real} | {"f0:99:99:00:00:01"} <= told
