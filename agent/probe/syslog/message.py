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
#: The fields of each priority there is.
_OF_PRIORITY: Final[tuple[Fields, ...]] = tuple(
    {
        "log.syslog.priority": priority,
        "log.syslog.facility.code": priority >> 3,
        "log.syslog.facility.name": _FACILITIES[priority >> 3],
        "log.syslog.severity.code": priority & 7,
        "log.syslog.severity.name": _SEVERITIES[priority & 7],
    }
    for priority in range(len(_FACILITIES) * len(_SEVERITIES))
)
_PRIORITY: Final = re.compile(r"<(\d{1,3})>")
_NEW: Final = re.compile(
    r"<(\d{1,3})>([1-9]\d{0,2}) (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,128}) (\S{1,255})(?: |$)"
)
_OLD: Final = re.compile(rf"({PATTERN})(?: |(?=:))")
#: What Cisco puts before the time: a number, a name, and whether the clock is set.
_NUMBERED: Final = re.compile(
    r"(?:(\d{1,10}): )?(?:([A-Za-z][\w.-]{0,254}): )?:? ?[*.]?(?=[A-Z][a-z]{2} |\d{4}[ -])"
)
#: Spaces, and a sender's name where there is one: neither a tag nor what a message begins with.
_HOST: Final = re.compile(r" *+(?:([^ =%]{0,254}[^ =%:\]]) ++)?")
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
    if found is None or (priority := int(found[1])) >= len(_OF_PRIORITY):
        return received_at, {"message": text}
    return _read_old(text, found.end(), _OF_PRIORITY[priority].copy(), received_at, clock)


def _read_new(text: str, found: re.Match[str], received_at: float, clock: Clock) -> tuple[float, Fields]:
    digits, version, stamp, host, app, process, kind = found.groups()
    if (priority := int(digits)) >= len(_OF_PRIORITY):
        return received_at, {"message": text}
    fields = _OF_PRIORITY[priority].copy()
    seconds = received_at if stamp == _NOTHING else clock.seconds(stamp, received_at)
    if seconds is None:  # not this form after all
        return _read_old(text, text.index(">") + 1, fields, received_at, clock)
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


def _read_old(text: str, at: int, fields: Fields, received_at: float, clock: Clock) -> tuple[float, Fields]:
    """What stands behind the priority, from ``at`` on."""
    seconds, before, stamp = None, None, _OLD.match(text, at)
    if stamp is None and (before := _NUMBERED.match(text, at)) is not None:
        stamp = _OLD.match(text, before.end())
    if stamp is not None:
        seconds = clock.seconds(stamp[1], received_at)
    if stamp is None or seconds is None:
        _put_tag(fields, text, at)
        return received_at, fields
    if before is not None and before[2]:
        fields["log.syslog.hostname"] = before[2]
    at = stamp.end()
    if text.startswith(":", at):  # Cisco: no name follows
        fields["message"] = text[at + 1 :].lstrip(" ")
        return seconds, fields
    if (host := _HOST.match(text, at)) is not None:
        at = host.end()
        if host[1]:
            fields.setdefault("log.syslog.hostname", host[1])
            if text.startswith(": ", at):  # Cisco ASA: «fw : %ASA-6-…»
                fields["message"] = text[at + 2 :]
                return seconds, fields
    _put_tag(fields, text, at)
    return seconds, fields


def _put_tag(fields: Fields, text: str, at: int) -> None:
    found = _TAG.match(text, at) or _TAG_WITH_PID.match(text, at)
    if found is None:
        fields["message"] = text[at:]
        return
    fields["log.syslog.appname"] = found[1]
    if found[2]:
        fields["log.syslog.procid"] = found[2]
    fields["message"] = text[found.end() :]


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
