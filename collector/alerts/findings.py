"""Turns what the engine found into alerts. Runs inside the worker's one transaction, so that nothing counts
twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from collector.alerts.models import EVIDENCE_KEPT, LEVELS, Outcome
from collector.alerts.subject import agencies_of, hosts_of, lookup, subject_of_finding
from collector.state.tables import Agency, Alert, AlertEvidence, Endpoint
from rules.engine import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable
    from logging import Logger

    from sqlalchemy.orm import Session

    from collector.alerts.models import CatalogueLike, RuleLike
    from rules.engine import Event

_CHUNK = 500
_MAX_LIST = 100
_MAX_TEXT = 8192
_LATEST = 253_402_300_799.0


@dataclass
class _Case:
    """What one step has to say about one rule and one subject."""

    findings: list[Finding] = field(default_factory=list)
    passed_at: float | None = None


@dataclass(frozen=True)
class Applied:
    """Ids of alerts that are new, that got more findings, and whose state passed by itself."""

    opened: tuple[int, ...] = ()
    raised: tuple[int, ...] = ()
    cleared: tuple[int, ...] = ()

    def tell(self, log: Logger) -> None:
        """Say what is new, once the transaction holds."""
        if self.opened or self.cleared:
            log.info(
                "alerts changed", extra={"opened": list(self.opened[:50]), "cleared": list(self.cleared[:50])}
            )


def apply_findings(
    session: Session, findings: Iterable[Finding], catalogue: CatalogueLike, now: datetime
) -> Applied:
    """Open or raise alerts for ``findings``; nothing is cleared."""
    outcomes = [Outcome(finding.event, (finding,)) for finding in findings]
    return apply_outcomes(session, outcomes, catalogue, now)


def apply_outcomes(
    session: Session, outcomes: Iterable[Outcome], catalogue: CatalogueLike, now: datetime
) -> Applied:
    """Open, raise and clear alerts by what the engine said of a run of events, in their order.

    A finding raises the alert of its rule and subject that is not closed, or opens one. A rule that
    ``clears`` and was offered an event about the same subject without firing says that the state has
    passed: the alert gets ``cleared_at`` (and loses it when the rule fires again), and still waits for a
    person.

    Findings about endpoints or agencies that were removed meanwhile keep their text and lose the reference.
    """
    cases = _collect(outcomes, catalogue)
    live = _live(session, cases)
    known = _Known(session, cases)
    opened: list[int] = []
    raised: list[int] = []
    cleared: list[int] = []
    for (rule_id, key), case in cases.items():
        alert = live.get((rule_id, key))
        if case.findings:
            rule = catalogue.get(rule_id)
            if alert is None:
                alert = _open(session, rule_id, key, rule, case.findings, known, now)
                opened.append(alert.id)
            else:
                _raise(alert, rule, case.findings, known, now)
                raised.append(alert.id)
            _keep_evidence(session, alert, case.findings, is_new=alert.id in opened[-1:])
        if alert is None:
            continue
        if case.passed_at is None:
            alert.cleared_at = None
        elif alert.cleared_at is None:
            alert.cleared_at = _time(case.passed_at)
            alert.updated_at = now
            cleared.append(alert.id)
    session.flush()
    return Applied(tuple(opened), tuple(raised), tuple(cleared))


def _collect(outcomes: Iterable[Outcome], catalogue: CatalogueLike) -> dict[tuple[str, str], _Case]:
    cases: dict[tuple[str, str], _Case] = {}
    for outcome in outcomes:
        fired = set()
        for finding in outcome.findings:
            fired.add(finding.rule_id)
            key, _ = subject_of_finding(_subject(catalogue.get(finding.rule_id)), finding)
            case = cases.setdefault((finding.rule_id, key), _Case())
            case.findings.append(finding)
            case.passed_at = None
        for rule_id in outcome.offered:
            rule = catalogue.get(rule_id)
            if rule is None or not rule.clears or rule_id in fired:
                continue
            key, _ = subject_of_finding(rule.subject, Finding(rule_id, outcome.event))
            cases.setdefault((rule_id, key), _Case()).passed_at = outcome.event.time
    return cases


def _live(session: Session, cases: dict[tuple[str, str], _Case]) -> dict[tuple[str, str], Alert]:
    rule_ids = sorted({rule_id for rule_id, _ in cases})
    keys = sorted({key for _, key in cases})
    found: dict[tuple[str, str], Alert] = {}
    for start in range(0, len(keys), _CHUNK):
        query = select(Alert).where(
            Alert.status != "closed",
            Alert.rule_id.in_(rule_ids),
            Alert.subject_key.in_(keys[start : start + _CHUNK]),
        )
        for alert in session.scalars(query):
            found[alert.rule_id, alert.subject_key] = alert
    return found


class _Known:
    """Which of the endpoints and agencies that the findings name are still there."""

    def __init__(self, session: Session, cases: dict[tuple[str, str], _Case]) -> None:
        fields = [case.findings[-1].event.fields for case in cases.values() if case.findings]
        hosts = sorted({host for each in fields if isinstance(host := lookup(each, "host.id"), str)})
        agencies = sorted({number for each in fields if isinstance(number := lookup(each, "agency.id"), int)})
        self.endpoints: set[str] = set()
        for start in range(0, len(hosts), _CHUNK):
            part = hosts[start : start + _CHUNK]
            self.endpoints.update(session.scalars(select(Endpoint.id).where(Endpoint.id.in_(part))))
        self.agencies = set(session.scalars(select(Agency.id).where(Agency.id.in_(agencies))))


def _open(
    session: Session,
    rule_id: str,
    key: str,
    rule: RuleLike | None,
    findings: list[Finding],
    known: _Known,
    now: datetime,
) -> Alert:
    last = findings[-1]
    _, text = subject_of_finding(_subject(rule), last)
    host, agency = _whose(findings)
    times = [_time(finding.event.time) for finding in findings]
    alert = Alert(
        rule_id=rule_id,
        level=_level(rule),
        subject=text,
        subject_key=key,
        endpoint_id=host if host in known.endpoints else None,
        agency_id=agency if agency in known.agencies else None,
        simulated=_only_simulated(findings),
        status="open",
        count=len(findings),
        first_event_at=min(times),
        last_event_at=max(times),
        created_at=now,
        updated_at=now,
    )
    session.add(alert)
    session.flush()
    return alert


def _raise(
    alert: Alert, rule: RuleLike | None, findings: list[Finding], known: _Known, now: datetime
) -> None:
    times = [_time(finding.event.time) for finding in findings]
    alert.count += len(findings)
    alert.level = _level(rule)
    alert.first_event_at = min(alert.first_event_at, *times)
    alert.last_event_at = max(alert.last_event_at, *times)
    alert.updated_at = now
    # An alert that real machines caused is never hidden among the simulated ones.
    alert.simulated = alert.simulated and _only_simulated(findings)
    host, agency = _whose(findings)
    if host != alert.endpoint_id:
        # Of several machines now; and an alert that holds events of several agencies belongs to none of them.
        alert.endpoint_id = None
        alert.agency_id = alert.agency_id if agency == alert.agency_id else None
    elif agency in known.agencies:
        alert.agency_id = agency  # it moves with its machine


def _whose(findings: list[Finding]) -> tuple[str | None, int | None]:
    """The one host and the one agency that all events are of; None where there are several, or none.

    A host that moved to another agency meanwhile is of its last one.
    """
    hosts = frozenset().union(*(hosts_of(finding) for finding in findings))
    agencies = frozenset().union(*(agencies_of(finding) for finding in findings))
    host = next(iter(hosts)) if len(hosts) == 1 else None
    agency = lookup(findings[-1].event.fields, "agency.id") if host or len(agencies) == 1 else None
    return host if isinstance(host, str) else None, agency if isinstance(agency, int) else None


def _only_simulated(findings: list[Finding]) -> bool:
    events = (event for finding in findings for event in finding.events or (finding.event,))
    return all(lookup(event.fields, "simulated") is True for event in events)


def _keep_evidence(session: Session, alert: Alert, findings: list[Finding], *, is_new: bool) -> None:
    events: dict[str, Event] = {}
    for finding in findings:
        for event in finding.events or (finding.event,):
            events.setdefault(event.id, event)
    ids = list(events)
    if len(ids) > 2 * EVIDENCE_KEPT:
        ids = ids[:EVIDENCE_KEPT] + ids[-EVIDENCE_KEPT:]
    if not is_new:
        stored = set(
            session.scalars(
                select(AlertEvidence.event_id).where(
                    AlertEvidence.alert_id == alert.id, AlertEvidence.event_id.in_(ids)
                )
            )
        )
        ids = [event_id for event_id in ids if event_id not in stored]
    for event_id in ids:
        event = events[event_id]
        session.add(
            AlertEvidence(
                alert_id=alert.id, event_id=event.id, event_time=_time(event.time), event=_as_evidence(event)
            )
        )
    session.flush()
    if not is_new:
        _trim_evidence(session, alert.id)


def _trim_evidence(session: Session, alert_id: int) -> None:
    of_alert = select(AlertEvidence.id).where(AlertEvidence.alert_id == alert_id).order_by(AlertEvidence.id)
    total = session.scalar(select(func.count()).select_from(of_alert.subquery())) or 0
    if total > 2 * EVIDENCE_KEPT:
        middle = session.scalars(of_alert.offset(EVIDENCE_KEPT).limit(total - 2 * EVIDENCE_KEPT)).all()
        session.execute(delete(AlertEvidence).where(AlertEvidence.id.in_(middle)))


def _as_evidence(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "time": event.time,
        "product": event.product,
        "category": event.category,
        "service": event.service,
        "fields": _bounded(event.fields),
    }


def _bounded(value: Any) -> Any:
    """Evidence is to be read by a person: the first of a long list (a machine's packages) tell enough."""
    if isinstance(value, Mapping):
        return {key: _bounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(each) for each in value[:_MAX_LIST]]
    return value[:_MAX_TEXT] if isinstance(value, str) else value


def _subject(rule: RuleLike | None) -> tuple[str, ...]:
    return ("host.id",) if rule is None or not rule.subject else tuple(rule.subject)


def _level(rule: RuleLike | None) -> str:
    return rule.level if rule is not None and rule.level in LEVELS else "medium"


def _time(seconds: float) -> datetime:
    bounded = min(max(seconds, 0.0), _LATEST) if seconds == seconds else 0.0
    return datetime.fromtimestamp(bounded, UTC)
