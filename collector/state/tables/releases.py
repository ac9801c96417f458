"""Releases of the agent, and the rollouts that bring them to the endpoints ring by ring."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class Release(Base):
    """A signed release that was brought. ``manifest_sha256`` is of the manifest as signed; its files lie in the data
    directory of every machine with the agents' port. ``schema`` is the wire contract it speaks, ``size`` in bytes."""

    __tablename__ = "release"

    version: Mapped[str] = mapped_column(primary_key=True)
    manifest_sha256: Mapped[str]
    schema: Mapped[int]
    step_back: Mapped[bool] = mapped_column(default=False)
    size: Mapped[int]
    notes: Mapped[str] = mapped_column(default="")
    made_at: Mapped[datetime]
    added_at: Mapped[datetime]
    added_by: Mapped[str]


class AgencyRing(Base):
    """In which ring an agency's endpoints get a release; without a row in the last one."""

    __tablename__ = "agency_ring"

    agency_id: Mapped[int] = mapped_column(
        ForeignKey("agency.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    ring: Mapped[int]


class EndpointRing(Base):
    """In which ring a single endpoint gets a release, whatever its agency's is."""

    __tablename__ = "endpoint_ring"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    ring: Mapped[int]


class Rollout(Base):
    """A release on its way. Only the newest is carried out. ``state`` is ``running``, ``paused`` (by a person),
    ``halted`` (by itself, ``reason`` says why), ``stopped`` or ``finished``. ``ring`` is the one that has its turn
    since ``ring_since``; the numbers are those of :class:`collector.steering.releases.rollout.Pace`."""

    __tablename__ = "rollout"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("release.version"))
    state: Mapped[str]
    ring: Mapped[int]
    ring_since: Mapped[datetime]
    wait_seconds: Mapped[float]
    spread_seconds: Mapped[float]
    silent_seconds: Mapped[float]
    healthy_ratio: Mapped[float]
    failure_ratio: Mapped[float]
    reason: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime]
    started_by: Mapped[str]
    changed_at: Mapped[datetime]


class RolloutNote(Base):
    """What happened to a rollout: by whom (empty: by itself), and the numbers it was decided by."""

    __tablename__ = "rollout_note"

    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
