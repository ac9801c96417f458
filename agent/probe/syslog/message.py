"""One message of syslog: its header (RFC 5424, RFC 3164 and what devices make of that) as fields of ECS.

What a message says beyond its header stays as it came, in ``message``; a header that is none of the known ones stays
there too. Which device speaks and what it says is for the pipelines at the collector (``docs/logsources.md``).
"""

from __future__ import annotations

import re
from typing import Any, Final

from agent.probe.syslog.stamps import PATTERN, Clock

Fields = dict[str, Any]

_FACILITIES: Final = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
)  # fmt: skip
_SEVERITIES: Final = (
    "Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug",
)  # fmt: skip
_PRIORITY: Final = re.compile(r"<(\d{1,3})>")
_NEW: Final = re.compile(
    r"<(\d{1,3})>([1-9]\d{0,2}) (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,128}) (\S{1,255})(?: |$)"
)
_OLD: Final = re.compile(rf"({PATTERN})(?: |(?=:))")
#: What Cisco puts before the time: a number, a name, and whether the clock is set.
_NUMBERED: Final = re.compile(
    r"(?:(\d{1,10}): )?(?:([A-Za-z][\w.-]{0,254}): )?:? ?[*.]?(?=[A-Z][a-z]{2} |\d{4}[ -])"
)
_TAG: Final = re.compile(r"([A-Za-z_][^\s:\[\](){}<>\"',=]{0,127})(?:\[([^\]\s]{0,64})\])?:(?: |$)")
_TAG_WITH_PID: Final = re.compile(r"([A-Za-z_][^\s:\[\](){}<>\"',=]{0,127})\[([^\]\s]{1,64})\] ")
_ELEMENT: Final = re.compile(
    r"\[([^\s=\]\"]{1,255})((?: [^\s=\]\"]{1,255}=\"(?:[^\"\\\]]|\\.)*+\")*+) ?\]", re.DOTALL
)
_PARAMETER: Final = re.compile(r" ([^\s=\]\"]{1,255})=\"((?:[^\"\\\]]|\\.)*+)\"", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\([\"\\\]])")
_NOTHING: Final = "-"
_MARK: Final = "\ufeff"
_MOST_ELEMENTS: Final = 32
_MOST_PARAMETERS: Final = 128
#: Characters that no text of a log needs, as rsyslog writes them.
_CONTROLS: Final = {code: f"#{code:03o}" for code in (*range(9), 11, 12, *range(14, 32), 127)}


def text_of(data: bytes) -> str:
    """``data`` as text: what is not UTF-8 stands as ``\\xNN``, control characters as ``#NNN`` (octal)."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.translate(_CONTROLS)


def read_message(text: str, received_at: float, clock: Clock) -> tuple[float, Fields]:
    """When it was logged (when it came, where it does not say), and its fields. Never raises."""
    found = _NEW.match(text)
    if found is not None:
        return _read_new(text, found, received_at, clock)
    found = _PRIORITY.match(text)
    fields: Fields = {}
    if found is None or not _put_priority(fields, int(found[1])):
        return received_at, {"message": text}
    return _read_old(text[found.end() :], fields, received_at, clock)


def _read_new(text: str, found: re.Match[str], received_at: float, clock: Clock) -> tuple[float, Fields]:
    priority, version, stamp, host, app, process, kind = found.groups()
    fields: Fields = {}
    if not _put_priority(fields, int(priority)):
        return received_at, {"message": text}
    seconds = received_at if stamp == _NOTHING else clock.seconds(stamp, received_at)
    if seconds is None:  # not this form after all
        return _read_old(text[text.index(">") + 1 :], fields, received_at, clock)
    fields["log.syslog.version"] = version
    for name, value in (("hostname", host), ("appname", app), ("procid", process), ("msgid", kind)):
        if value != _NOTHING:
            fields[f"log.syslog.{name}"] = value
    rest = text[found.end() :]
    if rest.startswith("["):
        data, end = read_structured_data(rest)
        if data:
            fields["log.syslog.structured_data"] = data
            rest = rest[end:].removeprefix(" ")
    elif rest == _NOTHING or rest.startswith("- "):
        rest = rest[2:]
    fields["message"] = rest.removeprefix(_MARK)
    return seconds, fields


def _read_old(rest: str, fields: Fields, received_at: float, clock: Clock) -> tuple[float, Fields]:
    seconds, before = None, _NUMBERED.match(rest)
    at = before.end() if before is not None else 0
    stamp = _OLD.match(rest, at)
    if stamp is not None:
        seconds = clock.seconds(stamp[1], received_at)
    if stamp is None or seconds is None:
        _put_tag(fields, rest)
        return received_at, fields
    if before is not None and before[2]:
        fields["log.syslog.hostname"] = before[2]
    left = rest[stamp.end() :]
    if left.startswith(":"):  # Cisco: no name follows
        fields["message"] = left[1:].lstrip(" ")
        return seconds, fields
    left = left.lstrip(" ")
    word, space, more = left.partition(" ")
    if space and not word.endswith((":", "]")) and "=" not in word and "%" not in word and len(word) <= 255:
        fields.setdefault("log.syslog.hostname", word)
        left = more.lstrip(" ")
        if left.startswith(": "):  # Cisco ASA: «fw : %ASA-6-…»
            fields["message"] = left[2:]
            return seconds, fields
    _put_tag(fields, left)
    return seconds, fields


def _put_tag(fields: Fields, text: str) -> None:
    found = _TAG.match(text) or _TAG_WITH_PID.match(text)
    if found is None:
        fields["message"] = text
        return
    fields["log.syslog.appname"] = found[1]
    if found[2]:
        fields["log.syslog.procid"] = found[2]
    fields["message"] = text[found.end() :]


def _put_priority(fields: Fields, priority: int) -> bool:
    if priority > 191:
        return False
    facility, severity = priority >> 3, priority & 7
    fields["log.syslog.priority"] = priority
    fields["log.syslog.facility.code"] = facility
    fields["log.syslog.facility.name"] = _FACILITIES[facility]
    fields["log.syslog.severity.code"] = severity
    fields["log.syslog.severity.name"] = _SEVERITIES[severity]
    return True


def read_structured_data(text: str) -> tuple[dict[str, dict[str, str]], int]:
    """The elements at the beginning of ``text``, by id, and where what follows begins. Of too many or of what is no
    structured data (a bracket in a text) nothing is taken: ``({}, 0)``."""
    found: dict[str, dict[str, str]] = {}
    at, parameters = 0, 0
    while text.startswith("[", at):
        element = _ELEMENT.match(text, at)
        if element is None:
            break
        named = found.setdefault(element[1], {})
        for name, value in _PARAMETER.findall(element[2]):
            parameters += 1
            named[name] = _ESCAPED.sub(r"\1", value) if "\\" in value else value
        at = element.end()
        if len(found) > _MOST_ELEMENTS or parameters > _MOST_PARAMETERS:
            return {}, 0
    if not found or (at < len(text) and text[at] != " "):
        return {}, 0
    return found, at
