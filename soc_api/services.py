"""What a request needs from the process: the stores, the settings, the rules, the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.state.base import utcnow
from soc_api.accounts.passwords import Passwords
from soc_api.accounts.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from collector.settings import DataDirectory, Settings
    from collector.state.database import StateStore
    from collector.store.client import StoreClient
    from rules.catalogue import Catalogue


@dataclass(frozen=True)
class Services:
    """One a process, at ``app.state.services``. ``clock`` gives aware UTC times; tests give their own."""

    state: StateStore
    store: StoreClient
    settings: Settings
    catalogue: Catalogue
    data: DataDirectory
    clock: Callable[[], datetime] = utcnow
    passwords: Passwords = field(default_factory=Passwords)
    throttle: Throttle = field(default_factory=Throttle)
