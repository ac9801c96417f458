"""Simulated endpoints: their tokens, and removing all that came from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from collector.state.tables import (
    Alert,
    DeadLetter,
    Device,
    Endpoint,
    EnrolmentToken,
    Incident,
    IpBinding,
)
from soc_api.accounts import audit

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from collector.state.base import Base


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows of each are gone from the state store."""

    endpoints: int
    alerts: int
    incidents: int
    devices: int
    tokens: int
    dead_letters: int


def remove(session: Session, actor: str, now: datetime) -> Removed:
    """Delete every simulated endpoint with its certificates, documents, history and streams, and the alerts,
    incidents, devices, tokens and dead letters that came from simulation. Real ones are not touched: a device
    that a real machine has seen stays, and an incident that has a real alert stays, without the simulated
    ones.
    """
    simulated = select(Endpoint.id).where(Endpoint.simulated)
    letters = _delete(session, DeadLetter, DeadLetter.endpoint_id.in_(simulated))
    alerts = _delete(session, Alert, Alert.simulated)
    kept = select(Alert.incident_id).where(Alert.incident_id.is_not(None))
    incidents = _delete(session, Incident, Incident.simulated & Incident.id.not_in(kept))
    devices = _delete(session, Device, Device.simulated)
    known = select(Device.id).where(Device.agency_id == IpBinding.agency_id, Device.mac == IpBinding.mac)
    session.execute(delete(IpBinding).where(~known.exists()))
    tokens = _delete(session, EnrolmentToken, EnrolmentToken.simulated)
    endpoints = _delete(session, Endpoint, Endpoint.simulated)
    result = Removed(endpoints, alerts, incidents, devices, tokens, letters)
    audit.record(session, now, actor, "simulation.remove", "", endpoints=endpoints, alerts=alerts)
    return result


def _delete(
    session: Session, table: type[Base], condition: ColumnElement[bool] | InstrumentedAttribute[bool]
) -> int:
    number = session.scalar(select(func.count()).select_from(table).where(condition)) or 0
    session.execute(delete(table).where(condition))
    return number
