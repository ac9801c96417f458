"""``python -m collector.process store``: the event store's owner as a process of its own."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from collector.health import Heartbeat
from collector.metrics import StoreMetrics
from collector.state.database import open_state
from collector.state.tables import Agency
from collector.store.engine import Engine
from collector.store.errors import StoreError, StoreUnavailableError
from collector.store.owner import serve
from collector.store.place import place_of
from collector.store.policy import Policy, policy_of
from collector.store.reader import Limits

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Settings
    from collector.state.database import StateStore
    from collector.store.place import Place

_AWAY_SECONDS: Final = 5.0

log = logging.getLogger("vonggac.store")


def main(data: DataDirectory, settings: Settings) -> int:
    """Own the store until SIGTERM or SIGINT; return the process's exit status."""
    place = place_of(settings.events, data)
    log.info("store starts", extra={"place": place.name})
    metrics = StoreMetrics()
    state = open_state(settings, data)
    heartbeat = Heartbeat(state, data, kind="store", name="store", registry=metrics.registry)
    events = settings.events
    try:
        limits = Limits(events.query_seconds, events.query_rows, events.query_memory_bytes)
        engine = _open(place, data, limits)
        try:
            metrics.damaged_parts.set(engine.damaged())
            engine.upkeep.start(lambda: _policy(settings, state))
            serve(engine, data.store_socket, metrics, heartbeat.keep_beating)
        finally:
            engine.close()
        heartbeat.leave()
    finally:
        state.close()
    log.info("store stopped")
    return 0


def _open(place: Place, data: DataDirectory, limits: Limits) -> Engine:
    """A server that is away is waited for; a signal ends the process meanwhile."""
    while True:
        try:
            return Engine(place, data.archive, limits)
        except StoreUnavailableError as error:
            log.warning("the event store's server is waited for", extra={"error": str(error)[:300]})
            time.sleep(_AWAY_SECONDS)


def _policy(settings: Settings, state: StateStore) -> Policy:
    """Read at every turn: agencies come and go.

    Raises:
        StoreError: the state store does not answer; nothing is forgotten until it does.
    """
    try:
        with state.read() as session:
            agencies = {code: number for number, code in session.execute(select(Agency.id, Agency.code))}
    except SQLAlchemyError as error:
        raise StoreError(f"the state store does not say which agencies there are: {error}") from error
    return policy_of(settings.events, agencies)
