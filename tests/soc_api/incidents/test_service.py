"""Incidents below the API: transitions as data, and nothing half-done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.errors import ConflictError, NotFoundError
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Alert, AuditEntry, User
from soc_api.accounts.sessions import principal_of
from soc_api.errors import InvalidError
from soc_api.incidents import service

if TYPE_CHECKING:
    from soc_api.accounts.principal import Principal
    from soc_api.services import Services

pytestmark = pytest.mark.usefixtures("on_both_databases")


@pytest.fixture
def analyst(world: Any, services: Services) -> Principal:
    with services.state.read() as session:
        return principal_of(session.get_one(User, world.user_id("analyst")), "", "127.0.0.1")


def test_every_status_can_be_reached_and_left() -> None:
    reached = {after for step in service.TRANSITIONS.values() for after in step}
    assert reached == set(service.TRANSITIONS) - {"open"}
    assert all(service.TRANSITIONS.values())


def test_a_refused_incident_leaves_alerts_and_audit_log_untouched(
    world: Any, services: Services, analyst: Principal
) -> None:
    good = world.alert(world.here, "a")

    def create() -> None:
        with services.state.write() as session:
            service.create(session, analyst, "x", [good, 4711], world.clock.now)

    with pytest.raises(NotFoundError, match="4711"):
        create()
    with services.state.read() as session:
        assert session.get_one(Alert, good).incident_id is None
        assert not session.scalars(select(AuditEntry).where(AuditEntry.action == "incident.create")).all()


def test_alerts_of_several_agencies_make_an_incident_that_no_officer_sees(
    world: Any, services: Services, analyst: Principal
) -> None:
    alerts = [world.alert(world.here, "a"), world.alert(world.there, "b")]
    with services.state.write() as session:
        made = service.create(session, analyst, "x", alerts, world.clock.now)
    with services.state.read() as session:
        assert service.list_incidents(session, EVERYTHING)
        assert not service.list_incidents(session, Scope(frozenset({world.here})))
        with pytest.raises(NotFoundError):
            service.get(session, Scope(frozenset({world.there})), made.id)


def test_a_closed_incident_takes_no_more_alerts(world: Any, services: Services, analyst: Principal) -> None:
    first, second = world.alert(world.here, "a"), world.alert(world.here, "b")
    now = world.clock.now
    with services.state.write() as session:
        made = service.create(session, analyst, "x", [first], now)
        service.change_status(session, analyst, made.id, "closed", now, reason="duplicate")
    with services.state.write() as session, pytest.raises(ConflictError, match="closed"):
        service.add_alerts(session, analyst, made.id, [second], now)


def test_only_simulated_alerts_make_a_simulated_incident(
    world: Any, services: Services, analyst: Principal
) -> None:
    simulated = world.alert(world.here, "a", simulated=True)
    real = world.alert(world.here, "b")
    with services.state.write() as session:
        made = service.create(session, analyst, "x", [simulated], world.clock.now)
        assert made.simulated
        service.add_alerts(session, analyst, made.id, [real], world.clock.now)
        assert not made.simulated


@pytest.mark.parametrize(
    ("title", "alerts"), [("", [1]), ("x" * 201, [1]), ("x", []), ("x", list(range(1, 300)))]
)
def test_an_incident_without_title_or_alerts_is_refused(
    world: Any, services: Services, analyst: Principal, title: str, alerts: list[int]
) -> None:
    world.alert(world.here, "a")
    with services.state.write() as session, pytest.raises(InvalidError):
        service.create(session, analyst, title, alerts, world.clock.now)
