from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.common import follow as module
from agent.collectors.common.follow import follow, split_lines
from tests.agent.collectors.support import CAPTURED

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


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


def test_a_cursor_without_a_mark_goes_on_and_gets_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    state = started(log)
    del state["mark"]
    append(log, "one\n")
    assert read_all(log, state) == ([b"one"], [])
    assert state["mark"] is not None
    del state["mark"]
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
