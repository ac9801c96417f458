"""What the part ``ssh`` is."""

from __future__ import annotations

from agent.probe.contract import Part
from agent.probe.ssh.settings import SshSettings

#: Under this name it tells of devices and their configuration.
SOURCE = "ssh_devices"

PART = Part(
    name="ssh",
    settings=SshSettings,
    sources=(SOURCE,),
    module="agent.probe.ssh.watch",
    privileges=(),
    description="Firewalls, switches and servers without an agent, by SSH: version, configuration and its changes",
    memory_bytes=512 << 20,
)
