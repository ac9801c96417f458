"""Firewalls that people say their agency has."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class Firewall(Base):
    """``address``: of its management, by which a probe's word and its log are known to be its. ``support_until``: the
    last day of the maker's support as a person says, None: as the table of releases has it. Rows are never removed."""

    __tablename__ = "firewall"
    __table_args__ = (UniqueConstraint("agency_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    name: Mapped[str]
    address: Mapped[str]
    support_until: Mapped[date | None]
    note: Mapped[str] = mapped_column(default="")
    declared_at: Mapped[datetime]
    declared_by: Mapped[str]
    retired_at: Mapped[datetime | None]
    retired_by: Mapped[str | None]
    retired_reason: Mapped[str | None]
