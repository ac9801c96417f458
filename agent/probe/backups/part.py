"""The probe's part ``backups``: for the machine where backups are kept."""

from agent.probe.backups.settings import BackupsSettings
from agent.probe.contract import Part

PART = Part(
    name="backups",
    settings=BackupsSettings,
    sources=("backups",),
    module="agent.probe.backups.looking",
    privileges=("CAP_DAC_READ_SEARCH: folders of backups that others may not read",),
    description="The newest backup of important systems: there, young, large and whole.",
    memory_bytes=64 << 20,
)
