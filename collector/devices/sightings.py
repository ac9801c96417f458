"""Reads who is on the LAN out of agents' documents. Pure; the documents may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.devices.cards import clean
from collector.devices.macs import is_inner_interface, parse_ip, parse_mac

_MAX_ENTRIES = 4096
_MAX_OWN_MACS = 64
#: Of those that came, and of those that went, so many are named in a history.
_MOST_NAMED = 200


@dataclass(frozen=True)
class Sighting:
    """A card that answered for an address; ``ip`` is empty for one that was seen without any."""

    mac: str
    ip: str


def neighbours_of(body: Mapping[str, Any]) -> list[Sighting]:
    """The usable entries of a ``neighbours`` document, in order, each once."""
    found: dict[Sighting, None] = {}
    for entry in _maps(body.get("entries"))[:_MAX_ENTRIES]:
        mac, ip = parse_mac(entry.get("mac")), "" if entry.get("ip") == "" else parse_ip(entry.get("ip"))
        if mac is not None and ip is not None and not is_inner_interface(entry.get("interface")):
            found.setdefault(Sighting(mac, ip))
    return list(found)


def place_of(body: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """``(mac, switch, port)`` of a ``switch_port`` document: where the card that says it is plugged in."""
    mac = parse_mac(body.get("mac"))
    switch = clean(body.get("switch"), 128) or clean(body.get("switch_id"), 128)
    port = clean(body.get("port"), 128)
    return (mac, switch, port) if mac is not None and switch and port else None


def gateway_of(body: Mapping[str, Any] | None) -> Sighting | None:
    """The default gateway of a ``lan`` document, where its MAC is known."""
    gateway = body.get("gateway") if body is not None else None
    if not isinstance(gateway, Mapping):
        return None
    mac, ip = parse_mac(gateway.get("mac")), parse_ip(gateway.get("ip"))
    return Sighting(mac, ip) if mac is not None and ip is not None else None


def own_macs_of(host: Mapping[str, Any] | None, lan: Mapping[str, Any] | None) -> frozenset[str]:
    """The endpoint's own cards by its ``host`` and ``lan`` documents; at most 64.

    Both are asked: a virtual card is nobody's hardware, and still what others on the LAN see.
    """
    listed = host.get("mac_addresses") if host is not None else None
    said: list[object] = listed[:1024] if isinstance(listed, list) else []
    interfaces = _maps(lan.get("interfaces") if lan is not None else None)[:1024]
    said += [each.get("mac") for each in interfaces if not is_inner_interface(each.get("name"))]
    macs = (parse_mac(each) for each in said)
    return frozenset(sorted({mac for mac in macs if mac is not None})[:_MAX_OWN_MACS])


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def neighbours_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Who came and who went between two ``neighbours`` documents, as ``mac ip``; at most 200 of each, with
    ``added_count`` and ``removed_count`` where there are more."""
    before, after = ({f"{each.mac} {each.ip}" for each in neighbours_of(body)} for body in (old, new))
    told: dict[str, Any] = {}
    for name, pairs in (("added", sorted(after - before)), ("removed", sorted(before - after))):
        told[name] = pairs[:_MOST_NAMED]
        if len(pairs) > _MOST_NAMED:
            told[f"{name}_count"] = len(pairs)
    return told
