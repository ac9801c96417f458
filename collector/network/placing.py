"""At which switch and port a card is plugged in, by forwarding tables. Pure.

A card is where the port has the fewest MACs, and never at a port that leads to other network devices: between a machine
and the switch it is plugged into, every further switch sees it together with others. How many MACs a port has, a host
behind it decides; so a card is looked for anew only where a row of its own came or went, never because others did.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from collector.network.reading import read_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.network.reading import Entry

#: Switch and port; both are empty for a card of which nobody knows.
Place = tuple[str, str]
NOWHERE: Final[Place] = ("", "")
#: More moves at once are noted and not told, those to the ports with the most MACs.
MOST_TOLD: Final = 50


class Touch(IntEnum):
    """What happened to a card's row. The greatest counts where several did."""

    #: It is at an access port no more.
    LEFT = 1
    #: It came with the first table of its switch, or the port leads to no network device any more.
    FOUND = 2
    #: It came.
    ARRIVED = 3


class Moves(NamedTuple):
    """``(mac, switch, port)`` each. ``told``: cards that were plugged in elsewhere before; ``noted``: what is known
    better now, and what is too much to tell."""

    told: list[tuple[str, str, str]]
    noted: list[tuple[str, str, str]]


def touches(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Touch]:
    """By MAC, of the ``network_addresses`` document of a switch and the one before."""
    before = {each.mac: each for each in read_entries(old)}
    after = {each.mac: each for each in read_entries(new)}
    found: dict[str, Touch] = {}
    for mac, entry in after.items():
        was = before.get(mac)
        if entry.uplink:
            if was is not None and not was.uplink:
                found[mac] = Touch.LEFT
        elif was is None or was.interface != entry.interface:
            found[mac] = Touch.FOUND if old is None else Touch.ARRIVED
        elif was.uplink:
            found[mac] = Touch.FOUND
    count = new.get("count")
    if not (isinstance(count, int) and count > len(after)):  # else it may be there and have found no room
        found.update(dict.fromkeys((mac for mac in before if mac not in after), Touch.LEFT))
    return found


def moves_of(
    tables: Mapping[str, Iterable[Entry]],
    present: Mapping[str, Place],
    touched: Mapping[str, Touch],
    *,
    everything: bool = False,
) -> Moves:
    """Which of the cards ``present`` (with where they are known to be) are elsewhere, of all tables that one probe
    reads, by switch.

    Looked for are those that were ``touched`` and those of which nobody knows where they are; with ``everything`` all,
    and then what still is where it was stays there.
    """
    crowds: Counter[Place] = Counter()
    access: dict[str, list[Place]] = {}
    passing: set[tuple[str, Place]] = set()
    for switch, entries in tables.items():
        for entry in entries:
            place = (switch, entry.interface)
            crowds[place] += 1
            was = present.get(entry.mac)
            if was is None or not (everything or entry.mac in touched or was == NOWHERE):
                continue
            if entry.uplink:
                passing.add((entry.mac, place))
            else:
                access.setdefault(entry.mac, []).append(place)
    told: list[tuple[int, str, Place]] = []
    noted: list[tuple[str, str, str]] = []
    for mac, places in sorted(access.items()):
        crowd, best = min((crowds[place], place) for place in places)
        was, touch = present[mac], touched.get(mac, Touch.LEFT)
        if was == best:
            continue
        if was == NOWHERE:
            noted.append((mac, *best))
            continue
        # Without a row that came, it moved only where this probe knew its place, and it is there no more.
        if touch is Touch.LEFT and (was in places or was[0] not in tables):
            continue
        if touch is Touch.FOUND or (mac, was) in passing:
            noted.append((mac, *best))
        else:
            told.append((crowd, mac, best))
    told.sort()
    moves = [(mac, *place) for _, mac, place in told]
    return Moves(moves[:MOST_TOLD], noted + moves[MOST_TOLD:])
