"""Rollouts in the state store: commanded by people, carried on by the watch, told through the board."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent.update.manifest import Manifest, Wheel
from collector.errors import NotFoundError
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Agency, Assignment, Document, Endpoint
from collector.steering.board import Board
from collector.steering.releases import service
from collector.steering.releases.errors import RolloutError
from collector.steering.releases.fleet import machines
from collector.steering.releases.going import Going
from collector.steering.releases.rollout import Pace
from collector.steering.releases.source import Releases
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACE = Pace(wait_seconds=3600, spread_seconds=0)


def manifest(version: str, *, step_back: bool = False) -> Manifest:
    wheel = Wheel(name=f"vonggac-{version}-py3-none-any.whl", size=5, sha256="0" * 64)
    return Manifest(1, "vonggac", version, 1, NOW.timestamp(), [wheel], step_back)


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    """Agency 1 with endpoint ``a``, agency 2 with ``b`` and ``c``, releases 0.2.0 and 0.3.0."""
    store = new_state(tmp_path)
    with store.write() as session:
        for number, code in ((1, "mot"), (2, "hai")):
            session.add(Agency(id=number, code=code, name=code, search_name=code, level="tinh"))
        session.flush()
        for name, agency in (("a", 1), ("b", 2), ("c", 2)):
            session.add(
                Endpoint(
                    id=name, hostname=f"pc-{name}", agent_version="0.2.0", enrolled_at=NOW, last_seen_at=NOW
                )
            )
            session.flush()
            session.add(Assignment(endpoint_id=name, agency_id=agency, valid_from=NOW))
        for version in ("0.2.0", "0.3.0"):
            service.add_release(session, manifest(version), version.encode(), "test", NOW)
        service.set_agency_ring(session, EVERYTHING, "mot", 0)
    return store


def wanted(store: StateStore, now: datetime) -> dict[str, str]:
    with store.read() as session:
        return dict(Releases(now.timestamp).wanted(session))


def report(store: StateStore, endpoint_id: str, runs: str, now: datetime, **last: object) -> None:
    with store.write() as session:
        endpoint = session.get_one(Endpoint, endpoint_id)
        endpoint.agent_version, endpoint.last_seen_at = runs, now
        body = {"version": runs, "update": {"last": last} if last else {}}
        times = {"observed_at": now, "received_at": now, "changed_at": now}
        session.merge(Document(endpoint_id=endpoint_id, kind="agent", item="", body=body, digest="", **times))


def go(store: StateStore, now: datetime) -> str:
    going = Going()
    with store.read() as session:
        going.look(session, now.timestamp(), 0.0)
    with store.write() as session:
        going.write(session, now.timestamp())
    with store.read() as session:
        rollout = service.current(session)
        assert rollout is not None
        return f"{rollout.state} {rollout.ring}"


def test_a_rollout_goes_from_ring_to_ring_and_only_those_are_told_who_do_not_run_it(
    state: StateStore,
) -> None:
    with state.write() as session:
        service.start(session, "0.3.0", PACE, "lan", NOW)
    assert wanted(state, NOW) == {"a": "0.3.0"}
    report(state, "a", "0.3.0", NOW + HOUR)
    assert wanted(state, NOW + HOUR) == {}
    assert go(state, NOW + HOUR / 2) == "running 0"
    assert go(state, NOW + HOUR) == "running 3"
    assert wanted(state, NOW + HOUR) == {"b": "0.3.0", "c": "0.3.0"}
    for each in ("b", "c"):
        report(state, each, "0.3.0", NOW + 2 * HOUR)
    assert go(state, NOW + 2 * HOUR) == "finished 3"
    report(state, "c", "0.2.0", NOW + 3 * HOUR)
    assert wanted(state, NOW + 3 * HOUR) == {"c": "0.3.0"}


def test_a_roll_back_halts_it_until_a_person_resumes_it(state: StateStore) -> None:
    with state.write() as session:
        service.start(session, "0.3.0", PACE, "lan", NOW)
    report(state, "a", "0.2.0", NOW, version="0.3.0", state="rolled_back", code="silent")
    assert go(state, NOW + HOUR / 4) == "halted 0"
    assert wanted(state, NOW + HOUR / 4) == {}
    with state.write() as session:
        rollout = service.current(session)
        assert rollout is not None
        assert (rollout.reason["why"], rollout.reason["failed"]) == ("failed", 1)
        assert [each.action for each in service.notes_of(session, rollout)] == ["halt", "start"]
        service.resume(session, "lan", NOW + 2 * HOUR)
    assert wanted(state, NOW + 2 * HOUR) == {"a": "0.3.0"}
    assert go(state, NOW + 2 * HOUR) == "running 0"


def test_what_stands_still_does_not_count_for_the_ring(state: StateStore) -> None:
    with state.write() as session:
        service.start(session, "0.3.0", PACE, "lan", NOW)
        service.pause(session, "lan", NOW + HOUR / 2)
    assert wanted(state, NOW + HOUR / 2) == {}
    report(state, "a", "0.3.0", NOW + 5 * HOUR)
    assert go(state, NOW + 5 * HOUR) == "paused 0"
    with state.write() as session:
        service.resume(session, "lan", NOW + 5 * HOUR)
    assert go(state, NOW + 5 * HOUR + HOUR / 4) == "running 0"
    assert go(state, NOW + 5 * HOUR + HOUR / 2) == "running 3"


def test_another_release_ends_the_one_under_way_and_a_stopped_one_is_not_resumed(state: StateStore) -> None:
    with state.write() as session:
        service.start(session, "0.2.0", PACE, "lan", NOW)
        with pytest.raises(RolloutError, match="already"):
            service.start(session, "0.2.0", PACE, "lan", NOW)
        service.start(session, "0.3.0", PACE, "lan", NOW)
        service.stop(session, "lan", NOW)
        with pytest.raises(RolloutError, match="stopped"):
            service.resume(session, "lan", NOW)
        with pytest.raises(NotFoundError):
            service.start(session, "0.9.0", PACE, "lan", NOW)
    assert wanted(state, NOW + HOUR) == {}


def test_a_release_is_not_exchanged_while_it_is_rolled_out(state: StateStore) -> None:
    with state.write() as session:
        _, new = service.add_release(session, manifest("0.3.0"), b"0.3.0", "test", NOW)
        assert not new
        service.start(session, "0.3.0", PACE, "lan", NOW)
        with pytest.raises(RolloutError):
            service.add_release(session, manifest("0.3.0"), b"other", "test", NOW)
        service.stop(session, "lan", NOW)
        release, new = service.add_release(session, manifest("0.3.0", step_back=True), b"other", "test", NOW)
        assert new
        assert release.step_back


def test_a_single_endpoint_may_be_in_another_ring_than_its_agency(state: StateStore) -> None:
    with state.write() as session:
        service.set_endpoint_ring(session, EVERYTHING, "c", 1)
    with state.read() as session:
        assert {each.endpoint_id: each.ring for each in machines(session)} == {"a": 0, "b": 3, "c": 1}
    with state.write() as session:
        service.set_endpoint_ring(session, EVERYTHING, "c", None)
        with pytest.raises(RolloutError):
            service.set_endpoint_ring(session, EVERYTHING, "c", 4)
        with pytest.raises(NotFoundError):
            service.set_endpoint_ring(session, Scope(frozenset({1})), "c", 1)
        with pytest.raises(NotFoundError):
            service.set_agency_ring(session, Scope(frozenset({1})), "hai", 1)
    with state.read() as session:
        assert {each.endpoint_id for each in machines(session, Scope(frozenset({2})))} == {"b", "c"}


def test_the_board_says_it_until_the_rollout_is_paused(state: StateStore) -> None:
    board = Board(state, [Releases(NOW.timestamp)])
    with state.write() as session:
        service.start(session, "0.3.0", PACE, "lan", NOW)
    board.look()
    assert (board.header("a"), board.header("b")) == (b"release=0.3.0", None)
    with state.write() as session:
        service.pause(session, "lan", NOW)
    board.look()
    assert board.header("a") is None


def test_a_document_that_is_hostile_ends_nothing(state: StateStore) -> None:
    with state.write() as session:
        service.start(session, "0.3.0", PACE, "lan", NOW)
    report(state, "a", "0.2.0", NOW, version="0.3.0", state="refused", code=[], detail={"a": 1})
    assert wanted(state, NOW) == {"a": "0.3.0"}
    assert go(state, NOW + HOUR / 4) == "halted 0"


def test_a_fault_in_judging_is_said_and_leaves_the_rollout_as_it_is(
    state: StateStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with state.write() as session:
        service.start(session, "0.3.0", PACE, "lan", NOW)

    def fail(*_: object) -> None:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(service, "look", fail)
    assert go(state, NOW + HOUR) == "running 0"
    assert "cannot be judged" in caplog.text
