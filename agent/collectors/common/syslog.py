"""Takes apart lines of a syslog file, in the three forms that rsyslog and syslog-ng write.

``Nov 21 20:36:22 host sshd[12]: …`` (RFC 3164, local time, no year), ``2026-11-21T20:36:22.1+07:00 host sshd[12]: …``
(the same with an RFC 3339 time, Debian's form since 12) and ``<86>1 2026-11-21T20:36:22Z host sshd 12 - - …``
(RFC 5424).
"""

from __future__ import annotations

import re
import time
from datetime import datetime

from msgspec import Struct

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_TAG = r"(?P<program>[^\s\[:]{1,64})(?:\[(?P<pid>[0-9]{1,10})\])?: ?(?P<message>.*)"
_PRI = r"(?:<[0-9]{1,3}>)?"
_RFC3164 = re.compile(
    _PRI + r"(?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-9][0-9]) (?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):"
    r"(?P<second>[0-9]{2}) (?P<host>\S{1,255}) " + _TAG,
    re.DOTALL,
)
_RFC3339 = re.compile(
    _PRI + r"(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:?[0-9]{2})) "
    r"(?P<host>\S{1,255}) " + _TAG,
    re.DOTALL,
)
_RFC5424 = re.compile(
    r"<[0-9]{1,3}>1 (?P<stamp>\S{1,40}) (?P<host>\S{1,255}) (?P<program>\S{1,64}) (?P<pid>\S{1,128}) \S{1,32} "
    r"(?:-|(?:\[[^\]]{0,2000}\])+) ?(?:\ufeff| )?(?P<message>.*)",
    re.DOTALL,
)


class SyslogLine(Struct, frozen=True):
    """One line. ``pid`` is 0 where the program does not give it; ``time`` is in seconds since the Unix epoch."""

    time: float
    host: str
    program: str
    pid: int
    message: str


def parse_syslog_line(line: str, now: float) -> SyslogLine | None:
    """``None`` where ``line`` is in none of the three forms.

    The year that RFC 3164 leaves out is the one that puts the line nearest before ``now`` (a day of clock
    difference allowed); its time is taken as this machine's local time.
    """
    if match := _RFC3339.fullmatch(line) or _RFC5424.fullmatch(line):
        moment = parse_rfc3339(match["stamp"])
    elif match := _RFC3164.fullmatch(line):
        moment = _without_year(match, now)
    else:
        return None
    if moment is None:
        return None
    pid = match["pid"] or ""
    return SyslogLine(
        time=moment,
        host=match["host"],
        program=match["program"].rpartition("/")[2] or match["program"],
        pid=int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 11 else 0,
        message=match["message"],
    )


def parse_rfc3339(text: str) -> float | None:
    """Seconds since the epoch; ``None`` for what is no time, or has no zone."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def _without_year(match: re.Match[str], now: float) -> float | None:
    if match["month"] not in MONTHS:
        return None
    month = MONTHS.index(match["month"]) + 1
    day, hour, minute, second = (int(match[part]) for part in ("day", "hour", "minute", "second"))
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    year = time.localtime(now).tm_year
    for candidate in (year + 1, year, year - 1):
        moment = time.mktime((candidate, month, day, hour, minute, second, 0, 0, -1))
        if moment <= now + 86400:
            return moment
    return None
