"""What the part ``wire`` is."""

from agent.probe.contract import Part
from agent.probe.wire.settings import WireSettings

PART = Part(
    name="wire",
    settings=WireSettings,
    sources=("wire",),
    module="agent.probe.wire.capture",
    privileges=("CAP_NET_RAW: sees the frames of a span port or of the probe's own interface",),
    description="Scans, floods and series of sign-ins as they cross the wire: who tried how many hosts and ports, "
    "and what was answered",
    memory_bytes=160 << 20,
)
