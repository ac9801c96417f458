"""What the part ``eve`` is."""

from agent.probe.contract import Part
from agent.probe.eve.settings import EveSettings

PART = Part(
    name="eve",
    settings=EveSettings,
    sources=("eve",),
    module="agent.probe.eve.run",
    privileges=(
        "none: its user must be able to read Suricata's log (group suricata), or own the socket's folder",
    ),
    description="Alerts, anomalies and, where wanted, DNS, HTTP, TLS and flows that Suricata tells in EVE JSON",
    memory_bytes=96 << 20,
)
