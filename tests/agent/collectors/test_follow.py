from __future__ import annotations

import gzip
import json
import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.common import follow as module
from agent.collectors.common.follow import follow, split_lines
from tests.agent.collectors.support import CAPTURED

if TYPE_CHECKING:
    from pathlib import Path


def read_all(path: Path, state: dict[str, Any]) -> tuple[list[bytes], list[str]]:
    lines: list[bytes] = []
    changes: list[str] = []
    while True:
        found = follow(path, state, CAPTURED)
        lines += found.lines
        changes += [found.change] if found.change else []
        if not found.more:
            return lines, changes


def started(path: Path, content: str = "old\n") -> dict[str, Any]:
    path.write_text(content)
    state: dict[str, Any] = {}
    assert read_all(path, state) == ([], [])
    return state


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_the_first_look_reports_nothing_old_and_the_next_only_what_is_new(tmp_path: Path) -> None:
    state = started(tmp_path / "log")
    append(tmp_path / "log", "one\ntwo\n")
    assert read_all(tmp_path / "log", state) == ([b"one", b"two"], [])
    assert read_all(tmp_path / "log", state) == ([], [])


def test_a_line_is_told_when_it_is_whole(tmp_path: Path) -> None:
    state = started(tmp_path / "log")
    append(tmp_path / "log", "on")
    assert read_all(tmp_path / "log", state) == ([], [])
    append(tmp_path / "log", "e\n")
    assert read_all(tmp_path / "log", state) == ([b"one"], [])


def test_a_restart_goes_on_at_the_saved_cursor(tmp_path: Path) -> None:
    state = started(tmp_path / "log")
    saved = dict(state)
    append(tmp_path / "log", "one\n")
    assert read_all(tmp_path / "log", state)[0] == [b"one"]
    assert read_all(tmp_path / "log", saved)[0] == [b"one"]


def test_rotation_loses_no_line_of_either_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    append(log, "last of the old\n")
    log.rename(tmp_path / "log.1")
    log.write_text("first of the new\n")
    assert read_all(log, state) == ([b"last of the old", b"first of the new"], [])


class Rotating:
    """A log that is rotated as logrotate does: every rotated file takes the number after its own, or a day; the newest
    may be compressed at the next turn (``delaycompress``). Each is written a minute after the one before."""

    def __init__(
        self, log: Path, *, dated: bool = False, compress: bool = False, create: bool = True
    ) -> None:
        self.log = log
        self.dated = dated
        self.compress = compress
        self.create = create
        self.turns = 0
        self.time = log.stat().st_mtime

    def write(self, text: str) -> None:
        append(self.log, text)
        self.time += 60
        os.utime(self.log, (self.time, self.time))

    def turn(self) -> None:
        self.turns += 1
        name = self.log.name
        if self.compress and (newest := self.log.with_name(f"{name}.1")).exists():
            newest.with_name(f"{name}.1.gz").write_bytes(gzip.compress(newest.read_bytes()))
            newest.unlink()
        if self.dated:
            self.log.rename(self.log.with_name(f"{name}-202611{self.turns:02}"))
        else:
            for number in range(self.turns, 0, -1):
                for end in ("", ".gz"):
                    old = self.log.with_name(f"{name}.{number}{end}")
                    if old.exists():
                        old.rename(self.log.with_name(f"{name}.{number + 1}{end}"))
            self.log.rename(self.log.with_name(f"{name}.1"))
        if self.create:
            self.log.touch()


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("create", [False, True])
def test_several_rotations_while_nobody_looked_lose_no_line_and_no_order(
    dated: bool, create: bool, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier week\n")
    rotating = Rotating(log, dated=dated, create=create)
    rotating.turn()  # was there before the agent: never read
    log.touch()
    state = started(log, "")
    for number in range(4):
        rotating.write(f"{number}a\n{number}b\n")
        rotating.turn()
    (tmp_path / "log.1.bak").write_text("a person's copy\n")
    (tmp_path / "log-notes").write_text("something else\n")
    rotating.write("last\n")
    expected = [f"{number}{letter}".encode() for number in range(4) for letter in "ab"]
    assert read_all(log, state) == ([*expected, b"last"], [])
    assert read_all(log, state) == ([], [])
    rotating.write("more\n")
    assert read_all(log, state) == ([b"more"], [])


def test_a_restart_between_rotated_files_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 8)
    log = tmp_path / "log"
    state, lines = started(log), []
    rotating = Rotating(log)
    for number in range(3):
        rotating.write(f"{number}aaaa\n{number}bbbb\n")
        rotating.turn()
    for _ in range(40):
        state = json.loads(json.dumps(state))
        lines += follow(log, state, CAPTURED).lines
    assert lines == [f"{number}{letter * 4}".encode() for number in range(3) for letter in "ab"]


def test_what_was_compressed_meanwhile_costs_only_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    rotating = Rotating(log, compress=True)
    keep = log.open()  # so that no new file gets the old one's number
    for number in range(3):
        rotating.write(f"{number}\n")
        rotating.turn()
    rotating.write("last\n")
    state["seen"] = 0.0
    assert read_all(log, state) == ([b"2", b"last"], [])
    keep.close()


def test_copies_of_a_truncated_log_are_read_in_order(tmp_path: Path) -> None:
    """``copytruncate``, twice while nobody looked."""
    log = tmp_path / "log"
    state = started(log, "")
    append(log, "read\n")
    assert read_all(log, state) == ([b"read"], [])
    append(log, "one\n")
    base = log.stat().st_mtime
    (tmp_path / "log.2").write_bytes(log.read_bytes())
    os.utime(tmp_path / "log.2", (base + 60, base + 60))
    (tmp_path / "log.1").write_text("two\n")
    os.utime(tmp_path / "log.1", (base + 120, base + 120))
    log.write_text("six\n")
    assert read_all(log, state) == ([b"one", b"two", b"six"], [])


def test_a_cursor_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    del state["mtime"]
    rotating = Rotating(log)
    for number in range(2):
        rotating.write(f"{number}\n")
        rotating.turn()
    assert read_all(log, state) == ([b"0", b"1"], [])


def test_rotation_into_a_compressed_file_is_no_removal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    keep = log.open()  # so that the new file cannot get the old one's number
    (tmp_path / "log.2.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    log.write_text("new\n")
    state["seen"] = 0.0
    assert read_all(log, state) == ([b"new"], [])
    keep.close()


def test_truncation_is_told_and_reading_goes_on_from_the_start(tmp_path: Path) -> None:
    state = started(tmp_path / "log", "a long old line\n")
    (tmp_path / "log").write_text("new\n")
    assert read_all(tmp_path / "log", state) == ([b"new"], ["truncated"])


def test_a_log_that_is_copied_and_truncated_loses_no_line_and_is_no_alarm(tmp_path: Path) -> None:
    """As logrotate's ``copytruncate`` does it, with lines that were not read yet."""
    log = tmp_path / "log"
    state = started(log, "old\n" * 40)
    append(log, "read\n")
    assert read_all(log, state) == ([b"read"], [])
    append(log, "not read yet\n")
    (tmp_path / "log.2").write_text("of an earlier day, and longer than what was read\n" * 20)
    (tmp_path / "log.1").write_bytes(log.read_bytes())
    log.write_text("first of the new\n")
    assert read_all(log, state) == ([b"not read yet", b"first of the new"], [])
    append(log, "second\n")
    assert read_all(log, state) == ([b"second"], [])


@pytest.mark.parametrize("older", ["log.0", "log.1"])  # whichever a folder lists first
def test_lines_that_end_alike_are_told_apart_by_how_they_begin(tmp_path: Path, older: str) -> None:
    """``copytruncate``; the new log, and a copy of another day, have the same bytes before the offset."""

    def lines(day: int, count: int) -> list[str]:
        return [f"2026-11-{day} {number:04} {'GET /trang-chu HTTP/1.1 200 ' * 5}" for number in range(count)]

    log = tmp_path / "log"
    state = started(log, "")
    append(log, "\n".join([*lines(22, 100), ""]))
    assert len(read_all(log, state)[0]) == 100
    append(log, "not read yet\n")
    (tmp_path / older).write_text("\n".join([*lines(21, 300), ""]))
    copy = tmp_path / ("log.0" if older == "log.1" else "log.1")
    copy.write_bytes(log.read_bytes())
    log.write_text("\n".join([*lines(23, 200), ""]))
    new = [line.encode() for line in lines(23, 200)]
    assert read_all(log, state) == ([b"not read yet", *new], [])


def test_a_log_that_is_copied_compressed_and_truncated_in_one_go_is_no_alarm(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log, "old and long\n" * 4)
    (tmp_path / "log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.write_text("new\n")
    state["seen"] = 0.0
    assert read_all(log, state) == ([b"new"], [])


def test_a_log_that_was_emptied_and_has_grown_beyond_what_was_read_is_read_from_its_start(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    state = started(log)
    new = [f"line {number}" for number in range(100)]
    log.write_text("\n".join([*new, ""]))
    assert read_all(log, state) == ([line.encode() for line in new], ["truncated"])


def test_a_cursor_without_a_seal_goes_on_and_gets_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    del state["seal"]
    append(log, "one\n")
    assert read_all(log, state) == ([b"one"], [])
    assert state["seal"] is not None
    del state["seal"]
    log.write_text("n\n")
    assert read_all(log, state) == ([b"n"], ["truncated"])


def test_a_removed_log_is_told_once_and_its_successor_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    log.unlink()
    assert read_all(log, state) == ([], ["removed"])
    assert read_all(log, state) == ([], [])
    log.write_text("new\n")
    assert read_all(log, state) == ([b"new"], [])


def test_a_log_replaced_in_one_step_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    (tmp_path / "other").write_text("fresh\n")
    (tmp_path / "other").rename(log)
    assert read_all(log, state) == ([b"fresh"], ["removed"])


def test_much_at_once_is_read_in_bounded_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 64)
    state = started(tmp_path / "log")
    append(tmp_path / "log", "".join(f"line {n}\n" for n in range(100)))
    first = follow(tmp_path / "log", state, CAPTURED)
    assert first.more
    assert len(first.lines) < 20
    assert first.lines + read_all(tmp_path / "log", state)[0] == [f"line {n}".encode() for n in range(100)]


def test_an_endless_line_is_cut_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 64)
    monkeypatch.setattr(module, "LINE_BYTES", 16)
    state = started(tmp_path / "log")
    append(tmp_path / "log", "x" * 200 + "\nnext\n")
    lines, _ = read_all(tmp_path / "log", state)
    assert lines[-1] == b"next"
    assert max(len(line) for line in lines) <= 16


@given(st.binary(max_size=300))
def test_split_lines_takes_whole_lines_and_nothing_else(data: bytes) -> None:
    lines, used = split_lines(data)
    assert b"".join(line + b"\n" for line in lines) == data[:used]
    assert b"\n" not in data[used:]


def test_a_cursor_of_an_earlier_version_finds_the_copy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log, "".join(f"line {number}\n" for number in range(100)))
    del state["seal"]
    state["mark"] = zlib.crc32(log.read_bytes()[-64:])
    append(log, "unread\n")
    (tmp_path / "log.1").write_bytes(log.read_bytes())
    log.write_text("new\n")
    assert read_all(log, state) == ([b"unread", b"new"], [])
    assert "mark" not in state
