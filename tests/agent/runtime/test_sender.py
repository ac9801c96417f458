from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent.messages import PROBLEM_REVOKED, BatchHeader, Importance, Problem
from agent.runtime.errors import SpoolError, TransportError
from agent.runtime.log import Log
from agent.runtime.models import Piece
from agent.runtime.sender import LONGEST_WAIT_SECONDS, REVOKED_WAIT_SECONDS, Sender
from agent.runtime.spool import Spool
from agent.runtime.spool_file import DOCUMENTS, EVENTS
from agent.runtime.status import Link
from agent.runtime.transport import Reply

if TYPE_CHECKING:
    from pathlib import Path


class FakeConnection:
    """Answers in order; then 202 for ever."""

    def __init__(self) -> None:
        self.answers: list[Reply | TransportError] = []
        self.requests: list[tuple[str, BatchHeader, bytes]] = []
        self.importance: list[str] = []
        self.closed = 0

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        assert method == "POST"
        self.requests.append((path, BatchHeader.decode(headers["Vonggac-Batch"]), body))
        self.importance.append(headers.get("Vonggac-Importance", ""))
        answer = self.answers.pop(0) if self.answers else Reply(status=202)
        if isinstance(answer, TransportError):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A sender with a clock that moves only when told."""

    def __init__(self, folder: Path) -> None:
        self.clock = 1000.0
        self.luck = 0.5
        self.spool = Spool(folder / "spool", folder / "cursors.json", 1 << 20)
        self.connection = FakeConnection()
        self.link = Link()
        self.log = io.StringIO()
        self.sender = Sender(
            self.spool,
            self.connection,
            self.link,
            Log(self.log, now=self.now),
            time=self.now,
            monotonic=self.now,
            random=lambda: self.luck,
        )

    def now(self) -> float:
        return self.clock

    def batch(self, body: bytes, weight: int = EVENTS) -> None:
        self.spool.append([Piece(body=body, weight=weight, counts={"events": 1})], {}, self.clock)

    def run(self, seconds: float) -> None:
        """Step as the agent's thread does until the clock has moved by ``seconds``."""
        end = self.clock + seconds
        while True:
            wait = self.sender.step()
            if self.clock + wait > end:
                self.clock = end
                return
            self.clock += wait

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.connection.requests]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def problem(status: int, kind: str = "about:blank", detail: str = "because") -> bytes:
    return msgspec.json.encode(Problem(type=kind, title="no", status=status, detail=detail))


def test_an_idle_agent_says_once_a_minute_that_it_lives(bench: Bench) -> None:
    bench.run(600)
    assert bench.paths() == ["/v1/heartbeat"] * 11
    assert {header.seq for _, header, _ in bench.connection.requests} == {0}
    assert bench.link.code == "ok"


def test_an_agent_whose_disk_takes_nothing_does_not_say_that_all_is_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("agent.runtime.spool.write_atomically", full)
        with pytest.raises(SpoolError):
            bench.batch(b"news")
    bench.run(600)
    assert bench.paths() == []
    bench.batch(b"news")
    bench.run(130)
    assert bench.paths() == ["/v1/batches", "/v1/heartbeat", "/v1/heartbeat"]


def test_a_batch_stands_for_a_heartbeat(bench: Bench) -> None:
    bench.run(30)
    bench.batch(b"1")
    bench.run(55)
    assert bench.paths() == ["/v1/heartbeat", "/v1/batches"]
    bench.run(10)
    assert bench.paths()[2:] == ["/v1/heartbeat"]
    assert bench.connection.requests[-1][1].seq == 1


def test_batches_leave_in_order_and_leave_the_disk_only_after_the_answer(bench: Bench) -> None:
    bench.batch(b"1")
    bench.batch(b"2")
    bench.connection.answers = [TransportError("unreachable", "no route")]
    assert bench.sender.step() > 0
    assert bench.spool.backlog().files == 2
    bench.run(5)
    assert [(h.seq, b) for p, h, b in bench.connection.requests if p == "/v1/batches"] == [
        (1, b"1"),
        (1, b"1"),
        (2, b"2"),
    ]
    assert bench.spool.backlog().files == 0


def test_waits_grow_are_spread_and_are_bounded(bench: Bench) -> None:
    bench.batch(b"1")
    waits: list[float] = []
    bench.luck = 0.999
    bench.connection.answers = [TransportError("unreachable", "x") for _ in range(40)]
    for _ in range(40):
        waits.append(bench.sender.step())
        bench.clock += waits[-1]
    assert waits == sorted(waits)
    assert waits[0] < 1.0
    assert LONGEST_WAIT_SECONDS * 0.9 < waits[-1] <= LONGEST_WAIT_SECONDS
    bench.connection.answers = [TransportError("unreachable", "x")]
    bench.luck = 0.1
    assert bench.sender.step() == pytest.approx(LONGEST_WAIT_SECONDS * 0.1)


def test_nothing_is_sent_before_the_wait_is_over(bench: Bench) -> None:
    bench.batch(b"1")
    bench.connection.answers = [Reply(status=503, retry_after_seconds=40.0)]
    bench.sender.step()
    bench.clock += 39
    assert bench.sender.step() > 0
    assert len(bench.connection.requests) == 1
    bench.clock += 5
    bench.sender.step()
    assert len(bench.connection.requests) == 2
    assert bench.link.code == "ok"


def test_a_wait_the_collector_asked_for_is_never_shortened(bench: Bench) -> None:
    bench.batch(b"1")
    for luck in (0.0, 0.5, 0.99):
        bench.luck = luck
        bench.connection.answers = [Reply(status=429, retry_after_seconds=60.0)]
        wait = bench.sender.step()
        assert 60.0 <= wait <= 66.0
        bench.clock += wait


def test_a_busy_collector_is_asked_again_over_the_same_connection(bench: Bench) -> None:
    bench.connection.answers = [Reply(status=503, retry_after_seconds=20.0)]
    bench.batch(b"1")
    bench.run(30)
    assert [body for _, _, body in bench.connection.requests] == [b"1", b"1"]
    assert bench.connection.closed == 0


def test_where_room_is_short_status_goes_on_and_the_rest_waits(bench: Bench) -> None:
    bench.connection.answers = [Reply(status=503, retry_after_seconds=40.0, takes=Importance.STATUS)]
    bench.batch(b"event")
    bench.run(1)
    bench.batch(b"status", DOCUMENTS)
    bench.run(1)
    assert bench.link.code == "busy"
    bench.run(30)
    assert [body for _, _, body in bench.connection.requests] == [b"event", b"", b"status"]
    bench.run(15)
    assert [body for _, _, body in bench.connection.requests] == [b"event", b"", b"status", b"event"]
    assert bench.connection.importance == ["", "", "status", ""]
    assert [header.seq for _, header, _ in bench.connection.requests] == [1, 1, 2, 1]
    assert bench.link.code == "ok"


def test_a_collector_that_takes_only_what_it_just_refused_is_waited_for(bench: Bench) -> None:
    bench.connection.answers = [Reply(status=503, retry_after_seconds=40.0, takes=Importance.EVENTS)]
    bench.batch(b"event")
    bench.run(39)
    assert len(bench.connection.requests) == 1


def test_success_forgets_earlier_failures(bench: Bench) -> None:
    bench.batch(b"1")
    bench.connection.answers = [TransportError("unreachable", "x") for _ in range(8)]
    bench.run(2000)
    assert bench.link.code == "ok"
    bench.batch(b"2")
    bench.connection.answers = [TransportError("unreachable", "x")]
    bench.luck = 0.9
    assert bench.sender.step() <= 1.0


def test_a_revoked_endpoint_says_so_keeps_its_data_and_asks_seldom(bench: Bench) -> None:
    bench.batch(b"1")
    bench.connection.answers = [
        Reply(status=403, body=problem(403, PROBLEM_REVOKED, "revoked on 21/11/2026")) for _ in range(4)
    ]
    wait = bench.sender.step()
    assert REVOKED_WAIT_SECONDS * 0.5 <= wait <= REVOKED_WAIT_SECONDS * 1.5
    assert bench.link.code == "revoked"
    assert "revoked on" in bench.link.detail
    assert bench.spool.backlog().files == 1
    bench.run(REVOKED_WAIT_SECONDS * 10)
    assert bench.link.code == "ok"
    assert bench.spool.backlog().files == 0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_that_will_never_be_taken_is_set_aside_and_the_next_one_goes(
    bench: Bench, tmp_path: Path, status: int
) -> None:
    bench.batch(b"bad")
    bench.batch(b"good")
    bench.connection.answers = [Reply(status=status, body=problem(status, detail="events[3].time"))]
    bench.run(1)
    assert [(h.seq, b) for p, h, b in bench.connection.requests if p == "/v1/batches"] == [
        (1, b"bad"),
        (2, b"good"),
    ]
    assert bench.spool.saved.refused == 1
    (reason,) = (tmp_path / "spool" / "refused").glob("*.txt")
    assert "events[3].time" in reason.read_text()


def test_a_heartbeat_that_is_refused_sets_nothing_aside(bench: Bench) -> None:
    bench.connection.answers = [Reply(status=422, body=problem(422))]
    assert bench.sender.step() > 0
    assert bench.spool.saved.refused == 0
    assert bench.link.code == "busy"


@pytest.mark.parametrize("status", [301, 404, 500, 502, 507])
def test_an_answer_that_makes_no_sense_is_waited_out(bench: Bench, status: int) -> None:
    bench.batch(b"1")
    bench.connection.answers = [Reply(status=status, body=b"<html>")]
    assert bench.sender.step() > 0
    assert bench.spool.backlog().files == 1


def test_loss_and_recovery_are_each_said_once(bench: Bench) -> None:
    bench.batch(b"1")
    bench.connection.answers = [TransportError("unreachable", "no route") for _ in range(5)]
    bench.run(300)
    events = [msgspec.json.decode(line) for line in bench.log.getvalue().splitlines()]
    assert [(e["event"], e["subject"]) for e in events] == [("lost", "link"), ("recovered", "link")]


def test_the_agent_sees_how_far_its_clock_is_off(bench: Bench) -> None:
    bench.connection.answers = [Reply(status=202, collector_time=1090.25)]
    bench.sender.step()
    assert bench.link.clock_skew_seconds == 90.25


def test_a_new_connection_is_used_at_once_after_a_renewal(bench: Bench) -> None:
    bench.connection.answers = [TransportError("rejected", "certificate expired")]
    bench.sender.step()
    fresh = FakeConnection()
    bench.sender.use(fresh)
    bench.sender.step()
    assert len(fresh.requests) == 1


def test_restarted_agent_does_not_resend_acknowledged_batches(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.batch(b"1")
    first.batch(b"2")
    first.sender.step()
    first.sender.step()
    second = Bench(tmp_path)
    second.batch(b"3")
    second.run(1)
    assert [(h.seq, b) for p, h, b in second.connection.requests if p == "/v1/batches"] == [(3, b"3")]


def test_status_is_told_when_the_disk_fails_after_an_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.batch(b"1")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.runtime.spool.write_atomically", full)
    bench.run(1)
    assert "No space left" in bench.log.getvalue()
    assert bench.link.code == "ok"
