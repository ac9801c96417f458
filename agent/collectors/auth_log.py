"""Sign-ins, sudo and changes of accounts, from the text log that syslog writes."""

from __future__ import annotations

from agent import reasons
from agent.collectors.common.auth import auth_fields
from agent.collectors.common.files import under
from agent.collectors.common.follow import follow
from agent.collectors.common.journal import journal_missing
from agent.collectors.common.syslog import parse_syslog_line
from agent.collectors.registry import Context, Event, NothingToReport, Output, collector
from agent.messages import LogSource
from agent.settings import CollectorSettings

AUTH = LogSource(product="linux", service="auth")
#: A time further in the future than this is not believed; the event then counts as of now.
FUTURE_SECONDS = 86400.0

#: Logs that were not there when this process looked: once they appear, they are read from their beginning.
_absent: set[str] = set()


def parse_auth_lines(lines: list[bytes], now: float) -> list[Event]:
    """The events of whole lines of the log, in their order; lines that say nothing of interest give none."""
    events: list[Event] = []
    for raw in lines:
        line = parse_syslog_line(raw.decode("utf-8", "replace").rstrip("\r"), now)
        if line is None:
            continue
        found = auth_fields(line.program, line.pid, line.message)
        moment = line.time if line.time <= now + FUTURE_SECONDS else now
        events += [Event(time=moment, logsource=AUTH, fields=fields) for fields in found]
    return events


@collector(
    "auth_log",
    interval_seconds=2,
    platforms={"linux"},
    privileges="root: the authentication log is readable by root and the group adm only",
    description="Sign-ins, sudo and account changes from /var/log/auth.log or /var/log/secure, "
    "where the journal does not have them; also that the log was cut or removed",
)
def collect(ctx: Context) -> Output:
    if _journal_has_it(ctx):
        raise NothingToReport(reasons.JOURNAL_INSTEAD())
    paths = [under(ctx.root, name) for name in ctx.settings.auth_logs]
    known = ctx.state.get("path")
    path = next((p for p in paths if p.exists()), None) or next((p for p in paths if str(p) == known), None)
    if path is None:
        _absent.update(str(p) for p in paths)
        raise NothingToReport(reasons.NO_AUTH_LOG(paths=", ".join(ctx.settings.auth_logs)))
    now = ctx.now()
    if known != str(path):
        ctx.state.clear()
        ctx.state["path"] = str(path)
    found = follow(path, ctx.state, now, from_start=str(path) in _absent)
    events = parse_auth_lines(found.lines, now)
    if found.change:
        action = "auth_log_truncated" if found.change == "truncated" else "log_cleared"
        events.append(Event(time=now, logsource=AUTH, fields={"event.action": action, "Filename": str(path)}))
    return Output(events=events, more=found.more)


def _journal_has_it(ctx: Context) -> bool:
    """Whether the journal collector reports the same messages. Who names a log of his own wants that one read."""
    named = ctx.settings.auth_logs != CollectorSettings().auth_logs
    return not named and "journal" not in ctx.settings.disabled and not journal_missing(ctx.root)
