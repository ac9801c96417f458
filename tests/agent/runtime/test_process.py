"""The real program as a process, with a host tree of the test's own, against the stub collector."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.runtime.diagnosis import diagnose
from agent.runtime.identity import load_identity
from soc_api.local import free_port
from tests.support.tinyproxy import Tinyproxy
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.settings import StateDirectory
    from tests.agent.runtime.stub import StubCollector

LINE = (
    "Nov 21 10:00:00 may-01 sshd[{n}]: Failed password for invalid user u{n} from 192.0.2.7 port 4711 ssh2\n"
)


class Program:
    """``vonggac-agent`` on a host tree that holds an auth.log and little else."""

    def __init__(self, folder: Path, state: StateDirectory) -> None:
        self.state = state
        self.root = folder / "root"
        self.log = self.root / "var/log/auth.log"
        self.log.parent.mkdir(parents=True)
        self.log.write_text("")
        self.config = folder / "agent.toml"
        kept = {"auth_log"}
        from agent.collectors.registry import load_collectors

        others = [c.name for c in load_collectors() if c.name not in kept]
        self.config.write_text(
            f'[agent]\nstate_dir = "{state.root}"\n[host]\nroot = "{self.root}"\n'
            f"[collectors]\ndisabled = {json.dumps(others)}\nintervals = {{ auth_log = 0.2 }}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._process is None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "run", "--config", str(self.config)],
            stderr=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(timeout=20)
        self._process = None
        return status

    def close(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    def write(self, *numbers: int) -> None:
        with self.log.open("a") as log:
            log.write("".join(LINE.format(n=n) for n in numbers))

    def command(self, *words: str, text_in: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agent.cli", *words],
            capture_output=True,
            text=True,
            input=text_in,
            check=False,
            timeout=60,
        )


@pytest.fixture
def program(tmp_path: Path, enrolled: StateDirectory) -> Iterator[Program]:
    made = Program(tmp_path, enrolled)
    yield made
    made.close()


def users(stub: StubCollector) -> list[str]:
    return [
        str(event.fields.get("User"))
        for batch in stub.batches()
        for event in batch.events
        if event.fields.get("event.action") == "ssh_login_failed"
    ]


def wait_for_user(stub: StubCollector, name: str) -> None:
    wait_until(lambda: name in users(stub), seconds=20, what=f"the event about {name}")


def started(program: Program, stub: StubCollector) -> None:
    """Start, and wait until the log has been looked at once (what stood there before is not news)."""
    before = len(stub.seen)
    program.start()
    wait_until(lambda: len(stub.seen) > before, seconds=20, what="a first word")
    wait_until(lambda: stub.batches(), seconds=20, what="the first batch, and in it where the log ended")


def test_an_agent_killed_and_restarted_sends_each_event_once(program: Program, stub: StubCollector) -> None:
    started(program, stub)
    program.write(0)
    wait_until(lambda: users(stub), seconds=20, what="the first event")
    expected = ["u0"]
    for number in range(1, 9, 2):
        stub.answers = [(503, {"Retry-After": "1"}, b"")]
        program.write(number)
        wait_until(lambda: not stub.answers, seconds=20, what="the batch to be offered")
        assert program.end(signal.SIGKILL) == -signal.SIGKILL
        program.write(number + 1)
        program.start()
        expected += [f"u{number}", f"u{number + 1}"]
        wait_for_user(stub, f"u{number + 1}")
    assert program.end(signal.SIGTERM) == 0
    assert users(stub) == expected
    assert sorted(seq for _, seq in stub.kept) == list(range(1, len(stub.kept) + 1))


def test_sigterm_ends_it_cleanly_with_everything_on_disk(program: Program, stub: StubCollector) -> None:
    started(program, stub)
    assert program.end(signal.SIGTERM) == 0
    diagnosis = diagnose(program.state, "en")
    assert not diagnosis.running
    assert [problem.code for problem in diagnosis.problems] == ["not_running"]


def test_two_agents_never_share_a_state_directory(program: Program, stub: StubCollector) -> None:
    started(program, stub)
    second = program.command("run", "--config", str(program.config))
    assert second.returncode == 1
    assert "another agent is running" in second.stderr
    assert second.stderr.count("\n") == 1


def test_status_is_well_while_it_runs_and_says_what_to_do_when_revoked(
    program: Program, stub: StubCollector
) -> None:
    started(program, stub)
    stub.answers = [
        (403, {}, b'{"type":"urn:vonggac:problem:revoked","title":"revoked","status":403}') for _ in range(9)
    ]
    program.write(1)
    words = ("status", "--config", str(program.config), "--json")

    def codes() -> list[str]:
        answer = json.loads(program.command(*words).stdout)
        return [problem["code"] for problem in answer["problems"]]

    wait_until(lambda: "revoked" in codes(), seconds=30, what="the status to say revoked")
    shown = program.command("status", "--config", str(program.config))
    assert shown.returncode == 1
    assert "đã bị thu hồi" in shown.stdout
    assert "Cần làm" in shown.stdout


def test_a_burst_is_read_to_its_end_across_a_rotation_and_nothing_twice(
    program: Program, stub: StubCollector
) -> None:
    started(program, stub)
    program.write(*range(6_000))
    program.log.rename(program.log.with_name("auth.log.1"))
    program.write(*range(6_000, 7_000))
    wait_until(lambda: len(users(stub)) >= 7_000, seconds=30, what="7,000 events", every=0.3)
    program.write(7_000)
    wait_for_user(stub, "u7000")
    assert users(stub) == [f"u{number}" for number in range(7_001)]


def test_the_agent_goes_by_the_standby_through_the_proxy_and_says_when_that_is_gone(
    program: Program, stub: StubCollector, tmp_path: Path
) -> None:
    proxy = Tinyproxy(tmp_path / "proxy", ports=(stub.port,))
    try:
        gone = f"https://127.0.0.1:{free_port()}"
        way = f'[collector]\nurl = "{gone}"\nstandby = ["{stub.url}"]\nproxy = "{proxy.url}"\n'
        program.config.write_text(way + program.config.read_text())
        started(program, stub)
        program.write(7)
        wait_for_user(stub, "u7")
        assert stub.url in program.command("status", "--config", str(program.config), "--lang", "en").stdout
    finally:
        proxy.stop()
    program.write(8)
    wait_until(
        lambda: any(each.code == "proxy" for each in diagnose(program.state, "vi").problems),
        seconds=30,
        what="the status to speak of the proxy",
    )
    shown = program.command("status", "--config", str(program.config))
    assert "Proxy không cho đi tới" in shown.stdout
    assert "CONNECT" in shown.stdout


def test_the_certificate_is_renewed_while_the_agent_runs(program: Program, stub: StubCollector) -> None:
    identity = load_identity(program.state)
    old = json.loads(program.state.identity.read_bytes())
    old["not_after"] = identity.not_before + 1
    program.state.identity.write_text(json.dumps(old))
    program.start()
    wait_until(
        lambda: any(seen.path == "/v1/renew" and seen.certified for seen in stub.seen),
        seconds=30,
        what="a renewal",
    )
    wait_until(
        lambda: load_identity(program.state, finish=False).not_after >= identity.not_after,
        seconds=30,
        what="the new identity",
    )
    wait_until(
        lambda: stub.seen[-1].path in ("/v1/heartbeat", "/v1/batches"), seconds=30, what="life after renewal"
    )


def test_the_token_comes_from_standard_input_and_the_key_from_here(
    tmp_path: Path, stub: StubCollector, program: Program
) -> None:
    state = tmp_path / "other"
    done = program.command(
        "enroll", "--state", str(state), "--collector", stub.url, "--token-file", "-", "--json",
        text_in=stub.token() + "\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["collector_url"] == stub.url
    again = program.command("enroll", "--state", str(state), "--collector", stub.url, "--token", stub.token())
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_once_sends_what_it_found_and_ends(program: Program, stub: StubCollector) -> None:
    done = program.command("once", "--config", str(program.config), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["waiting"] == 0
    assert [h.name for batch in stub.batches() for h in batch.health] == ["auth_log"]


def test_a_dry_run_keeps_and_sends_nothing(program: Program, stub: StubCollector) -> None:
    before = sorted(path.name for path in program.state.root.iterdir())
    done = program.command(
        "once", "--config", str(program.config), "--dry-run", "--only", "auth_log", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert [found["collector"] for found in json.loads(done.stdout)] == ["auth_log"]
    assert sorted(path.name for path in program.state.root.iterdir()) == before
    assert stub.seen == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[agent]\nstate_dri = 1\n", "state_dir"),
        ("[collectors]\ndisabled = ['hots']\n", "no collector is called 'hots'"),
        ("[collector]\nurl = 'http://a'\n", "url"),
        ("[collector]\nurl = 'https://a:8444?x=1'\n", "not a collector's address"),
        ("[collector]\nurl = 'https://a:99999'\n", "out of range"),
        ("[agent\n", "line 1"),
    ],
)
def test_wrong_settings_are_named_in_one_line(tmp_path: Path, program: Program, text: str, says: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    done = program.command("check-config", "--config", str(path))
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["enroll", "run", "once", "status", "check-config"])
def test_every_command_helps_with_an_example(program: Program, command: str) -> None:
    done = program.command(command, "--help")
    assert done.returncode == 0
    assert f"example: vonggac-agent {command}" in " ".join(done.stdout.split())


def test_a_setting_comes_from_the_environment(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "VONGGAC_AGENT_AGENT_HEARTBEAT_SECONDS", "7.5")
    done = program.command("check-config", "--json")
    assert json.loads(done.stdout)["settings"]["agent"]["heartbeat_seconds"] == 7.5
