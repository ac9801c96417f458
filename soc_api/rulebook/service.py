"""Changes of rules with their audit entries, each in one transaction, and the views that people are shown."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from collector.errors import NotFoundError
from collector.rulebook import service as rulebook
from collector.rulebook.checking import check
from collector.rulebook.errors import RuleRefusedError
from collector.rulebook.models import TextFault
from collector.rulebook.service import MAX_TEXT_BYTES, Author
from soc_api.accounts import audit
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.rulebook.live import LiveBook
    from collector.rulebook.models import Checked, Entry
    from collector.state.database import StateStore
    from collector.state.tables import RuleChange, RuleFigures, RuleRevision
    from rules.catalogue import RuleInfo
    from soc_api.accounts.principal import Principal
    from soc_api.services import Services

SORTS: Final = ("title", "matches", "offered", "throttled", "seconds", "last_match", "state")
MAX_THROTTLE: Final = 1_000_000
_HOUR: Final = timedelta(hours=1)
_NO_FIGURES: Final[Mapping[str, Any]] = {
    "offered": 0,
    "candidates": 0,
    "matches": 0,
    "throttled": 0,
    "seconds": 0.0,
    "last_match_at": None,
    "updated_at": None,
}


@dataclass(frozen=True, slots=True)
class Who:
    """For the audit log: a user's name, or ``cli:name``; ``address`` is where the request came from."""

    name: str
    address: str = ""

    @classmethod
    def of(cls, principal: Principal) -> Who:
        return cls(principal.username, principal.address)


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule as it is now. ``state`` is ``ok``, ``slow``, ``noisy``, ``refused`` or ``disabled``."""

    entry: Entry
    state: str
    figures: RuleFigures | None
    changes: Sequence[RuleChange]
    revisions: Sequence[RuleRevision]
    text: str
    shipped_text: str
    evidence: str

    @property
    def refused(self) -> TextFault | None:
        return refused(self.entry, self.figures)

    @property
    def pending(self) -> bool:
        """Whether the worker has yet to take note of the last change."""
        return bool(self.changes) and self.changes[0].applied_at is None


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule in a list. ``hour_matches`` and ``hour_microseconds`` are of the last hour that was written down."""

    entry: Entry
    state: str
    figures: RuleFigures | None
    hour_matches: int
    hour_microseconds: float


class RuleDesk:
    """One a request or command. Raises what ``collector.rulebook.service`` raises."""

    def __init__(
        self, state: StateStore, live: LiveBook, clock: Callable[[], datetime], who: Who | None = None
    ) -> None:
        self._state = state
        self.live: Final = live
        self._clock = clock
        self._who = who or Who("")

    @classmethod
    def of(cls, services: Services, principal: Principal) -> RuleDesk:
        return cls(services.state, services.rules, services.clock, Who.of(principal))

    # -- looking -------------------------------------------------------------------------------------------

    def entry(self, rule_id: str) -> Entry:
        """Raises :class:`NotFoundError`."""
        found = self.live.book.get(rule_id)
        if found is None:
            raise NotFoundError(f"there is no rule {rule_id}")
        return found

    def view(self, rule_id: str) -> RuleView:
        """Raises :class:`NotFoundError`."""
        entry = self.entry(rule_id)
        with self._state.read() as session:
            revisions = rulebook.revisions(session, rule_id)
            runs = next((row for row in revisions if row.number == entry.setting.revision), None)
            row = rulebook.figures(session, (rule_id,)).get(rule_id)
            return RuleView(
                entry=entry,
                state=state_of(entry, row),
                figures=row,
                changes=rulebook.changes(session, rule_id),
                revisions=revisions,
                text=self.live.rulebook.text(session, entry),
                shipped_text=self.live.rulebook.shipped_text(entry) if entry.shipped else "",
                evidence="" if runs is None else runs.evidence,
            )

    def text_of(self, rule_id: str, number: int | None = None) -> str:
        """The text that runs, or that of a revision (0: the shipped one). Raises :class:`NotFoundError`."""
        entry = self.entry(rule_id)
        with self._state.read() as session:
            if number is None or number == entry.setting.revision:
                return self.live.rulebook.text(session, entry)
            if number:
                return rulebook.get_revision(session, rule_id, number).text
        if not entry.shipped:
            raise NotFoundError("the rule was written here and has no shipped text")
        return self.live.rulebook.shipped_text(entry)

    def lines(self, sort: str = "title", *, lang: str = "en") -> list[RuleLine]:
        """All rules; figures the highest first, the rest by title."""
        now = self._clock()
        with self._state.read() as session:
            figures = rulebook.figures(session)
        found = [_line(entry, figures.get(entry.id), now) for entry in self.live.book.values()]
        found.sort(key=lambda line: (line.entry.info.title.get(lang) or line.entry.id).casefold())
        if sort == "state":
            order = ("refused", "slow", "noisy", "ok", "disabled")
            found.sort(key=lambda line: order.index(line.state))
        elif sort == "last_match":
            found.sort(key=lambda line: _last_match(line), reverse=True)
        elif sort != "title":
            found.sort(key=lambda line: getattr(line.figures, sort, 0), reverse=True)
        return found

    def line(self, entry: Entry, figures: RuleFigures | None) -> RuleLine:
        return _line(entry, figures, self._clock())

    def check(self, text: str, evidence: str = "", rule_id: str = "") -> Checked:
        """What is wrong with a text; nothing is stored. Raises :class:`InvalidError` where it is too long."""
        for where, each in (("body.text", text), ("body.evidence", evidence)):
            if len(each.encode()) > MAX_TEXT_BYTES:
                raise InvalidError(Fault(where, f"at most {MAX_TEXT_BYTES >> 10} KB"))
        with self._state.read() as session:
            return check(session, self.live.rulebook, self.live.book, text, evidence, rule_id=rule_id)

    def sound(self, text: str, evidence: str = "", rule_id: str = "") -> tuple[RuleInfo, Checked]:
        """As :meth:`check`; raises :class:`RuleRefusedError` with the lines where there is an error."""
        checked = self.check(text, evidence, rule_id)
        if checked.errors or checked.info is None:
            raise RuleRefusedError(checked.errors)
        return checked.info, checked

    # -- changing ------------------------------------------------------------------------------------------

    def write(
        self,
        text: str,
        *,
        evidence: str = "",
        comment: str = "",
        based_on: int | None = None,
        rule_id: str = "",
    ) -> tuple[RuleRevision, Checked]:
        """Store a new text; it runs within a second. Raises :class:`RuleRefusedError` with the lines."""
        text = text.replace("\r\n", "\n")
        evidence = evidence.replace("\r\n", "\n")
        info, checked = self.sound(text, evidence, rule_id)
        with self._state.write() as session:
            by = self._author(comment)
            revision = rulebook.write_revision(
                session, self.live.book, info.id, text, by, evidence=evidence, based_on=based_on
            )
            self._audit(session, "rule.write", info.id, by, revision=revision.number)
        self.live.look_again()
        return revision, checked

    def enable(self, rule_id: str, reason: str) -> None:
        with self._state.write() as session:
            by = self._author(reason)
            rulebook.enable(session, self.live.book, rule_id, by)
            self._audit(session, "rule.enable", rule_id, by)
        self.live.look_again()

    def disable(self, rule_id: str, reason: str) -> None:
        """``reason`` is demanded: nobody should wonder later why a rule is silent."""
        _demand(reason)
        with self._state.write() as session:
            by = self._author(reason)
            rulebook.disable(session, self.live.book, rule_id, by)
            self._audit(session, "rule.disable", rule_id, by)
        self.live.look_again()

    def revert(self, rule_id: str, to: int, reason: str) -> None:
        with self._state.write() as session:
            by = self._author(reason)
            rulebook.revert(session, self.live.book, rule_id, to, by)
            self._audit(session, "rule.revert", rule_id, by, revision=to)
        self.live.look_again()

    def throttle(self, rule_id: str, limit: int | None, reason: str) -> None:
        """``limit`` findings an hour; None lifts it. A limit demands a reason."""
        if limit is not None:
            _demand(reason)
            if not 1 <= limit <= MAX_THROTTLE:
                raise InvalidError(
                    Fault("body.findings_an_hour", f"from 1 to {MAX_THROTTLE}; or none at all")
                )
        with self._state.write() as session:
            by = self._author(reason)
            rulebook.throttle(session, self.live.book, rule_id, limit, by)
            self._audit(session, "rule.throttle", rule_id, by, findings_an_hour=limit)
        self.live.look_again()

    def reload(self) -> None:
        """Worker and web look at the files of all folders again."""
        with self._state.write() as session:
            by = self._author("")
            rulebook.note(session, "", "reload", by.name, by.now)
            audit.record(session, by.now, by.name, "rule.reload", address=self._who.address)
        self.live.look_again()

    def applied(self, rule_id: str) -> RuleChange | None:
        """The last change of this rule: ``applied_at`` says whether the worker has taken note of it."""
        with self._state.read() as session:
            found = rulebook.changes(session, rule_id, 1)
            return found[0] if found else None

    def _author(self, reason: str) -> Author:
        return Author(self._who.name, self._clock(), reason.strip())

    def _audit(self, session: Session, action: str, rule_id: str, by: Author, **detail: object) -> None:
        audit.record(
            session,
            by.now,
            by.name,
            action,
            f"rule:{rule_id}",
            address=self._who.address,
            reason=by.reason,
            **detail,
        )


def figures_of(row: RuleFigures | None) -> dict[str, Any]:
    """A rule's figures over all time by name; of a rule that the worker has written nothing of, none."""
    return {name: nothing if row is None else getattr(row, name) for name, nothing in _NO_FIGURES.items()}


def state_of(entry: Entry, figures: RuleFigures | None) -> str:
    if not entry.active:
        return "disabled"
    if entry.fault is not None:
        return "refused"
    if figures is None:
        return "ok"
    return "refused" if figures.refused else figures.state


def refused(entry: Entry, figures: RuleFigures | None) -> TextFault | None:
    """Why a rule that should run does not, or runs as it was."""
    if entry.fault is not None and entry.active:
        return entry.fault
    if figures is None or not figures.refused:
        return None
    return TextFault(figures.refused, figures.refused_line or 0)


def difference(old: str, new: str) -> list[tuple[str, str]]:
    """Line by line: ``(" " | "+" | "-" | "@", text)``, three lines around each change; empty where they are equal."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3)
    return [(line[:1], line[1:] if line[:1] != "@" else line) for line in list(lines)[2:]]


def _line(entry: Entry, figures: RuleFigures | None, now: datetime) -> RuleLine:
    fresh = figures is not None and now - figures.updated_at < _HOUR
    return RuleLine(
        entry,
        state_of(entry, figures),
        figures,
        figures.hour_matches if figures is not None and fresh else 0,
        figures.hour_microseconds if figures is not None and fresh else 0.0,
    )


def _last_match(line: RuleLine) -> float:
    moment = None if line.figures is None else line.figures.last_match_at
    return 0.0 if moment is None else moment.timestamp()


def _demand(reason: str) -> None:
    if not reason.strip():
        raise InvalidError(Fault("body.reason", "say why, for whoever reads this later"))
