"""Who else is on this machine's networks: the kernel's neighbour table (ARP and NDP)."""

from __future__ import annotations

from typing import Any

from agent.collectors.common.neighbours import Neighbour, read_neighbours
from agent.collectors.registry import Context, Output, StatusDocument, collector

MAX_ENTRIES = 4096


def complete(neighbours: list[Neighbour]) -> list[dict[str, Any]]:
    """Entries with an address on both layers that the kernel has not given up, sorted, each once."""
    found = {
        (n.interface, n.ip, n.mac)
        for n in neighbours
        if n.complete and n.mac not in ("", "00:00:00:00:00:00") and not _is_group(n.mac)
    }
    return [{"ip": ip, "mac": mac, "interface": interface} for interface, ip, mac in sorted(found)][
        :MAX_ENTRIES
    ]


def _is_group(mac: str) -> bool:
    """Multicast and broadcast: the lowest bit of the first octet (IEEE 802)."""
    return bool(int(mac[:2], 16) & 1)


@collector(
    "neighbours",
    interval_seconds=300,
    platforms={"linux"},
    privileges="none",
    description="Devices on the same LAN as the kernel's neighbour table knows them: address, MAC, interface",
)
def collect(ctx: Context) -> Output:
    body = {"entries": complete(read_neighbours(ctx.proc))}
    return Output(documents=[StatusDocument(kind="neighbours", observed_at=ctx.now(), body=body)])
