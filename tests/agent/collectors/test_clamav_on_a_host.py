"""Against a real clamd with a database of the test's own."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.collectors import antivirus_clamav, antivirus_clamav_log
from agent.collectors.registry import Context, NothingToReport
from agent.settings import CollectorSettings
from tests.agent.collectors.support import CAPTURED, FakeClock, context, write
from tests.support.clamd import EICAR, Clamd
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILT = CAPTURED - 20 * 86400


@pytest.fixture
def clamd() -> Iterator[Clamd]:
    folder = Path(tempfile.mkdtemp(prefix="vg"))
    daemon = Clamd(folder / "clamd", built_at=BUILT)
    daemon.start()
    yield daemon
    daemon.stop()
    shutil.rmtree(folder)


def status(ctx: Context) -> dict[str, Any]:
    (document,) = antivirus_clamav.collect(ctx).documents
    assert (document.kind, document.item) == ("antivirus", "clamav")
    assert document.body is not None
    return document.body


def on_this_host(clamd: Clamd, state: dict[str, Any] | None = None) -> Context:
    settings = CollectorSettings(clamd_sockets=(str(clamd.socket),), clamd_logs=(str(clamd.log),))
    return context(Path("/"), settings=settings, state=state, now=time.time)


def test_a_running_clamd_is_on_and_tells_how_old_its_database_is(clamd: Clamd) -> None:
    body = status(on_this_host(clamd))
    assert (body["state"], body["database_version"]) == ("on", "26961")
    assert body["signature_time"] == pytest.approx(BUILT, abs=1)
    assert body["engine_version"]


def test_a_stopped_clamd_is_off_at_the_next_look(clamd: Clamd) -> None:
    assert status(on_this_host(clamd))["state"] == "on"
    clamd.stop()
    body = status(on_this_host(clamd))
    assert (body["state"], body["signature_time"]) == ("off", None)
    assert body["reason"]


def test_clamd_is_found_by_its_configuration_under_another_root(clamd: Clamd, tmp_path: Path) -> None:
    write(tmp_path / "etc/clamav/clamd.conf", "LocalSocket /run/clamd.sock\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/clamd.sock").symlink_to(clamd.socket)
    (tmp_path / "proc").mkdir()
    assert status(context(tmp_path))["state"] == "on"


def test_eicar_in_clamds_log_becomes_one_event(clamd: Clamd) -> None:
    state: dict[str, Any] = {}
    assert antivirus_clamav_log.collect(on_this_host(clamd, state)).events == []
    infected = write(clamd.folder / "tệp lạ: mới.com", EICAR)
    assert clamd.scan(infected).endswith("FOUND")
    assert clamd.scan(infected).endswith("FOUND")
    events = wait_until(
        lambda: antivirus_clamav_log.collect(on_this_host(clamd, state)).events, seconds=5, what="the finding"
    )
    (event,) = events
    assert event.fields["Filename"] == str(infected)
    assert event.fields["Signature"].startswith("Eicar-Test-Signature")
    assert event.time == pytest.approx(time.time(), abs=60)


def test_a_socket_nobody_listens_on_is_off_with_the_reason(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as left_over:
        folder = Path(tempfile.mkdtemp(prefix="vg"))
        left_over.bind(str(folder / "clamd.ctl"))
    settings = CollectorSettings(clamd_sockets=("/clamd.ctl",))
    (folder / "proc").mkdir()
    body = status(context(folder, settings=settings))
    shutil.rmtree(folder)
    assert body["state"] == "off"
    assert "refused" in body["reason"]


def test_without_clamav_it_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    assert status(context(tmp_path))["state"] == "not_installed"


def test_a_scanner_without_a_daemon_protects_nothing(tmp_path: Path) -> None:
    write(tmp_path / "usr/bin/clamscan", "")
    (tmp_path / "proc").mkdir()
    body = status(context(tmp_path))
    assert body["state"] == "off"
    assert "only clamscan" in body["reason"]


def test_a_running_clamonacc_is_seen_among_processes(tmp_path: Path) -> None:
    write(tmp_path / "comm", "")
    write(tmp_path / "77/comm", "clamonacc\n")
    write(tmp_path / "12/comm", "bash\n")
    memory: dict[str, Any] = {}
    assert antivirus_clamav.read_running(tmp_path, "clamonacc", memory)
    assert memory == {"pid": 77}
    write(tmp_path / "77/comm", "other\n")
    assert not antivirus_clamav.read_running(tmp_path, "clamonacc", memory)


def test_a_log_that_appears_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    clock = FakeClock()
    with pytest.raises(NothingToReport):
        antivirus_clamav_log.collect(context(tmp_path, state=state, now=clock))
    line = "Sat Nov 21 20:34:06 2026 -> /x: Evil FOUND\n"
    write(tmp_path / "var/log/clamav/clamav.log", line)
    (event,) = antivirus_clamav_log.collect(context(tmp_path, state=state, now=clock)).events
    assert event.fields["Filename"] == "/x"


def test_where_a_socket_is_named_the_hosts_own_daemon_is_not_asked(tmp_path: Path) -> None:
    write(tmp_path / "etc/clamav/clamd.conf", "LocalSocket /run/other.ctl\n")
    write(tmp_path / "run/other.ctl", b"")
    (tmp_path / "proc").mkdir()
    usual = status(context(tmp_path))
    mine = status(context(tmp_path, settings=CollectorSettings(clamd_sockets=("/run/mine.ctl",))))
    assert "/run/other.ctl" in usual["reason"]
    assert mine["state"] == "off"
    assert "/run/other.ctl" not in mine["reason"]
