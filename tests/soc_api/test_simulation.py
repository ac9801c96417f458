"""Removing what was simulated, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from collector.state.tables import (
    Alert,
    Assignment,
    Certificate,
    DeadLetter,
    Device,
    Document,
    Endpoint,
    Incident,
    IpBinding,
    Stream,
)
from soc_api import simulation

if TYPE_CHECKING:
    from soc_api.services import Services


@pytest.fixture
def both(world: Any, services: Services) -> None:
    """One real and one simulated machine, each with everything that can hang on a machine."""
    now = world.clock.now
    for simulated in (False, True):
        name = "simulated" if simulated else "real"
        endpoint_id = world.endpoint(world.here, name, simulated=simulated)
        alert_id = world.alert(world.here, name, endpoint_id=endpoint_id, simulated=simulated)
        mac, ip = f"00:00:00:00:00:0{int(simulated)}", f"10.0.0.{int(simulated)}"
        with services.state.write() as session:
            incident = Incident(
                title=name, level="high", simulated=simulated, detected_at=now, opened_at=now, opened_by="x"
            )
            session.add(incident)
            session.flush()
            session.get_one(Alert, alert_id).incident_id = incident.id
            common = {"endpoint_id": endpoint_id}
            session.add(Certificate(**common, sha256=name, serial="1", not_before=now, not_after=now))
            session.add(
                Document(
                    **common,
                    kind="host",
                    body={},
                    digest="",
                    observed_at=now,
                    received_at=now,
                    changed_at=now,
                )
            )
            session.add(Stream(**common, stream="s", last_seq=1, updated_at=now))
            session.add(
                DeadLetter(**common, log_offset=int(simulated), reason="x", body=b"", received_at=now)
            )
            session.add(
                Device(
                    agency_id=world.here,
                    mac=mac,
                    ip=ip,
                    endpoint_id=endpoint_id,
                    seen_by=endpoint_id,
                    simulated=simulated,
                    first_seen_at=now,
                    last_seen_at=now,
                )
            )
            session.add(IpBinding(agency_id=world.here, ip=ip, mac=mac, changed_at=now, last_seen_at=now))


def test_removing_takes_everything_simulated_and_nothing_real(
    both: None, world: Any, services: Services
) -> None:
    with services.state.write() as session:
        removed = simulation.remove(session, "test", world.clock.now)
    assert (removed.endpoints, removed.alerts, removed.incidents, removed.devices) == (1, 1, 1, 1)
    assert removed.dead_letters == 1
    with services.state.read() as session:
        for table in (
            Endpoint,
            Alert,
            Incident,
            Assignment,
            Certificate,
            Document,
            Stream,
            DeadLetter,
            Device,
            IpBinding,
        ):
            left = session.scalar(select(func.count()).select_from(table))
            assert left == 1, table
        assert session.scalars(select(Endpoint.hostname)).all() == ["real"]
        assert session.scalars(select(Incident.title)).all() == ["real"]


def test_removing_twice_removes_nothing_more(both: None, world: Any, services: Services) -> None:
    with services.state.write() as session:
        simulation.remove(session, "test", world.clock.now)
        again = simulation.remove(session, "test", world.clock.now)
    assert (again.endpoints, again.alerts, again.devices, again.tokens) == (0, 0, 0, 0)
