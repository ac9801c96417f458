"""The rules that the worker runs, and how they change between two steps while events flow.

All rules of the book that are enabled run. When the book's mark moves, what differs goes to the engine as one change;
where the engine refuses it, the sound part is taken and the rest is said, with the reason, and goes on as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.rulebook.models import Book, Entry, TextFault
from collector.rulebook.sources import catalogue_of
from rules.engine import Engine, RuleError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from collector.rulebook.sources import Rulebook
    from collector.state.database import StateStore

log = logging.getLogger("vonggac.detect")

Source = Path | str
MakeEngine = Callable[[Sequence[Source]], Engine]


@dataclass(frozen=True, slots=True)
class _Piece:
    """One rule to put (with its text) or to drop (without)."""

    rule_id: str
    fingerprint: str
    source: Source | None


class LiveRules:
    """The engine and the catalogue of one worker. Not thread-safe; :meth:`look` between steps only."""

    def __init__(self, rulebook: Rulebook, state: StateStore, make: MakeEngine = Engine) -> None:
        self._rulebook = rulebook
        self._state = state
        with state.read() as session:
            self._mark = rulebook.mark(session)
            self.book = rulebook.read(session)
            sources = _sources(session, rulebook, self.book)
        self.engine = make(sources)
        self.catalogue = catalogue_of(self.book)
        #: Rules that should run and do not, with the reason; one that was refused as a change runs as before.
        self.refused: dict[str, TextFault] = {}
        #: Of what was refused, so that it is not tried over and over.
        self._tried: dict[str, str] = {}
        self._running = {entry.id: entry.fingerprint for entry in self.book.values() if entry.active}
        self.refused.update(self._unreadable(self.book))
        for rule_id in self.refused:
            del self._running[rule_id]
        for refusal in self.engine.unsupported:
            log.warning("a rule cannot run", extra={"rule": refusal.id, "reason": refusal.reason})
            entry = self.book.get(refusal.id)
            if entry is None or not entry.active or entry.kind == "filter":
                continue
            self.refused[refusal.id] = TextFault(refusal.reason, refusal.line)
            if (
                entry.kind == "rule"
            ):  # a correlation may only wait for its rules: the engine takes it when they come
                self._tried[refusal.id] = self._running.pop(refusal.id)
        log.info(
            "rules loaded",
            extra={"rules": self.engine.rules_loaded, "unsupported": len(self.engine.unsupported)},
        )

    def begin(self) -> None:
        """Once the engine is warm: from now on findings count."""
        self._throttle()

    def look(self) -> bool:
        """Take what has changed, if anything; whether it did. Cheap where nothing has.

        Raises:
            sqlalchemy.exc.OperationalError: the state store is busy; nothing has changed, ask again.
        """
        with self._state.read() as session:
            mark = self._rulebook.mark(session)
            if mark == self._mark:
                return False
            book = self._rulebook.read(session)
            unreadable = self._unreadable(book)
            pieces = self._differences(session, book)
        refused = {**unreadable, **self._take(pieces)}
        self.refused = {
            rule_id: fault
            for rule_id, fault in {**self.refused, **self._not_running(book), **refused}.items()
            if self._is_refused(book.get(rule_id))
        }
        self.book, self.catalogue, self._mark = book, catalogue_of(book), mark
        self._throttle()
        log.info(
            "rules changed",
            extra={
                "change": book.change,
                "put": sum(piece.source is not None for piece in pieces),
                "dropped": sum(piece.source is None for piece in pieces),
                "refused": {rule_id: fault.message for rule_id, fault in list(refused.items())[:20]},
                "rules": self.engine.rules_loaded,
            },
        )
        return True

    def figures(self) -> dict[str, object]:
        """The engine as a whole, for those who watch it."""
        guard = self.engine.guard
        return {
            "rules_loaded": self.engine.rules_loaded,
            "rules_refused": len(self.refused),
            "correlation_events_evicted": self.engine.evicted,
            "canary_failures": guard.canary_failures,
            "shadow_checks": guard.shadow_checks,
            "shadow_misses": guard.shadow_misses,
            "change": self.book.change,
        }

    def _not_running(self, book: Book) -> dict[str, TextFault]:
        """Correlations that a change has left without a rule that they need: they were sound and now wait for it."""
        return {
            refusal.id: TextFault(refusal.reason, refusal.line)
            for refusal in self.engine.unsupported
            if refusal.id in self._running and (entry := book.get(refusal.id)) and entry.kind == "correlation"
        }

    def _unreadable(self, book: Book) -> dict[str, TextFault]:
        """Rules whose file can no longer be read: nothing is to be taken, and what runs of them runs on."""
        found = {entry.id: entry.fault for entry in book.values() if entry.active and entry.fault is not None}
        self._tried.update((rule_id, book[rule_id].fingerprint) for rule_id in found)
        return found

    def _is_refused(self, entry: Entry | None) -> bool:
        """Whether this rule should run and does not, or runs with an older text than it should."""
        if entry is None or not entry.active:
            return False
        waits = any(refusal.id == entry.id for refusal in self.engine.unsupported)
        return self._tried.get(entry.id) == entry.fingerprint or (waits and entry.id in self._running)

    def _differences(self, session: Session, book: Book) -> list[_Piece]:
        """What to put, rules before the correlations that may need them, and what to drop, in the other order."""
        put, drop = [], []
        for entry in sorted(book.values(), key=_depth):
            if not entry.active or entry.fingerprint in (
                self._running.get(entry.id),
                self._tried.get(entry.id),
            ):
                continue
            source = Path(entry.path) if _is_whole(entry) else self._rulebook.text(session, entry)
            put.append(_Piece(entry.id, entry.fingerprint, source))
        for rule_id in self._running:
            entry = book.get(rule_id)  # type: ignore[assignment] # None where it is gone
            if entry is None or not entry.active:
                drop.append(_Piece(rule_id, "", None))
        drop.sort(key=lambda piece: -_depth(self.book.get(piece.rule_id)))
        return [*put, *drop]

    def _take(self, pieces: list[_Piece]) -> dict[str, TextFault]:
        """All at once; where that is refused by halves, until the broken ones are found."""
        if not pieces:
            return {}
        try:
            self.engine.change(
                put=[piece.source for piece in pieces if piece.source is not None],
                drop=[piece.rule_id for piece in pieces if piece.source is None],
            )
        except RuleError as error:
            if len(pieces) > 1:
                half = len(pieces) // 2
                return {**self._take(pieces[:half]), **self._take(pieces[half:])}
            self._tried[pieces[0].rule_id] = pieces[0].fingerprint
            return {pieces[0].rule_id: TextFault(error.reason, error.line)}
        for piece in pieces:
            self._tried.pop(piece.rule_id, None)
            if piece.source is None:
                del self._running[piece.rule_id]
            else:
                self._running[piece.rule_id] = piece.fingerprint
        return {}

    def _throttle(self) -> None:
        self.engine.throttle(
            {
                entry.id: entry.setting.throttle
                for entry in self.book.values()
                if entry.active and entry.setting.throttle is not None
            }
        )


def _sources(session: Session, rulebook: Rulebook, book: Book) -> list[Source]:
    """What runs: whole files where all of their documents run as they are, the texts of the others."""
    by_file: dict[str, list[Entry]] = {}
    for entry in book.values():
        if entry.path and entry.fault is None:
            by_file.setdefault(entry.path, []).append(entry)
    plain = {
        path
        for path, entries in by_file.items()
        if all(entry.active and not entry.setting.revision for entry in entries)
    }
    sources: list[Source] = [Path(path) for path in by_file if path in plain]
    sources += [
        rulebook.text(session, entry)
        for entry in book.values()
        if entry.active and entry.path not in plain and entry.fault is None
    ]
    return sources


def _is_whole(entry: Entry) -> bool:
    return entry.whole and not entry.setting.revision


def _depth(entry: Any) -> int:
    return 0 if entry is None else {"rule": 0, "filter": 1, "correlation": 2}[entry.kind]
