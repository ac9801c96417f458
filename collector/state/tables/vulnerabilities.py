"""Feeds of known vulnerabilities, and what they come to for the machines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class VulnerabilityFeed(Base):
    """A file that was brought. ``state`` is ``loading``, ``current`` (one of a name) or ``old`` (on its way out);
    ``touched_at`` moves while it loads. ``newest_at`` is the newest change of a record in it; ``left_out`` records are
    not of the systems known here, ``refused`` ones could not be read, the first of them are in ``faults``."""

    __tablename__ = "vulnerability_feed"
    __table_args__ = (
        Index(
            "uq_vulnerability_feed_current",
            "name",
            unique=True,
            sqlite_where=text("state = 'current'"),
            postgresql_where=text("state = 'current'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str]
    file: Mapped[str]
    sha256: Mapped[str]
    newest_at: Mapped[datetime | None]
    imported_at: Mapped[datetime]
    imported_by: Mapped[str]
    touched_at: Mapped[datetime]
    records: Mapped[int] = mapped_column(default=0)
    left_out: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    faults: Mapped[list[str]] = mapped_column(default=list)


class Advisory(Base):
    """A record of a feed. Rows of feeds that are not ``current`` are nobody's to see; they are made and taken away in
    many small transactions, so nothing refers to them by a constraint."""

    __tablename__ = "advisory"
    __table_args__ = (Index(None, "record_id", "feed_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    feed_id: Mapped[int] = mapped_column(index=True)
    record_id: Mapped[str]
    names: Mapped[list[str]]
    summary: Mapped[str]
    severity: Mapped[str]
    score: Mapped[float | None]
    published_at: Mapped[datetime | None]
    modified_at: Mapped[datetime | None]
    exploited_at: Mapped[datetime | None]


class AdvisoryPackage(Base):
    """Which versions of a package an advisory is about: ``intervals`` are ``[introduced, fixed, last]``."""

    __tablename__ = "advisory_package"
    __table_args__ = (Index(None, "ecosystem", "package"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    advisory_id: Mapped[int]
    feed_id: Mapped[int] = mapped_column(index=True)
    ecosystem: Mapped[str]
    package: Mapped[str]
    intervals: Mapped[list[list[str]]] = mapped_column(JSON)


class Vulnerability(Base):
    """What is known of a vulnerability that some machine has or had. ``id`` is what :class:`EndpointVulnerabilities`
    and :class:`VulnerabilityTally` name it by; ``rank`` is the place of the severity, 0 the gravest."""

    __tablename__ = "vulnerability"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    summary: Mapped[str]
    severity: Mapped[str]
    rank: Mapped[int]
    score: Mapped[float | None]
    published_at: Mapped[datetime | None]
    exploited_at: Mapped[datetime | None]


class EndpointVulnerabilities(Base):
    """What an endpoint has, as of its documents of ``software_at`` and ``host_at`` and the feeds ``feeds`` (their ids).

    ``reason`` says why nothing is known (a code of ``MACHINE_REASONS``; empty where something is). ``affected`` is
    packed by :mod:`collector.vulnerabilities.packing`; ``numbers`` are ``affected fixable unknown packages``.
    ``exploited``: ids of those used in attacks that events have told of; None: nothing was told yet.
    """

    __tablename__ = "endpoint_vulnerabilities"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoint.id", ondelete="CASCADE"), primary_key=True)
    software_at: Mapped[datetime | None]
    host_at: Mapped[datetime | None]
    feeds: Mapped[str]
    examined_at: Mapped[datetime]
    reason: Mapped[str]
    numbers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    affected: Mapped[bytes] = mapped_column(LargeBinary)
    exploited: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))


class VulnerabilityTally(Base):
    """How many machines of an agency have what, packed likewise; agency 0 is all machines, with or without one."""

    __tablename__ = "vulnerability_tally"

    agency_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    simulated: Mapped[bool] = mapped_column(primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    counted_at: Mapped[datetime]
