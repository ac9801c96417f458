"""How network devices are joined: by what both ends say over LLDP, by what one says, by forwarding tables. Pure.

Forwarding tables say less than LLDP: a bridge learns every other bridge behind some port, not only the next one.
Between two devices A and B there is a link by forwarding tables alone where each has learned the other, and no third
device C stands between them: none that A sees behind the same port as B, while B sees it behind the port of A. Where
more than three are joined to each other so, at one port each, a switch that nobody asks stands between them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.network.reading import Device, Entry

#: What a link is known by, the surest first.
BOTH, ONE, FORWARDING = "lldp_both", "lldp_one", "forwarding"
EVIDENCE: Final = (BOTH, ONE, FORWARDING)
_MAX_STRANGERS: Final = 200
#: Devices that see each other at one port each; more are joined by a node of their own.
_MOST_BESIDE: Final = 3
#: More links are not looked for: a map of them shows nothing.
_MAX_EDGES: Final = 2_000
#: Thirds that are looked at, in all: what tables would have to be looked at longer is left out.
_MAX_LOOKS: Final = 2_000_000


class Node(Struct, frozen=True):
    """``id``: the device's key; ``?`` and the chassis of one that nobody polls and LLDP tells of; ``?hub:`` and a
    number of one that forwarding tables alone tell of. ``up``: None where nobody polls it. ``machines``: cards behind
    its access ports."""

    id: str
    name: str
    kind: str
    up: bool | None
    machines: int = 0


class Edge(Struct, frozen=True):
    """Between the nodes ``one`` and ``other``, in the order of their ids. Ports are empty where they are not known.
    ``up``: None where neither port's state is known."""

    one: str
    other: str
    one_port: str
    other_port: str
    evidence: str
    up: bool | None


class Topology(Struct, frozen=True):
    """``cut``: there are more links than these."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    cut: bool = False


def topology_of(devices: Mapping[str, Device], tables: Mapping[str, Sequence[Entry]]) -> Topology:
    """Nodes and links of an agency's devices and forwarding tables, by key; in the order of keys."""
    owners = _owners(devices)
    told: dict[tuple[str, str, str, str], set[str]] = {}
    strangers: dict[str, Node] = {}
    for key, device in devices.items():
        for each in device.neighbours:
            other = owners.get(each.chassis) or _by_name(devices, each.system_name)
            if other is None:
                if not each.network or len(strangers) >= _MAX_STRANGERS:
                    continue
                other = f"?{each.chassis}"
                strangers.setdefault(other, Node(other, each.system_name or each.chassis, "other", None))
            if other != key:
                told.setdefault(_ordered(key, each.interface, other, each.port), set()).add(key)
    edges = [
        Edge(*ends(link), BOTH if len(said) > 1 else ONE, _up(devices, link)) for link, said in told.items()
    ]
    joined = {(edge.one, edge.other) for edge in edges}
    ends_told = {end for link in told for end in ((link[0], link[1]), (link[2], link[3]))}
    guessed, cut = _by_forwarding(owners, tables, told)
    # Where LLDP says who is at a port, nobody else is guessed to be at it.
    free = [
        link
        for link in guessed
        if (link[0], link[2]) not in joined and not {(link[0], link[1]), (link[2], link[3])} & ends_told
    ]
    links, hubs = _with_hubs(free)
    edges += [Edge(*ends(link), FORWARDING, _up(devices, link)) for link in links]
    nodes = [
        Node(
            key,
            device.name,
            device.kind,
            device.reachable,
            len({entry.mac for entry in tables.get(key, ()) if not entry.uplink and entry.mac not in owners}),
        )
        for key, device in devices.items()
    ]
    nodes += [*strangers.values(), *(Node(hub, "?", "switch", None) for hub in hubs)]
    return Topology(
        tuple(sorted(nodes, key=lambda node: node.id)),
        tuple(sorted(edges[:_MAX_EDGES], key=lambda edge: (edge.one, edge.other, edge.one_port))),
        cut or len(edges) > _MAX_EDGES,
    )


def ends(link: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    """``(one, other, one_port, other_port)`` of a link as ``(one, one_port, other, other_port)``."""
    return link[0], link[2], link[1], link[3]


def _owners(devices: Mapping[str, Device]) -> dict[str, str]:
    """Whose a MAC or a chassis is."""
    found: dict[str, str] = {}
    for key, device in devices.items():
        for name in (device.chassis, *device.macs):
            if name:
                found.setdefault(name, key)
    return found


def _by_name(devices: Mapping[str, Device], name: str) -> str | None:
    mine = [key for key, device in devices.items() if name and name in (device.system_name, device.name)]
    return mine[0] if len(mine) == 1 else None


def _ordered(one: str, one_port: str, other: str, other_port: str) -> tuple[str, str, str, str]:
    return (one, one_port, other, other_port) if one <= other else (other, other_port, one, one_port)


def _by_forwarding(
    owners: Mapping[str, str],
    tables: Mapping[str, Sequence[Entry]],
    told: Iterable[tuple[str, str, str, str]],
) -> tuple[list[tuple[str, str, str, str]], bool]:
    """``(links, whether it was given up before all were found)``. ``told``: links by LLDP, whose ends are behind each
    other's ports though no bridge may have learned them."""
    seen: dict[str, dict[str, str]] = {}
    for one, one_port, other, other_port in told:
        seen.setdefault(one, {})[other] = one_port
        seen.setdefault(other, {})[one] = other_port
    for key, entries in tables.items():
        mine = seen.setdefault(key, {})
        for entry in entries:
            owner = owners.get(entry.mac)
            if owner is not None and owner != key:
                mine.setdefault(owner, entry.interface)
    behind = _behind(seen)
    found = []
    looks = 0
    for one, others in seen.items():
        for other, port in others.items():
            back = seen.get(other, {}).get(one)
            if one >= other or back is None:
                continue
            between, looked = _between(seen, behind, one, port, other, back)
            looks += looked
            if not between:
                found.append((one, port, other, back))
            if looks > _MAX_LOOKS:
                return found, True
    return found, False


def _behind(seen: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str], list[str]]:
    """By device and port, who is behind it and may stand between others: not who sees everybody at one port."""
    everybody = len(seen.keys() | {other for others in seen.values() for other in others})
    at_the_end = {
        key for key, others in seen.items() if len(others) == everybody - 1 and len(set(others.values())) == 1
    }
    found: dict[tuple[str, str], list[str]] = {}
    for key, others in seen.items():
        for third, port in others.items():
            if third not in at_the_end:
                found.setdefault((key, port), []).append(third)
    return found


def _between(
    seen: Mapping[str, Mapping[str, str]],
    behind: Mapping[tuple[str, str], Sequence[str]],
    one: str,
    port: str,
    other: str,
    back: str,
) -> tuple[bool, int]:
    """``(whether a third stands behind both ports, and sees both ends behind different ones of its own; how many were
    looked at)``."""
    looked = 0
    for third in behind.get((one, port), ()):
        looked += 1
        if third == other or seen[other].get(third) != back:
            continue
        sees = seen.get(third, {})
        if sees.get(one) != sees.get(other):
            return True, looked
    return False, looked


def _with_hubs(
    links: Sequence[tuple[str, str, str, str]],
) -> tuple[list[tuple[str, str, str, str]], list[str]]:
    """``(links, new nodes)``: ports that are joined with too many others are joined with one new node instead."""
    beside: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for link in links:
        one, other = link[:2], link[2:]
        beside.setdefault(one, set()).add(other)
        beside.setdefault(other, set()).add(one)
    hubs: list[str] = []
    hub_of: dict[tuple[str, str], str] = {}
    taken: set[tuple[str, str]] = set()
    for start in sorted(beside):
        if start in taken:
            continue
        group, waiting = {start}, [start]
        while waiting:
            new = beside[waiting.pop()] - group
            group |= new
            waiting += new
        taken |= group
        if len(group) > _MOST_BESIDE:
            hubs.append(f"?hub:{len(hubs) + 1}")
            hub_of.update(dict.fromkeys(group, hubs[-1]))
    kept = [link for link in links if link[:2] not in hub_of]
    return kept + [_ordered(*end, hub, "") for end, hub in sorted(hub_of.items())], hubs


def _up(devices: Mapping[str, Device], link: tuple[str, str, str, str]) -> bool | None:
    known = []
    for key, port in ((link[0], link[1]), (link[2], link[3])):
        device = devices.get(key)
        if device is None:
            continue
        if not device.reachable:
            return False
        known += [each.status == "up" for each in device.interfaces if each.name == port]
    return all(known) if known else None
