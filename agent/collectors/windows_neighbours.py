"""Who else is on this Windows machine's networks: its ARP table."""

from __future__ import annotations

from agent.collectors.neighbours import complete
from agent.collectors.registry import WINDOWS, Context, Output, StatusDocument, collector
from agent.windows.network import interface_names, parse_arp_table, read_arp_table
from agent.windows.system import read_adapters
from agent.windows.wmi import wmi


@collector(
    "neighbours",
    interval_seconds=300,
    platforms={WINDOWS},
    privileges="none",
    description="Devices on the same LAN as Windows' ARP table knows them: IPv4 address, MAC, interface",
)
def collect(ctx: Context) -> Output:
    names = interface_names(read_adapters(wmi()))
    body = {"entries": complete(parse_arp_table(read_arp_table(), names))}
    return Output(documents=[StatusDocument(kind="neighbours", observed_at=ctx.now(), body=body)])
