"""What every command begins with: settings, state directory and collectors, all of them checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent import settings as settings_module
from agent.collectors.registry import load_collectors
from agent.runtime.proxy import Proxy
from agent.runtime.transport import Address
from agent.settings import Settings, StateDirectory

if TYPE_CHECKING:
    from agent.collectors.registry import Collector


def load(config: Path | None, state: Path | None) -> tuple[Settings, StateDirectory, list[Collector]]:
    """``config`` and ``state`` as a command line may give them; by name, the collectors of this platform.

    Raises:
        SettingsError, ValueError: the first thing wrong, with its place.
    """
    settings = settings_module.load(config)
    for url in (settings.collector.url, *settings.collector.standby):
        if url:
            Address.of(url)
    if settings.collector.proxy:
        Proxy.of(settings.collector.proxy)
    collectors = load_collectors()
    settings_module.check_names(settings, [c.name for c in collectors])

    root = state if state is not None else Path(settings.agent.state_dir)
    return settings, StateDirectory(root.absolute(), Path(settings.agent.tpm_device)), collectors
