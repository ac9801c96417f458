"""Sign-ins, sudo and changes of accounts, from systemd's journal."""

from __future__ import annotations

from agent.collectors.common.auth import auth_fields
from agent.collectors.common.journal import Entry, Journal, JournalError, journal_directory, journal_missing
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
    description="Sign-ins, sudo and account changes from systemd's journal, with the sender journald vouches for",
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
    return Output(events=[event for entry in entries for event in parse_journal_entry(entry)])
