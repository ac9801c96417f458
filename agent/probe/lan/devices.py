"""Who was heard on the LAN, by MAC: addresses, names, how. Bounded, and forgotten when silent."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field

#: More cards than this are not remembered: somebody makes them up.
MOST_CARDS: Final = 4_096
_MOST_ADDRESSES: Final = 16
_MOST_NAMES: Final = 6
#: Bytes of what all cards together say of themselves, shared evenly: the document stays within one batch.
_TEXT_BYTES: Final = 256_000


class Card(Struct):
    """``addresses`` by when each was last heard; ``names`` by how each was learnt (``dhcp``, ``mdns``, ``netbios``)."""

    last: float
    addresses: dict[str, float] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    how: set[str] = field(default_factory=set)
    vendor_class: str = ""


class Devices:
    """``changed`` is set by whatever alters :meth:`entries`; who tells of it clears it."""

    def __init__(self) -> None:
        self._cards: dict[str, Card] = {}
        self.changed = False
        #: Cards that were heard and found no room.
        self.untold = 0

    def __len__(self) -> int:
        return len(self._cards)

    def heard(
        self, mac: str, ip: str, how: str, now: float, *, name: str = "", vendor_class: str = ""
    ) -> None:
        """Somebody with this card spoke; ``ip`` and ``name`` are empty where he did not say."""
        card = self._cards.get(mac)
        if card is None:
            if len(self._cards) >= MOST_CARDS:
                self.untold += 1
                return
            card = self._cards[mac] = Card(now)
            self.changed = True
        card.last = now
        if ip:
            if ip not in card.addresses:
                self.changed = True
                if len(card.addresses) >= _MOST_ADDRESSES:
                    del card.addresses[min(card.addresses, key=card.addresses.__getitem__)]
            card.addresses[ip] = now
        if how not in card.how:
            card.how.add(how)
            self.changed = True
        if name and card.names.get(how) != name:
            card.names[how] = name
            self.changed = True
        if vendor_class and card.vendor_class != vendor_class:
            card.vendor_class = vendor_class
            self.changed = True

    def addresses(self, *, silent_since: float) -> list[str]:
        """Addresses that nobody answered for since then."""
        return [
            ip for card in self._cards.values() for ip, last in card.addresses.items() if last < silent_since
        ]

    def forget(self, before: float) -> None:
        """Drop cards and addresses that were last heard before then."""
        for mac in [mac for mac, card in self._cards.items() if card.last < before]:
            del self._cards[mac]
            self.changed = True
        for card in self._cards.values():
            for ip in [ip for ip, last in card.addresses.items() if last < before]:
                del card.addresses[ip]
                self.changed = True

    def entries(self, interface: str) -> list[dict[str, Any]]:
        """The entries of a ``neighbours`` document: one an address, what is known of the card with its first; ``ip`` is
        empty for a card without any.

        At most :data:`MOST_CARDS`, shared evenly: many addresses or long names of some cards cost the others nothing.
        """
        found: list[dict[str, Any]] = []
        cards = max(1, len(self._cards))
        most, room = max(1, MOST_CARDS // cards), _TEXT_BYTES // cards
        for mac, card in sorted(self._cards.items()):
            told: dict[str, Any] = {"seen": sorted(card.how)}
            if card.names:
                told["names"] = sorted(set(card.names.values()))[:_MOST_NAMES]
            if card.vendor_class:
                told["vendor_class"] = card.vendor_class
            if len("".join((*told.get("names", ()), card.vendor_class)).encode()) > room:
                told = {"seen": told["seen"]}
            newest = sorted(card.addresses, key=card.addresses.__getitem__, reverse=True)[:most]
            for ip in sorted(newest) or [""]:
                found.append({"ip": ip, "mac": mac, "interface": interface, **told})
                told = {}
        return found
