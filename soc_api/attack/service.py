"""Which rules count for the coverage of ATT&CK here, and which of them are evidence-tested."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml
from sqlalchemy import select

from collector.state.tables import RuleFigures, RuleRevision
from rules.attack import Matrix, coverage
from rules.engine.errors import RuleError
from rules.evidence import evidence_path, is_proven
from rules.importing import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.rulebook.live import LiveBook
    from collector.rulebook.models import Entry
    from collector.state.database import StateStore
    from rules.catalogue import RuleInfo
    from rules.importing import Received

#: ``running``: every rule that is enabled and loads. ``received``: of those, the ones whose data arrives here.
SCOPES: Final = ("running", "received")
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Coverage:
    """``known``: whether the event store could say what arrives; where it could not, all running rules count."""

    matrix: Matrix
    scope: str
    known: bool
    not_received: int


class Proofs:
    """Which shipped texts are proven by the evidence beside them. Threads may share it; each text is run once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, int], bool] = OrderedDict()

    def holds(self, entry: Entry, catalogue: Mapping[str, RuleInfo]) -> bool:
        try:
            beside = evidence_path(Path(entry.path)).stat()
        except OSError:
            return False
        key = (entry.id, entry.fingerprint, beside.st_mtime_ns)
        with self._lock:
            if key not in self._known:
                try:
                    self._known[key] = is_proven(entry.info, catalogue)
                except (RuleError, OSError, TypeError, ValueError):
                    self._known[key] = False
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return self._known[key]


_proofs: Final = Proofs()


def coverage_here(
    state: StateStore, live: LiveBook, arriving: Callable[[], Received | None], scope: str = "running"
) -> Coverage:
    """The matrix of the rules that run here. ``arriving`` is asked for the scope ``received`` only."""
    entries = _running(state, live)
    known = True
    missed = 0
    if scope == "received":
        arrives = arriving()
        known = arrives is not None
        if arrives is not None:
            kept = [entry for entry in entries if _arrives(entry, live, arrives)]
            missed = len(entries) - len(kept)
            entries = kept
    return Coverage(
        coverage((entry.info for entry in entries), _tested(state, live, entries)), scope, known, missed
    )


def _running(state: StateStore, live: LiveBook) -> list[Entry]:
    with state.read() as session:
        refused = set(session.scalars(select(RuleFigures.rule_id).where(RuleFigures.refused != "")))
    return [
        entry
        for entry in live.book.values()
        if entry.active and entry.kind != "filter" and not entry.info.internal and entry.id not in refused
    ]


def _tested(state: StateStore, live: LiveBook, entries: list[Entry]) -> set[str]:
    """A text written here is stored only with evidence that holds or with none; a shipped one is run."""
    with state.read() as session:
        written = {
            (row.rule_id, row.number): row.evidence
            for row in session.execute(
                select(RuleRevision.rule_id, RuleRevision.number, RuleRevision.evidence).where(
                    RuleRevision.evidence != ""
                )
            )
        }
    catalogue = {entry.id: entry.info for entry in live.book.values() if entry.path}
    tested = set()
    for entry in entries:
        if entry.setting.revision:
            holds = _fires(written.get((entry.id, entry.setting.revision), ""))
        else:
            holds = _proofs.holds(entry, catalogue)
        if holds:
            tested.add(entry.id)
    return tested


def _fires(evidence: str) -> bool:
    try:
        data = yaml.safe_load(evidence)
    except yaml.YAMLError:
        return False
    return isinstance(data, dict) and bool(data.get("fires"))


def _arrives(entry: Entry, live: LiveBook, arrives: Received) -> bool:
    """Of a correlation: what its rules read."""
    waiting, seen = [entry], set()
    while waiting:
        here = waiting.pop()
        if here.id in seen:
            continue
        seen.add(here.id)
        if here.info.logsource and arrives.misses(Source.of(here.info.logsource)):
            return False
        waiting += [found for key in here.info.references if (found := live.book.named(key)) is not None]
    return True
