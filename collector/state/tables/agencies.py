"""The registry of agencies: permanent ids, validity, predecessors and successors."""

from __future__ import annotations

from datetime import date

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class Agency(Base):
    """A body in the registry. ``code`` is our own permanent short name; ``name`` may change with time.

    ``level`` is ``tinh`` (province), ``huyen`` (district, closed since 01/7/2025) or ``xa`` (commune);
    ``officials`` the declared head-count, the denominator that the plan states.
    """

    __tablename__ = "agency"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    search_name: Mapped[str] = mapped_column(index=True)
    level: Mapped[str]
    officials: Mapped[int | None]
    organ_id: Mapped[str | None]
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]


class AgencyName(Base):
    """A name that an agency bore until ``until``; search still finds the agency by it."""

    __tablename__ = "agency_name"

    id: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"), index=True)
    name: Mapped[str]
    search_name: Mapped[str] = mapped_column(index=True)
    until: Mapped[date]


class AgencyNetwork(Base):
    """A network (CIDR) that belongs to an agency."""

    __tablename__ = "agency_network"
    __table_args__ = (UniqueConstraint("agency_id", "cidr"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    agency_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    cidr: Mapped[str]


class AgencySuccession(Base):
    """One agency's duties passing to another, by a legal act, on a day; many to many."""

    __tablename__ = "agency_succession"
    __table_args__ = (Index(None, "predecessor_id", "successor_id", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    predecessor_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    successor_id: Mapped[int] = mapped_column(ForeignKey("agency.id"))
    act: Mapped[str]
    effective_on: Mapped[date]
