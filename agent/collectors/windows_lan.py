"""How the network is from this Windows: links, gateway, name servers, the way to the collector."""

from __future__ import annotations

from agent.collectors.lan import (
    PING_SECONDS,
    PINGS,
    collector_facts,
    gateway_facts,
    name_server_facts,
)
from agent.collectors.registry import WINDOWS, Context, Output, StatusDocument, collector
from agent.windows.network import (
    best_gateway,
    find_neighbour,
    interface_names,
    name_servers,
    parse_arp_table,
    ping,
    read_arp_table,
)
from agent.windows.system import read_adapters
from agent.windows.wmi import wmi

_TOLD = ("name", "mac", "up", "speed_mbps", "addresses")


@collector(
    "lan",
    interval_seconds=60,
    platforms={WINDOWS},
    privileges="none",
    description="Links and addresses, gateway and its MAC, latency and loss to it, name servers and their answer "
    "time, time to connect to the collector",
)
def collect(ctx: Context) -> Output:
    now = ctx.now()
    adapters = read_adapters(wmi())
    names = interface_names(adapters)
    gateway, metrics = gateway_facts(
        best_gateway(adapters),
        lambda way: ping(way.ip, PINGS, PING_SECONDS),
        lambda way: find_neighbour(way, parse_arp_table(read_arp_table(), names)),
        ctx.state,
        now,
    )
    dns, dns_metrics = name_server_facts(name_servers(adapters), ctx.state, now)
    way, way_metrics = collector_facts(ctx, now)
    body = {
        "interfaces": [{name: each[name] for name in _TOLD} for each in adapters],
        "gateway": gateway,
        "dns": dns,
        "collector": way,
    }
    document = StatusDocument(kind="lan", observed_at=now, body=body)
    return Output(documents=[document], metrics=[*metrics, *dns_metrics, *way_metrics])
