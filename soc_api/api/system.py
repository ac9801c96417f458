"""How the pipeline itself stands: checkpoints and their lag, streams with gaps, dead letters."""

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


class CheckpointShape(Shape):
    worker: str
    log_offset: int
    updated_at: datetime
    behind: int | None = Field(description="Batches in the log that it has not worked; null: no log here.")


class PipelineShape(Shape):
    checkpoints: list[CheckpointShape]
    log_last_offset: int | None
    store_healthy: bool
    dead_letters: int
    endpoints: int
    batches_missing: int = Field(description="Batches that never came, over all streams.")
    items_dropped: int = Field(description="What agents had to discard, over all streams.")


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
