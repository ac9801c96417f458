"""The registry of agencies: import, search by present and former names, and the dated assignment of
endpoints.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sqlalchemy import select

from collector.errors import NotFoundError
from collector.registry.errors import AgencyNotFoundError, AssignmentError
from collector.registry.models import ImportResult
from collector.registry.names import has_marks, plain_key, search_key
from collector.state.tables import Agency, AgencyName, AgencySuccession, Assignment, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from sqlalchemy.orm import Session

    from collector.registry.models import AgencyRow
    from collector.state.scope import Scope


def import_agencies(session: Session, rows: Iterable[AgencyRow], now: datetime) -> ImportResult:
    """Bring the registry to what ``rows`` say, by code; agencies that are not named stay as they are.

    Importing the same rows again changes nothing. A changed name is kept as a former name, so that old
    papers and old bookmarks still find the agency.
    """
    known = {agency.code: agency for agency in session.scalars(select(Agency))}
    created = changed = unchanged = 0
    for row in rows:
        agency = known.get(row.code)
        if agency is None:
            known[row.code] = agency = Agency(code=row.code)
            _fill(agency, row)
            session.add(agency)
            created += 1
        elif _differs(agency, row):
            if agency.name != row.name:
                former = AgencyName(
                    agency_id=agency.id, name=agency.name, search_name=agency.search_name, until=now.date()
                )
                session.add(former)
            _fill(agency, row)
            changed += 1
        else:
            unchanged += 1
    session.flush()
    return ImportResult(created, changed, unchanged)


def list_agencies(session: Session, scope: Scope) -> list[Agency]:
    """Every agency within reach, in the order of the registry (province, district, commune; then as
    imported).
    """
    order = {"tinh": 0, "huyen": 1, "xa": 2}
    agencies = session.scalars(select(Agency).where(scope.where(Agency.id)).order_by(Agency.id)).all()
    return sorted(agencies, key=lambda agency: (order.get(agency.level, 3), agency.id))


def get_agency(session: Session, scope: Scope, code: str) -> Agency:
    """The agency of ``code``.

    Raises:
        AgencyNotFoundError: there is none, or it is out of reach; names the nearest code within reach.
    """
    agency = session.scalar(select(Agency).where(Agency.code == code, scope.where(Agency.id)))
    if agency is None:
        codes = session.scalars(select(Agency.code).where(scope.where(Agency.id))).all()
        near = difflib.get_close_matches(code, codes, n=1)
        raise AgencyNotFoundError(code, near[0] if near else "")
    return agency


def find_agencies(session: Session, scope: Scope, text: str) -> list[Agency]:
    """Agencies whose code, name or former name holds ``text``, whole names before parts, in registry order.

    An agency is also found by the names of its predecessors. Text without Vietnamese marks is compared
    without marks; text with marks in any Unicode form and with either habit of placing the tone mark.
    """
    key_of = search_key if has_marks(text) else plain_key
    wanted = key_of(text)
    if not wanted:
        return []
    names = _names(session)
    ranked: list[tuple[int, int, Agency]] = []
    for position, agency in enumerate(list_agencies(session, scope)):
        keys = [plain_key(agency.code), *(key_of(name) for name in names.get(agency.id, ()))]
        if wanted in keys:
            ranked.append((0, position, agency))
        elif any(wanted in key for key in keys):
            ranked.append((1, position, agency))
    ranked.sort(key=lambda entry: entry[:2])
    return [agency for _, _, agency in ranked]


def add_succession(session: Session, predecessor: Agency, successor: Agency, act: str, on: date) -> None:
    """Note that ``predecessor``'s duties pass to ``successor`` by ``act`` on that day. Saying it twice is
    no harm.
    """
    same = session.scalar(
        select(AgencySuccession).where(
            AgencySuccession.predecessor_id == predecessor.id, AgencySuccession.successor_id == successor.id
        )
    )
    if same is None:
        session.add(
            AgencySuccession(
                predecessor_id=predecessor.id, successor_id=successor.id, act=act, effective_on=on
            )
        )
    else:
        same.act, same.effective_on = act, on
    session.flush()


def assign_endpoint(session: Session, endpoint_id: str, agency_id: int, now: datetime) -> Assignment:
    """From ``now`` on the endpoint belongs to the agency. Assigning it where it already is changes nothing.

    Raises:
        NotFoundError: no such endpoint or agency.
        AssignmentError: ``now`` lies before the present assignment's beginning.
    """
    if session.get(Endpoint, endpoint_id) is None:
        raise NotFoundError(f"no endpoint {endpoint_id}")
    if session.get(Agency, agency_id) is None:
        raise NotFoundError(f"no agency with id {agency_id}")
    current = open_assignment(session, endpoint_id)
    if current is not None:
        if current.agency_id == agency_id:
            return current
        if now < current.valid_from:
            raise AssignmentError(
                f"endpoint {endpoint_id} is assigned since {current.valid_from:%d/%m/%Y %H:%M} UTC; "
                "choose a later time"
            )
        current.valid_to = now
        session.flush()
    assignment = Assignment(endpoint_id=endpoint_id, agency_id=agency_id, valid_from=now)
    session.add(assignment)
    session.flush()
    return assignment


def open_assignment(session: Session, endpoint_id: str) -> Assignment | None:
    return session.scalar(
        select(Assignment).where(Assignment.endpoint_id == endpoint_id, Assignment.valid_to.is_(None))
    )


def agency_at(assignments: Sequence[Assignment], when: datetime) -> int | None:
    """Which agency one endpoint belonged to at a time, out of all its assignments."""
    for assignment in assignments:
        if assignment.valid_from <= when and (assignment.valid_to is None or when < assignment.valid_to):
            return assignment.agency_id
    return None


def _names(session: Session) -> dict[int, list[str]]:
    own: dict[int, list[str]] = {}
    for agency_id, name in session.execute(select(Agency.id, Agency.name)):
        own.setdefault(agency_id, []).append(name)
    for agency_id, name in session.execute(select(AgencyName.agency_id, AgencyName.name)):
        own.setdefault(agency_id, []).append(name)
    names = {agency_id: list(of_agency) for agency_id, of_agency in own.items()}
    for old, new in session.execute(select(AgencySuccession.predecessor_id, AgencySuccession.successor_id)):
        names[new].extend(own[old])
    return names


def _differs(agency: Agency, row: AgencyRow) -> bool:
    return (
        agency.name,
        agency.level,
        agency.officials,
        agency.organ_id,
        agency.valid_from,
        agency.valid_to,
    ) != (
        row.name,
        row.level,
        row.officials,
        row.organ_id,
        row.valid_from,
        row.valid_to,
    )


def _fill(agency: Agency, row: AgencyRow) -> None:
    agency.name = row.name
    agency.search_name = search_key(row.name)
    agency.level = row.level
    agency.officials = row.officials
    agency.organ_id = row.organ_id
    agency.valid_from = row.valid_from
    agency.valid_to = row.valid_to
