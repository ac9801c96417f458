"""What may be said of one firewall: five questions, each yes, no or unknown, with the reason and what it is known from.

Unknown is never yes. A probe that has been silent for longer than :data:`FRESH` says nothing of now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from collector.firewalls.support import support_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FRESH: Final = timedelta(days=1)
#: A configuration that was read within so many days is a recent one.
RECENT_DAYS: Final = 7
#: A firewall that was heard within this time sends its log.
LOGGED: Final = timedelta(days=1)
#: Support that ends within so many days is told ahead.
SOON_DAYS: Final = 180

Value = Literal["yes", "no", "unknown"]
QUESTIONS: Final = ("answering", "configuration", "logging", "supported")


@dataclass(frozen=True)
class Answer:
    """``reason`` is a code (:data:`REASONS`), ``fact`` what it is known from: a date, a version, a key, in words of
    nobody's language."""

    value: Value
    reason: str
    fact: str = ""


#: Every reason there is.
REASONS: Final = (
    "answers",
    "no_answer",
    "sign_in_refused",
    "host_key_changed",
    "host_key_unknown",
    "unreadable",
    "not_asked",
    "probe_silent",
    "probe_failing",
    "read_recently",
    "read_long_ago",
    "never_read",
    "heard",
    "not_heard",
    "never_heard",
    "supported_until",
    "support_ends_soon",
    "support_ended",
    "support_not_known",
)


@dataclass(frozen=True)
class Facts:
    """``document`` is the probe's of the kind ``device_configuration`` (None: no probe asks), ``seen_at`` when that
    probe was last heard, ``working`` whether the part of it that asks does; ``logged_at`` when the firewall's own log
    was last heard (None: never). ``support_until`` is what a person said."""

    document: Mapping[str, Any] | None
    seen_at: datetime | None
    logged_at: datetime | None
    support_until: date | None
    working: bool = True

    def speaks(self, now: datetime) -> bool:
        """Whether what the probe says is of now."""
        return self.working and self.seen_at is not None and now - self.seen_at <= FRESH


def judge(facts: Facts, now: datetime) -> dict[str, Answer]:
    """By question, in the order of :data:`QUESTIONS`."""
    return {
        "answering": _answering(facts, now),
        "configuration": _configuration(facts, now),
        "logging": _logging(facts, now),
        "supported": _supported(facts, now.date()),
    }


def worst(said: Sequence[Mapping[str, Answer]]) -> dict[str, Answer]:
    """Where several probes ask one firewall: no one of them makes good what another finds bad."""
    return {name: min((each[name] for each in said), key=_worse) for name in said[0]}


def _worse(answer: Answer) -> int:
    return ("no", "unknown", "yes").index(answer.value)


def verdict(firewalls: Sequence[Mapping[str, Answer]]) -> Value:
    """Of an agency: yes where it has a firewall and every answer about each is yes; no where one is no, or it has none
    that is known."""
    values = [answer.value for each in firewalls for answer in each.values()]
    if not values or "no" in values:
        return "no"
    return "unknown" if "unknown" in values else "yes"


def _answering(facts: Facts, now: datetime) -> Answer:
    if facts.document is None:
        return Answer("unknown", "not_asked")
    if facts.seen_at is None or now - facts.seen_at > FRESH:
        return Answer("unknown", "probe_silent", _day(facts.seen_at))
    if not facts.working:
        return Answer("unknown", "probe_failing")
    match facts.document.get("state"):
        case "answering":
            return Answer("yes", "answers")
        case "unreachable":
            return Answer("no", "no_answer")
        case "refused":
            return Answer("unknown", "sign_in_refused")
        case "host_key_changed" | "host_key_unknown" as code:
            return Answer("unknown", code)
        case _:
            return Answer("unknown", "unreadable")


def _configuration(facts: Facts, now: datetime) -> Answer:
    if facts.document is None:
        return Answer("unknown", "not_asked")
    configuration = facts.document.get("configuration")
    day = _date(configuration.get("read_day")) if isinstance(configuration, dict) else None
    if day is None or day > now.date() + timedelta(days=1):  # its clock is wrong, so is its day
        return Answer("unknown", "never_read")
    if (now.date() - day).days <= RECENT_DAYS:
        return Answer("yes", "read_recently", day.isoformat())
    return Answer("no", "read_long_ago", day.isoformat())


def _logging(facts: Facts, now: datetime) -> Answer:
    if facts.logged_at is None:
        return Answer("no", "never_heard")
    if now - facts.logged_at > LOGGED:
        return Answer("no", "not_heard", _day(facts.logged_at))
    return Answer("yes", "heard", _day(facts.logged_at))


def _supported(facts: Facts, today: date) -> Answer:
    until, fact = facts.support_until, ""
    if until is None and facts.document is not None:
        product, version = (str(facts.document.get(name, ""))[:64] for name in ("product", "version"))
        known = support_of(product, version)
        if known is None:
            return Answer("unknown", "support_not_known", f"{product} {version}".strip())
        until, fact = known.until, known.source
    if until is None:
        return Answer("unknown", "support_not_known")
    fact = f"{until.isoformat()} ({fact})" if fact else until.isoformat()
    if until < today:
        return Answer("no", "support_ended", fact)
    soon = until - today <= timedelta(days=SOON_DAYS)
    return Answer("yes", "support_ends_soon" if soon else "supported_until", fact)


def _day(when: datetime | None) -> str:
    return "" if when is None else when.astimezone(UTC).date().isoformat()


def _date(text: object) -> date | None:
    try:
        return date.fromisoformat(text) if isinstance(text, str) and len(text) == 10 else None
    except ValueError:
        return None
