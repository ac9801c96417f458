"""What a neighbour table says of a card beside its address: names, how it was seen, DHCP's vendor class. Hostile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from collector.devices.macs import parse_mac

_MOST: Final = 6
_LONGEST: Final = 64
_WAYS: Final = frozenset({"arp", "nd", "dhcp", "mdns", "netbios"})
_MAX_ENTRIES: Final = 4096


class Card(msgspec.Struct, array_like=True, frozen=True):
    """``names`` as the device gives them, ``how`` of the ways ``arp nd dhcp mdns netbios``."""

    names: list[str] = []
    how: list[str] = []
    vendor_class: str = ""


def cards_of(body: Mapping[str, Any]) -> dict[str, Card]:
    """By MAC, of a ``neighbours`` document; only those of which it says something."""
    found: dict[str, Card] = {}
    entries = body.get("entries")
    for entry in entries[:_MAX_ENTRIES] if isinstance(entries, list) else ():
        mac = parse_mac(entry.get("mac")) if isinstance(entry, Mapping) else None
        if mac is None or mac in found:
            continue
        how = [each for each in _texts(entry.get("seen")) if each in _WAYS]
        card = Card(_texts(entry.get("names")), how, clean(entry.get("vendor_class"), _LONGEST))
        if card != Card():
            found[mac] = card
    return found


def merged(facts: Mapping[str, Any], card: Card) -> dict[str, Any]:
    """What is known of a device with ``card`` added: the newest names first, each once."""
    return {
        "names": _joined(card.names, facts.get("names")),
        "how": sorted({*card.how, *_texts(facts.get("how"))}),
        "vendor_class": card.vendor_class or clean(facts.get("vendor_class"), _LONGEST),
    }


def clean(value: object, longest: int) -> str:
    """One line of printable text; empty for what is none."""
    if not isinstance(value, str):
        return ""
    return "".join(each if each.isprintable() else " " for each in value[: 4 * longest]).strip()[:longest]


def _joined(new: list[str], old: object) -> list[str]:
    return list(dict.fromkeys([*new, *_texts(old)]))[:_MOST]


def _texts(value: object) -> list[str]:
    listed = value[:_MOST] if isinstance(value, list) else ()
    return [text for text in (clean(each, _LONGEST) for each in listed) if text]
