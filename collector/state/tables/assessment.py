"""Exceptions from checks of configuration assessment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class CheckException(Base):
    """One check of one set that is not held against an agency, or against one endpoint, until ``expires_at``; ended
    before where ``ended_at`` is set. Rows are never changed otherwise, nor removed: who excepted what stays known."""

    __tablename__ = "check_exception"
    __table_args__ = (
        CheckConstraint("(agency_id IS NULL) != (endpoint_id IS NULL)", name="of_one"),
        Index(None, "check_set", "check_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    check_set: Mapped[str]
    check_id: Mapped[str]
    agency_id: Mapped[int | None] = mapped_column(ForeignKey("agency.id", ondelete="CASCADE"), index=True)
    endpoint_id: Mapped[str | None] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), index=True)
    reason: Mapped[str]
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
