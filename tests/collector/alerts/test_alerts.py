"""Alerts: what findings make of them, what people do with them, who may see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from collector.alerts.errors import AlertInputError, AlertNotFoundError, AlertStateError
from collector.alerts.service import (
    CLOSE_REASONS,
    AlertFilters,
    Outcome,
    Page,
    acknowledge,
    apply_findings,
    apply_outcomes,
    close,
    count_alerts,
    get_alert,
    list_alerts,
)
from collector.alerts.subject import lookup, subject_of
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Alert, AlertEvidence
from rules.engine import Event, Finding
from tests.collector.pipeline import NOW, T0, add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")


@dataclass(frozen=True)
class Rule:
    level: str = "high"
    subject: tuple[str, ...] = ("host.id",)
    clears: bool = True


CATALOGUE = {"off": Rule(), "disk": Rule("low", ("host.id", "storage.mount")), "once": Rule(clears=False)}


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    state = new_state(tmp_path)
    for number, code in enumerate(("a", "b"), start=1):
        add_endpoint(state, f"ep-{number}", add_agency(state, code))
    return state


def an_event(number: int = 0, host: int = 1, *, simulated: bool = False, **fields: Any) -> Event:
    context = {
        "host": {"id": f"ep-{host}", "name": f"may-{host}"},
        "agency": {"id": host, "name": f"Sở {host}"},
        "simulated": simulated,
    }
    return Event(f"{number:032x}", T0 + number, "vonggac", "antivirus", "", {**context, **fields})


def find(session: Session, rule: str, event: Event, **more: Any) -> None:
    apply_findings(session, [Finding(rule, event, **more)], CATALOGUE, NOW)


def all_alerts(session: Session) -> list[Alert]:
    return list(session.scalars(select(Alert).order_by(Alert.id)))


def test_findings_of_one_rule_about_one_subject_are_one_alert_with_a_count(state: StateStore) -> None:
    with state.write() as session:
        for number in range(3):
            find(session, "off", an_event(number))
        find(session, "off", an_event(9, host=2))
        find(session, "once", an_event(10))
        found = [
            (alert.rule_id, alert.subject, alert.count, alert.agency_id) for alert in all_alerts(session)
        ]
    assert found == [("off", "may-1", 3, 1), ("off", "may-2", 1, 2), ("once", "may-1", 1, 1)]


def test_a_subject_of_several_fields_keeps_findings_apart_by_all_of_them(state: StateStore) -> None:
    with state.write() as session:
        for number, mount in enumerate(("/", "/home", "/")):
            find(session, "disk", an_event(number, storage={"mount": mount}))
        found = [(alert.subject, alert.level, alert.count) for alert in all_alerts(session)]
    assert found == [("may-1 · /", "low", 2), ("may-1 · /home", "low", 1)]


def test_a_correlations_group_is_its_subject_and_its_events_are_evidence(state: StateStore) -> None:
    events = tuple(an_event(number) for number in range(4))
    with state.write() as session:
        finding = Finding("off", events[-1], {"host.id": "ep-1"}, events)
        apply_findings(session, [finding], CATALOGUE, NOW)
        detail = get_alert(session, EVERYTHING, 1)
    assert [each.event_id for each in detail.evidence] == [event.id for event in events]
    assert detail.alert.count == 1


def test_an_address_is_told_agency_by_agency_and_what_spans_them_only_to_those_who_see_all(
    state: StateStore,
) -> None:
    rules = {"ip": Rule(subject=("SourceIP",))}
    own, other = (an_event(number, host=number, SourceIP="192.0.2.1") for number in (1, 2))
    officer = Scope(frozenset({1}))
    with state.write() as session:
        for events in ((own,), (other,), (own, other), (other, own)):
            apply_findings(
                session, [Finding("ip", events[-1], {"SourceIP": "192.0.2.1"}, events)], rules, NOW
            )
        found = [
            (alert.subject, alert.agency_id, alert.endpoint_id, alert.count) for alert in all_alerts(session)
        ]
        visible = list_alerts(session, officer, AlertFilters(), Page()).alerts
        evidence = get_alert(session, officer, visible[0].id).evidence
    assert found == [
        ("192.0.2.1", 1, "ep-1", 1),
        ("192.0.2.1", 2, "ep-2", 1),
        ("192.0.2.1", None, None, 2),
    ]
    assert [alert.id for alert in visible] == [1]
    assert {each.event["fields"]["agency"]["id"] for each in evidence} == {1}


def test_an_alert_that_comes_to_hold_another_agencys_events_leaves_its_agency(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        first, second = an_event(2), an_event(3, host=2)
        apply_findings(session, [Finding("off", first, {}, (second, first))], CATALOGUE, NOW)
        (alert,) = all_alerts(session)
        assert (alert.count, alert.agency_id, alert.endpoint_id) == (2, None, None)


def test_an_alert_moves_with_its_machine_to_another_agency(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        moved = an_event(2)
        find(session, "off", replace(moved, fields={**moved.fields, "agency": {"id": 2, "name": "Sở 2"}}))
        (alert,) = all_alerts(session)
    assert (alert.agency_id, alert.endpoint_id) == (2, "ep-1")


def test_the_same_event_is_evidence_once(state: StateStore) -> None:
    with state.write() as session:
        event = an_event(1)
        for _ in range(2):
            apply_findings(session, [Finding("off", event, {}, (event, an_event(2)))], CATALOGUE, NOW)
        assert len(get_alert(session, EVERYTHING, 1).evidence) == 2


def test_a_rule_that_no_longer_matches_clears_its_alert_and_one_that_does_again_unclears_it(
    state: StateStore,
) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        other = apply_outcomes(session, [Outcome(an_event(2, host=2), (), ("off",))], CATALOGUE, NOW)
        assert other.cleared == ()
        passed = apply_outcomes(session, [Outcome(an_event(3), (), ("off", "once"))], CATALOGUE, NOW)
        (alert,) = all_alerts(session)
        assert passed.cleared == (alert.id,)
        assert alert.cleared_at == NOW + timedelta(seconds=3)
        assert alert.status == "open"
        find(session, "off", an_event(4))
        session.expire_all()
        again = session.get_one(Alert, alert.id)
        assert again.cleared_at is None
        assert again.count == 2


def test_within_one_step_the_last_word_decides_whether_it_is_cleared(state: StateStore) -> None:
    on, off = an_event(1), an_event(2)
    fires = Outcome(off, (Finding("off", off),), ("off",))
    passes = Outcome(on, (), ("off",))
    with state.write() as session:
        apply_outcomes(session, [passes, fires, passes], CATALOGUE, NOW)
        apply_outcomes(session, [passes, fires], CATALOGUE, NOW)
        (alert,) = all_alerts(session)
    assert (alert.count, alert.cleared_at) == (2, None)


def test_a_rule_that_does_not_clear_is_left_alone(state: StateStore) -> None:
    with state.write() as session:
        find(session, "once", an_event(1))
        apply_outcomes(session, [Outcome(an_event(2), (), ("once",))], CATALOGUE, NOW)
        (alert,) = all_alerts(session)
    assert alert.cleared_at is None


def test_after_it_was_closed_a_finding_opens_a_new_alert(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        close(session, EVERYTHING, 1, "lan", "false_positive", " nothing ", NOW)
        find(session, "off", an_event(2))
        first, second = all_alerts(session)
    assert (first.status, first.close_note, first.count) == ("closed", "nothing", 1)
    assert (second.status, second.count) == ("open", 1)


def test_an_acknowledged_alert_is_raised_and_not_opened_again(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        acknowledge(session, EVERYTHING, 1, "lan", NOW)
        find(session, "off", an_event(2))
        (alert,) = all_alerts(session)
    assert (alert.status, alert.count, alert.acknowledged_by) == ("acknowledged", 2, "lan")


def test_who_comes_second_is_told_who_was_first(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        acknowledge(session, EVERYTHING, 1, "lan", NOW)
        with pytest.raises(AlertStateError, match="acknowledged, by lan"):
            acknowledge(session, EVERYTHING, 1, "hoa", NOW)
        close(session, EVERYTHING, 1, "hoa", "benign", "", NOW)
        again: list[Callable[[], object]] = [
            partial(acknowledge, session, EVERYTHING, 1, "lan", NOW),
            partial(close, session, EVERYTHING, 1, "lan", "benign", "", NOW),
        ]
        for late in again:
            with pytest.raises(AlertStateError, match="closed, by hoa"):
                late()


def test_an_alert_is_closed_for_a_known_reason_only(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        for reason, note in (("", ""), ("because", ""), ("benign", "x" * 4001)):
            with pytest.raises(AlertInputError):
                close(session, EVERYTHING, 1, "lan", reason, note, NOW)
        assert all_alerts(session)[0].status == "open"
    assert len(CLOSE_REASONS) == 5


def test_an_alert_out_of_reach_looks_like_one_that_does_not_exist(state: StateStore) -> None:
    scope = Scope(frozenset({2}))
    with state.write() as session:
        find(session, "off", an_event(1))
        for number in (1, 77, 2**70, -1):
            looks: list[Callable[[], object]] = [
                partial(get_alert, session, scope, number),
                partial(acknowledge, session, scope, number, "x", NOW),
                partial(close, session, scope, number, "x", "benign", "", NOW),
            ]
            for look in looks:
                with pytest.raises(AlertNotFoundError) as caught:
                    look()
                assert str(caught.value) == f"no alert {number}"
        assert list_alerts(session, scope, AlertFilters(), Page()).alerts == []
        assert count_alerts(session, scope).newest_id == 0


def test_simulated_is_carried_and_a_real_finding_takes_it_away(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1, simulated=True))
        (alert,) = all_alerts(session)
        assert alert.simulated is True
        assert count_alerts(session, EVERYTHING, include_simulated=False).by_status["open"] == 0
        find(session, "off", an_event(2))
        assert alert.simulated is False


def test_alerts_are_counted_by_status_and_by_level_of_what_is_not_closed(state: StateStore) -> None:
    with state.write() as session:
        find(session, "off", an_event(1))
        find(session, "disk", an_event(2))
        find(session, "once", an_event(3))
        close(session, EVERYTHING, 3, "lan", "benign", "", NOW)
        acknowledge(session, EVERYTHING, 2, "lan", NOW)
        counts = count_alerts(session, EVERYTHING)
    assert counts.by_status == {"open": 1, "acknowledged": 1, "closed": 1}
    assert {level: number for level, number in counts.by_level.items() if number} == {"high": 1, "low": 1}
    assert counts.newest_id == 3


def test_a_finding_of_an_unknown_rule_is_still_an_alert(state: StateStore) -> None:
    with state.write() as session:
        find(session, "gone", an_event(1))
        (alert,) = all_alerts(session)
    assert (alert.level, alert.subject) == ("medium", "may-1")


def test_long_evidence_is_cut_to_what_a_person_reads(state: StateStore) -> None:
    long = an_event(1, software={"added": [{"name": "x" * 20_000}] * 500})
    with state.write() as session:
        find(session, "off", long)
        (evidence,) = session.scalars(select(AlertEvidence))
    added = evidence.event["fields"]["software"]["added"]
    assert (len(added), len(added[0]["name"])) == (100, 8192)


FILLED = {"off": Rule(subject=("n", "host.id")), "disk": Rule("low", ("n",)), "once": Rule(subject=("n",))}


def fill(session: Session) -> None:
    """Seven alerts: 1, 4 and 7 low, of hosts 2 1 2 1 2 1 2, with subjects that hold ``g%<number>``."""
    for number in range(1, 8):
        rule = ("off", "disk", "once")[number % 3]
        finding = Finding(rule, an_event(number, 1 + number % 2, n=f"g%{number}"))
        apply_findings(session, [finding], FILLED, NOW + timedelta(hours=number))


@pytest.mark.parametrize("sort", ["newest", "level", "updated"])
def test_pages_hold_every_alert_once_whatever_arrives_meanwhile(state: StateStore, sort: str) -> None:
    with state.write() as session:
        fill(session)
        expected = [
            alert.id for alert in list_alerts(session, EVERYTHING, AlertFilters(), Page(500, "", sort)).alerts
        ]
        seen: list[int] = []
        cursor = ""
        while True:
            page = list_alerts(session, EVERYTHING, AlertFilters(), Page(2, cursor, sort))
            seen += [alert.id for alert in page.alerts]
            cursor = page.next_cursor
            if not cursor:
                break
            if sort == "newest" and len(seen) == 2:
                find(session, "off", an_event(50))
    assert seen == expected
    assert len(expected) == len(set(expected)) == 7


def test_the_gravest_come_first_when_sorted_by_level(state: StateStore) -> None:
    with state.write() as session:
        fill(session)
        found = list_alerts(session, EVERYTHING, AlertFilters(), Page(sort="level")).alerts
    assert [alert.level for alert in found] == ["high"] * 4 + ["low"] * 3


@pytest.mark.parametrize(
    "cursor", ["x", "newest:1", "level:0:1", "newest:1:1;drop", "newest:١:1", "newest:1:" + "9" * 30]
)
def test_a_cursor_that_is_none_is_refused(state: StateStore, cursor: str) -> None:
    with state.read() as session, pytest.raises(AlertInputError):
        list_alerts(session, EVERYTHING, AlertFilters(), Page(cursor=cursor))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (AlertFilters(statuses=("closed",)), [4]),
        (AlertFilters(levels=("low",)), [1, 4, 7]),
        (AlertFilters(rule_ids=("once",)), [2, 5]),
        (AlertFilters(agency_id=2), [1, 3, 5, 7]),
        (AlertFilters(endpoint_id="ep-1"), [2, 4, 6]),
        (AlertFilters(text="G%3"), [3]),
        (AlertFilters(text="%"), [1, 2, 3, 4, 5, 6, 7]),
        (AlertFilters(text="_"), []),
        (AlertFilters(text="g%3", text_rule_ids=("once",)), [2, 3, 5]),
        (AlertFilters(simulated=True), []),
        (AlertFilters(since=NOW + timedelta(seconds=6)), [6, 7]),
        (AlertFilters(until=NOW + timedelta(seconds=2)), [1]),
        (AlertFilters(incident_id=1), []),
        (AlertFilters(statuses=("open",), levels=("low",), agency_id=2), [1, 7]),
    ],
)
def test_filters_all_hold_together(state: StateStore, filters: AlertFilters, expected: list[int]) -> None:
    with state.write() as session:
        fill(session)
        close(session, EVERYTHING, 4, "lan", "benign", "", NOW)
        found = list_alerts(session, EVERYTHING, filters, Page(500)).alerts
    assert sorted(alert.id for alert in found) == expected


def test_a_subject_falls_back_to_the_host_and_reads_flat_and_nested_fields() -> None:
    fields = {"host": {"id": "ep-1", "name": "may-1"}, "a.b": 5, "c": [{"d": 1}]}
    assert lookup(fields, "a.b") == 5
    assert lookup(fields, "host.name.x") is None
    assert subject_of(("nothing",), fields)[1] == "may-1"
    assert subject_of(("a.b", "host.id"), fields)[1] == "5 · may-1"
    assert subject_of(("a.b",), {"a": {"b": True}})[0] == '[["a.b","true"]]'


_STATES: dict[Any, StateStore] = {}


@given(st.lists(st.tuples(st.sampled_from(["fire", "pass", "close", "ack"]), st.integers(1, 2)), max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_at_most_one_alert_lives_and_no_finding_is_lost(
    tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    state = _STATES.get(tmp_path)
    if state is None:
        state = _STATES[tmp_path] = new_state(tmp_path)
        for number, code in enumerate(("a", "b"), start=1):
            add_endpoint(state, f"ep-{number}", add_agency(state, code))
    fired = {1: 0, 2: 0}
    with state.write() as session:
        session.execute(delete(Alert))
        for number, (what, host) in enumerate(steps):
            live = [a for a in all_alerts(session) if a.endpoint_id == f"ep-{host}" and a.status != "closed"]
            if what == "fire":
                fired[host] += 1
                find(session, "off", an_event(number, host))
            elif what == "pass":
                apply_outcomes(session, [Outcome(an_event(number, host), (), ("off",))], CATALOGUE, NOW)
                assert all(alert.cleared_at is not None for alert in live)
            elif live and what == "close":
                close(session, EVERYTHING, live[0].id, "x", "benign", "", NOW)
            elif live and live[0].status == "open":
                acknowledge(session, EVERYTHING, live[0].id, "x", NOW)
        for host, number in fired.items():
            mine = [alert for alert in all_alerts(session) if alert.endpoint_id == f"ep-{host}"]
            assert sum(alert.count for alert in mine) == number
            assert sum(alert.status != "closed" for alert in mine) <= 1
