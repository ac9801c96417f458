"""MAC and IP addresses as agents report them: which say who a device is, and which do not."""

from __future__ import annotations

import re
from ipaddress import ip_address

_MAC = re.compile(r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}|[0-9a-f]{12}", re.ASCII)
#: Second digits of MACs with the bit for "locally administered" (IEEE 802, 8.4), the lowest bit of all being zero.
MADE_UP = ("2", "6", "a", "e")
# VRRP (RFC 9568, 7.3), HSRP and HSRPv2: an address that routers share.
_VIRTUAL_ROUTERS = ("00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f")
# Bridges and tunnels inside one machine: what answers there is no device on the LAN.
_INNER = re.compile(
    r"(?:docker\d|br-[0-9a-f]{12}|virbr\d|lxcbr\d|lxdbr\d|cni\d|podman\d|vmnet\d|vboxnet\d|cali|flannel|lo$)"
)


def parse_mac(text: object) -> str | None:
    """``aa:bb:cc:dd:ee:ff`` for an address of one network card (IEEE 802, 8.2); None for anything else.

    Not of one card: group addresses (lowest bit of the first octet), all zeros.
    """
    if not isinstance(text, str) or not _MAC.fullmatch(lowered := text.strip().lower()):
        return None
    digits = re.sub("[:-]", "", lowered)
    if digits == "0" * 12 or int(digits[:2], 16) & 1:
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def is_locally_administered(mac: str) -> bool:
    """Made up by software (a phone's private address, a virtual machine): it may change with every
    connection.
    """
    return bool(int(mac[:2], 16) & 2)


def is_virtual_router(mac: str) -> bool:
    return mac.startswith(_VIRTUAL_ROUTERS)


def parse_ip(text: object) -> str | None:
    """The address in its usual form; None for what no single device on a LAN has."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if address.is_multicast or address.is_loopback or address.is_unspecified or int(address) == 0xFFFFFFFF:
        return None
    return str(address)


def is_inner_interface(name: object) -> bool:
    return isinstance(name, str) and _INNER.match(name) is not None
