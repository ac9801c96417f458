"""The network interfaces: link, speed, addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agent.collectors.common.files import read_text

if TYPE_CHECKING:
    from pathlib import Path


class Interface(Struct, frozen=True):
    """One interface that is not the loopback. ``speed_mbps`` is ``None`` where the link does not say.

    ``addresses`` are without prefix lengths and zones, sorted; link-local ones are left out, they say nothing.
    ``physical`` is false for bridges, tunnels and other devices made by software.
    """

    name: str
    mac: str
    up: bool
    speed_mbps: int | None
    addresses: list[str]
    physical: bool


def parse_speed(text: str | None) -> int | None:
    """``/sys/class/net/*/speed`` in Mbit/s; -1 and 2³²-1 mean that the link does not say."""
    stripped = (text or "").strip()
    value = int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 11 else 0
    return value if 0 < value < 0xFFFFFFFF else None


def plain_address(text: str) -> str:
    """Without zone; empty for link-local and loopback addresses."""
    address = text.partition("%")[0].lower()
    return "" if address.startswith(("fe80:", "169.254.", "127.")) or address == "::1" else address


def read_interfaces(sys: Path) -> list[Interface]:
    """Every interface but the loopback, by name: addresses by getifaddrs(3), link from ``sys``."""
    import psutil

    families = {2: "v4", 10: "v6"}
    found = []
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        folder = sys / "class/net" / name
        if (read_text(folder / "type", 16) or "").strip() == "772" or name == "lo":  # ARPHRD_LOOPBACK
            continue
        plain = {plain_address(a.address) for a in addresses if int(a.family) in families}
        state = (read_text(folder / "operstate", 16) or "").strip()
        carrier = (read_text(folder / "carrier", 16) or "").strip()
        mac = (read_text(folder / "address", 64) or "").strip().lower()
        found.append(
            Interface(
                name=name,
                mac="" if mac == "00:00:00:00:00:00" else mac,
                up=state == "up" or (state == "unknown" and carrier == "1"),
                speed_mbps=parse_speed(read_text(folder / "speed", 16)),
                addresses=sorted(plain - {""}),
                physical=(folder / "device").exists(),
            )
        )
    return found
