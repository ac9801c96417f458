"""The ledger: one state a machine, sums that hold, and percentages that stand up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from collector.coverage.models import REASONS, STATES, percent
from collector.coverage.protection import protection_of
from collector.coverage.service import count_simulated, ledger, machine_of
from collector.settings import Coverage
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Agency, Assignment, Device, Document, Endpoint
from tests.collector.pipeline import NOW, T0, add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from collector.coverage.models import Ledger, Machine
    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")

DAY = 86_400
LIMITS = Coverage()


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    return new_state(tmp_path)


def add_document(state: StateStore, endpoint_id: str, kind: str, item: str, body: dict[str, Any]) -> None:
    with state.write() as session:
        session.add(
            Document(
                endpoint_id=endpoint_id,
                kind=kind,
                item=item,
                body=body,
                digest="",
                observed_at=NOW,
                received_at=NOW,
                changed_at=NOW,
            )
        )


def add_device(state: StateStore, agency_id: int, mac: str, **columns: Any) -> None:
    values = {"ip": "10.0.0.9", "first_seen_at": NOW, "last_seen_at": NOW, **columns}
    with state.write() as session:
        session.add(Device(agency_id=agency_id, mac=mac, **values))


def ledger_of(state: StateStore, scope: Scope = EVERYTHING, *, simulated: bool = True, **more: Any) -> Ledger:
    with state.read() as session:
        return ledger(session, scope, LIMITS, NOW, include_simulated=simulated, **more)


def clamav(**more: Any) -> dict[str, Any]:
    return {"product": "clamav", "state": "on", "signature_time": T0 - DAY, **more}


@pytest.mark.parametrize(
    ("body", "state", "code"),
    [
        (clamav(), "protected", "signatures_current"),
        (clamav(signature_time=T0 - 15 * DAY - 10), "protected", "signatures_current"),
        (clamav(signature_time=T0 - 16 * DAY), "outdated", "signatures_old"),
        (clamav(state="off"), "off", "antivirus_off"),
        (clamav(state="not_installed", signature_time=None), "none", "antivirus_not_installed"),
        (clamav(state="unknown", reason="no socket"), "unknown", "antivirus_unknown"),
        (clamav(signature_time=None), "unknown", "signature_age_unknown"),
        (clamav(signature_time=None, signatures="current"), "unknown", "signature_age_unknown"),
        (clamav(signature_time=None, signatures="outdated"), "outdated", "signatures_said_old"),
        (clamav(signatures="outdated"), "protected", "signatures_current"),
        (clamav(signature_time=T0 + 2 * DAY), "unknown", "signature_time_in_future"),
        (clamav(signature_time="yesterday"), "unknown", "signature_age_unknown"),
        (clamav(signature_time=True), "unknown", "signature_age_unknown"),
        (clamav(state=["on"]), "unknown", "antivirus_unknown"),
        ({}, "unknown", "antivirus_unknown"),
    ],
)
def test_one_antivirus_document_is_read_as(body: dict[str, Any], state: str, code: str) -> None:
    found = protection_of({"clamav": body}, {}, T0, LIMITS)
    assert (found.state, found.reason.code) == (state, code)
    assert REASONS[code] == state


def test_the_local_limit_makes_late_what_the_national_one_still_calls_protected() -> None:
    late = protection_of({"clamav": clamav(signature_time=T0 - 4 * DAY)}, {}, T0, LIMITS)
    kept = protection_of({"clamav": clamav(signature_time=T0 - 3 * DAY)}, {}, T0, LIMITS)
    assert [(each.state, each.late, each.age_days) for each in (late, kept)] == [
        ("protected", True, 4),
        ("protected", False, 3),
    ]


def test_with_several_products_one_that_protects_is_enough_and_one_unread_forbids_worse() -> None:
    off, old = clamav(state="off"), clamav(signature_time=T0 - 40 * DAY)
    assert protection_of({"a": off, "b": clamav()}, {}, T0, LIMITS).state == "protected"
    assert protection_of({"a": off, "b": {"state": "unknown"}}, {}, T0, LIMITS).state == "unknown"
    assert protection_of({"a": off, "b": old}, {}, T0, LIMITS).state == "outdated"


def test_a_failing_collector_makes_its_last_word_unknown() -> None:
    health = {"antivirus_clamav": {"name": "antivirus_clamav", "ok": False, "reason": "timeout"}}
    found = protection_of({"clamav": clamav()}, health, T0, LIMITS)
    assert (found.state, found.reason.code) == ("unknown", "collector_failing")
    assert protection_of({}, health, T0, LIMITS).reason.code == "collector_failing"
    of_all = {"antivirus": {"ok": False, "reason": "WMI does not answer"}}
    assert protection_of({"eset": clamav()}, of_all, T0, LIMITS).reason.code == "collector_failing"
    fine = {"antivirus_clamav": {"ok": True}, "lan": {"ok": False}}
    assert protection_of({"clamav": clamav()}, fine, T0, LIMITS).state == "protected"


def only(found: Ledger) -> Machine:
    (machine,) = found.machines
    return machine


def test_silence_comes_before_what_the_last_document_said(state: StateStore) -> None:
    add_endpoint(state, "ep-1", add_agency(state), last_seen_at=NOW - timedelta(days=3, seconds=1))
    add_document(state, "ep-1", "antivirus", "clamav", clamav())
    machine = only(ledger_of(state))
    assert (machine.state, machine.reason.code, machine.late) == ("silent", "not_heard_from", False)


def test_an_endpoint_that_never_reported_waits_and_then_is_silent(state: StateStore) -> None:
    agency = add_agency(state)
    add_endpoint(state, "new", agency)
    add_endpoint(state, "old", agency, enrolled_at=NOW - timedelta(days=4))
    found = {machine.id: (machine.state, machine.reason.code) for machine in ledger_of(state).machines}
    assert found == {"new": ("unknown", "waiting_for_first_report"), "old": ("silent", "never_reported")}


def test_a_retired_endpoint_is_not_counted_unless_it_is_still_on_the_lan(state: StateStore) -> None:
    agency = add_agency(state)
    add_endpoint(state, "ep-1", agency, last_seen_at=NOW, retired_at=NOW - timedelta(days=1))
    assert ledger_of(state).machines == []
    add_device(state, agency, "00:1b:a9:00:00:01", endpoint_id="ep-1")
    machine = only(ledger_of(state))
    assert (machine.state, machine.reason.code) == ("unmanaged", "retired_but_seen")


def test_an_unmanaged_device_counts_and_network_equipment_is_only_listed(state: StateStore) -> None:
    agency = add_agency(state)
    add_endpoint(state, "ep-1", agency, last_seen_at=NOW)
    add_device(state, agency, "00:1b:a9:00:00:01", seen_by="ep-1")
    add_device(state, agency, "00:1d:aa:00:00:01", kind="gateway")
    add_device(state, agency, "00:1d:aa:00:00:02", last_seen_at=NOW - timedelta(days=31))
    add_device(state, agency, "00:1d:aa:00:00:03", endpoint_id="ep-1")
    found = ledger_of(state)
    assert (found.total.known, found.total.by_state["unmanaged"], found.total.network_equipment) == (2, 1, 1)
    device = next(machine for machine in found.machines if machine.mac == "00:1b:a9:00:00:01")
    assert device.reason.parameters["seen_by"] == "host-ep-1"


def test_a_card_of_the_same_mac_in_another_agency_takes_no_device_out_of_the_ledger(
    state: StateStore,
) -> None:
    first, second = add_agency(state, "a"), add_agency(state, "b")
    add_device(state, first, "00:1b:a9:00:00:01", last_seen_at=NOW - timedelta(hours=1))
    add_device(state, second, "00:1b:a9:00:00:01")
    assert [line.known for line in ledger_of(state).agencies] == [1, 1]
    assert ledger_of(state, Scope(frozenset({first}))).total.known == 1


def test_cards_made_up_for_a_moment_are_no_machines(state: StateStore) -> None:
    agency, lately = add_agency(state), NOW - timedelta(minutes=59)
    passing = {"first_seen_at": lately, "ip": ""}
    add_device(state, agency, "da:00:00:00:00:01", **passing)
    add_device(state, agency, "da:00:00:00:00:02", **passing, assigned_kind="computer")
    add_device(state, agency, "da:00:00:00:00:03", first_seen_at=lately, ip="10.0.0.3")
    add_device(state, agency, "da:00:00:00:00:04", first_seen_at=NOW - timedelta(hours=1), ip="")
    add_device(state, agency, "00:1b:a9:00:00:05", **passing)
    found = {machine.mac[-1] for machine in ledger_of(state).machines}
    assert found == {"2", "3", "4", "5"}


def test_simulated_machines_can_be_left_out(state: StateStore) -> None:
    agency = add_agency(state)
    add_endpoint(state, "ep-1", agency, last_seen_at=NOW, simulated=True)
    add_device(state, agency, "00:1b:a9:00:00:01", simulated=True)
    assert ledger_of(state).total.known == 2
    assert ledger_of(state, simulated=False).total.known == 0
    with state.read() as session:
        assert count_simulated(session, EVERYTHING, LIMITS, NOW) == 2
        assert count_simulated(session, EVERYTHING, LIMITS, NOW, agency_id=agency) == 2
        assert count_simulated(session, Scope(frozenset()), LIMITS, NOW) == 0


def test_one_machines_line_is_out_of_reach_where_the_machine_is(state: StateStore) -> None:
    own, other = add_agency(state, "own"), add_agency(state, "other")
    for name, agency in (("mine", own), ("theirs", other), ("nobodys", None)):
        add_endpoint(state, name, agency)
    officer = Scope(frozenset({own}))
    with state.read() as session:
        found = {
            name: machine_of(session, officer, LIMITS, NOW, name) is not None
            for name in ("mine", "theirs", "nobodys", "nothing")
        }
        assert found == {"mine": True, "theirs": False, "nobodys": False, "nothing": False}
        assert machine_of(session, EVERYTHING, LIMITS, NOW, "nobodys") is not None


def test_nothing_to_divide_by_gives_no_percentage(state: StateStore) -> None:
    add_agency(state, "a", officials=None)
    add_agency(state, "b", officials=0)
    found = ledger_of(state)
    assert found.total.percent_of_known is None
    assert [line.percent_of_declared for line in found.agencies] == [None, None]
    assert found.total.percent_of_declared is None
    assert percent(1, 4) == 25.0


def test_agencies_without_declared_officials_stay_out_of_that_percentage(state: StateStore) -> None:
    declared, silent = add_agency(state, "a", officials=4), add_agency(state, "b", officials=None)
    for number, agency in enumerate((declared, silent)):
        add_endpoint(state, f"ep-{number}", agency, last_seen_at=NOW)
        add_document(state, f"ep-{number}", "antivirus", "clamav", clamav())
    found = ledger_of(state)
    assert (found.total.protected, found.total.percent_of_declared) == (2, 25.0)
    assert (found.agencies_with_protection, found.percent_of_agencies) == (2, 100.0)


def test_an_agency_that_ended_is_shown_only_while_machines_belong_to_it(state: StateStore) -> None:
    ended = add_agency(state, "huyen")
    with state.write() as session:
        session.get_one(Agency, ended).valid_to = date(2025, 6, 30)
    assert ledger_of(state).agencies == []
    add_endpoint(state, "ep-1", ended)
    assert [line.code for line in ledger_of(state).agencies] == ["huyen"]


def test_an_officer_sees_his_own_agency_and_no_unassigned_endpoint(state: StateStore) -> None:
    own, other = add_agency(state, "a"), add_agency(state, "b")
    for name, agency in (("own", own), ("other", other), ("nobodys", None)):
        add_endpoint(state, name, agency)
    assert {machine.id for machine in ledger_of(state, Scope(frozenset({own}))).machines} == {"own"}
    assert {machine.id for machine in ledger_of(state, agency_id=other).machines} == {"other"}
    everything = ledger_of(state)
    assert {machine.id for machine in everything.machines} == {"own", "other", "nobodys"}
    assert everything.agencies[-1].agency_id is None
    assert everything.agencies_total == 2


@dataclass(frozen=True)
class Drawn:
    agency: int | None
    bodies: tuple[dict[str, Any], ...]
    quiet_days: int | None
    retired: bool
    simulated: bool


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.floats(allow_nan=False, allow_infinity=False),
)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "product": st.sampled_from(["clamav", "bkav", ""]) | _SCALARS,
        "state": st.sampled_from(["on", "off", "not_installed", "unknown"]) | _SCALARS,
        "signature_time": st.integers(-30, 3).map(lambda days: T0 + days * DAY) | _SCALARS,
        "real_time": st.sampled_from(["on", "off"]) | _SCALARS,
        "reason": _SCALARS,
    },
)
_MACHINE = st.builds(
    Drawn,
    agency=st.sampled_from([None, 0, 1, 2]),
    bodies=st.lists(_BODY, max_size=3).map(tuple),
    quiet_days=st.none() | st.integers(0, 5),
    retired=st.booleans(),
    simulated=st.booleans(),
)
_DEVICE = st.tuples(
    st.integers(0, 2), st.integers(0, 5), st.sampled_from(["", "gateway"]), st.none() | st.integers(0, 5)
)


@given(st.lists(_MACHINE, max_size=6), st.lists(_DEVICE, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_store_every_machine_has_one_state_and_all_sums_hold(
    tmp_path: Path, machines: list[Drawn], devices: list[tuple[int, int, str, int | None]], simulated: bool
) -> None:
    state = _STATES.get(tmp_path) or _STATES.setdefault(tmp_path, new_state(tmp_path))
    with state.write() as session:
        for table in (Document, Device, Assignment, Endpoint, Agency):
            session.execute(delete(table))
    agencies = [add_agency(state, f"a{number}", officials) for number, officials in enumerate((10, None, 0))]
    for number, drawn in enumerate(machines):
        seen = None if drawn.quiet_days is None else NOW - timedelta(days=drawn.quiet_days)
        add_endpoint(
            state,
            f"ep-{number}",
            None if drawn.agency is None else agencies[drawn.agency],
            simulated=drawn.simulated,
            last_seen_at=seen,
            retired_at=NOW if drawn.retired else None,
        )
        for item, body in enumerate(drawn.bodies):
            add_document(state, f"ep-{number}", "antivirus", str(item), body)
    placed = set()
    for agency, card, kind, owner in devices:
        if (agency, card) not in placed:
            placed.add((agency, card))
            mine = f"ep-{owner}" if owner is not None and owner < len(machines) else None
            add_device(state, agencies[agency], f"00:00:00:00:00:0{card}", kind=kind, endpoint_id=mine)
    found = ledger_of(state, simulated=simulated)

    alive = [drawn for drawn in machines if not drawn.retired and (simulated or not drawn.simulated)]
    assert sum(machine.kind == "endpoint" for machine in found.machines) == len(alive)
    assert len({(machine.kind, machine.id) for machine in found.machines}) == len(found.machines)
    assert len({(m.agency_id, m.mac) for m in found.machines if m.mac}) == sum(
        bool(m.mac) for m in found.machines
    )
    assert all(REASONS[machine.reason.code] == machine.state for machine in found.machines)
    assert found.total.known == sum(machine.counted for machine in found.machines)
    for each in STATES:
        counted = [m for m in found.machines if m.counted and m.state == each]
        assert found.total.by_state[each] == len(counted)
        assert found.total.by_state[each] == sum(line.counts.by_state[each] for line in found.agencies)
    assert found.total.late == sum(line.counts.late for line in found.agencies)
    assert (
        found.total.protected_of_declared
        == found.agencies[0].counts.protected + found.agencies[2].counts.protected
    )
    # Only what surely is on and current counts as protected.
    assert found.total.protected <= sum(
        any(body.get("state") == "on" for body in drawn.bodies) for drawn in alive
    )
    compliant = found.total.percent_of_known
    assert compliant is None if found.total.known == 0 else 0 <= compliant <= 100  # type: ignore[operator] # see left
    for line in found.agencies:
        alone = ledger_of(state, simulated=simulated, agency_id=line.agency_id) if line.agency_id else None
        assert alone is None or alone.total.by_state == line.counts.by_state
    with state.read() as session:
        for machine in found.machines:
            if machine.kind == "endpoint":
                assert machine_of(session, EVERYTHING, LIMITS, NOW, machine.id) == machine
        left_out = count_simulated(session, EVERYTHING, LIMITS, NOW)
    assert left_out == sum(machine.simulated for machine in ledger_of(state).machines if machine.counted)


_STATES: dict[Any, StateStore] = {}


def test_times_in_the_ledger_are_utc(state: StateStore) -> None:
    add_endpoint(state, "ep-1", add_agency(state), last_seen_at=NOW)
    add_document(state, "ep-1", "antivirus", "clamav", clamav())
    machine = only(ledger_of(state))
    assert machine.signature_time == datetime.fromtimestamp(T0 - DAY, UTC)
    assert machine.evidence == ("document:antivirus/clamav",)
