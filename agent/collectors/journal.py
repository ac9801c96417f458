"""Sign-ins, sudo and changes of accounts, from systemd's journal; malware too, where clamd keeps no log file."""

from __future__ import annotations

from msgspec import structs

from agent.collectors.common.auth import auth_fields
from agent.collectors.common.clamd import cached_configuration, malware_event, parse_found
from agent.collectors.common.journal import (
    CLAMAV,
    Entry,
    Journal,
    JournalError,
    journal_directory,
    journal_missing,
)
from agent.collectors.registry import Context, Event, NothingToReport, Output, collector
from agent.messages import LogSource

AUTH = LogSource(product="linux", service="auth")
#: The most entries of one run; the rest waits for the next.
ENTRIES = 500
_SET_UID = frozenset({"sudo", "su"})


class _Reader:
    """The journal, kept open between runs, and the cursor where it stands."""

    journal: Journal | None = None
    cursor = ""
    since: float | None = None

    def read(self, ctx: Context) -> list[Entry]:
        wanted = str(ctx.state.get("cursor", ""))
        self.since = float(ctx.state.get("since", ctx.now() if self.since is None else self.since))
        if self.journal is None:
            system = ctx.root == ctx.root.parent
            self.journal = Journal(None if system else journal_directory(ctx.root))
            self.journal.seek(wanted, self.since)
        elif wanted != self.cursor:  # the last run's output was not kept
            self.journal.seek(wanted, self.since)
        self.cursor = wanted
        entries = self.journal.read(ENTRIES)
        if entries:
            self.cursor = ctx.state["cursor"] = entries[-1].cursor
        elif "since" not in ctx.state:
            ctx.state["since"] = self.since
        return entries

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()
        self.journal = self.since = None


_reader = _Reader()


def parse_clamav_entry(entry: Entry, now: float) -> list[Event]:
    """What clamd or clamonacc say they found; only their own processes are believed."""
    program = entry.fields.get("SYSLOG_IDENTIFIER", "")
    if program not in CLAMAV or entry.fields.get("_EXE", "").rpartition("/")[2] != program:
        return []
    findings = parse_found([entry.fields.get("MESSAGE", "").encode()], stamped=False)
    return [malware_event(structs.replace(f, time=f.time or entry.time), now) for f in findings]


def parse_journal_entry(entry: Entry) -> list[Event]:
    """The events of one entry.

    Only the sender that journald itself saw is believed: the message must come from a process of root, or from
    the real ``sudo`` or ``su`` (which run as root but may be seen under the caller's number).
    """
    program = entry.fields.get("SYSLOG_IDENTIFIER", "")
    if entry.fields.get("_UID") != "0":
        name = entry.fields.get("_EXE", "").rpartition("/")[2]
        if program not in _SET_UID or name != program:
            return []
    pid = entry.fields.get("_PID", "")
    number = int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 11 else 0
    return [
        Event(time=entry.time, logsource=AUTH, fields=fields)
        for fields in auth_fields(program, number, entry.fields.get("MESSAGE", ""))
    ]


@collector(
    "journal",
    interval_seconds=2,
    platforms={"linux"},
    privileges="root: the system's journal is readable by root and the group systemd-journal only",
    description="Sign-ins, sudo and account changes from systemd's journal, with the sender journald "
    "vouches for; also what clamd found, where it keeps no log file",
)
def collect(ctx: Context) -> Output:
    if reason := journal_missing(ctx.root):
        _reader.close()
        raise NothingToReport(reason)
    try:
        entries = _reader.read(ctx)
    except JournalError:
        _reader.close()
        raise
    events = [event for entry in entries for event in parse_journal_entry(entry)]
    clamd = cached_configuration(ctx.root, ctx.now()) if entries else None
    if clamd is not None and not clamd.log_file:
        events += [event for entry in entries for event in parse_clamav_entry(entry, ctx.now())]
    return Output(events=events, more=len(entries) == ENTRIES)
