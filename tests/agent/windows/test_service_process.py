"""The service's process: the agent in the main thread, what Windows says on others."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from agent.runtime import process
from agent.runtime.process import Order
from agent.update.place import SWITCHING, Installation, Record
from agent.windows import service_process
from agent.windows.service import CONTROL_STOP, STOPPED, Lifecycle, Report
from agent.windows.service_log import LogFile
from agent.windows.service_update import Updater

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class FakeDispatcher:
    """:class:`agent.windows.service_api.Dispatcher`: serves, and stops the service where ``stop`` is set."""

    def __init__(self, refusal: str = "") -> None:
        self.told: list[Report] = []
        self.life = Lifecycle(self.told.append, beat_seconds=0.02)
        self.stop = threading.Event()
        self._refusal = refusal

    def run(self) -> None:
        if self._refusal:
            raise OSError(self._refusal)
        threading.Thread(target=self._order, daemon=True).start()
        self.life.serve()

    def _order(self) -> None:
        self.stop.wait(60)
        self.life.control(CONTROL_STOP)


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the service does to its process is undone: its streams, and that it ends it."""
    monkeypatch.setattr(service_process, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(service_process, "_end_with", lambda _: None)
    before = sys.stdout, sys.stderr
    yield
    sys.stdout, sys.stderr = before


def test_a_process_that_is_no_service_says_so_and_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not a service"):
        service_process.serve(Order(), FakeDispatcher("not a service"), tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_before_the_enrolment_it_waits_and_can_be_stopped(tmp_path: Path) -> None:
    dispatcher = FakeDispatcher()
    dispatcher.stop.set()
    order = Order(state=str(tmp_path / "state"))
    assert service_process.serve(order, dispatcher, tmp_path / "log") == 0
    assert dispatcher.told[-1].state == STOPPED
    assert "not enrolled yet" in (tmp_path / "log/agent.log").read_text()


def test_after_the_enrolment_it_is_the_agent_until_windows_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher, orders = FakeDispatcher(), []

    def run(order: Order, begun: Callable[[Callable[[], None]], None]) -> int:
        ended = threading.Event()
        begun(ended.set)
        orders.append(order)
        dispatcher.stop.set()
        assert ended.wait(30)
        sys.stderr.write("the agent's own words")
        return 0

    monkeypatch.setattr(process, "run", run)
    state = tmp_path / "state"
    order = Order(state=str(state))

    def enrol() -> None:
        state.mkdir()
        (state / "identity.json").write_text("{}")

    enrolling = threading.Timer(0.2, enrol)
    enrolling.start()
    assert service_process.serve(order, dispatcher, tmp_path / "log") == 0
    assert orders == [order]
    assert dispatcher.told[-1] == Report(STOPPED)
    assert "the agent's own words" in (tmp_path / "log/agent.log").read_text()


def test_settings_that_cannot_be_read_are_the_services_own_code(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("[agent]\nspool = 1\n")
    dispatcher = FakeDispatcher()
    assert (
        service_process.serve(Order(config=str(tmp_path / "agent.toml")), dispatcher, tmp_path / "log") == 2
    )
    assert dispatcher.told[-1].specific == 2
    assert "unknown key" in (tmp_path / "log/agent.log").read_text()


def test_the_log_is_bounded_and_never_in_the_way(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "agent.log", most=100)
    for number in range(30):
        assert log.write(f"dòng {number:02}\n") == 8
    sizes = {each.name: each.stat().st_size for each in tmp_path.iterdir()}
    assert set(sizes) == {"agent.log", "agent.log.1"}
    assert max(sizes.values()) <= 100
    assert (tmp_path / "agent.log").read_text(encoding="utf-8").endswith("dòng 29\n")
    assert LogFile(tmp_path / "nowhere" / "agent.log").write("x") == 1


class Updating:
    """An updater whose command writes down how it was called, and holds the updates' lock where it is told to."""

    def __init__(self, folder: Path, record: Record | None = None) -> None:
        self.place = Installation(folder)
        self.ready = folder / "state/update/ready"
        self.ready.parent.mkdir(parents=True)
        self.log = folder / "update.log"
        if record is not None:
            self.place.write_record(record)
        script = folder / "command.py"
        script.write_text("import sys; print(sys.argv[1:], flush=True); sys.stdin.read()\n")
        self.updater = Updater(
            self.place, folder / "state", ["--state", "x"], self.log, [sys.executable, str(script)]
        )

    def end(self) -> None:
        assert self.updater._running is not None
        assert self.updater._running.wait(30) == 0

    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def test_a_release_that_was_offered_is_applied_beside_the_service(tmp_path: Path) -> None:
    updating = Updating(tmp_path)
    assert not updating.updater.look()
    updating.ready.write_text("0.2.0")
    assert updating.updater.look()
    updating.end()
    assert updating.said() == ["['update', 'apply', '--state', 'x']"]
    updating.ready.unlink()
    assert not updating.updater.look()


def test_a_switch_that_was_interrupted_is_gone_on_with_once(tmp_path: Path) -> None:
    updating = Updating(tmp_path, Record("0.2.0", "0.1.0", SWITCHING))
    assert updating.updater.look()
    updating.end()
    assert not updating.updater.look()
    assert len(updating.said()) == 1


def test_nothing_is_started_while_an_update_is_at_work(tmp_path: Path) -> None:
    from agent.runtime.locking import hold

    updating = Updating(tmp_path)
    updating.ready.write_text("0.2.0")
    descriptor = os.open(updating.place.lock, os.O_RDWR | os.O_CREAT)
    assert hold(descriptor)
    assert not updating.updater.look()
    os.close(descriptor)
    assert updating.updater.look()
    updating.end()
