"""``python -m collector.process detect``: the worker as a process of its own."""

from __future__ import annotations

import logging
import signal
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from collector.detect.rulebook import LiveRules
from collector.detect.worker import StoppedError, Worker
from collector.log.opening import open_reader
from collector.rulebook.sources import Rulebook
from collector.state.database import StateStore
from collector.store.client import StoreClient
from rules.engine import Engine

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Settings

log = logging.getLogger("vonggac.detect")


def main(data: DataDirectory, settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; return the process's exit status. The data directory must be prepared."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _number, _frame: stop.set())
    state = StateStore(data.state)
    rulebook = Rulebook(settings.detect.rule_folders, data.imported_rules, data.cache / "rules-detect.index")
    rules = LiveRules(rulebook, state, lambda sources: Engine(sources, cache=data.cache / "rules"))
    reader = open_reader(settings, data)
    store = StoreClient(data.store_socket)
    worker = Worker(
        state=state,
        reader=reader,
        store=store,
        rules=rules,
        memory=data.correlations,
        settings=settings,
        now=time.time,
        stop=stop,
    )
    try:
        worker.start()
        worker.run()
    except StoppedError:
        pass
    finally:
        store.close()
        reader.close()
        state.close()
    log.info("detect stopped", extra={"checkpoint": worker.checkpoint, **asdict(worker.counts)})
    return 0
