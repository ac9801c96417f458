"""What probes' documents say now, read again and again: only those that changed are read whole."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_

from collector.detect.values import moment
from collector.documents.service import HEALTH
from collector.services.models import Probed
from collector.state.tables import Assignment, Document, Endpoint

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: The kinds of documents, and the source of the probe (``collector_health``) that each comes from.
SOURCES = {"service_check": "service_checks", "link": "links"}
_CHUNK = 300
Key = tuple[str, str, str]


class Documents:
    """Remembers bodies between looks. Simulated and retired endpoints, and those of no agency, have no voice."""

    def __init__(self, fresh_seconds: float) -> None:
        self._fresh_seconds = fresh_seconds
        self._bodies: dict[Key, tuple[str, dict[str, Any]]] = {}

    def read(self, session: Session, now: float) -> tuple[list[Probed], set[int]]:
        """``(documents, agencies of which any endpoint is heard)``."""
        fresh_from = moment(now) - timedelta(seconds=self._fresh_seconds)
        heard = set(
            session.scalars(
                select(Assignment.agency_id)
                .join(Endpoint, Endpoint.id == Assignment.endpoint_id)
                .where(
                    Assignment.valid_to.is_(None),
                    Endpoint.simulated.is_(False),
                    Endpoint.retired_at.is_(None),
                    Endpoint.last_seen_at >= fresh_from,
                )
                .distinct()
            )
        )
        rows = session.execute(
            select(
                Document.endpoint_id,
                Document.kind,
                Document.item,
                Document.digest,
                Assignment.agency_id,
                Endpoint.last_seen_at,
            )
            .join(Endpoint, Endpoint.id == Document.endpoint_id)
            .join(Assignment, Assignment.endpoint_id == Endpoint.id)
            .where(
                Document.kind.in_(SOURCES),
                Assignment.valid_to.is_(None),
                Endpoint.simulated.is_(False),
                Endpoint.retired_at.is_(None),
            )
            .order_by(Document.endpoint_id, Document.kind, Document.item)
        ).all()
        self._load(session, {(row[0], row[1], row[2]): row[3] for row in rows})
        failing = self._failing(session)
        found = []
        for endpoint_id, kind, item, _, agency_id, seen in rows:
            kept = self._bodies.get((endpoint_id, kind, item))
            if kept is not None:
                fresh = (
                    seen is not None and seen >= fresh_from and (endpoint_id, SOURCES[kind]) not in failing
                )
                found.append(Probed(endpoint_id, agency_id, kind, item, kept[1], fresh))
        return found, heard

    def _load(self, session: Session, wanted: dict[Key, str]) -> None:
        for key in self._bodies.keys() - wanted.keys():
            del self._bodies[key]
        stale = [
            key
            for key, digest in wanted.items()
            if (kept := self._bodies.get(key)) is None or kept[0] != digest
        ]
        for start in range(0, len(stale), _CHUNK):
            query = select(Document).where(
                tuple_(Document.endpoint_id, Document.kind, Document.item).in_(stale[start : start + _CHUNK])
            )
            for row in session.scalars(query):
                self._bodies[row.endpoint_id, row.kind, row.item] = (row.digest, row.body)

    @staticmethod
    def _failing(session: Session) -> set[tuple[str, str]]:
        """Endpoints and sources whose part of the probe does not work."""
        rows = session.execute(
            select(Document.endpoint_id, Document.item, Document.body).where(
                Document.kind == HEALTH, Document.item.in_(SOURCES.values())
            )
        )
        return {(endpoint_id, item) for endpoint_id, item, body in rows if body.get("ok") is False}
