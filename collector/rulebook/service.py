"""Changes of the rules, each in the caller's write transaction. The worker takes what changes here within a second.

Every change raises the change number (``RuleChange.id``). Whoever calls writes the audit entry, in the same
transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from collector.errors import ConflictError, NotFoundError
from collector.rulebook.errors import StaleRevisionError
from collector.rulebook.models import Setting
from collector.rulebook.sources import setting_of
from collector.state.tables import RuleChange, RuleFigures, RuleRevision, RuleSetting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.rulebook.models import Book

MAX_TEXT_BYTES = 256 << 10
MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, when, and why."""

    name: str
    now: datetime
    reason: str = ""


def note(
    session: Session, rule_id: str, what: str, actor: str, now: datetime, detail: str = ""
) -> RuleChange:
    """Raise the change number: worker and web look at all rules again. ``rule_id`` is empty where many changed."""
    change = RuleChange(rule_id=rule_id, what=what, detail=detail[:MAX_REASON], made_by=actor, made_at=now)
    session.add(change)
    session.flush()
    return change


def write_revision(
    session: Session,
    book: Book,
    rule_id: str,
    text: str,
    by: Author,
    *,
    evidence: str = "",
    based_on: int | None = None,
) -> RuleRevision:
    """Store a text as the rule's next revision and make it the one that runs. The text must have been checked.

    ``based_on``: the number of the revision that it was made from, 0 for the shipped text or a new rule.

    Raises:
        StaleRevisionError: another one runs by now, or ``based_on`` is missing although the rule exists.
    """
    setting = setting_for(session, rule_id)
    newest = session.scalar(select(func.max(RuleRevision.number)).where(RuleRevision.rule_id == rule_id))
    known = rule_id in book or newest is not None
    if known and based_on != setting.revision:
        runs = f"revision {setting.revision}" if setting.revision else "its shipped text"
        when = f", by {setting.changed_by}" if setting.changed_by else ""
        raise StaleRevisionError(
            f"the rule {rule_id} runs with {runs}{when}: start from that text and name its number"
            f" ({setting.revision})"
        )
    if not known and based_on:
        raise StaleRevisionError(f"there is no rule {rule_id} that had a revision {based_on}")
    revision = RuleRevision(
        rule_id=rule_id,
        number=(newest or 0) + 1,
        text=text,
        evidence=evidence,
        author=by.name,
        comment=by.reason[:MAX_REASON],
        created_at=by.now,
    )
    session.add(revision)
    session.flush()
    _set(session, rule_id, replace(setting, revision=revision.number), by)
    note(session, rule_id, "write", by.name, by.now, str(revision.number))
    return revision


def revert(session: Session, book: Book, rule_id: str, to: int, by: Author) -> Setting:
    """Let an earlier revision run again, or the shipped text (``to`` 0). The newer ones are kept.

    Raises:
        NotFoundError: there is no such rule or revision.
        ConflictError: it runs already.
    """
    entry = book.get(rule_id)
    if entry is None:
        raise NotFoundError(f"there is no rule {rule_id}")
    setting = setting_for(session, rule_id)
    if setting.revision == to:
        raise ConflictError(f"revision {to} of the rule runs already")
    if to == 0 and not entry.shipped:
        raise NotFoundError(
            "the rule was written here and has no shipped text: name a revision, or disable it"
        )
    if to:
        get_revision(session, rule_id, to)
    made = _set(session, rule_id, replace(setting, revision=to), by)
    note(session, rule_id, "revert", by.name, by.now, str(to))
    return made


def enable(session: Session, book: Book, rule_id: str, by: Author) -> Setting:
    """Raises :class:`NotFoundError`, and :class:`ConflictError` where it is enabled."""
    return _switch(session, book, rule_id, by, enabled=True)


def disable(session: Session, book: Book, rule_id: str, by: Author) -> Setting:
    """The rule is not loaded any more. Raises :class:`ConflictError` while enabled correlations need it."""
    users = [entry.info.title["en"] or entry.id for entry in book.needed_by(rule_id) if entry.id != rule_id]
    if users:
        raise ConflictError(f"correlations need this rule: disable them first ({', '.join(users[:5])})")
    return _switch(session, book, rule_id, by, enabled=False)


def throttle(session: Session, book: Book, rule_id: str, limit: int | None, by: Author) -> Setting:
    """At most ``limit`` findings an hour; the rest are counted, and correlations still see them. None: no limit."""
    if rule_id not in book:
        raise NotFoundError(f"there is no rule {rule_id}")
    setting = setting_for(session, rule_id)
    if setting.throttle == limit:
        raise ConflictError("that limit is set already" if limit is not None else "the rule has no limit")
    made = _set(session, rule_id, replace(setting, throttle=limit), by)
    note(session, rule_id, "throttle", by.name, by.now, "" if limit is None else str(limit))
    return made


def setting_for(session: Session, rule_id: str) -> Setting:
    row = session.get(RuleSetting, rule_id)
    return Setting() if row is None else setting_of(row)


def revisions(session: Session, rule_id: str) -> Sequence[RuleRevision]:
    """The newest first."""
    query = select(RuleRevision).where(RuleRevision.rule_id == rule_id)
    return session.scalars(query.order_by(RuleRevision.number.desc())).all()


def get_revision(session: Session, rule_id: str, number: int) -> RuleRevision:
    """Raises :class:`NotFoundError`."""
    query = select(RuleRevision).where(RuleRevision.rule_id == rule_id, RuleRevision.number == number)
    found = session.scalars(query).first()
    if found is None:
        raise NotFoundError(f"the rule {rule_id} has no revision {number}")
    return found


def changes(session: Session, rule_id: str, limit: int = 50) -> Sequence[RuleChange]:
    """What was done to a rule, the newest first, and what the worker made of it."""
    query = select(RuleChange).where(RuleChange.rule_id == rule_id)
    return session.scalars(query.order_by(RuleChange.id.desc()).limit(limit)).all()


def latest_change(session: Session) -> RuleChange | None:
    return session.scalars(select(RuleChange).order_by(RuleChange.id.desc()).limit(1)).first()


def figures(session: Session, rule_ids: Sequence[str] = ()) -> dict[str, RuleFigures]:
    """Of every rule that the worker has written about, or of these, by id."""
    query = select(RuleFigures)
    if rule_ids:
        query = query.where(RuleFigures.rule_id.in_(rule_ids))
    return {row.rule_id: row for row in session.scalars(query)}


def _switch(session: Session, book: Book, rule_id: str, by: Author, *, enabled: bool) -> Setting:
    word = "enable" if enabled else "disable"
    if rule_id not in book:
        raise NotFoundError(f"there is no rule {rule_id}")
    setting = setting_for(session, rule_id)
    if setting.enabled == enabled:
        raise ConflictError(f"the rule is {word}d already")
    made = _set(session, rule_id, replace(setting, enabled=enabled), by)
    note(session, rule_id, word, by.name, by.now)
    return made


def _set(session: Session, rule_id: str, setting: Setting, by: Author) -> Setting:
    setting = replace(setting, reason=by.reason[:MAX_REASON], changed_by=by.name, changed_at=by.now)
    row = session.get(RuleSetting, rule_id)
    if row is None:
        row = RuleSetting(rule_id=rule_id)
        session.add(row)
    row.enabled, row.throttle, row.revision = setting.enabled, setting.throttle, setting.revision
    row.reason, row.changed_by, row.changed_at = setting.reason, by.name, by.now
    session.flush()
    return setting
