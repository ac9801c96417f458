"""The life of a Windows service, without Windows: what it is told, in which order, and that it always ends."""

from __future__ import annotations

import threading

import pytest

from agent.windows.service import (
    CONTROL_INTERROGATE,
    CONTROL_PRESHUTDOWN,
    CONTROL_SHUTDOWN,
    CONTROL_STOP,
    ERROR_CALL_NOT_IMPLEMENTED,
    ERROR_SERVICE_SPECIFIC_ERROR,
    NO_ERROR,
    RUNNING,
    START_PENDING,
    STOP_PENDING,
    STOPPED,
    STOPPED_LATE,
    Lifecycle,
    Report,
)

_CONTINUE = 3


class Service:
    """A life whose main function runs in a thread of its own, as Windows runs it."""

    def __init__(self, stop_seconds: float = 60.0) -> None:
        self.told: list[Report] = []
        self.life = Lifecycle(self.told.append, stop_seconds=stop_seconds, beat_seconds=0.02)
        self.thread = threading.Thread(target=self.life.serve)
        self.thread.start()
        assert self.life.begun.wait(10)

    def states(self) -> list[int]:
        """Without those that only say that it goes on."""
        return [
            one.state
            for place, one in enumerate(self.told)
            if not place or self.told[place - 1].state != one.state
        ]

    def join(self) -> Report:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.told[-1]


def test_it_starts_runs_and_ends_by_itself() -> None:
    service = Service()
    assert service.told[0].accepts == 0  # nobody stops what has not begun
    service.life.running()
    service.life.end(0)
    last = service.join()
    assert service.states() == [START_PENDING, RUNNING, STOPPED]
    assert (last.exit_code, last.specific) == (NO_ERROR, 0)


def test_an_exit_status_is_the_services_own_code() -> None:
    service = Service()
    service.life.running()
    service.life.end(75)
    last = service.join()
    assert (last.exit_code, last.specific) == (ERROR_SERVICE_SPECIFIC_ERROR, 75)


@pytest.mark.parametrize("order", [CONTROL_STOP, CONTROL_SHUTDOWN, CONTROL_PRESHUTDOWN])
def test_it_is_stopped_by_each_order_that_means_it(order: int) -> None:
    service = Service()
    stopped: list[str] = []
    service.life.running()
    service.life.stop_by(lambda: stopped.append("once"))
    accepted = service.told[-1].accepts
    assert accepted & 0x1
    assert accepted & 0x4
    assert accepted & 0x100
    assert service.life.control(order) == NO_ERROR
    assert service.life.control(CONTROL_SHUTDOWN) == NO_ERROR  # the second is no second stop
    assert stopped == ["once"]
    assert service.told[-1].state == STOP_PENDING
    service.life.end(0)
    service.join()
    assert service.states() == [START_PENDING, RUNNING, STOP_PENDING, STOPPED]


def test_an_order_that_comes_before_the_work_can_be_stopped_is_not_lost() -> None:
    service = Service()
    service.life.control(CONTROL_STOP)
    service.life.running()
    assert service.told[-1].state == STOP_PENDING
    stopped: list[str] = []
    service.life.stop_by(lambda: stopped.append("at once"))
    assert stopped == ["at once"]
    service.life.end(0)
    service.join()


def test_what_does_not_end_is_said_to_have_ended() -> None:
    service = Service(stop_seconds=0.1)
    service.life.running()
    service.life.control(CONTROL_STOP)
    last = service.join()
    assert last.state == STOPPED
    assert (last.exit_code, last.specific) == (ERROR_SERVICE_SPECIFIC_ERROR, STOPPED_LATE)


def test_while_it_waits_windows_sees_it_go_on() -> None:
    service = Service()
    service.life.running()
    service.life.control(CONTROL_STOP)
    done = threading.Event()
    for _ in range(500):
        if service.told[-1].checkpoint > 3 or done.wait(0.02):
            break
    service.life.end(0)
    service.join()
    beats = [one.checkpoint for one in service.told if one.state == STOP_PENDING]
    assert len(beats) > 3
    assert beats == sorted(set(beats))
    assert all(one.wait_ms > 0 for one in service.told if one.state == STOP_PENDING)


def test_it_says_again_how_it_stands_and_refuses_what_it_does_not_know() -> None:
    service = Service()
    service.life.running()
    before = service.told[-1]
    assert service.life.control(CONTROL_INTERROGATE) == NO_ERROR
    assert service.told[-1] == before
    assert service.life.control(_CONTINUE) == ERROR_CALL_NOT_IMPLEMENTED
    assert service.told[-1] == before
    service.life.end(0)
    service.join()
