"""Who passes which check: over all endpoints within a scope, and on one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from sys import intern
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select

from collector.detect.assessment import ASSESSMENT, checks_of
from collector.identity.links import succeeded
from collector.state.tables import Agency, Assignment, Document, Endpoint
from soc_api.assessment.exceptions import counted
from soc_api.assessment.written import shipped_checks, shipped_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from soc_api.assessment.exceptions import Excepted
    from soc_api.assessment.written import WrittenCheck

#: What an agent may say.
RESULTS: Final = ("failed", "unknown", "passed", "not_applicable")
#: What counts: a check that fails or cannot be told, and is excepted, stands apart; it is never passed.
STANDINGS: Final = ("failed", "unknown", "passed", "excepted", "not_applicable")
_CHUNK: Final = 500
_KEPT: Final = 40_000
_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """One check on one endpoint, as the agent says: every text of it is hostile. ``written`` is None for a check that
    this program does not ship (an agent of another version)."""

    set: str
    id: str
    result: str
    found: str
    wanted: str
    reason: str
    last: str
    written: WrittenCheck | None


@dataclass(slots=True)
class CheckSum:
    """One check over many endpoints: how many stand at each result, and by agency how many fail and how many can be
    told (failed or passed; an excepted one is neither)."""

    set: str
    id: str
    written: WrittenCheck
    counts: Counter[str] = field(default_factory=Counter)
    failed_by_agency: Counter[str] = field(default_factory=Counter)
    told_by_agency: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Assessed:
    """An endpoint that was assessed; ``results`` by check. What a ``silent`` one said last no longer counts: all of it
    that applies is unknown. What is ``excepted`` is so in the results already."""

    endpoint_id: str
    hostname: str
    agency_code: str
    agency: str
    simulated: bool
    silent: bool
    set: str
    results: tuple[tuple[str, str], ...]


class ResultCache:
    """What documents say, by their digest, without the evidence: reading thousands of them costs a second, and few have
    changed since the last look. Threads may share it."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._known: dict[str, tuple[tuple[str, str], ...]] = {}
        self._lock = Lock()

    def take(
        self, session: Session, documents: Iterable[tuple[str, str]]
    ) -> dict[str, tuple[tuple[str, str], ...]]:
        """By digest; ``documents`` are ``(endpoint id, digest)``."""
        where = {digest: endpoint_id for endpoint_id, digest in documents}
        with self._lock:
            found = {digest: self._known[digest] for digest in where.keys() & self._known.keys()}
        missing = sorted(where.keys() - found.keys())
        for start in range(0, len(missing), _CHUNK):
            ids = {where[digest] for digest in missing[start : start + _CHUNK]}
            query = select(Document.digest, Document.body).where(
                Document.endpoint_id.in_(sorted(ids)), Document.kind == ASSESSMENT
            )
            for digest, body in session.execute(query):
                if digest not in found:
                    found[digest] = results_of(body)
        with self._lock:
            if len(self._known) + len(missing) > self._kept:
                self._known.clear()
            self._known.update((digest, found[digest]) for digest in missing if digest in found)
        return found


_cache: Final = ResultCache()


def results_of(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """``(check, result)`` of each shipped check of a document; a result that is none of ours is unknown. Other checks
    (a newer agent's, or made up) are told on the page of their endpoint only."""
    shipped = shipped_ids()
    return tuple(
        (intern(name), intern(_result(entry))) for name, entry in checks_of(body).items() if name in shipped
    )


def assessed(
    session: Session,
    scope: Scope,
    silent_before: datetime,
    excepted: Excepted,
    *,
    agency_id: int | None = None,
    simulated: bool | None = False,
) -> list[Assessed]:
    """Endpoints that are not retired, by name. ``simulated`` None: real and simulated ones. Those not heard from since
    ``silent_before`` are silent."""
    query = (
        select(
            Endpoint.id,
            Endpoint.hostname,
            Agency.code,
            Agency.name,
            Assignment.agency_id,
            Endpoint.simulated,
            Endpoint.last_seen_at,
            Document.item,
            Document.digest,
        )
        .join(Document, and_(Document.endpoint_id == Endpoint.id, Document.kind == ASSESSMENT))
        .outerjoin(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .outerjoin(Agency, Agency.id == Assignment.agency_id)
        .where(scope.where(Assignment.agency_id), Endpoint.retired_at.is_(None), ~succeeded())
        .order_by(Endpoint.hostname, Endpoint.id)
    )
    if agency_id is not None:
        query = query.where(Assignment.agency_id == agency_id)
    if simulated is not None:
        query = query.where(Endpoint.simulated.is_(simulated))
    rows = session.execute(query).all()
    results = _cache.take(session, ((row.id, row.digest) for row in rows))
    found = []
    for endpoint_id, hostname, code, name, agency, is_simulated, seen_at, item, digest in rows:
        silent = seen_at is None or seen_at < silent_before
        told = results.get(digest, ())
        if silent:
            told = tuple(
                (check, "unknown" if result in ("passed", "failed") else result) for check, result in told
            )
        told = excepted.applied(item, told, endpoint_id, agency)
        found.append(
            Assessed(endpoint_id, hostname, code or "", name or "", is_simulated, silent, item, told)
        )
    return found


def sum_up(machines: Iterable[Assessed]) -> list[CheckSum]:
    """Every shipped check that somebody reported, most failed first. What only agents know (a newer one, or one that
    makes it up) stands on their own pages."""
    sums: dict[tuple[str, str], CheckSum] = {}
    # Machines that are set up alike are many: each lot is counted once.
    lots = Counter((machine.set, machine.agency_code, machine.results) for machine in machines)
    for (name, agency, results), number in lots.items():
        for check, result in results:
            found = sums.get((name, check))
            if found is None:
                written = shipped_checks(name).get(check)
                if written is None:
                    continue
                found = sums[name, check] = CheckSum(name, check, written)
            found.counts[result] += number
            if result in ("failed", "passed"):
                found.told_by_agency[agency] += number
            if result == "failed":
                found.failed_by_agency[agency] += number
    rank = {"high": 0, "medium": 1, "low": 2}
    return sorted(
        sums.values(),
        key=lambda each: (
            -each.counts["failed"],
            rank[each.written.importance],
            -each.counts["unknown"],
            each.set,
            each.id,
        ),
    )


def standings_of(body: Mapping[str, Any], excepted: frozenset[tuple[str, str]]) -> list[Standing]:
    """The checks of one document: failed first, then unknown, the important before the others, else as written.
    ``excepted`` are ``(set, check)`` that are not held against its endpoint."""
    name = body.get("set")
    checks = shipped_checks(name) if isinstance(name, str) else {}
    order = {check: at for at, check in enumerate(checks)}
    found = [
        standing(str(name)[:64], check, entry, checks.get(check))
        for check, entry in list(checks_of(body).items())[:400]
    ]
    found = [
        replace(each, result=counted(each.result)) if (each.set, each.id) in excepted else each
        for each in found
    ]
    rank = {"high": 0, "medium": 1, "low": 2}
    return sorted(
        found,
        key=lambda each: (
            STANDINGS.index(each.result),
            rank[each.written.importance] if each.written else 3,
            order.get(each.id, len(order)),
            each.id,
        ),
    )


def standing(name: str, check: str, entry: object, written: WrittenCheck | None) -> Standing:
    """One entry of a document, whatever it holds."""
    said = entry if isinstance(entry, Mapping) else {}

    def text(key: str) -> str:
        value = said.get(key)
        return value[:_TEXT] if isinstance(value, str) else ""

    return Standing(
        set=name,
        id=str(check)[:64],
        result=_result(entry),
        found=text("found"),
        wanted=text("wanted"),
        reason=text("reason"),
        last=text("last"),
        written=written,
    )


def evidence(session: Session, endpoint_ids: Sequence[str], name: str, check: str) -> dict[str, Standing]:
    """One check on these endpoints; the caller has checked the scope."""
    query = select(Document.endpoint_id, Document.body).where(
        Document.kind == ASSESSMENT, Document.item == name, Document.endpoint_id.in_(endpoint_ids)
    )
    written = shipped_checks(name).get(check)
    return {
        endpoint_id: standing(name, check, checks_of(body).get(check), written)
        for endpoint_id, body in session.execute(query)
    }


def _result(entry: object) -> str:
    result = entry.get("result") if isinstance(entry, Mapping) else None
    return result if isinstance(result, str) and result in RESULTS else "unknown"
