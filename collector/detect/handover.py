"""What a detect worker leaves for the one process that sees all partitions, in the transaction of its step.

One row of the table for each row of the log that there is something to say of: its *notes*, in the order in which the
worker came upon them. ``correlate`` takes rows in the order of the log; what it took stays, under the number of the
step that took it, until a snapshot of the correlations covers it, so that after a crash it can be shown again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import delete, func, insert, select, tuple_, update

from collector.devices.cards import Card  # noqa: TC001 - a Struct's field
from collector.devices.sightings import Sighting
from collector.state.tables import Handover
from rules.engine import Event
from rules.engine.engine import Matched

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

_CHUNK: Final = 500
#: A step takes no more than about this, so that alerts come out in between.
_STEP_BYTES: Final = 8 << 20


class Match(msgspec.Struct, array_like=True, frozen=True):
    """A rule that holds for an event, as :class:`rules.engine.engine.Matched`."""

    key: str
    renames: dict[str, str] = {}


class Fired(msgspec.Struct, tag="fired", array_like=True, frozen=True):
    """An event that a correlation, or a rule with a limit, is to see."""

    id: str
    time: float
    product: str
    category: str
    service: str
    fields: dict[str, Any]
    matches: list[Match]

    @classmethod
    def of(cls, event: Event, matches: list[Match]) -> Fired:
        return cls(
            event.id,
            event.time,
            event.product,
            event.category,
            event.service,
            dict(event.fields),
            matches,
        )

    def matched(self) -> list[Matched]:
        return [Matched(match.key, match.renames) for match in self.matches]

    def event(self) -> Event:
        return Event(self.id, self.time, self.product, self.category, self.service, self.fields)


class Look(msgspec.Struct, tag="look", array_like=True, frozen=True):
    """What an endpoint said of its network. ``about``: what its events carry (host, agency). ``identity``: parts of the
    ids of the events that come of it. ``own_macs``: its own cards, where it said so now. ``seen``: a neighbour table,
    ``cards`` what that says of some MACs; ``gateway``: the default gateway. ``places``: MACs with the switch and the
    port that they are plugged in at; ``noted_places``: the same, where that it was another before is no news;
    ``own_place``: of its own card, as its switch says."""

    endpoint_id: str
    agency_id: int | None
    simulated: bool
    received_at: float
    about: dict[str, Any]
    identity: list[str | int]
    own_macs: list[str] | None = None
    seen: list[tuple[str, str]] = []
    gateway: tuple[str, str] | None = None
    first_look: bool = False
    cards: dict[str, Card] = {}
    places: list[tuple[str, str, str]] = []
    noted_places: list[tuple[str, str, str]] = []
    own_place: tuple[str, str, str] | None = None

    def sightings(self) -> list[Sighting]:
        return [Sighting(mac, ip) for mac, ip in self.seen]


Note = Fired | Look

_decoder: Final = msgspec.msgpack.Decoder(list[Note])
_encoder: Final = msgspec.msgpack.Encoder()


class Taken(msgspec.Struct, frozen=True):
    """A row as it is read. ``notes`` is empty where the body cannot be read, and ``fault`` says why."""

    id: int
    partition: int
    log_offset: int
    notes: list[Note]
    fault: str = ""


def row_of(partition: int, log_offset: int, notes: Sequence[Note], now: datetime) -> dict[str, Any]:
    """What :func:`hand_over` inserts."""
    return {
        "partition": partition,
        "log_offset": log_offset,
        "taken": 0,
        "body": _encoder.encode(notes),
        "created_at": now,
    }


def hand_over(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.execute(insert(Handover), rows)


def waiting(session: Session, limit: int, beyond: tuple[int, int] = (-1, 0)) -> list[Taken]:
    """Rows that nobody took, in the order of the log, behind ``beyond`` (offset, id): at most ``limit``, fewer where
    they are large."""
    return _read(
        session.execute(
            select(Handover.id, Handover.partition, Handover.log_offset, Handover.body)
            .where(Handover.taken == 0, _behind((Handover.log_offset, Handover.id), beyond))
            .order_by(Handover.log_offset, Handover.id)
            .limit(limit)
        )
    )


def taken_since(session: Session, limit: int, beyond: tuple[int, int, int]) -> list[tuple[int, Taken]]:
    """Rows that were taken, each with the number of its step, in the order in which that happened, behind ``beyond``
    (step, offset, id)."""
    found = session.execute(
        select(Handover.taken, Handover.id, Handover.partition, Handover.log_offset, Handover.body)
        .where(Handover.taken > 0, _behind((Handover.taken, Handover.log_offset, Handover.id), beyond))
        .order_by(Handover.taken, Handover.log_offset, Handover.id)
        .limit(limit)
    ).all()
    read = _read(row[1:] for row in found)
    return [(row[0], taken) for row, taken in zip(found, read, strict=False)]


def mark_taken(session: Session, ids: Sequence[int], step: int) -> None:
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        session.execute(update(Handover).where(Handover.id.in_(part)).values(taken=step))


def forget_taken(session: Session, up_to: int) -> None:
    """Steps up to this one are in a snapshot."""
    session.execute(delete(Handover).where(Handover.taken > 0, Handover.taken <= up_to))


def oldest_waiting(session: Session) -> datetime | None:
    """When the oldest row that nobody took was left."""
    return session.scalar(select(func.min(Handover.created_at)).where(Handover.taken == 0))


def _behind(columns: Sequence[Any], position: Sequence[int]) -> Any:
    return tuple_(*columns) > tuple_(*position)


def _read(rows: Iterable[Any]) -> list[Taken]:
    found = []
    size = 0
    for number, partition, log_offset, body in rows:
        try:
            found.append(Taken(number, partition, log_offset, _decoder.decode(body)))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            found.append(Taken(number, partition, log_offset, [], str(error)[:300]))
        size += len(body)
        if size >= _STEP_BYTES:
            break
    return found
