"""At which switch and port a card is plugged in, by forwarding tables. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.network.reading import Entry


def places_of(item: str, tables: Mapping[str, Iterable[Entry]]) -> list[tuple[str, str, str]]:
    """``(mac, switch, port)`` for the cards that the switch ``item`` has, of all switches' tables by name.

    A card is where the port has the fewest MACs, and never at a port that leads to other network devices: between a
    machine and the switch it is plugged into, every further switch sees it together with others. Of equal ones the
    first by name counts.
    """
    crowds: dict[str, Counter[str]] = {}
    access: dict[str, dict[str, str]] = {}
    for name, entries in tables.items():
        crowd = crowds[name] = Counter()
        mine = access[name] = {}
        for entry in entries:
            crowd[entry.interface] += 1
            if not entry.uplink:
                mine[entry.mac] = entry.interface
    found = []
    for mac, interface in access.get(item, {}).items():
        best = min((crowds[name][mine[mac]], name, mine[mac]) for name, mine in access.items() if mac in mine)
        if best[1] == item:
            found.append((mac, item, interface))
    return sorted(found)
