"""What a request needs from the process: the stores, the settings, the rules, the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from collector.detect.logsources import pipelines
from collector.ingest.limits import AddressList
from collector.metrics import WebMetrics
from collector.rulebook.live import LiveBook
from collector.rulebook.sources import Rulebook
from collector.state.base import utcnow
from soc_api.accounts.passwords import Passwords
from soc_api.accounts.throttle import Throttle
from soc_api.received import Arrivals

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
    #: Of reports of backups: who may not sign in may still send them, and the other way round.
    report_throttle: Throttle = field(default_factory=Throttle)
    live: LiveBook | None = None
    metrics: WebMetrics = field(default_factory=WebMetrics)

    @cached_property
    def rules(self) -> LiveBook:
        """The book of all rules as it is now; by default of the settings and the state store given."""
        return self.live or live_book(self.data, self.settings, self.state)

    @cached_property
    def arrivals(self) -> Arrivals:
        """Which log sources events have arrived with lately."""
        return Arrivals(self.store, self.clock, pipelines(self.settings.detect.pipelines))

    @cached_property
    def metrics_readers(self) -> AddressList:
        """Who may read ``/metrics`` beside this machine. Raises :class:`ValueError` for what is no address."""
        return AddressList(self.settings.web.metrics_from)


def live_book(data: DataDirectory, settings: Settings, state: StateStore, name: str = "web") -> LiveBook:
    """The rules of an installation. ``name``: processes that may run at once keep their indexes apart."""
    folders, imported = settings.detect.rule_folders, data.imported_rules
    return LiveBook(Rulebook(folders, imported, data.cache / f"rules-{name}.index"), state)
