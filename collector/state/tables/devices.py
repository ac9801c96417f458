"""What people and time add to devices: the addresses they had, who approved them, and how many an agency has."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class DeviceAddress(Base):
    """An IP address that a device had, and when; of each device the latest ones."""

    __tablename__ = "device_address"

    device_id: Mapped[int] = mapped_column(ForeignKey("device.id", ondelete="CASCADE"), primary_key=True)
    ip: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class DeviceApproval(Base):
    """A card that may be on an agency's LAN without an agent, until ``expires_at``; ended before where ``ended_at`` is
    set. Of a card, not of a device: it may be given ahead, and outlives what is forgotten. Rows are never changed
    otherwise, nor removed."""

    __tablename__ = "device_approval"
    __table_args__ = (Index(None, "agency_id", "mac"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    mac: Mapped[str]
    reason: Mapped[str]
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]


class DeviceCensus(Base):
    """An agency's devices as a whole: since when any was seen; when it was last told that there is no room for more
    (``full_at``, None while there is), and that more are new or unauthorised than are told one by one."""

    __tablename__ = "device_census"

    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"), primary_key=True)
    since: Mapped[datetime]
    full_at: Mapped[datetime | None]
    many_at: Mapped[datetime | None]
    many_unauthorised_at: Mapped[datetime | None]
