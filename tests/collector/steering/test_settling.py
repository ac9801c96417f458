"""Machines that come, or come to other groups, are settled by the upkeep."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent.steered import Steered
from collector.detect.upkeep import Upkeep
from collector.settings import Settings
from collector.state.scope import EVERYTHING
from collector.state.tables import Endpoint, EndpointSettings
from collector.steering.settings.groups import Group
from collector.steering.settings.publishing import publish
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_both_databases")
NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)


class EmptyLog:
    """A log without rows: trimming finds nothing."""

    def trim(self, _worked: object, _keep: float) -> int:
        return 0


def test_a_machine_that_enrols_later_is_settled_within_the_minute(tmp_path: Path) -> None:
    state = new_state(tmp_path)
    upkeep = Upkeep(state, cast("Any", EmptyLog()), Settings())
    with state.write() as session:
        group, settings = Group("role", "server"), Steered(heartbeat_seconds=30)
        number = publish(
            session, EVERYTHING, group, settings, based_on=0, comment="", by="lan", now=NOW
        ).number
    upkeep.run(NOW.timestamp())
    with state.write() as session:
        session.add(Endpoint(id="a", hostname="a", enrolled_at=NOW))
    upkeep.run(NOW.timestamp() + 1)
    with state.read() as session:
        assert session.get(EndpointSettings, "a") is None
    upkeep.run(NOW.timestamp() + 60)
    with state.write() as session:
        assert session.get_one(EndpointSettings, "a").number == 0
        session.get_one(Endpoint, "a").role = "server"
    upkeep.run(NOW.timestamp() + 120)
    with state.read() as session:
        row = session.get_one(EndpointSettings, "a")
        assert (row.number, row.settings) == (number, {"heartbeat_seconds": 30.0})
