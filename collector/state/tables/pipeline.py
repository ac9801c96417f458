"""Where the pipeline stands, and what it could not take."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class Installation(Base):
    """What machines that share a state store must have in common: ``ca_sha256``, of their authority's certificate."""

    __tablename__ = "installation"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Checkpoint(Base):
    """How far a worker has come: everything up to ``log_offset``, and all that was received until ``received_at``, is
    in the stores. Moves with the alerts, in one transaction."""

    __tablename__ = "checkpoint"

    worker: Mapped[str] = mapped_column(primary_key=True)
    log_offset: Mapped[int]
    updated_at: Mapped[datetime]
    received_at: Mapped[datetime | None]


class Lease(Base):
    """Who may work on ``name`` (``partition/07``, ``correlate``). ``epoch`` rises each time the lease changes hands
    and never falls, so that what an earlier owner still writes is told from what the present one does. The owner
    counts ``renewals`` up; one that stays the same for long is a dead owner's, by the clock of whoever looks
    (``renewed_at`` is for people). ``owner`` is empty where the lease was given back."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(default="")
    epoch: Mapped[int] = mapped_column(default=0)
    renewals: Mapped[int] = mapped_column(default=0)
    renewed_at: Mapped[datetime]


class Handover(Base):
    """What a detect worker leaves for the process that sees all partitions: about row ``log_offset`` of the log.

    ``id`` rises in the order of commits and is never given twice. ``taken`` is the number of the step that worked on
    it (0: none yet); it stays until what came of it need not be worked out again.
    """

    __tablename__ = "handover"
    __table_args__ = (Index(None, "taken", "log_offset"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    partition: Mapped[int]
    log_offset: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class Stream(Base):
    """An agent's stream as the worker sees it: the highest number, how many never came, and what the agent itself
    had to drop. ``gaps`` are the ranges ``[first, last]`` that never came, newest last, so that a late number is
    told from a repeated one; very many old ones are forgotten, but stay counted in ``missing``. ``recent`` are digests
    of the newest batches, ``fork`` is what is known of a stream that more than one went on with
    (``collector.detect.streams``)."""

    __tablename__ = "stream"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    last_seq: Mapped[int]
    missing: Mapped[int] = mapped_column(default=0)
    dropped: Mapped[int] = mapped_column(default=0)
    gaps: Mapped[list[list[int]]] = mapped_column(JSON, default=list)
    recent: Mapped[bytes | None] = mapped_column(LargeBinary)
    fork: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    updated_at: Mapped[datetime]


class DeadLetter(Base):
    """A batch, or a part of one, that could not be read; kept with the reason, counted, never in the way.

    ``part`` is empty for a whole batch, else as ``events[3]``. The body is cut where it is long, and the oldest of
    an endpoint make room for new ones; ``Endpoint.dead_letters`` counts them all.
    """

    __tablename__ = "dead_letter"
    __table_args__ = (UniqueConstraint("log_offset", "part"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(index=True)
    log_offset: Mapped[int]
    part: Mapped[str] = mapped_column(default="")
    reason: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime]


class ProcessHealth(Base):
    """A process's last sign of life; ``process`` is ``<host>/<name>``, ``figures`` are numbers by name."""

    __tablename__ = "process_health"

    process: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]
    figures: Mapped[dict[str, Any]] = mapped_column(default=dict)


class WatchState(Base):
    """What the collector's watch over itself last said of a ``concern`` about a ``subject``, and since when."""

    __tablename__ = "watch_state"

    concern: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    since: Mapped[datetime]
    looked_at: Mapped[datetime]
    value: Mapped[float | None]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class SourceActivity(Base):
    """Which log sources an agency's machines have (``source`` is ``product/category/service``; agency 0: none), and in
    how many different hours so far they spoke."""

    __tablename__ = "source_activity"

    agency_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    hours: Mapped[int] = mapped_column(default=0)
    longest_gap_seconds: Mapped[float] = mapped_column(default=0.0)
    events: Mapped[int] = mapped_column(default=0)
