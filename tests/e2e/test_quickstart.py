"""``make run``'s own command: first start, Ctrl-C, second start."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from soc_api.local import make_data_directory
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


class Quickstart:
    def __init__(self, data: Path, output: Path) -> None:
        self.output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "soc_api.cli", "quickstart", "--data", str(data), "--simulate", "3"],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.said()[-3000:]
        return "Ctrl-C" in self.said()

    def ended_by(self, *signals: signal.Signals) -> int:
        """Its exit code, once it and all that it started are gone."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        for number, kind in enumerate(signals):
            if number:
                wait_until(
                    lambda: any(not child.is_running() for child in children),
                    seconds=30,
                    what="the first part to end",
                )
            self.process.send_signal(kind)
        code = self.process.wait(timeout=60)
        _gone, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        return code


def test_quickstart_stops_cleanly_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = tmp_path / "var"
    make_data_directory(data)
    first = Quickstart(data, tmp_path / "first.log")
    try:
        wait_until(first.is_up, seconds=120, what="the address to open")
        identity = (data / "agent" / "identity.json").read_bytes()
        assert "otpauth://" in first.said()
        assert first.ended_by(signal.SIGINT, signal.SIGINT) == 0  # somebody in a hurry
    finally:
        _end(first)
    second = Quickstart(data, tmp_path / "second.log")
    try:
        wait_until(second.is_up, seconds=120, what="the address to open, again")
        assert (data / "agent" / "identity.json").read_bytes() == identity
        assert "otpauth://" not in second.said()
        beside = Quickstart(data, tmp_path / "beside.log")
        assert beside.process.wait(timeout=60) == 1
        assert "runs already" in beside.said()
        assert second.process.poll() is None, second.said()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        shutil.copy(data / "vonggac.toml", elsewhere)
        taken = Quickstart(elsewhere, tmp_path / "taken.log")
        try:
            assert taken.process.wait(timeout=60) == 1
        finally:
            _end(taken)
        assert "is in use: stop what listens there" in taken.said()
        assert "otpauth://" not in taken.said()
        assert second.ended_by(signal.SIGHUP) == 0  # the terminal was closed
    finally:
        _end(second)


def _end(run: Quickstart) -> None:
    if run.process.poll() is None:
        for child in psutil.Process(run.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
