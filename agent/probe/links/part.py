"""What the part ``links`` is."""

from __future__ import annotations

from agent.probe.contract import Part
from agent.probe.links.settings import LinksSettings

PART = Part(
    name="links",
    settings=LinksSettings,
    sources=("links",),
    module="agent.probe.links.watch",
    privileges=(
        "CAP_NET_RAW: echo requests, where net.ipv4.ping_group_range does not let the agent's user send them",
    ),
    description="gateway, dedicated network and Internet: latency, loss, jitter",
    memory_bytes=64 << 20,
)
