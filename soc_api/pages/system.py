"""Whether the system itself sees: the pipeline, its processes and what it watches of itself, what is missing of each
agent, and what could not be read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import func, select
from starlette.responses import Response

from collector.identity.links import succeeded
from collector.state.tables import Agency, Assignment, DeadLetter, Document, Endpoint, Stream
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages.pipeline import Pipeline, pipeline
from soc_api.pages.query import Query, Slice
from soc_api.pages.visit import Visit
from soc_api.system import service
from soc_api.system.service import Health

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.SYSTEM_READ))]
_ROWS = 50
TABS = ("watch", "streams", "dead", "health")


@dataclass(frozen=True)
class StreamRow:
    """``missing`` batches never came; ``dropped`` entries the agent itself had to discard."""

    endpoint_id: str
    hostname: str
    agency: str
    simulated: bool
    last_seq: int
    missing: int
    dropped: int
    updated_at: datetime


@dataclass(frozen=True)
class DeadRow:
    id: int
    endpoint_id: str
    hostname: str
    simulated: bool
    log_offset: int
    reason: str
    size: int
    received_at: datetime


@dataclass(frozen=True)
class HealthRow:
    endpoint_id: str
    hostname: str
    agency: str
    simulated: bool
    collector: str
    reason: str
    since: datetime


@dataclass(frozen=True)
class SystemPage:
    query: Query
    pipeline: Pipeline
    tab: str
    losing: bool
    streams: list[StreamRow]
    dead: list[DeadRow]
    health: list[HealthRow]
    own: Health
    slice: Slice
    endpoints: int
    simulated_endpoints: int
    silent: int


@router.get("/system")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("system.html", build(visit))


def build(visit: Visit) -> SystemPage:
    query = visit.query("tab", "page", "losing", "simulated")
    tab = query.choice("tab", TABS, TABS[0])
    losing = query.flag("losing")
    number = query.number("page", 1)
    streams: list[StreamRow] = []
    dead: list[DeadRow] = []
    health: list[HealthRow] = []
    lost = (Stream.missing > 0) | (Stream.dropped > 0)
    with visit.services.state.read() as session:
        own = service.health(session)
        if tab == "watch":
            total = len(own.observations)
        elif tab == "streams":
            counted = select(func.count()).select_from(Stream)
            total = session.scalar(counted.where(lost) if losing else counted) or 0
            of_streams = (
                select(Stream, Endpoint.hostname, Endpoint.simulated, Agency.name)
                .join(Endpoint, Endpoint.id == Stream.endpoint_id)
                .outerjoin(
                    Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None)
                )
                .outerjoin(Agency, Agency.id == Assignment.agency_id)
                .order_by((Stream.missing + Stream.dropped).desc(), Stream.updated_at.desc())
                .offset((number - 1) * _ROWS)
                .limit(_ROWS)
            )
            for stream, hostname, simulated, agency in session.execute(
                of_streams.where(lost) if losing else of_streams
            ):
                streams.append(
                    StreamRow(
                        stream.endpoint_id,
                        hostname,
                        agency or "",
                        simulated,
                        stream.last_seq,
                        stream.missing,
                        stream.dropped,
                        stream.updated_at,
                    )
                )
        elif tab == "dead":
            total = session.scalar(select(func.count()).select_from(DeadLetter)) or 0
            of_letters = (
                select(
                    DeadLetter.id,
                    DeadLetter.endpoint_id,
                    Endpoint.hostname,
                    Endpoint.simulated,
                    DeadLetter.log_offset,
                    DeadLetter.reason,
                    func.length(DeadLetter.body),
                    DeadLetter.received_at,
                )
                .outerjoin(Endpoint, Endpoint.id == DeadLetter.endpoint_id)
                .order_by(DeadLetter.id.desc())
                .offset((number - 1) * _ROWS)
                .limit(_ROWS)
            )
            dead = [
                DeadRow(i, endpoint, hostname or "", bool(simulated), offset, reason, size, at)
                for i, endpoint, hostname, simulated, offset, reason, size, at in session.execute(of_letters)
            ]
        else:
            health = _failing(visit)
            total = len(health)
            health = health[(number - 1) * _ROWS : number * _ROWS]
        endpoints = session.scalar(
            select(func.count()).select_from(Endpoint).where(Endpoint.retired_at.is_(None), ~succeeded())
        )
        simulated_endpoints = session.scalar(
            select(func.count())
            .select_from(Endpoint)
            .where(Endpoint.retired_at.is_(None), Endpoint.simulated.is_(True))
        )
        silent = session.scalar(
            select(func.count())
            .select_from(Endpoint)
            .where(Endpoint.retired_at.is_(None), ~succeeded(), Endpoint.silence_mark_seconds > 0)
        )
    return SystemPage(
        query=query,
        pipeline=pipeline(visit),
        tab=tab,
        losing=losing,
        streams=streams,
        dead=dead,
        health=health,
        own=own,
        slice=Slice(number, _ROWS, total),
        endpoints=endpoints or 0,
        simulated_endpoints=simulated_endpoints or 0,
        silent=silent or 0,
    )


def _failing(visit: Visit) -> list[HealthRow]:
    """Agents' own collectors that do not work, the longest failing first."""
    query = (
        select(Document, Endpoint.hostname, Endpoint.simulated, Agency.name)
        .join(Endpoint, Endpoint.id == Document.endpoint_id)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .outerjoin(Agency, Agency.id == Assignment.agency_id)
        .where(Document.kind == "collector_health", Document.body["ok"].as_boolean().is_(False))
        .order_by(Document.changed_at)
    )
    with visit.services.state.read() as session:
        return [
            HealthRow(
                document.endpoint_id,
                hostname,
                agency or "",
                simulated,
                document.item,
                str(document.body.get("reason", "")),
                document.changed_at,
            )
            for document, hostname, simulated, agency in session.execute(query)
        ]
