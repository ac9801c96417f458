"""Places cards at ports of switches by the forwarding tables that probes read: for each probe at most once a minute,
because all of its tables are needed for it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import select

from collector.detect.handover import Look
from collector.detect.step import Origin
from collector.detect.values import moment
from collector.network.placing import Touch, moves_of
from collector.network.reading import ADDRESSES, read_entries
from collector.partitions import partition_of
from collector.state.tables import Device, Document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy.orm import Session

    from collector.detect.step import WorkStep
    from collector.network.reading import Entry

log = logging.getLogger("vonggac.detect")

_EVERY_SECONDS: Final = 60.0
#: Of more cards of one probe nothing is kept apart: all are looked at.
_MOST_TOUCHED: Final = 50_000
#: Where a worker takes partitions over, changes since then are looked at again.
_AGAIN_SECONDS: Final = 3_600.0
#: One look at the clock begins no further probe's tables behind so many rows, and no further table of a probe.
ENTRIES: Final = 200_000
#: So many cards of a probe find their place with one look, besides those that are told; the rest with the next ones.
MOST_NOTED: Final = 2_000
#: Tables are read from the state store a few at a time.
_TABLES_AT_ONCE: Final = 4


class _Waiting(msgspec.Struct):
    """A probe whose tables changed. ``everything``: it is not known which cards of it."""

    touched: dict[str, Touch] = {}
    everything: bool = False


class PlacingIndex:
    """The probes of some partitions whose tables changed since cards were placed by them, in memory."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._placed_at: dict[str, float] = {}

    def load(self, session: Session, partitions: Collection[int], now: float) -> None:
        """Add these partitions' probes of which the one that had them may have put something off."""
        since = moment(now) - timedelta(seconds=_AGAIN_SECONDS)
        query = select(Document.endpoint_id).where(Document.kind == ADDRESSES, Document.changed_at >= since)
        for endpoint_id in session.scalars(query.distinct()):
            if partition_of(endpoint_id) in partitions:
                self._waiting[endpoint_id] = _Waiting(everything=True)

    def leave(self, partitions: Collection[int]) -> None:
        """Forget what is of these partitions."""
        for held in (self._waiting, self._placed_at):
            for endpoint_id in [each for each in held if partition_of(each) in partitions]:
                del held[endpoint_id]

    def follow(self, step: WorkStep) -> None:
        """Note what a committed step put."""
        for endpoint_id, touched in step.touched.items():
            waiting = self._waiting.setdefault(endpoint_id, _Waiting())
            for mac, touch in touched.items():
                waiting.touched[mac] = max(touch, waiting.touched.get(mac, touch))
            if len(waiting.touched) > _MOST_TOUCHED:
                waiting.touched, waiting.everything = {}, True

    def due(self, now: float) -> list[str]:
        """Probes whose turn it is; a clock that was set back does not put it off."""
        return sorted(
            each
            for each in self._waiting
            if not 0 <= now - self._placed_at.get(each, -_EVERY_SECONDS) < _EVERY_SECONDS
        )

    def done(self, endpoint_ids: Iterable[str], now: float) -> None:
        for endpoint_id in endpoint_ids:
            self._waiting.pop(endpoint_id, None)
            self._placed_at[endpoint_id] = now

    def put_off(self, endpoint_id: str, now: float) -> None:
        """What is left of this probe is for its next turn."""
        self._placed_at[endpoint_id] = now

    def waiting(self, endpoint_id: str) -> tuple[Mapping[str, Touch], bool]:
        """``(what happened to which cards, whether all are to be looked at)``."""
        found = self._waiting[endpoint_id]
        return found.touched, found.everything


def place_cards(
    session: Session,
    step: WorkStep,
    index: PlacingIndex,
    due: Iterable[str],
    now: float,
    positions: Mapping[int, int],
) -> list[str]:
    """Hand over where cards of these probes are now; returns those of which nothing waits any more."""
    looked, read = [], 0
    for endpoint_id in due:
        if read >= ENTRIES:
            break
        looked.append(endpoint_id)
        context = step.contexts.get(endpoint_id)
        if context is None or context.agency_id is None:
            continue
        tables = _tables(session, endpoint_id)
        read += sum(map(len, tables.values()))
        devices = select(Device.mac, Device.switch, Device.port).where(Device.agency_id == context.agency_id)
        present = {mac: (switch, port) for mac, switch, port in session.execute(devices)}
        touched, everything = index.waiting(endpoint_id)
        moves = moves_of(tables, present, touched, everything=everything)
        noted = moves.noted[:MOST_NOTED]
        if len(moves.noted) > MOST_NOTED:
            index.put_off(looked.pop(), now)
        if moves.told or noted:
            place = positions[partition_of(endpoint_id)]
            origin = Origin(now, place, endpoint_id, "placing", int(now * 1000))
            step.hand_over(
                endpoint_id,
                place,
                Look(
                    endpoint_id,
                    context.agency_id,
                    context.simulated,
                    now,
                    context.fields(),
                    origin.next_look(),
                    places=moves.told,
                    noted_places=noted,
                ),
            )
    return looked


def _tables(session: Session, endpoint_id: str) -> dict[str, list[Entry]]:
    """A probe's forwarding tables by switch, as many as have room: who sends the documents says how many there are."""
    query = (
        select(Document.item, Document.body)
        .where(Document.endpoint_id == endpoint_id, Document.kind == ADDRESSES)
        .order_by(Document.item)
        .execution_options(yield_per=_TABLES_AT_ONCE)
    )
    tables: dict[str, list[Entry]] = {}
    read = 0
    with session.execute(query) as found:
        for switch, body in found:
            tables[switch] = read_entries(body)
            read += len(tables[switch])
            if read >= ENTRIES:
                log.warning(
                    "a probe's forwarding tables are more than are looked at",
                    extra={"endpoint": endpoint_id, "tables": len(tables), "rows": read},
                )
                break
    return tables
