"""Devices that log to the collector over probes, and the backups of important systems."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class LogSource(Base):
    """A device that logs: known by its address within an agency (0: of none), as a probe saw it.

    ``standing`` is what people say of it: ``new`` (nobody yet), ``expected`` or ``retired``; ``state`` what the
    collector finds: ``waiting`` (not heard yet), ``heard``, ``silent``, ``unheard`` (its probe does not listen) or
    ``never_heard``. ``name`` is given by people, ``hostname`` said by the device. ``expected_seconds``: the longest
    pause that people set; else it is learnt from ``longest_gap_seconds`` and in how many different ``hours`` it spoke.
    ``sampled`` and ``known``: of how many messages that were looked at how many had a known form, older ones counting
    less.
    """

    __tablename__ = "log_source"
    __table_args__ = (UniqueConstraint("agency_id", "address"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[int]
    address: Mapped[str]
    probe_id: Mapped[str] = mapped_column(default="")
    name: Mapped[str] = mapped_column(default="")
    hostname: Mapped[str] = mapped_column(default="")
    transport: Mapped[str] = mapped_column(default="")
    certificate: Mapped[str] = mapped_column(default="")
    product: Mapped[str] = mapped_column(default="")
    standing: Mapped[str] = mapped_column(default="new")
    state: Mapped[str] = mapped_column(default="waiting")
    state_since: Mapped[datetime]
    expected_seconds: Mapped[float | None]
    first_seen_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    hours: Mapped[int] = mapped_column(default=0)
    longest_gap_seconds: Mapped[float] = mapped_column(default=0.0)
    messages: Mapped[int] = mapped_column(default=0)
    rate: Mapped[float] = mapped_column(default=0.0)
    sampled: Mapped[float] = mapped_column(default=0.0)
    known: Mapped[float] = mapped_column(default=0.0)
    made_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")


class LogSourceLook(Base):
    """Up to where the collector has looked at who logs. One row."""

    __tablename__ = "log_source_look"

    id: Mapped[int] = mapped_column(primary_key=True)
    looked_at: Mapped[datetime]


class BackupSystem(Base):
    """A system whose backups are watched, by the name that reports and agents give it.

    ``interval_seconds``: how old the last good backup may be, ``restore_seconds`` how old the last good restore test.
    ``key`` signs its reports; empty: it may send none. ``state`` and ``restore_state`` are what the collector last
    told: ``ok``, ``failed``, ``overdue`` or ``never``.
    """

    __tablename__ = "backup_system"

    id: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    owner: Mapped[str] = mapped_column(default="")
    interval_seconds: Mapped[float]
    restore_seconds: Mapped[float]
    key: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default="")
    restore_state: Mapped[str] = mapped_column(default="")
    state_since: Mapped[datetime]
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    retired_at: Mapped[datetime | None]
    retired_by: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")


class BackupRecord(Base):
    """That a system was backed up, or a restore tried. ``kind``: ``report`` (signed, over HTTP), ``file`` (an agent
    looked), ``snmp`` (a probe asked a device) or ``restore`` (a person says so). ``nonce`` tells one report from
    another; empty for the other kinds."""

    __tablename__ = "backup_record"
    __table_args__ = (
        Index(None, "system_id", "kind", "at"),
        Index(
            "uq_backup_record_nonce",
            "system_id",
            "nonce",
            unique=True,
            sqlite_where=text("nonce <> ''"),
            postgresql_where=text("nonce <> ''"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    system_id: Mapped[int] = mapped_column(ForeignKey("backup_system.id", ondelete="CASCADE"))
    kind: Mapped[str]
    at: Mapped[datetime]
    ok: Mapped[bool]
    received_at: Mapped[datetime]
    by: Mapped[str] = mapped_column(default="")
    note: Mapped[str] = mapped_column(default="")
    nonce: Mapped[str] = mapped_column(default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
