"""Switches, routers, firewalls and power supplies that probes ask over SNMP."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class NetworkDevice(Base):
    """What lists need of a ``network_device`` document: of the probe ``endpoint_id``, under its name ``item`` there.
    Texts are the device's own words. ``interfaces_up`` of ``interfaces`` are up; ``interfaces`` counts those that
    nobody switched off."""

    __tablename__ = "network_device"
    __table_args__ = (UniqueConstraint("endpoint_id", "item"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"))
    item: Mapped[str]
    address: Mapped[str] = mapped_column(default="")
    system_name: Mapped[str] = mapped_column(default="")
    kind: Mapped[str] = mapped_column(default="")
    vendor: Mapped[str] = mapped_column(default="")
    model: Mapped[str] = mapped_column(default="")
    serial_number: Mapped[str] = mapped_column(default="")
    firmware: Mapped[str] = mapped_column(default="")
    reachable: Mapped[bool]
    reason: Mapped[str] = mapped_column(default="")
    interfaces: Mapped[int] = mapped_column(default=0)
    interfaces_up: Mapped[int] = mapped_column(default=0)
    changed_at: Mapped[datetime]
