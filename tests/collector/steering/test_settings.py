"""Settings for agents at the collector: groups, numbers, history, who may what, how machines stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from agent.steered import Steered
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Agency, Assignment, Document, Endpoint, EndpointSettings
from collector.steering.settings.errors import (
    GroupNotFoundError,
    OutrunError,
    PublicationNotFoundError,
    SettingsRefusedError,
)
from collector.steering.settings.groups import Group, Reckoning, layers, members
from collector.steering.settings.publishing import (
    Change,
    bring_back,
    get_publication,
    history,
    preview,
    publish,
    read_values,
    visible_layers,
)
from collector.steering.settings.settling import settle, unsettled
from collector.steering.settings.source import SettingsSource
from collector.steering.settings.standing import counts, standings, told_of
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore
    from collector.state.tables import SettingsPublication

pytestmark = pytest.mark.usefixtures("on_both_databases")
NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
ALL, HERE, SERVERS = Group("all"), Group("agency", "here"), Group("role", "server")


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    """Machines ``a`` (here), ``b`` (here, a server) and ``c`` (there)."""
    store = new_state(tmp_path)
    with store.write() as session:
        for code in ("here", "there"):
            session.add(Agency(code=code, name=code, search_name=code, level="tinh"))
        session.flush()
        for name, role, agency in (("a", "workstation", 1), ("b", "server", 1), ("c", "unknown", 2)):
            session.add(Endpoint(id=name, hostname=name, role=role, enrolled_at=NOW))
            session.flush()
            session.add(Assignment(endpoint_id=name, agency_id=agency, valid_from=NOW))
    return store


def put(session: Session, group: Group, based_on: int = 0, **values: Any) -> SettingsPublication:
    settings = read_values(values)
    return publish(session, EVERYTHING, group, settings, based_on=based_on, comment="", by="lan", now=NOW)


def numbers(session: Session) -> dict[str, int]:
    return {row.endpoint_id: row.number for row in session.scalars(select(EndpointSettings))}


def test_the_more_particular_group_holds_setting_by_setting(state: StateStore) -> None:
    with state.write() as session:
        put(session, ALL, heartbeat_seconds=120, metrics_seconds=600, intervals={"lan": 60, "updates": 3600})
        put(session, HERE, heartbeat_seconds=90, disabled=["lan"])
        put(session, SERVERS, heartbeat_seconds=30, intervals={"lan": 20}, disabled=[])
        put(session, Group("endpoint", "c"), metrics_seconds=60)
    with state.read() as session:
        reckoning = Reckoning(layers(session))
        found = {each.endpoint_id: reckoning.of(each) for each in members(session, EVERYTHING)}
    assert found["a"].settings == Steered(
        heartbeat_seconds=90,
        metrics_seconds=600,
        disabled=("lan",),
        intervals={"lan": 60, "updates": 3600},
    )
    assert found["b"].settings.heartbeat_seconds == 30
    assert found["b"].settings.disabled == ()
    assert found["b"].settings.intervals == {"lan": 20, "updates": 3600}
    assert found["b"].origins == {
        "heartbeat_seconds": SERVERS,
        "metrics_seconds": ALL,
        "disabled": SERVERS,
        "intervals.lan": SERVERS,
        "intervals.updates": ALL,
    }
    assert found["c"].origins["metrics_seconds"] == Group("endpoint", "c")


def test_only_machines_that_a_publication_changes_get_its_number(state: StateStore) -> None:
    with state.write() as session:
        first = put(session, HERE, heartbeat_seconds=90)
        assert (first.machines, numbers(session)) == (2, {"a": first.number, "b": first.number, "c": 0})
        second = put(session, SERVERS, heartbeat_seconds=90)
        assert (second.machines, numbers(session)["b"]) == (0, first.number)
        third = put(session, ALL, metrics_seconds=60)
        assert set(numbers(session).values()) == {third.number}
    with state.read() as session:
        assert SettingsSource().wanted(session) == dict.fromkeys("abc", third.number)


def test_a_machine_that_moves_gets_a_higher_number_although_the_content_is_older(state: StateStore) -> None:
    with state.write() as session:
        put(session, Group("agency", "there"), heartbeat_seconds=300)
        newest = put(session, HERE, heartbeat_seconds=90)
        assert not unsettled(session)
        stamp = SettingsSource().stamp(session)
        session.execute(update(Assignment).where(Assignment.endpoint_id == "a").values(agency_id=2))
        session.execute(update(Endpoint).where(Endpoint.id == "c").values(role="server"))
        assert unsettled(session)
        assert settle(session, NOW) == 1
        assert not unsettled(session)
        assert SettingsSource().stamp(session) != stamp
        moved = session.get_one(EndpointSettings, "a")
        assert moved.number > newest.number
        assert moved.settings == {"heartbeat_seconds": 300.0}
        assert numbers(session)["b"] == newest.number
        assert [row.number for row in history(session, EVERYTHING)] == [newest.number, newest.number - 1]
        with pytest.raises(PublicationNotFoundError):
            get_publication(session, EVERYTHING, moved.number)


def test_a_new_machine_gets_what_its_groups_have(state: StateStore) -> None:
    with state.write() as session:
        published = put(session, ALL, heartbeat_seconds=90)
        session.add(Endpoint(id="d", hostname="d", enrolled_at=NOW))
        session.flush()
        assert unsettled(session)
        settle(session, NOW)
        assert numbers(session)["d"] == published.number


def test_a_publication_over_somebody_elses_is_refused(state: StateStore) -> None:
    with state.write() as session:
        first = put(session, ALL, heartbeat_seconds=90)
        with pytest.raises(OutrunError):
            put(session, ALL, heartbeat_seconds=30)
        assert put(session, ALL, based_on=first.number, heartbeat_seconds=30).before == {
            "heartbeat_seconds": 90.0
        }


def test_an_older_content_comes_back_under_a_higher_number(state: StateStore) -> None:
    with state.write() as session:
        first = put(session, ALL, heartbeat_seconds=90)
        second = put(session, ALL, based_on=first.number, heartbeat_seconds=300)
        back = bring_back(session, EVERYTHING, first.number, by="lan", now=NOW)
        assert back.number > second.number
        assert (back.after, back.reverts_to) == (first.after, first.number)
        assert set(numbers(session).values()) == {back.number}
        emptied = put(session, ALL, based_on=back.number)
        assert session.get_one(EndpointSettings, "a").settings == {}
        assert set(numbers(session).values()) == {emptied.number}


def test_a_preview_says_what_would_change_where_and_changes_nothing(state: StateStore) -> None:
    with state.write() as session:
        put(session, SERVERS, heartbeat_seconds=30)
        seen = preview(session, EVERYTHING, ALL, read_values({"heartbeat_seconds": 90, "disabled": ["lan"]}))
        assert seen.based_on == 0
        assert {machine.endpoint_id: [c.name for c in changes] for machine, changes in seen.machines} == {
            "a": ["heartbeat_seconds", "disabled"],
            "b": ["disabled"],
            "c": ["heartbeat_seconds", "disabled"],
        }
        assert seen.changes[0] == Change("heartbeat_seconds", None, 90.0)
        assert set(layers(session)) == {SERVERS}


def test_who_works_for_one_agency_steers_that_one_alone(state: StateStore) -> None:
    officer = Scope(frozenset({1}))
    with state.write() as session:
        put(session, ALL, heartbeat_seconds=90)
        put(session, Group("agency", "there"), heartbeat_seconds=30)
        there = put(session, Group("endpoint", "c"), heartbeat_seconds=60)
        for group in (ALL, SERVERS, Group("agency", "there"), Group("endpoint", "c"), Group("role", "x")):
            with pytest.raises(GroupNotFoundError):
                preview(session, officer, group, Steered())
            with pytest.raises(GroupNotFoundError):
                publish(session, officer, group, Steered(), based_on=0, comment="", by="o", now=NOW)
        with pytest.raises(PublicationNotFoundError):
            bring_back(session, officer, there.number, by="o", now=NOW)
        publish(
            session,
            officer,
            HERE,
            Steered(metrics_seconds=60),
            based_on=0,
            comment="",
            by="o",
            now=NOW,
        )
        assert [row.group for row in history(session, officer)] == ["agency", "all"]
        assert [layer.group for layer in visible_layers(session, officer)] == [ALL, HERE]
        assert len(visible_layers(session, EVERYTHING)) == 4


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"heartbeat_seconds": 1}, "heartbeat_seconds"),
        ({"heartbeat_seconds": 86_400}, "heartbeat_seconds"),
        ({"spool_bytes": 0}, "spool_bytes"),
        ({"trial_seconds": 1}, "trial_seconds"),
        ({"intervals": {"lan": 0}}, "intervals"),
        ({"url": "https://elsewhere"}, ""),
        ({"disabled": ["host"]}, "disabled"),
        ({"disabled": ["../x"]}, "disabled"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_place(values: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsRefusedError) as refused:
        read_values(values)
    assert refused.value.field == where


def test_machines_are_counted_by_how_they_stand(state: StateStore) -> None:
    with state.write() as session:
        number = put(session, ALL, heartbeat_seconds=90).number
        for name, said in {
            "a": {"number": number, "state": "in_force"},
            "b": {"number": 0, "failed": number, "failure": "rolled_back", "reason": "no answer"},
        }.items():
            body = {"version": "1", "settings": said}
            moments = dict.fromkeys(("observed_at", "received_at", "changed_at"), NOW + timedelta(seconds=1))
            session.add(Document(endpoint_id=name, kind="agent", item="", body=body, digest="", **moments))
        session.flush()
        found = standings(session, EVERYTHING)
        assert [(each.endpoint_id, each.state) for each in found] == [
            ("a", "in_force"),
            ("b", "rolled_back"),
            ("c", "waiting"),
        ]
        assert counts(found)["rolled_back"] == 1
        assert [each.endpoint_id for each in standings(session, Scope(frozenset({2})))] == ["c"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4))
def test_whatever_an_agent_says_of_its_settings_is_read(value: object) -> None:
    keys = ("number", "state", "failed", "failure", "reason", "stated")
    for body in (
        value if isinstance(value, dict) else {},
        {"settings": value},
        {"settings": dict.fromkeys(keys, value)},
    ):
        told = told_of(body)
        assert isinstance(told.number, int)
        assert len(told.reason) <= 255
