from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import processes
from agent.collectors.common.masking import hide_secrets
from agent.collectors.common.proc_connector import is_acknowledged, parse_exec
from agent.collectors.common.process_watch import (
    COMMAND_CHARACTERS,
    REMEMBERED,
    Bucket,
    Repeats,
    Start,
    parse_command_line,
    parse_status,
    read_start,
)
from agent.collectors.processes import start_event
from agent.collectors.registry import NothingToReport
from tests.agent.collectors.support import CAPTURED, FakeClock, context, namespace, write
from tests.support.debian import root
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Messages the kernel sent when a shell started ``true``: acknowledgement, fork, exec, exit.
_HEAD = "4c00000003000000" + "00" * 8
ACKNOWLEDGED = bytes.fromhex(
    _HEAD + "01000000010000000000000001000000280000000000000001000000cf82a03dfa0000000000000000" + "00" * 19
)
FORK = bytes.fromhex(
    _HEAD + "010000000100000000000000000000002800000001000000010000006"
    "8bca23dfa0000003b2c00003b2c0000642c0000642c0000" + "00" * 8
)
EXEC = bytes.fromhex(
    _HEAD
    + "01000000010000000200000000000000280000000200000001000000c1bdaf3dfa000000642c0000642c0000"
    + "00" * 16
)


def test_only_an_exec_event_names_a_process() -> None:
    assert parse_exec(EXEC) == 0x2C64
    assert parse_exec(FORK) is None
    assert parse_exec(ACKNOWLEDGED) is None


def test_only_the_answer_to_the_own_request_counts() -> None:
    assert is_acknowledged(ACKNOWLEDGED, 0) == 0
    assert is_acknowledged(ACKNOWLEDGED, 7) is None
    assert is_acknowledged(EXEC, 2) is None
    assert is_acknowledged(b"", 0) is None


@pytest.mark.parametrize(
    ("shown", "hidden"),
    [
        ("mysql --password=Secret -u bob", "mysql --password=*** -u bob"),
        ("curl --token abc https://x", "curl --token *** https://x"),
        ("env API_KEY=abc sh", "env API_KEY=*** sh"),
        ("x --db-passwd 'two words' y", "x --db-passwd *** y"),
        ("ls -l /home", "ls -l /home"),
    ],
)
def test_secrets_on_a_command_line_are_masked(shown: str, hidden: str) -> None:
    assert hide_secrets(shown) == hidden


def test_a_process_is_described_from_its_files(tmp_path: Path) -> None:
    for pid, name in ((10, "bash"), (20, "id")):
        write(tmp_path / str(pid) / "cmdline", f"{name}\0-u\0".encode())
        write(tmp_path / str(pid) / "status", f"Name:\t{name}\nPPid:\t10\nUid:\t1000\t0\t0\t0\n")
        (tmp_path / str(pid) / "exe").symlink_to(f"/usr/bin/{name} (deleted)")
        (tmp_path / str(pid) / "cwd").symlink_to("/home/alice")
    start = read_start(tmp_path, 20, CAPTURED)
    assert start == Start(
        CAPTURED, 20, 10, "/usr/bin/id", "id -u", "/usr/bin/bash", "bash -u", "/home/alice", 0
    )
    assert start_event(start, "root").fields == {
        "Image": "/usr/bin/id",
        "CommandLine": "id -u",
        "CurrentDirectory": "/home/alice",
        "ParentImage": "/usr/bin/bash",
        "ParentCommandLine": "bash -u",
        "User": "root",
        "ProcessId": 20,
        "ParentProcessId": 10,
    }


def test_a_process_that_is_gone_is_empty_and_no_error(tmp_path: Path) -> None:
    assert read_start(tmp_path, 20, CAPTURED) == Start(CAPTURED, 20, 0, "", "", "", "", "", None)


def test_a_flood_is_let_through_at_a_bounded_rate() -> None:
    bucket = Bucket(0.0, rate=5, burst=10)
    assert sum(bucket.take(0.0) for _ in range(100)) == 10
    assert sum(bucket.take(2.0) for _ in range(100)) == 10
    assert sum(bucket.take(3.0) for _ in range(100)) == 5


def a_start(command: str) -> Start:
    return Start(CAPTURED, 1, 1, "/bin/x", command, "/bin/sh", "", "/", 0)


def test_repeats_within_a_minute_are_told_once_and_memory_is_bounded() -> None:
    repeats = Repeats()
    told = [repeats.is_repeat(a_start("x"), now) for now in (0.0, 30.0, 61.0)]
    assert told == [False, True, False]
    for number in range(REMEMBERED + 1):
        repeats.is_repeat(a_start(str(number)), 62.0)
    assert repeats.is_repeat(a_start("x"), 62.0) is False


@pytest.fixture
def watching() -> Iterator[dict[str, Any]]:
    root("the kernel's process connector")
    state: dict[str, Any] = {}
    try:
        processes.collect(context(Path("/"), proc=Path("/proc"), state=state))
    except NothingToReport as reason:
        pytest.skip(str(reason))
    yield state
    processes._watcher.close()


def test_a_real_start_is_seen_with_its_command_line_and_parent(watching: dict[str, Any]) -> None:
    marker = f"vonggac-{os.getpid()}"
    found: list[dict[str, Any]] = []

    def look() -> list[dict[str, Any]]:
        subprocess.run(["sh", "-c", f"sleep 0.02; sleep 0.0{time.monotonic_ns()} # {marker}"], check=True)
        output = processes.collect(context(Path("/"), proc=Path("/proc"), state=watching, now=FakeClock()))
        found.extend(e.fields for e in output.events if marker in str(e.fields.get("ParentCommandLine")))
        return found

    wait_until(look, seconds=10, what="the sleep's start")
    assert found[0]["Image"].startswith("/")
    assert found[0]["CommandLine"].startswith("sleep 0.0")
    assert found[0]["User"] == "root"
    assert found[0]["ParentProcessId"] > 1


def test_in_a_container_the_reason_is_shown() -> None:
    code = (
        "from agent.collectors.common.proc_connector import *\n"
        "try:\n open_connector(0.3)\nexcept ConnectorUnavailableError as e: print(e)"
    )
    done = subprocess.run(
        [*namespace("--pid"), "--fork", sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "process connector" in done.stdout


@given(st.binary(max_size=120))
def test_no_packet_breaks_the_connector(packet: bytes) -> None:
    assert parse_exec(packet) is None or len(packet) >= 60
    damaged = EXEC[: len(EXEC) - len(packet)] + packet
    assert parse_exec(damaged) is None or isinstance(parse_exec(damaged), int)


@given(st.binary(max_size=300))
def test_no_command_line_or_status_breaks_the_readers(raw: bytes) -> None:
    text = parse_command_line(raw)
    assert text.isprintable()
    assert len(text) <= COMMAND_CHARACTERS + 300
    parent, uid = parse_status(raw)
    assert parent >= 0
    assert uid is None or uid >= 0
