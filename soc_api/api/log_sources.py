"""Devices that log over probes: who was heard when, who should be and is not."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from collector.sources import register
from collector.state.tables import LogSource
from soc_api import log_sources
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Shape

router = APIRouter(prefix="/log-sources", tags=["log sources"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.LOG_SOURCES_MANAGE))]
Reason = Annotated[str, Field(min_length=1, max_length=log_sources.MOST_REASON)]
Name = Annotated[str, Field(max_length=log_sources.MOST_NAME, description="What people call it.")]
Minutes = Annotated[
    float | None,
    Field(
        ge=log_sources.LEAST_MINUTES,
        le=log_sources.MOST_MINUTES,
        description="The longest silence that is fine; null: as is usual for it.",
    ),
]


class LogSourceShape(Shape):
    id: int
    agency_id: int
    address: str = Field(description="Where its messages come from, as the probe sees it.")
    name: str
    hostname: str = Field(description="As the device says. Hostile text: encode it.")
    transport: str
    certificate: str = Field(description="The name in its certificate, where it showed one.")
    product: str
    standing: Literal["new", "expected", "retired"]
    state: Literal["waiting", "heard", "silent", "unheard", "never_heard"]
    state_since: datetime
    expected_seconds: float | None
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    messages: int
    rate: float = Field(description="Messages a second lately.")
    known_ratio: float | None = Field(
        description="Messages of a known form, of a sample; null: none was looked at."
    )
    decided_by: str
    reason: str


class NewSource(Body):
    agency: str = Field(max_length=64, description="Its code.")
    address: str = Field(max_length=64)
    name: Name = ""
    minutes: Minutes = None
    reason: Reason


class Expectation(Body):
    name: Name = ""
    minutes: Minutes = None
    reason: Reason


class Farewell(Body):
    reason: Reason


@router.get("")
def list_log_sources(services: RequestServices, principal: Reader) -> list[LogSourceShape]:
    """Those within reach, the worst first."""
    with services.state.read() as session:
        return [_shape(each) for each in register.list_sources(session, principal.scope)]


@router.post("", status_code=201)
def declare(body: NewSource, services: RequestServices, principal: Manager) -> LogSourceShape:
    """Expect the log of a device that was not heard yet: that it is never heard is an alert."""
    with services.state.write() as session:
        made = log_sources.declare(
            session,
            principal,
            agency_code=body.agency,
            address=body.address,
            name=body.name,
            minutes=body.minutes,
            reason=body.reason,
            now=services.clock(),
        )
        return _shape(made)


@router.put("/{source_id}/expectation")
def expect(
    source_id: Number, body: Expectation, services: RequestServices, principal: Manager
) -> LogSourceShape:
    """Say that a device shall log, and with what longest pause."""
    with services.state.write() as session:
        row = log_sources.expect(
            session,
            principal,
            source_id,
            name=body.name,
            minutes=body.minutes,
            reason=body.reason,
            now=services.clock(),
        )
        return _shape(row)


@router.post("/{source_id}/retirement")
def retire(
    source_id: Number, body: Farewell, services: RequestServices, principal: Manager
) -> LogSourceShape:
    """Say that a device logs no more and need not: its silence is told no more."""
    with services.state.write() as session:
        return _shape(
            log_sources.retire(session, principal, source_id, reason=body.reason, now=services.clock())
        )


def known_ratio(row: LogSource) -> float | None:
    """Of the messages that were looked at, the share of a known form."""
    return row.known / row.sampled if row.sampled else None


def _shape(row: LogSource) -> LogSourceShape:
    values = {name: getattr(row, name) for name in LogSourceShape.model_fields if name != "known_ratio"}
    return LogSourceShape(**values, known_ratio=known_ratio(row))
