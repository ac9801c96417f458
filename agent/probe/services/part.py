"""What the part ``services`` is."""

from __future__ import annotations

from agent.probe.contract import Part
from agent.probe.services.settings import ServicesSettings

PART = Part(
    name="services",
    settings=ServicesSettings,
    sources=("service_checks",),
    module="agent.probe.services.watch",
    privileges=(
        "CAP_NET_RAW: echo requests for kind `path`, where net.ipv4.ping_group_range does not allow them",
    ),
    description="portals, mail, names and ports of the province, and whether a page was defaced",
    memory_bytes=160 << 20,
)
