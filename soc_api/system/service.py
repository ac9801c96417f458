"""Checkpoints and their lag, streams with gaps, dead letters."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from collector.errors import CollectorError
from collector.log.sqlite_reader import SqliteReader
from collector.state.tables import Checkpoint, DeadLetter, Endpoint, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from collector.settings import DataDirectory
    from soc_api.services import Services


@dataclass(frozen=True, slots=True)
class WorkerCheckpoint:
    """``behind``: batches in the log that the worker has not worked yet; None where there is no log to
    compare."""

    worker: str
    log_offset: int
    updated_at: datetime
    behind: int | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    checkpoints: list[WorkerCheckpoint]
    log_last_offset: int | None
    store_healthy: bool
    dead_letters: int
    endpoints: int
    batches_missing: int
    items_dropped: int


def pipeline(services: Services) -> Pipeline:
    last = last_log_offset(services.data)
    with services.state.read() as session:
        missing, dropped = session.execute(
            select(func.coalesce(func.sum(Stream.missing), 0), func.coalesce(func.sum(Stream.dropped), 0))
        ).one()
        checkpoints = session.scalars(select(Checkpoint).order_by(Checkpoint.worker)).all()
        letters = session.scalar(select(func.count()).select_from(DeadLetter)) or 0
        endpoints = session.scalar(select(func.count()).where(Endpoint.retired_at.is_(None))) or 0
    return Pipeline(
        checkpoints=[
            WorkerCheckpoint(
                row.worker,
                row.log_offset,
                row.updated_at,
                None if last is None else max(last - row.log_offset, 0),
            )
            for row in checkpoints
        ],
        log_last_offset=last,
        store_healthy=services.store.healthy(),
        dead_letters=letters,
        endpoints=endpoints,
        batches_missing=missing,
        items_dropped=dropped,
    )


def last_log_offset(data: DataDirectory) -> int | None:
    """The newest offset of the durable log; None where there is none here (a web process on its own
    machine), or it cannot be read."""
    if not data.log.exists():
        return None
    try:
        with closing(SqliteReader(data.log)) as reader:
            return reader.last_offset()
    except CollectorError:
        return None


def streams_with_gaps(session: Session, start: int, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """The worst first: endpoint_id, hostname, stream, last_seq, missing, dropped, updated_at."""
    query = (
        select(
            Stream.endpoint_id,
            Endpoint.hostname,
            Stream.stream,
            Stream.last_seq,
            Stream.missing,
            Stream.dropped,
            Stream.updated_at,
        )
        .join(Endpoint, Endpoint.id == Stream.endpoint_id)
        .where((Stream.missing > 0) | (Stream.dropped > 0))
        .order_by((Stream.missing + Stream.dropped).desc(), Stream.endpoint_id, Stream.stream)
    )
    return session.execute(query.offset(start).limit(limit)).all()


def dead_letters(session: Session, before: int | None, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """The newest first, without their bodies: id, endpoint_id, log_offset, reason, size_bytes,
    received_at."""
    query = select(
        DeadLetter.id,
        DeadLetter.endpoint_id,
        DeadLetter.log_offset,
        DeadLetter.reason,
        func.length(DeadLetter.body).label("size_bytes"),
        DeadLetter.received_at,
    ).order_by(DeadLetter.id.desc())
    if before is not None:
        query = query.where(DeadLetter.id < before)
    return session.execute(query.limit(limit)).all()
