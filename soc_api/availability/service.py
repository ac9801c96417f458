"""Services and agencies' connections, within a scope: how they are, and how they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select

from collector.registry.service import list_agencies
from collector.services import register, spans
from collector.services.models import (
    CERTIFICATE,
    CONNECTED,
    CONTENT,
    DEGRADED,
    DOWN_FOR_ALL,
    DOWN_FOR_SOME,
    LAN,
    LINE,
    LOST,
    POSTURE,
    SERVICE,
    UNKNOWN,
    UNREACHABLE,
    UP,
    WAN,
)
from collector.services.verdicts import page_of, text_of
from collector.state.tables import Agency, Assignment, Document, Endpoint, ServiceContent
from soc_api.i18n import LOCAL_ZONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from collector.state.tables import AvailabilitySpan, Service, ServiceMaintenance

#: A strip: so many parts of a day.
SLOTS: Final = 72
_SLOT: Final = timedelta(minutes=20)
MONTHS: Final = 3
_HISTORY: Final = 60
#: The worst first: what a part of a strip shows.
SERVICE_ORDER: Final = (DOWN_FOR_ALL, DOWN_FOR_SOME, UNKNOWN, UP)
LINK_ORDER: Final = (UNREACHABLE, LOST, DEGRADED, UNKNOWN, CONNECTED)
#: What counts as working. A service that some cannot use does work.
WORKS: Final = frozenset({UP, DOWN_FOR_SOME})
IS_CONNECTED: Final = frozenset({CONNECTED, DEGRADED})


@dataclass(frozen=True, slots=True)
class Slot:
    """A part of a strip; ``state`` is empty where nothing had begun yet."""

    begins_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Month:
    """``ratio``: of the time that is known; ``None`` where none is. Seconds beside it say of how much that is."""

    begins_at: datetime
    ratio: float | None
    good_seconds: float
    bad_seconds: float
    unknown_seconds: float
    planned_seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A span as history shows it."""

    state: str
    began_at: datetime
    ended_at: datetime | None
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service. ``decided``: a person entered it, or said something of it. ``content_state`` and
    ``certificate_state`` are empty where there is no page, no certificate;
    ``findings``: codes of what is to be mended, ``posture_state`` ``in_order`` where there are none."""

    id: int
    name: str
    title_vi: str
    title_en: str
    agency_code: str
    agency: str
    importance: str
    sla_ratio: float
    state: str
    since: datetime | None
    asked: int
    down: int
    reasons: list[str]
    planned: bool
    content_state: str
    certificate_state: str
    certificate_problem: str
    certificate_days: int | None
    posture_state: str
    findings: list[str]
    slots: list[Slot]
    months: list[Month]
    decided: bool


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """One probe's own word on a service; hostile."""

    endpoint_id: str
    hostname: str
    agency: str
    state: str
    since: datetime | None
    reason: str
    heard_at: datetime | None
    picture: dict[str, str]


@dataclass(frozen=True, slots=True)
class LeasedLine:
    """A leased line as it was last measured. ``received_bits`` and ``sent_bits``: what it can carry, bits a second;
    ratios: how much of that was used; ``at``: when, ``None`` where it was not measured lately."""

    name: str
    endpoint_id: str
    device: str
    interface: str
    received_bits: float
    sent_bits: float
    received_ratio: float | None
    sent_ratio: float | None
    state: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class LinkLine:
    """An agency's two connections. States are empty where there is no probe. ``leased``: of its leased lines, empty
    where no use of any is measured; ``used_ratio``: of the busiest, in its busier direction."""

    agency_id: int
    code: str
    name: str
    level: str
    lan: str
    lan_since: datetime | None
    wan: str
    wan_since: datetime | None
    reasons: list[str]
    lan_month: Month
    wan_month: Month
    leased: str
    leased_since: datetime | None
    used_ratio: float | None


@dataclass(frozen=True, slots=True)
class LinkSum:
    """``agencies``: all within reach; ``probed``: those with a probe, the denominator of the others."""

    agencies: int
    probed: int
    lan: int
    wan: int


@dataclass(frozen=True, slots=True)
class OneLink:
    """A link of an agency, as its probe says; hostile. Numbers are those of when its state began."""

    name: str
    hostname: str
    endpoint_id: str
    role: str
    address: str
    state: str
    since: datetime | None
    reason: str
    rtt_seconds: float | None
    loss_ratio: float | None
    jitter_seconds: float | None


@dataclass(frozen=True)
class AgencyLinks:
    line: LinkLine
    links: list[OneLink]
    lan_slots: list[Slot]
    wan_slots: list[Slot]
    lan_history: list[Turn] = field(default_factory=list)
    wan_history: list[Turn] = field(default_factory=list)
    leased: list[LeasedLine] = field(default_factory=list)
    leased_history: list[Turn] = field(default_factory=list)


def service_views(session: Session, now: datetime) -> list[ServiceView]:
    """All services: they are the province's, whoever asks."""
    return _views(session, register.list_services(session), now)


def service_view(session: Session, name: str, now: datetime) -> ServiceView:
    """Raise :class:`collector.errors.NotFoundError` where there is none of that name."""
    return _views(session, [register.get_service(session, name)], now)[0]


def probes_of(session: Session, scope: Scope, name: str) -> list[ProbeLine]:
    """What each probe within ``scope`` says of a service, the worst first."""
    query = (
        select(Document, Endpoint, Agency)
        .join(Endpoint, Endpoint.id == Document.endpoint_id)
        .join(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .join(Agency, Agency.id == Assignment.agency_id)
        .where(
            Document.kind == "service_check",
            Document.item == name,
            Endpoint.retired_at.is_(None),
            scope.where(Agency.id),
        )
        .limit(1000)
    )
    lines = []
    for document, endpoint, agency in session.execute(query):
        page = page_of(document.body) or {}
        lines.append(
            ProbeLine(
                endpoint_id=endpoint.id,
                hostname=endpoint.hostname,
                agency=agency.name,
                state=text_of(document.body.get("state")),
                since=_moment(document.body.get("since")),
                reason=text_of(document.body.get("reason")),
                heard_at=endpoint.last_seen_at,
                picture=page.get("picture", {}),
            )
        )
    order = ("down", "degraded", "unknown", "up")
    return sorted(
        lines, key=lambda each: (order.index(each.state) if each.state in order else 9, each.agency)
    )


def content_of(session: Session, service_id: int) -> tuple[AvailabilitySpan | None, list[ServiceContent]]:
    """``(the page as it stands now, what was accepted)``, the latest first."""
    now = spans.open_spans(session, [CONTENT]).get((CONTENT, service_id))
    query = select(ServiceContent).where(ServiceContent.service_id == service_id)
    return now, list(session.scalars(query.order_by(ServiceContent.id.desc()).limit(_HISTORY)))


def history_of(session: Session, kind: str, subject_id: int, now: datetime, days: int = 92) -> list[Turn]:
    """The latest first."""
    found = spans.spans_of(session, [kind], now - timedelta(days=days), [subject_id])
    return _turns(found.get((kind, subject_id), []))


def link_lines(session: Session, scope: Scope, now: datetime) -> tuple[LinkSum, list[LinkLine]]:
    """Agencies within ``scope`` that have, or had, a probe; by name."""
    agencies = {agency.id: agency for agency in list_agencies(session, scope)}
    month = _month_begins(now)
    found = spans.spans_of(session, (LAN, WAN, LINE), month)
    lines = [
        _link_line(agency, found, month, now)
        for agency in sorted(agencies.values(), key=lambda each: each.name)
        if (LAN, agency.id) in found or (WAN, agency.id) in found
    ]
    total = LinkSum(
        agencies=len(agencies),
        probed=len(lines),
        lan=sum(line.lan in IS_CONNECTED for line in lines),
        wan=sum(line.wan in IS_CONNECTED for line in lines),
    )
    return total, lines


def link_sum(session: Session, scope: Scope) -> LinkSum:
    """How many agencies within ``scope`` are connected now."""
    reached = {agency.id for agency in list_agencies(session, scope)}
    opened = spans.open_spans(session, (LAN, WAN))
    states = {key: span.state for key, span in opened.items() if key[1] in reached}
    return LinkSum(
        agencies=len(reached),
        probed=len({agency_id for _, agency_id in states}),
        lan=sum(kind == LAN and state in IS_CONNECTED for (kind, _), state in states.items()),
        wan=sum(kind == WAN and state in IS_CONNECTED for (kind, _), state in states.items()),
    )


def agency_links(session: Session, agency: Agency, now: datetime) -> AgencyLinks:
    """Of an agency that the caller may see."""
    month = _month_begins(now)
    found = spans.spans_of(session, (LAN, WAN, LINE), min(month, now - timedelta(days=92)), [agency.id])
    query = (
        select(Document, Endpoint)
        .join(Endpoint, Endpoint.id == Document.endpoint_id)
        .join(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .where(Document.kind == "link", Assignment.agency_id == agency.id, Endpoint.retired_at.is_(None))
        .order_by(Endpoint.hostname, Document.item)
        .limit(500)
    )
    links = [_one_link(document, endpoint) for document, endpoint in session.execute(query)]
    of_lan, of_wan = found.get((LAN, agency.id), []), found.get((WAN, agency.id), [])
    return AgencyLinks(
        line=_link_line(agency, found, month, now),
        links=links,
        lan_slots=_slots(of_lan, now, LINK_ORDER),
        wan_slots=_slots(of_wan, now, LINK_ORDER),
        lan_history=_turns(of_lan),
        wan_history=_turns(of_wan),
        leased=leased_lines(session, agency.id),
        leased_history=_turns(found.get((LINE, agency.id), [])),
    )


def leased_lines(session: Session, agency_id: int) -> list[LeasedLine]:
    """An agency's leased lines whose use is measured, by name."""
    span = spans.open_spans(session, [LINE]).get((LINE, agency_id))
    lines = [] if span is None else span.detail.get("lines", [])
    return sorted(
        (
            LeasedLine(
                name=each["name"],
                endpoint_id=each["endpoint_id"],
                device=each["device"],
                interface=each["interface"],
                received_bits=each["received_bits"],
                sent_bits=each["sent_bits"],
                received_ratio=each["received_ratio"] if each["at"] else None,
                sent_ratio=each["sent_ratio"] if each["at"] else None,
                state=each["state"],
                at=_moment(each["at"]),
            )
            for each in lines
        ),
        key=lambda each: (each.name, each.endpoint_id),
    )


def _views(session: Session, services: Sequence[Service], now: datetime) -> list[ServiceView]:
    months = _months(now)
    ids = [service.id for service in services]
    found = spans.spans_of(session, [SERVICE], months[-1][0], ids) if ids else {}
    opened = spans.open_spans(session, [SERVICE, CONTENT, CERTIFICATE, POSTURE])
    agencies = {agency.id: agency for agency in session.scalars(select(Agency))}
    views = []
    for service in services:
        history = found.get((SERVICE, service.id), [])
        planned = register.maintenance_of(session, service.id)
        now_is = opened.get((SERVICE, service.id))
        said: dict[str, Any] = {} if now_is is None else now_is.detail
        owner = agencies.get(service.agency_id) if service.agency_id is not None else None
        certificate = opened.get((CERTIFICATE, service.id))
        told: dict[str, Any] = {} if certificate is None else certificate.detail
        page, posture = opened.get((CONTENT, service.id)), opened.get((POSTURE, service.id))
        views.append(
            ServiceView(
                id=service.id,
                name=service.name,
                title_vi=service.title_vi or service.name,
                title_en=service.title_en or service.title_vi or service.name,
                agency_code="" if owner is None else owner.code,
                agency="" if owner is None else owner.name,
                importance=service.importance,
                sla_ratio=service.sla_ratio,
                state=UNKNOWN if now_is is None else now_is.state,
                since=None if now_is is None else now_is.began_at,
                asked=int(said.get("asked_count", 0)),
                down=int(said.get("down_count", 0)),
                reasons=list(said.get("reasons", [])),
                planned=any(begin <= now < end for begin, end in map(register.period_of, planned)),
                content_state="" if page is None else page.state,
                certificate_state="" if certificate is None else certificate.state,
                certificate_problem=str(told.get("problem", "")),
                certificate_days=told.get("days_left"),
                posture_state="" if posture is None else posture.state,
                findings=[] if posture is None else list(posture.detail.get("findings", [])),
                slots=_slots(history, now, SERVICE_ORDER),
                months=[_month(history, WORKS, period, planned) for period in months],
                decided=service.decided,
            )
        )
    return views


def _link_line(
    agency: Agency,
    found: dict[tuple[str, int], list[AvailabilitySpan]],
    month: datetime,
    now: datetime,
) -> LinkLine:
    of_lan, of_wan = found.get((LAN, agency.id), []), found.get((WAN, agency.id), [])
    lan = of_lan[-1] if of_lan and of_lan[-1].ended_at is None else None
    wan = of_wan[-1] if of_wan and of_wan[-1].ended_at is None else None
    of_line = found.get((LINE, agency.id), [])
    leased = of_line[-1] if of_line and of_line[-1].ended_at is None and of_line[-1].detail["lines"] else None
    said = [each for span in (lan, wan) if span is not None for each in span.detail.get("reasons", [])]
    return LinkLine(
        agency_id=agency.id,
        code=agency.code,
        name=agency.name,
        level=agency.level,
        lan="" if lan is None else lan.state,
        lan_since=None if lan is None else lan.began_at,
        wan="" if wan is None else wan.state,
        wan_since=None if wan is None else wan.began_at,
        reasons=sorted(set(said)),
        lan_month=_month(of_lan, IS_CONNECTED, (month, now)),
        wan_month=_month(of_wan, IS_CONNECTED, (month, now)),
        leased="" if leased is None else leased.state,
        leased_since=None if leased is None else leased.began_at,
        used_ratio=None if leased is None else leased.detail.get("used_ratio"),
    )


def _one_link(document: Document, endpoint: Endpoint) -> OneLink:
    body = document.body
    return OneLink(
        name=document.item,
        hostname=endpoint.hostname,
        endpoint_id=endpoint.id,
        role=text_of(body.get("role")),
        address=text_of(body.get("address")),
        state=text_of(body.get("state")),
        since=_moment(body.get("since")),
        reason=text_of(body.get("reason")),
        rtt_seconds=_number(body.get("rtt_seconds")),
        loss_ratio=_number(body.get("loss_ratio")),
        jitter_seconds=_number(body.get("jitter_seconds")),
    )


def _slots(history: Sequence[AvailabilitySpan], now: datetime, order: Sequence[str]) -> list[Slot]:
    """The last one holds ``now``."""
    last = now - timedelta(minutes=now.minute % 20, seconds=now.second, microseconds=now.microsecond)
    begins = [last - _SLOT * back for back in range(SLOTS - 1, -1, -1)]
    return [Slot(at, spans.worst_of(history, (at, min(at + _SLOT, now)), order)) for at in begins]


def _month(
    history: Sequence[AvailabilitySpan],
    good: frozenset[str],
    period: spans.Period,
    planned: Iterable[ServiceMaintenance] = (),
) -> Month:
    """From its beginning, or from when the subject was first looked at."""
    begin = max(period[0], history[0].began_at) if history else period[0]
    share = spans.share_of(history, good, (begin, period[1]), [register.period_of(each) for each in planned])
    return Month(period[0], share.ratio, share.good, share.bad, share.unknown, share.planned)


def _months(now: datetime) -> list[spans.Period]:
    """The last ones, this one first, each to its end or to now."""
    found, end = [], now
    for _ in range(MONTHS):
        begin = _month_begins(end if end == now else end - timedelta(seconds=1))
        found.append((begin, end))
        end = begin
    return found


def _month_begins(at: datetime) -> datetime:
    return at.astimezone(LOCAL_ZONE).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _turns(history: Sequence[AvailabilitySpan]) -> list[Turn]:
    return [
        Turn(each.state, each.began_at, each.ended_at, list(each.detail.get("reasons", [])))
        for each in reversed(history[-_HISTORY:])
    ]


def _moment(value: object) -> datetime | None:
    number = _number(value)
    return None if not number or number >= 4e9 else datetime.fromtimestamp(number, LOCAL_ZONE)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e12 else None
