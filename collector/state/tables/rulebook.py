"""The rules' life: what people wrote and set, what the worker made of it, and how each rule fares."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from collector.state.base import Base


class RuleRevision(Base):
    """One text of a local rule, or of a shipped one that was changed here. Never edited; ``number`` counts from 1.

    ``evidence`` is the YAML of events that must and must not fire it, empty where none was given.
    """

    __tablename__ = "rule_revision"
    __table_args__ = (UniqueConstraint("rule_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    rule_id: Mapped[str] = mapped_column(index=True)
    number: Mapped[int]
    text: Mapped[str]
    evidence: Mapped[str] = mapped_column(default="")
    author: Mapped[str]
    comment: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]


class RuleSetting(Base):
    """What people set of a rule; a rule without a row is enabled and runs as it was shipped.

    ``revision`` is the one that runs, 0 for the shipped text. ``throttle`` is findings an hour at most (null: no
    limit). ``reason``, ``changed_by`` and ``changed_at`` are of the last change.
    """

    __tablename__ = "rule_setting"

    rule_id: Mapped[str] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    throttle: Mapped[int | None]
    revision: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(default="")
    changed_by: Mapped[str]
    changed_at: Mapped[datetime]


class RuleChange(Base):
    """Every change of the set of rules; ``id`` is the change number that the worker looks at.

    ``rule_id`` is empty where a change concerns many (an import). ``detail``: the revision of ``write`` and ``revert``,
    the limit of ``throttle`` (empty: none), the release of ``import``. ``applied_at``: when the worker took note of it;
    ``refused`` is then why it did not take it, with ``refused_line`` where that is known.
    """

    __tablename__ = "rule_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    rule_id: Mapped[str] = mapped_column(index=True)
    what: Mapped[str]
    detail: Mapped[str] = mapped_column(default="")
    made_by: Mapped[str]
    made_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    refused: Mapped[str] = mapped_column(default="")
    refused_line: Mapped[int | None]


class RuleFigures(Base):
    """How a rule fares, summed over all runs of the worker; written by it every so often.

    ``offered`` events of the rule's log source, ``candidates`` that got past the prefilter, ``matches``, and of
    those ``throttled``. ``state`` is ``ok``, ``slow`` or ``noisy``, judged by the last hour; ``hour_matches`` and
    ``hour_microseconds`` (an offered event) are what it was judged by. ``refused``: why the rule does not run.
    """

    __tablename__ = "rule_figures"

    rule_id: Mapped[str] = mapped_column(primary_key=True)
    offered: Mapped[int] = mapped_column(BigInteger, default=0)
    candidates: Mapped[int] = mapped_column(BigInteger, default=0)
    matches: Mapped[int] = mapped_column(BigInteger, default=0)
    throttled: Mapped[int] = mapped_column(BigInteger, default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    last_match_at: Mapped[datetime | None]
    hour_matches: Mapped[int] = mapped_column(default=0)
    hour_microseconds: Mapped[float] = mapped_column(default=0.0)
    state: Mapped[str] = mapped_column(default="ok")
    state_since: Mapped[datetime | None]
    refused: Mapped[str] = mapped_column(default="")
    refused_line: Mapped[int | None]
    updated_at: Mapped[datetime]


class WorkerFigures(Base):
    """What a worker says of its engine as a whole (rules running, correlation state, the prefilter's guard)."""

    __tablename__ = "worker_figures"

    worker: Mapped[str] = mapped_column(primary_key=True)
    figures: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime]
