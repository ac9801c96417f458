"""Rules written, tried, changed, disabled and taken back while an agent sends: nothing restarts and nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from collector.store.client import StoreClient
from soc_api.local import LocalError
from tests.support.stack import Agent, Stack, page
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.e2e

RULE_ID = "7b2f0c1e-5a39-4c2e-8d27-0f4a5f6c7d81"
RULE = f"""title: Sign-in tried as a retired account
id: {RULE_ID}
status: test
level: high
logsource: {{product: linux, service: auth}}
detection:
  selection:
    event.action: ssh_login_failed
    User|startswith: retired
  condition: selection
vonggac: {{subject: [host.id, User]}}
"""
EVIDENCE = """fires:
  - why: A retired account is tried
    events:
      - {event.action: ssh_login_failed, User: retired-minh}
near_misses:
  - why: An account that is in use
    events:
      - {event.action: ssh_login_failed, User: minh}
"""
_SECONDS = 60
GREETING = "greeting"
SETTINGS = "[detect]\nclock_seconds = 1\nstatistics_seconds = 1\nsnapshot_seconds = 600\n"


class Machine:
    """An agent with a log of its own, into which a thread writes a line every so often until it is stopped."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.log = folder / "auth.log"
        folder.mkdir()
        self.log.write_text("")
        self.agent = Agent(folder / "agent", stack, f'[collectors]\nauth_logs = ["{self.log}"]\n')
        self.agent.enroll(stack.token("so-tai-chinh"))
        self.agent.start()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._background = threading.Thread(target=self._noise)
        self.written = 0

    def greet(self) -> None:
        """A line that is not counted: what was written before the agent first looked, it passes over."""
        self._write(GREETING, 1)

    def failed(self, user: str, count: int = 1) -> None:
        self._write(user, count)
        with self._lock:
            self.written += count

    def _write(self, user: str, count: int) -> None:
        stamp = time.strftime("%b %e %H:%M:%S")
        line = f"{stamp} host sshd[77]: Failed password for {user} from 192.0.2.1 port 40000 ssh2\n"
        with self._lock, self.log.open("a") as file:
            file.write(line * count)

    def start_noise(self) -> None:
        self._background.start()

    def stop_noise(self) -> None:
        self._stop.set()
        self._background.join()

    def _noise(self) -> None:
        number = 0
        while not self._stop.wait(0.05):
            number += 1
            self.failed(f"noise{number}")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path, SETTINGS)
    made.start()
    made.vonggac("agency", "builtin", "thanh-hoa")
    yield made
    made.kill()


@pytest.fixture
def analyst(stack: Stack) -> Iterator[httpx.Client]:
    with closing(stack.client(stack.user())) as client:
        yield client


@pytest.fixture
def machine(stack: Stack, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "machine", stack)
    wait_until(lambda: _heard(stack, made), seconds=120, what="the agent to read its log", every=1)
    made.start_noise()
    yield made
    made.stop_noise()
    made.agent.kill()


def subjects(analyst: httpx.Client, rule_id: str = RULE_ID) -> list[str]:
    found = page(analyst, "/api/v1/alerts", rule_id=rule_id, limit="200")["items"]
    return sorted(each["subject"].rpartition(" ")[2] for each in found if each["rule_id"] == rule_id)


def processes(stack: Stack) -> dict[str, int]:
    return {
        name: stack.process("collector.process", name).pid
        for name in ("ingest", "detect", "correlate", "store")
    }


def test_a_rule_lives_its_life_while_events_flow(
    stack: Stack, analyst: httpx.Client, machine: Machine, tmp_path: Path
) -> None:
    before = processes(stack)
    file = tmp_path / "retired.yml"
    file.write_text(RULE)
    (tmp_path / "retired.evidence.yml").write_text(EVIDENCE)

    assert "sound (2 cases of evidence hold)" in stack.vonggac("sigma", "add", str(file), "--dry-run")
    added = stack.vonggac("sigma", "add", str(file), "--comment", "asked for by the audit")
    assert "taken by the worker at" in added
    machine.failed("retired-one")
    wait_until(
        lambda: subjects(analyst) == ["retired-one"], seconds=_SECONDS, what="an alert of the new rule"
    )

    rule = page(analyst, f"/api/v1/rules/{RULE_ID}")
    changed = rule["source"].replace("startswith: retired", "startswith: former")
    answer = analyst.put(f"/api/v1/rules/{RULE_ID}", json={"text": changed, "based_on": rule["revision"]})
    assert answer.status_code == 200, answer.text
    wait_until(lambda: _taken(analyst), seconds=_SECONDS, what="the worker to take the change")
    machine.failed("retired-two")
    machine.failed("former-one")
    wait_until(lambda: "former-one" in subjects(analyst), seconds=_SECONDS, what="an alert of the new text")
    assert "retired-two" not in subjects(analyst)

    file.write_text(RULE.replace("condition: selection", "condition: selektion"))
    with pytest.raises(LocalError, match=r"retired\.yml:10: error: .*selektion"):
        stack.vonggac("sigma", "add", str(file), "--on", "2")
    assert page(analyst, f"/api/v1/rules/{RULE_ID}")["revision"] == 2

    stack.vonggac("sigma", "disable", RULE_ID, "--reason", "for this test")
    machine.failed("former-two")
    wait_until(
        lambda: _stored(stack, "former-two") == 1, seconds=_SECONDS, what="the event that no rule is asked of"
    )
    stack.vonggac("sigma", "enable", RULE_ID)
    stack.vonggac("sigma", "revert", RULE_ID, "--to", "1")
    machine.failed("retired-three")
    wait_until(
        lambda: "retired-three" in subjects(analyst), seconds=_SECONDS, what="an alert of the old text"
    )

    stack.vonggac("sigma", "throttle", RULE_ID, "--an-hour", "1", "--reason", "for this test")
    for number in range(3):
        machine.failed(f"retired-many{number}")
    held_back = lambda: page(analyst, f"/api/v1/rules/{RULE_ID}")["figures"]["throttled"] >= 2  # noqa: E731
    wait_until(held_back, seconds=_SECONDS, what="findings that the limit held back")
    machine.stop_noise()

    wait_until(lambda: _stored(stack) >= machine.written, seconds=60, what="every event")
    assert _stored(stack) == machine.written
    # Of the hour's findings the limit lets one through: the next, or none where the hour had its share.
    assert set(subjects(analyst)) - {"retired-many0"} == {"former-one", "retired-one", "retired-three"}
    assert processes(stack) == before


def test_correlations_complete_over_changes_of_other_rules_and_a_killed_worker(
    stack: Stack, analyst: httpx.Client, machine: Machine, tmp_path: Path
) -> None:
    correlation = tmp_path / "burst.yml"
    burst_id = "7b2f0c1e-5a39-4c2e-8d27-0f4a5f6c7d82"
    correlation.write_text(
        f"title: Seven failures of one user\nid: {burst_id}\nstatus: test\nlevel: high\ncorrelation:\n"
        "  type: event_count\n  rules: [ssh_login_failed]\n  group-by: [User]\n  timespan: 1h\n"
        "  condition: {gte: 7}\nvonggac: {subject: [User]}\n"
    )
    base = json.loads(stack.vonggac("sigma", "list", "--text", "ssh_login_failed", "--json"))
    assert base, "our own rule of failed sign-ins has this name"
    stack.vonggac("sigma", "add", str(correlation))
    machine.failed("careless", 3)
    wait_until(lambda: _stored(stack, "careless") == 3, seconds=_SECONDS, what="the first three")

    other = tmp_path / "retired.yml"
    other.write_text(RULE)
    stack.vonggac("sigma", "add", str(other))
    machine.failed("careless", 3)
    wait_until(lambda: _stored(stack, "careless") == 6, seconds=_SECONDS, what="the next three")
    _settled(stack)
    for name in ("detect", "correlate"):
        stack.process("collector.process", name).kill()
    machine.failed("careless")
    wait_until(
        lambda: subjects(analyst, burst_id) == ["careless"], seconds=60, what="the correlation's alert"
    )
    found = page(analyst, "/api/v1/alerts", rule_id=burst_id)["items"]
    assert [each["count"] for each in found if each["rule_id"] == burst_id] == [1]


def _taken(analyst: httpx.Client) -> Any:
    return page(analyst, f"/api/v1/rules/{RULE_ID}")["changes"][0]["applied_at"]


def _settled(stack: Stack) -> None:
    """Once the checkpoints have moved on behind what was stored (heartbeats come every two seconds), and correlations
    have seen what was handed over."""
    from collector.detect.checkpoints import load_places
    from collector.detect.handover import oldest_waiting
    from collector.settings import DataDirectory
    from collector.state.database import StateStore

    state = StateStore(DataDirectory(stack.data).state)

    def offset() -> int:
        with state.read() as session:
            return max(place.log_offset for place in load_places(session).values())

    def all_taken() -> bool:
        with state.read() as session:
            return oldest_waiting(session) is None

    start = offset()
    wait_until(lambda: offset() > start, seconds=_SECONDS, what="the checkpoint to move on")
    wait_until(all_taken, seconds=_SECONDS, what="the handovers to be taken")
    state.close()


def _heard(stack: Stack, machine: Machine) -> bool:
    machine.greet()
    return _count(stack, "position(body, {user:String}) > 0", GREETING) > 0


def _stored(stack: Stack, user: str = "") -> int:
    """Failed sign-ins in the event store, none of them twice; greetings do not count."""
    return _count(
        stack,
        "position(body, 'ssh_login_failed') > 0 AND position(body, {user:String}) > 0"
        f" AND position(body, '{GREETING}') = 0",
        user,
    )


def _count(stack: Stack, condition: str, user: str) -> int:
    client = StoreClient(stack.data / "run" / "store.sock")
    try:
        rows = client.query(
            f"SELECT count() AS n, uniqExact(event_id) AS ids FROM events WHERE {condition}",
            {"user": user},
        )
    finally:
        client.close()
    assert rows[0]["n"] == rows[0]["ids"]
    return int(rows[0]["n"])
