"""Settings of the collector in the agent: who may say them, how they are tried, when those from before come back."""

from __future__ import annotations

import errno
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent import reasons
from agent.collectors.registry import Collector, Output
from agent.messages import Wanted
from agent.runtime.errors import TransportError
from agent.runtime.log import Log
from agent.runtime.managed import manager, verify
from agent.runtime.managed.effective import effective, origins, stated_here
from agent.runtime.managed.manager import Managed, look
from agent.runtime.managed.record import read_record
from agent.runtime.steering import NEVER
from agent.runtime.transport import Reply
from agent.settings import AgentSection, CollectorSettings, Settings, StateDirectory
from agent.steered import MAX_SETTINGS_BYTES, SIGNED_AS, SettingsDocument, SignedSettings, Steered
from collector.enrolment.authority import Authority
from collector.state.base import utcnow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ID = "0f9e4a50-0000-4000-8000-000000000001"
AUTHORITY = Authority.make(utcnow())
TRIAL = 100


def collected(name: str, interval: float) -> Collector:
    return Collector(name, interval, 30.0, frozenset({sys.platform}), "none", name, name, lambda _: Output())


COLLECTORS = [collected("host", 3600), collected("lan", 60), collected("tail", 1)]


def signed(
    number: int, *, authority: Authority = AUTHORITY, endpoint: str = ID, **values: Any
) -> SignedSettings:
    life = values.pop("life", (-10, 3600))
    document = msgspec.json.encode(
        SettingsDocument(
            endpoint_id=endpoint,
            number=number,
            issued_at=time.time() + life[0],
            valid_until=time.time() + life[1],
            settings=Steered(**{"trial_seconds": TRIAL, **values}),
        )
    )
    return SignedSettings(document, authority.sign_statement(SIGNED_AS, document))


class Machine:
    """An enrolled machine whose agent is made anew with :meth:`start`; its collector says ``body``."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDirectory(folder)
        self.state.ca.write_text(AUTHORITY.pem)
        self.own = Settings()
        self.stated: frozenset[str] = frozenset()
        self.clock = 1000.0
        self.answers = 0
        self.hurried = 0
        self.used: list[Settings] = []
        self.body = b""
        self.status = 200
        self.asked = 0
        self.start()

    def start(self) -> None:
        self.managed = Managed(
            self.state, ID, self.own, self.stated, COLLECTORS, Log(), monotonic=lambda: self.clock
        )
        self.managed.begin(self, self.used.append)

    def hurry(self) -> None:
        self.hurried += 1

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        assert (method, path, body) == ("GET", "/v1/settings", b"")
        self.asked += 1
        if not self.status:
            raise TransportError("unreachable", "no")
        return Reply(self.status, self.body, collector_time=time.time())

    def close(self) -> None:
        pass

    def offer(self, settings: SignedSettings, wanted: int | None = None) -> float:
        self.body = msgspec.json.encode(settings)
        document = msgspec.json.decode(settings.document)
        return self.managed.step(Wanted(settings=wanted or document["number"]), self)

    def after(self, seconds: float, *, answers: int = 0) -> dict[str, Any]:
        self.clock += seconds
        self.managed.watch()
        self.answers += answers
        return self.managed.tell()

    def kept(self, number: int, **values: Any) -> None:
        """As if ``number`` had been tried and kept."""
        self.offer(signed(number, **values))
        self.after(TRIAL / 2, answers=1)
        assert self.after(TRIAL / 2) == {"number": number, "state": "in_force"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Verifies in this process; the process of its own has a test of its own."""

    def verified(
        state: StateDirectory, endpoint_id: str, each: Sequence[SignedSettings]
    ) -> list[verify.Verdict]:
        return verify.verify(verify.Order(str(state.ca), endpoint_id, list(each)))

    monkeypatch.setattr(manager, "verified", verified)
    return Machine(tmp_path)


def test_settings_are_tried_and_kept_when_the_collector_answers_in_the_second_half(machine: Machine) -> None:
    machine.offer(signed(3, heartbeat_seconds=120.0, disabled=("lan",)))
    assert machine.managed.tell() == {"number": 3, "state": "trying"}
    assert machine.used[-1].agent.heartbeat_seconds == 120
    assert machine.used[-1].collectors.disabled == ("lan",)
    assert machine.managed.watch() == TRIAL / 2
    machine.after(TRIAL / 2 - 1, answers=5)
    assert machine.hurried == 0
    machine.clock += 1
    assert machine.managed.watch() == 0
    assert machine.hurried == 1
    assert machine.managed.watch() == TRIAL / 2
    assert machine.after(TRIAL / 2 - 1, answers=1)["state"] == "trying"
    assert machine.after(1) == {"number": 3, "state": "in_force"}
    machine.start()
    assert machine.managed.settings.agent.heartbeat_seconds == 120
    assert machine.managed.tell() == {"number": 3, "state": "in_force"}


def test_those_from_before_come_back_where_nobody_answers(machine: Machine) -> None:
    machine.kept(3, heartbeat_seconds=120.0)
    machine.offer(signed(4, heartbeat_seconds=300.0))
    machine.after(TRIAL / 2 - 1, answers=7)
    machine.after(1)
    told = machine.after(TRIAL / 2)
    reason = reasons.SETTINGS_NO_ANSWER(seconds=TRIAL)
    assert told == {
        "number": 3, "state": "in_force", "failed": 4, "failure": "rolled_back", "reason": reason,
    }  # fmt: skip
    assert machine.used[-1].agent.heartbeat_seconds == 120
    machine.start()
    assert machine.managed.tell() == told
    asked = machine.asked
    assert machine.offer(signed(4, heartbeat_seconds=300.0)) == NEVER
    assert machine.asked == asked
    machine.offer(signed(5, heartbeat_seconds=60.0))
    assert machine.managed.tell() == {"number": 5, "state": "trying"}


def test_with_nothing_from_before_the_machines_own_come_back(machine: Machine) -> None:
    machine.offer(signed(1, heartbeat_seconds=300.0))
    machine.after(TRIAL / 2)
    assert machine.after(TRIAL / 2)["number"] == 0
    assert machine.used[-1] == machine.own


def test_a_machine_that_slept_over_its_trial_is_asked_before_it_is_judged(machine: Machine) -> None:
    machine.offer(signed(1))
    assert machine.after(10 * TRIAL)["state"] == "trying"
    assert machine.hurried == 1
    assert machine.after(TRIAL / 2 - 1, answers=1)["state"] == "trying"
    assert machine.after(1)["state"] == "in_force"


def test_an_agent_that_crashes_three_times_on_trial_goes_back(machine: Machine) -> None:
    machine.kept(3)
    machine.offer(signed(4, heartbeat_seconds=300.0))
    for _ in range(2):
        machine.start()
        assert machine.managed.tell() == {"number": 4, "state": "trying"}
        assert machine.managed.settings.agent.heartbeat_seconds == 300
    machine.start()
    told = machine.managed.tell()
    assert (told["number"], told["failed"], told["failure"]) == (3, 4, "rolled_back")
    assert told["reason"] == reasons.SETTINGS_ENDED(times=3)
    assert machine.used[-1].agent.heartbeat_seconds == 60


def test_stopping_the_agent_as_it_should_be_stopped_is_no_crash(machine: Machine) -> None:
    machine.offer(signed(4))
    for _ in range(5):
        machine.managed.stopped()
        machine.start()
        assert machine.managed.tell() == {"number": 4, "state": "trying"}
    machine.after(TRIAL / 2, answers=1)
    assert machine.after(TRIAL / 2)["state"] == "in_force"


def test_newer_settings_take_the_place_of_those_on_trial_and_fall_back_to_the_kept(machine: Machine) -> None:
    machine.kept(3, heartbeat_seconds=120.0)
    machine.offer(signed(4, heartbeat_seconds=300.0))
    machine.after(TRIAL / 4)
    machine.offer(signed(5, heartbeat_seconds=200.0))
    machine.after(TRIAL / 2)
    told = machine.after(TRIAL / 2)
    assert (told["number"], told["failed"]) == (3, 5)
    assert machine.used[-1].agent.heartbeat_seconds == 120


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: signed(9, authority=Authority.make(utcnow())), reasons.SETTINGS_UNSIGNED),
        (lambda: signed(9, endpoint="another"), reasons.SETTINGS_FOREIGN),
        (lambda: signed(9, life=(-3600, -1)), reasons.SETTINGS_EXPIRED),
        (lambda: signed(9, life=(3600, 7200)), reasons.SETTINGS_EXPIRED),
        (lambda: signed(2), lambda: reasons.SETTINGS_OLD(number=2, taken=3)),
        (
            lambda: signed(10**15 - 1),
            lambda: reasons.SETTINGS_AHEAD(number=10**15 - 1, taken=3),
        ),
        (lambda: signed(1_000_004), lambda: reasons.SETTINGS_AHEAD(number=1_000_004, taken=3)),
        (
            lambda: signed(9, intervals={"lan": 5.0}),
            lambda: reasons.SETTINGS_INTERVAL(name="lan", least="6", most="86400"),
        ),
        (
            lambda: msgspec.structs.replace(signed(9), document=signed(9, heartbeat_seconds=600.0).document),
            reasons.SETTINGS_UNSIGNED,
        ),
    ],
    ids=[
        "another authority",
        "another machine",
        "over",
        "to come",
        "older",
        "the last of all",
        "far ahead",
        "too often",
        "changed",
    ],
)
def test_what_may_not_be_used_is_refused_and_told(
    machine: Machine, made: Callable[[], SignedSettings], reason: Callable[[], str]
) -> None:
    machine.kept(3, heartbeat_seconds=120.0)
    used = len(machine.used)
    assert machine.offer(made(), wanted=9) == NEVER
    told = machine.managed.tell()
    assert (told["number"], told["failed"], told["failure"], told["reason"]) == (3, 9, "refused", reason())
    assert len(machine.used) == used
    asked = machine.asked
    machine.offer(made(), wanted=9)
    assert machine.asked == asked


def test_a_signature_over_what_is_no_document_is_refused(machine: Machine) -> None:
    for content in (
        b"",
        b"{}",
        b'{"endpoint_id":"x"}',
        b"[" * 20_000,
        "\ud800".encode(errors="surrogatepass"),
    ):
        body = SignedSettings(content, AUTHORITY.sign_statement(SIGNED_AS, content))
        machine.body = msgspec.json.encode(body)
        machine.start()
        machine.managed.step(Wanted(settings=9), machine)
        assert machine.managed.tell()["failure"] == "refused"
        assert machine.managed.tell()["number"] == 0


def test_a_collector_that_does_not_give_them_is_asked_again_later(machine: Machine) -> None:
    machine.status = 503
    assert 0 < machine.offer(signed(1)) < 3600
    machine.status = 0
    with pytest.raises(TransportError):
        machine.offer(signed(1))
    machine.status = 200
    machine.offer(signed(1))
    assert machine.managed.tell()["number"] == 1


@given(st.binary(max_size=200))
@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_collector_answers_is_refused(machine: Machine, body: bytes) -> None:
    machine.start()
    machine.body = body
    machine.managed.step(Wanted(settings=9), machine)
    assert machine.managed.tell()["number"] == 0


def test_an_answer_beyond_its_bound_is_not_read(machine: Machine) -> None:
    machine.body = b" " * MAX_SETTINGS_BYTES + msgspec.json.encode(signed(1))
    machine.managed.step(Wanted(settings=1), machine)
    assert machine.managed.tell()["failure"] == "refused"


def test_a_file_that_was_changed_on_the_disk_is_not_used(machine: Machine) -> None:
    machine.kept(3, heartbeat_seconds=120.0)
    record = read_record(machine.state.settings)
    assert record.kept is not None
    forged = record.kept.document.replace(b"120.0", b"600.0")
    record.kept = msgspec.structs.replace(record.kept, document=forged)
    machine.state.settings.write_bytes(msgspec.json.encode(record))
    machine.start()
    assert machine.managed.tell() == {"number": 0, "state": "own"}
    machine.offer(signed(3, heartbeat_seconds=120.0))
    assert machine.managed.tell() == {"number": 3, "state": "trying"}


@given(st.binary(max_size=300))
@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_file_the_agent_starts(machine: Machine, content: bytes) -> None:
    machine.state.settings.write_bytes(content)
    machine.start()
    assert machine.managed.tell()["number"] == 0


def test_a_number_far_ahead_once_does_not_keep_later_ones_out(machine: Machine) -> None:
    machine.offer(signed(1_000_001))
    assert machine.managed.tell()["failure"] == "refused"
    machine.offer(signed(5), wanted=10**15 - 1)
    assert machine.managed.tell()["number"] == 5
    machine.offer(signed(1_000_006))
    assert machine.managed.tell()["number"] == 5
    machine.offer(signed(1_000_005))
    assert machine.managed.tell()["number"] == 1_000_005


def test_a_trial_that_cannot_be_counted_is_not_gone_on_with(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.kept(3, heartbeat_seconds=120.0)
    machine.offer(signed(4, heartbeat_seconds=300.0))
    with monkeypatch.context() as full:

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(manager, "write_record", fail)
        for _ in range(4):
            machine.start()
            assert machine.managed.tell() == {"number": 3, "state": "in_force"}
            assert machine.used[-1].agent.heartbeat_seconds == 120.0
            assert machine.managed.watch() == NEVER
    machine.start()
    assert machine.managed.tell() == {"number": 4, "state": "trying"}


def test_settings_that_cannot_be_kept_are_not_tried(machine: Machine) -> None:
    machine.state.settings.mkdir()
    assert machine.offer(signed(1, heartbeat_seconds=300.0)) < 3600
    assert machine.managed.tell() == {"number": 0, "state": "own"}
    assert machine.used == []


def test_what_the_machines_own_file_says_holds(machine: Machine) -> None:
    machine.own = Settings(
        agent=AgentSection(heartbeat_seconds=7),
        collectors=CollectorSettings(disabled=("tail",), intervals={"lan": 33}),
    )
    machine.stated = frozenset({"agent.heartbeat_seconds", "collectors.disabled", "collectors.intervals"})
    machine.start()
    machine.offer(
        signed(
            1,
            heartbeat_seconds=300.0,
            metrics_seconds=60.0,
            disabled=("lan", "registry"),
            intervals={"lan": 90.0, "tail": 2.0},
        )
    )
    now = machine.managed.settings
    assert (now.agent.heartbeat_seconds, now.agent.metrics_seconds) == (7, 60)
    assert now.collectors.disabled == ("tail", "lan", "registry")
    assert now.collectors.intervals == {"lan": 33, "tail": 2}
    assert machine.managed.tell()["stated"] == ["heartbeat_seconds", "disabled.tail", "intervals.lan"]
    assert machine.managed.origins() == {
        "heartbeat_seconds": "own",
        "metrics_seconds": "collector",
        "spool_bytes": "default",
        "spool_hours": "default",
        "disabled.tail": "own",
        "disabled.lan": "collector",
        "disabled.registry": "collector",
        "intervals.lan": "own",
        "intervals.tail": "collector",
    }


def test_without_settings_of_a_collector_nothing_changes() -> None:
    assert effective(Settings(), frozenset(), Steered()) == Settings()
    assert stated_here(Settings(), frozenset()) == []
    assert set(origins(Settings(), frozenset(), Steered()).values()) == {"default"}


def test_a_process_of_its_own_verifies_as_this_one_does(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.offer(signed(1, heartbeat_seconds=300.0))
    assert machine.managed.tell() == {"number": 1, "state": "trying"}
    foreign = signed(2, authority=Authority.make(utcnow()))
    machine.offer(foreign)
    assert machine.managed.tell()["reason"] == reasons.SETTINGS_UNSIGNED()
    machine.state.ca.write_text("no certificate")
    assert 0 < machine.offer(signed(3)) < 3600
    assert machine.managed.tell()["number"] == 1


def test_one_who_only_looks_changes_nothing(enrolled: StateDirectory) -> None:
    settings, standing, _ = look(enrolled, Settings(), frozenset(), COLLECTORS)
    assert (settings, standing.state) == (Settings(), "own")
    assert not enrolled.settings.exists()
