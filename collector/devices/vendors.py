"""Who made a card, by the IEEE's register that netaddr ships: offline, and as old as that package."""

from __future__ import annotations

from functools import lru_cache

from collector.devices.macs import is_locally_administered

_LONGEST = 80


@lru_cache(maxsize=8192)
def vendor_of(mac: str) -> str:
    """The organisation that an address of :func:`collector.devices.macs.parse_mac` was assigned to; empty where that is
    not known, or the address was made up by software."""
    if is_locally_administered(mac):
        return ""
    # 20 MB that only the process that sees devices holds.
    from netaddr import EUI, NotRegisteredError  # type: ignore[import-untyped]  # it has no types

    card = EUI(mac)
    try:
        register = card.iab if card.is_iab() else card.oui
        name = register.registration().org
    except (NotRegisteredError, IndexError):
        return ""
    return "".join(each for each in str(name) if each.isprintable()).strip()[:_LONGEST]
