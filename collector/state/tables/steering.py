"""What is wanted of the endpoints' agents: settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class SettingsPublication(Base):
    """One numbered publication of agents' settings; rows are only ever added. ``group`` is ``all``, ``agency``,
    ``role`` or ``endpoint``, and ``key`` whose (an agency's code, a role, an endpoint's id; empty for all). What a
    group has is the ``after`` of its highest number. ``moved`` is a number that was only used up: machines came to
    other groups. ``reverts_to`` is the number whose content was brought back. ``machines``: how many it changed."""

    __tablename__ = "settings_publication"
    __table_args__ = (Index(None, "group", "key", "id"), {"sqlite_autoincrement": True})

    number: Mapped[int] = mapped_column("id", primary_key=True)
    published_at: Mapped[datetime]
    published_by: Mapped[str]
    comment: Mapped[str]
    group: Mapped[str]
    key: Mapped[str]
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]
    reverts_to: Mapped[int | None]
    machines: Mapped[int] = mapped_column(default=0)


class EndpointSettings(Base):
    """What one endpoint shall have, worked out from its groups: those of the agency and the role that stand here.
    ``number`` only ever grows; 0 while nothing was ever said to it."""

    __tablename__ = "endpoint_settings"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int]
    agency_id: Mapped[int | None]
    role: Mapped[str]
    settings: Mapped[dict[str, Any]]
    settled_at: Mapped[datetime]
