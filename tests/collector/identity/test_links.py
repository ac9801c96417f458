"""Records of one machine: linked where it is safe, undone where it was not, on both databases."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, select, update

from collector.coverage.service import ledger
from collector.detect import clock
from collector.errors import ConflictError, NotFoundError
from collector.identity import comparing, following, links
from collector.identity.evidence import evidence_of
from collector.partitions import partition_of
from collector.settings import Coverage
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import (
    Assignment,
    Endpoint,
    EndpointEvidence,
    EndpointOrigin,
    IdentityNote,
    MachineLink,
)
from tests.collector.identity.test_evidence import HARDWARE, NEW_SYSTEM, OTHER, SYSTEM
from tests.collector.pipeline import add_agency
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    return new_state(tmp_path)


def add(
    session: Session,
    endpoint_id: str,
    said: dict[str, Any],
    *,
    name: str = "",
    enrolled: datetime,
    seen: datetime | None,
    agency: int | None = None,
    simulated: bool = False,
) -> None:
    session.add(
        Endpoint(
            id=endpoint_id,
            hostname=name or endpoint_id,
            enrolled_at=enrolled,
            last_seen_at=seen,
            simulated=simulated,
        )
    )
    session.flush()
    if agency is not None:
        session.add(Assignment(endpoint_id=endpoint_id, agency_id=agency, valid_from=enrolled))
    links.keep_evidence(session, endpoint_id, evidence_of(said), enrolled, simulated=simulated)


def follow(session: Session, now: datetime) -> list[MachineLink]:
    comparing.compare_new(session, now)
    following.follow_pairs(session, now, DAY)
    return list(session.scalars(select(MachineLink)))


def reimaged(session: Session, agency: int | None = None) -> None:
    add(session, "old", HARDWARE | SYSTEM, enrolled=NOW - 90 * DAY, seen=NOW - HOUR, agency=agency)
    add(session, "new", HARDWARE | NEW_SYSTEM, enrolled=NOW, seen=NOW + HOUR, agency=agency)


def seen(session: Session, endpoint_id: str, at: datetime) -> None:
    session.execute(update(Endpoint).where(Endpoint.id == endpoint_id).values(last_seen_at=at))
    session.expire_all()


def notes(session: Session) -> list[tuple[str, str]]:
    return [(note.endpoint_id, note.action) for note in session.scalars(select(IdentityNote))]


def everything(session: Session) -> list[Any]:
    return [
        sorted(tuple(row) for row in session.execute(select(*table.__table__.c)))
        for table in (Assignment, EndpointEvidence)
    ] + [sorted((e.id, e.hostname, e.retired_at is None) for e in session.scalars(select(Endpoint)))]


def test_a_reimaged_machine_is_one_machine_at_once_linked_after_a_day_and_undone_exactly(
    state: StateStore,
) -> None:
    agency = add_agency(state)
    with state.write() as session:
        reimaged(session, agency)
        before = everything(session)

        [link] = follow(session, NOW + HOUR)
        assert (link.older_id, link.newer_id, link.kind, link.state) == ("old", "new", "reimaged", "proposed")
        assert set(link.evidence["same"]) == {"uuid", "serial", "mac"}
        # Never two in the percentage, not even while it waits.
        counted = ledger(session, EVERYTHING, Coverage(), NOW + HOUR, include_simulated=False)
        assert [machine.id for machine in counted.machines] == ["new"]

        [link] = follow(session, NOW + DAY + HOUR)
        assert (link.state, link.decided_by) == ("linked", links.AUTOMATICALLY)
        assert notes(session) == [("new", "linked"), ("old", "linked")]

        links.undo(session, EVERYTHING, link.id, "lan", "two machines", NOW + 2 * DAY)
        assert everything(session) == before
        [link] = follow(session, NOW + 9 * DAY)
        assert (link.state, link.decided_by, link.reason) == ("undone", "lan", "two machines")
        counted = ledger(session, EVERYTHING, Coverage(), NOW + DAY, include_simulated=False)
        assert {machine.id for machine in counted.machines} == {"old", "new"}


def test_forged_numbers_hide_no_machine_that_speaks(state: StateStore) -> None:
    """Somebody enrols a machine that says it is one that reports."""
    agency = add_agency(state)
    with state.write() as session:
        reimaged(session, agency)
        seen(session, "old", NOW + HOUR)

        [link] = follow(session, NOW + 9 * DAY)

        assert (link.state, link.conflict) == ("proposed", True)
        assert notes(session) == [("new", "same_evidence")]
        counted = ledger(session, EVERYTHING, Coverage(), NOW + 2 * HOUR, include_simulated=False)
        assert {machine.id for machine in counted.machines} == {"old", "new"}
        with pytest.raises(ConflictError, match="both report"):
            links.link_by_hand(session, EVERYTHING, link.id, "lan", NOW + 9 * DAY)


def test_a_record_that_reports_again_after_it_was_linked_is_back_at_once(state: StateStore) -> None:
    agency = add_agency(state)
    with state.write() as session:
        reimaged(session, agency)
        [link] = follow(session, NOW + 2 * DAY)
        assert link.state == "linked"
        seen(session, "old", NOW + 3 * DAY)

        [link] = follow(session, NOW + 3 * DAY)

        assert (link.state, link.reason) == ("undone", links.REPORTED_AGAIN)
        assert notes(session) == [("new", "linked"), ("old", "linked"), ("old", "returned")]


def test_a_new_machine_under_an_old_name_is_a_hint_that_goes_when_both_report(state: StateStore) -> None:
    agency = add_agency(state)
    with state.write() as session:
        add(session, "a", HARDWARE, name="PC-01", enrolled=NOW - DAY, seen=NOW - HOUR, agency=agency)
        add(session, "b", OTHER, name="PC-01", enrolled=NOW, seen=NOW + HOUR, agency=agency)

        [link] = follow(session, NOW + 30 * DAY)
        assert (link.kind, link.state) == ("replaced", "proposed")
        seen(session, "a", NOW + HOUR)
        assert follow(session, NOW + 30 * DAY) == []


def test_people_link_by_hand_reject_and_see_only_their_agencies_pairs(state: StateStore) -> None:
    mine, other = add_agency(state), add_agency(state, "xa-khac")
    with state.write() as session:
        reimaged(session, mine)
        [link] = follow(session, NOW + HOUR)
        assert links.list_pairs(session, Scope(frozenset({other}))) == ([], 0)
        with pytest.raises(NotFoundError):
            links.reject(session, Scope(frozenset({other})), link.id, "x", "", NOW)

        linked = links.link_by_hand(session, Scope(frozenset({mine})), link.id, "lan", NOW + HOUR)
        assert (linked.state, linked.decided_by) == ("linked", "lan")
        with pytest.raises(ConflictError):
            links.reject(session, EVERYTHING, link.id, "lan", "", NOW)
        pairs, total = links.list_pairs(session, Scope(frozenset({mine})))
        assert (total, pairs[0].older.id, pairs[0].both_report) == (1, "old", False)


def test_simulated_machines_are_never_one_with_real_ones(state: StateStore) -> None:
    with state.write() as session:
        add(session, "real", HARDWARE | SYSTEM, enrolled=NOW - DAY, seen=NOW - HOUR)
        add(session, "made-up", HARDWARE | SYSTEM, enrolled=NOW, seen=NOW + HOUR, simulated=True)
        assert follow(session, NOW + 9 * DAY) == []


def test_ten_thousand_machines_with_a_makers_placeholders_do_not_slow_the_next(state: StateStore) -> None:
    junk = {"serial_number": "Default string", "product_uuid": "03000200-0400-0500-0006-000700080009"}
    assert evidence_of(junk) == {}
    shared = evidence_of(SYSTEM)  # and one image for all, which is no placeholder
    with state.write() as session:
        machines = [
            {"id": f"e{n:05}", "hostname": f"pc-{n}", "enrolled_at": NOW - DAY} for n in range(10_000)
        ]
        session.execute(insert(Endpoint), machines)
        session.execute(
            insert(EndpointEvidence),
            [
                {"endpoint_id": each["id"], "kind": "machine_id", "value": min(shared["machine_id"])}
                for each in machines
            ],
        )
        add(
            session, "newest", HARDWARE | SYSTEM | {"serial_number": "Default string"}, enrolled=NOW, seen=NOW
        )
        add(session, "another", OTHER | SYSTEM, enrolled=NOW, seen=NOW)
        began = time.process_time()
        assert follow(session, NOW) == []
        assert time.process_time() - began < 1.0
        assert session.scalar(select(func.count()).where(EndpointOrigin.compared_at.is_(None))) == 0


def test_one_endpoint_waits_with_few_others_and_what_no_longer_holds_is_gone(state: StateStore) -> None:
    """Somebody says the numbers of others, other ones every time."""
    names = [f"pc-{number:02}" for number in range(comparing.PAIRS + 4)]
    serials = {name: evidence_of({"serial_number": f"S5K77-{name}"}) for name in names}
    with state.write() as session:
        for name in names:
            add(session, name, {"serial_number": f"S5K77-{name}"}, enrolled=NOW - DAY, seen=NOW - HOUR)
        add(session, "liar", {}, enrolled=NOW, seen=NOW + HOUR)
        for name in names[:3]:
            links.keep_evidence(session, "liar", serials[name], NOW, simulated=False)
            assert [link.older_id for link in follow(session, NOW + HOUR)] == [name]
        everybodys = frozenset().union(*(said["serial"] for said in serials.values()))
        links.keep_evidence(session, "liar", {"serial": everybodys}, NOW, simulated=False)
        assert len(follow(session, NOW + HOUR)) == comparing.PAIRS


def test_pairs_that_wait_for_people_or_for_a_day_are_nothing_to_do(state: StateStore) -> None:
    agency = add_agency(state)
    with state.write() as session:
        reimaged(session, agency)
        add(session, "disk", OTHER | NEW_SYSTEM, enrolled=NOW + HOUR, seen=NOW + HOUR, agency=agency)
        pairs = {(link.newer_id, link.kind) for link in follow(session, NOW + HOUR)}
        assert ("new", "reimaged") in pairs
        assert not following.anything_due(session, NOW + 2 * HOUR, DAY)
        assert not following.anything_due(session, NOW + 9 * DAY, None)
        assert following.anything_due(session, NOW + 9 * DAY, DAY)

        seen(session, "old", NOW + 2 * HOUR)
        assert following.anything_due(session, NOW + 3 * HOUR, DAY)
        follow(session, NOW + 3 * HOUR)
        assert not following.anything_due(session, NOW + 9 * DAY, DAY)
        assert ("new", "same_evidence") in notes(session)


def test_notes_are_read_in_pieces_until_enough_are_of_the_partitions_held(
    state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_MAX_DUE", 3)
    with state.write() as session:
        names = [f"e{number}" for number in range(12)]
        for name in names:
            add(session, name, {}, enrolled=NOW, seen=None)
        for name in names:
            session.add(IdentityNote(endpoint_id=name, action="linked", body={}, made_at=NOW))
        session.flush()
        last = partition_of(names[-1])
        wanted = [name for name in names if partition_of(name) == last][:3]
        assert [note.endpoint_id for note in clock.notes_waiting(session, [last])] == wanted
        everything = [note.endpoint_id for note in clock.notes_waiting(session, range(32))]
        assert everything == names[:3]
