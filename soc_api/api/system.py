"""How the pipeline itself stands: how far the log is worked, processes, streams with gaps, dead letters."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Page, Paging, Shape, cursor
from soc_api.system import service

router = APIRouter(prefix="/system", tags=["system"])
Reader = Annotated[Principal, Depends(require(Permission.SYSTEM_READ))]


class PartitionShape(Shape):
    partition: int
    log_offset: int
    received_at: datetime | None = Field(description="All that was received until then is in the stores.")
    updated_at: datetime | None = Field(description="When a worker last said so; null: none has yet.")


class PipelineShape(Shape):
    partitions: list[PartitionShape]
    waiting: int | None = Field(description="Batches in the log that are not worked yet; null: no log here.")
    lag_seconds: float | None = Field(description="How far the slowest partition is behind.")
    log_last_offset: int | None
    store_healthy: bool
    dead_letters: int
    endpoints: int
    batches_missing: int = Field(description="Batches that never came, over all streams.")
    items_dropped: int = Field(description="What agents had to discard, over all streams.")


class ProcessShape(Shape):
    name: str
    kind: str
    machine: str
    pid: int
    started_at: datetime
    beat_at: datetime = Field(description="Its last sign of life.")
    figures: dict[str, float]


class ObservationShape(Shape):
    concern: str
    subject: str
    value: float | None = Field(description="In the concern's unit: docs/operations.md has the list.")
    mark: float = Field(description="The limit that was passed; 0 when well.")
    trouble: bool
    since: datetime
    looked_at: datetime


class HealthShape(Shape):
    processes: list[ProcessShape]
    observations: list[ObservationShape] = Field(description="Those in trouble first.")
    looked_at: datetime | None = Field(description="When the collector last looked at itself.")


class StreamLine(Shape):
    endpoint_id: str
    hostname: str
    stream: str
    last_seq: int
    missing: int
    dropped: int
    updated_at: datetime


class DeadLetterShape(Shape):
    id: int
    endpoint_id: str
    log_offset: int
    reason: str = Field(description="Holds hostile text: encode it.")
    size_bytes: int
    received_at: datetime


@router.get("")
def pipeline(services: RequestServices, principal: Reader) -> PipelineShape:  # noqa: ARG001 - the permission
    """At a glance."""
    return PipelineShape.model_validate(service.pipeline(services))


@router.get("/health")
def health(services: RequestServices, principal: Reader) -> HealthShape:  # noqa: ARG001 - the permission
    """The collector's processes, and what its watch over itself finds."""
    with services.state.read() as session:
        return HealthShape.model_validate(service.health(session))


@router.get("/streams")
def streams(
    services: RequestServices,
    principal: Reader,  # noqa: ARG001 - the permission
    paging: Paging,
) -> Page[StreamLine]:
    """The streams with something missing or dropped, the worst first."""
    start = paging.after_id() or 0
    with services.state.read() as session:
        found = service.streams_with_gaps(session, start, paging.limit + 1)
    items = [StreamLine.model_validate(row) for row in found[: paging.limit]]
    return Page(items=items, next=cursor(start + paging.limit) if len(found) > paging.limit else None)


@router.get("/dead-letters")
def dead_letters(
    services: RequestServices,
    principal: Reader,  # noqa: ARG001 - the permission
    paging: Paging,
) -> Page[DeadLetterShape]:
    """What could not be read, the newest first."""
    with services.state.read() as session:
        found = service.dead_letters(session, paging.after_id(), paging.limit + 1)
    items = [DeadLetterShape.model_validate(row) for row in found[: paging.limit]]
    return Page(items=items, next=cursor(items[-1].id) if len(found) > paging.limit else None)
