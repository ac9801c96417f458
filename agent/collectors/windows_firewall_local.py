"""Whether this Windows' own firewall is on in its three profiles."""

from __future__ import annotations

from agent.collectors.registry import WINDOWS, Context, Output, StatusDocument, collector
from agent.windows.firewall import firewall_body
from agent.windows.registry import registry
from agent.windows.wmi import wmi


@collector(
    "firewall_local",
    interval_seconds=300,
    platforms={WINDOWS},
    privileges="none",
    description="Windows Defender Firewall: on or off in its three profiles, what happens to unexpected packets; or "
    "another product's firewall",
)
def collect(ctx: Context) -> Output:
    body = firewall_body(registry(), wmi())
    return Output(documents=[StatusDocument(kind="firewall", observed_at=ctx.now(), body=body)])
