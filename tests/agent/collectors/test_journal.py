"""The journal collector, against a real journald in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import auth_log, journal
from agent.collectors.common.journal import Entry, journal_missing
from agent.collectors.journal import parse_clamav_entry, parse_journal_entry
from agent.collectors.registry import NothingToReport
from agent.settings import CollectorSettings
from tests.agent.collectors.support import CAPTURED, context, namespace, write
from tests.support.debian import missing
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNALD = Path("/lib/systemd/systemd-journald")
ACCEPTED = "Accepted password for alice from 192.0.2.7 port 40000 ssh2"

#: journald needs a /run and a /dev/log; what it writes is bound to a folder the test can see. Then each line of
#: input is a user's number and a message for sshd.
SCRIPT = r"""
mount -t tmpfs none /run
mkdir -p /run/systemd/journal /run/log/journal
mount --bind "$1" /run/log/journal
mount -t tmpfs none /var/log
"$0" & journald=$!
trap 'kill $journald; wait $journald' EXIT
until [ -S /run/systemd/journal/dev-log ] && ls /run/log/journal/*/system.journal >/dev/null 2>&1; do sleep 0.05; done
echo ready
while read -r uid message; do
    setpriv --reuid="$uid" --clear-groups logger -u /run/systemd/journal/dev-log -t sshd -p authpriv.info "$message"
    echo sent
done
"""


class Journald:
    """A running journald; ``log`` writes as a user. Its files lie under ``root``, as on a host."""

    def __init__(self, folder: Path) -> None:
        if not JOURNALD.exists():
            missing("systemd-journald is missing", "systemd")
        self.root = folder
        journals = folder / "run/log/journal"
        journals.mkdir(parents=True)
        self._shell = subprocess.Popen(
            [*namespace("--mount"), "sh", "-ec", SCRIPT, str(JOURNALD), str(journals)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._answer() == "ready\n"

    def log(self, message: str, uid: int = 0) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{uid} {message}\n")
        self._shell.stdin.flush()
        assert self._answer() == "sent\n"

    def close(self) -> None:
        for stream in (self._shell.stdin, self._shell.stdout):
            assert stream is not None
            stream.close()
        self._shell.wait(timeout=20)

    def _answer(self) -> str:
        assert self._shell.stdout is not None
        return self._shell.stdout.readline()


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    (tmp_path / "lib").symlink_to("/lib")
    daemon = Journald(tmp_path)
    yield daemon
    journal._reader.close()
    daemon.close()


def collect(daemon: Journald, state: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        event.fields for event in journal.collect(context(daemon.root, state=state, now=time.time)).events
    ]


def wait_for(daemon: Journald, state: dict[str, Any]) -> list[dict[str, Any]]:
    return wait_until(lambda: collect(daemon, state), seconds=10, what="an event of the journal")


def test_a_sign_in_is_read_and_a_restart_neither_repeats_nor_skips(journald: Journald) -> None:
    state: dict[str, Any] = {}
    assert collect(journald, state) == []
    journald.log(ACCEPTED)
    (fields,) = wait_for(journald, state)
    assert (fields["event.action"], fields["User"], fields["SourceIP"]) == (
        "ssh_login_succeeded",
        "alice",
        "192.0.2.7",
    )
    assert fields["Pid"] > 0
    journal._reader.close()
    journald.log(ACCEPTED.replace("alice", "bob"))
    (fields,) = wait_for(journald, state)
    assert fields["User"] == "bob"
    assert collect(journald, state) == []


def test_what_was_read_but_not_kept_is_read_again(journald: Journald) -> None:
    state: dict[str, Any] = {}
    collect(journald, state)
    journald.log(ACCEPTED)
    first = wait_for(journald, dict(state))
    assert wait_for(journald, state) == first


def test_a_user_cannot_speak_in_sshds_name(journald: Journald) -> None:
    state: dict[str, Any] = {}
    collect(journald, state)
    journald.log(ACCEPTED.replace("alice", "forged"), uid=65534)
    journald.log(ACCEPTED)
    events = wait_for(journald, state)
    assert [f["User"] for f in events] == ["alice"]


def test_the_text_log_steps_back_where_the_journal_speaks(journald: Journald) -> None:
    write(journald.root / "var/log/auth.log", "")
    with pytest.raises(NothingToReport, match="journal"):
        auth_log.collect(context(journald.root))
    off = CollectorSettings(disabled=("journal",))
    assert auth_log.collect(context(journald.root, settings=off)).events == []


def test_without_journald_the_reason_is_shown(tmp_path: Path) -> None:
    assert "journald does not run" in journal_missing(tmp_path)
    with pytest.raises(NothingToReport, match="journald does not run"):
        journal.collect(context(tmp_path))


@pytest.mark.parametrize(
    ("fields", "believed"),
    [
        ({"_UID": "0"}, True),
        ({"_UID": "1000"}, False),
        ({}, False),
        ({"_UID": "1000", "_EXE": "/usr/bin/sudo"}, False),
    ],
)
def test_only_roots_word_counts_for_sshd(fields: dict[str, str], believed: bool) -> None:
    entry = Entry(CAPTURED, "c", {"SYSLOG_IDENTIFIER": "sshd", "MESSAGE": ACCEPTED, "_PID": "9", **fields})
    assert bool(parse_journal_entry(entry)) is believed


def test_sudo_is_believed_when_journald_saw_sudo_itself() -> None:
    message = "bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/ls"
    own = {"SYSLOG_IDENTIFIER": "sudo", "MESSAGE": message, "_UID": "1000", "_EXE": "/usr/bin/sudo"}
    assert len(parse_journal_entry(Entry(CAPTURED, "c", own))) == 1
    forged = {**own, "_EXE": "/home/bob/logger"}
    assert parse_journal_entry(Entry(CAPTURED, "c", forged)) == []


FOUND = "Sat Nov 21 20:34:06 2026 -> /srv/x.exe: Win.Test FOUND"


def test_clamds_findings_are_taken_from_its_own_process_only() -> None:
    own = {"SYSLOG_IDENTIFIER": "clamd", "MESSAGE": FOUND, "_EXE": "/usr/sbin/clamd", "_UID": "110"}
    (event,) = parse_clamav_entry(Entry(CAPTURED, "c", own), CAPTURED)
    assert (event.fields["Filename"], event.fields["Signature"]) == ("/srv/x.exe", "Win.Test")
    unstamped = {**own, "MESSAGE": "/srv/x.exe: Win.Test FOUND"}
    (event,) = parse_clamav_entry(Entry(CAPTURED, "c", unstamped), CAPTURED)
    assert event.time == CAPTURED
    assert parse_clamav_entry(Entry(CAPTURED, "c", {**own, "_EXE": "/usr/bin/logger"}), CAPTURED) == []


NAMES = st.sampled_from(["SYSLOG_IDENTIFIER", "MESSAGE", "_PID", "_UID", "_EXE"])


@given(st.dictionaries(NAMES, st.text(max_size=80) | st.sampled_from(["0", "sshd", "sudo"])))
def test_no_entry_breaks_the_reader(fields: dict[str, str]) -> None:
    for event in parse_journal_entry(Entry(CAPTURED, "c", fields)):
        assert event.fields["event.action"]
