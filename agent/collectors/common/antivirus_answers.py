"""What antivirus products for Linux answer when asked: their own programs' output, taken apart.

Shapes are those that the products are known to write: Kaspersky Endpoint Security 10 to 12, Microsoft Defender 101,
ESET Endpoint Antivirus 8 and later. None of them could be installed to try.
"""

from __future__ import annotations

import calendar
import re
import time
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from agent.collectors.common.files import clean_text
from agent.messages import UNREADABLE

_DAY_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)")
_ESET_ENGINE: Final = re.compile(r"^\s*EM002\s+([0-9.]{1,20})\s*\((\d{4})(\d\d)(\d\d)\)", re.MULTILINE)

OnOff = Literal["on", "off", "unknown"]


class Answer(Struct, frozen=True):
    """What a product says of itself; ``None`` and empty: it does not say. Times are seconds since the Unix epoch.

    ``loaded`` is whether it has its signatures and works, ``trouble`` what it names as wrong.
    """

    loaded: bool | None = None
    trouble: str = ""
    version: str | None = None
    database: str | None = None
    signature_time: float | None = None
    real_time: OnOff = "unknown"
    last_scan_time: float | None = None
    never_scanned: bool = False
    managed: bool | None = None


class UnreadableAnswerError(ValueError):
    """It is not of the known shape."""


def parse_kesl(output: str) -> Answer:
    """``kesl-control --app-info``: ``Name: value`` lines. Its times are taken to be local.

    Raises:
        UnreadableAnswerError: it has none of the lines looked for.
    """
    lines: dict[str, str] = {}
    for line in output.splitlines():
        name, sign, value = line.partition(":")
        if sign:
            lines.setdefault(name.strip().lower(), clean_text(value))
    loaded = lines.get("application databases loaded", lines.get("anti-virus databases loaded"))
    if loaded is None:
        raise UnreadableAnswerError
    guard = lines.get("file threat protection", lines.get("file monitoring", "")).lower()
    policy = lines.get("policy", "").lower()
    scan = lines.get("last run date of the scan_my_computer task", "")
    return Answer(
        loaded=loaded.lower() == "yes",
        version=lines.get("version") or None,
        signature_time=_local(lines.get("last release date of databases", "")),
        real_time="on" if "running" in guard else "off" if guard else "unknown",
        last_scan_time=_local(scan),
        never_scanned=scan.lower() == "never run",
        managed=None if not policy else policy == "applied",
    )


def parse_mdatp(output: bytes, now: float) -> Answer:
    """``mdatp health --output json``. It tells when its signatures were renewed, not of when they are.

    Raises:
        UnreadableAnswerError: no JSON object with ``healthy``.
    """
    try:
        said = msgspec.json.decode(output)
    except UNREADABLE as error:
        raise UnreadableAnswerError from error
    if not isinstance(said, dict) or not isinstance(said.get("healthy"), bool):
        raise UnreadableAnswerError
    guard = _value(said.get("realTimeProtectionEnabled"))
    minutes = said.get("definitionsUpdatedMinutesAgo")
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 <= minutes < 10_000_000:
        minutes = None
    issues = said.get("healthIssues")
    named = [each for each in issues if isinstance(each, str)] if isinstance(issues, list) else []
    return Answer(
        loaded=said["healthy"],
        trouble=clean_text(", ".join(named[:5])),
        version=_text(said.get("appVersion")),
        database=_text(said.get("definitionsVersion")),
        signature_time=None if minutes is None else now - 60 * minutes,
        real_time="unknown" if not isinstance(guard, bool) else "on" if guard else "off",
    )


def parse_eset(output: str) -> Answer:
    """``upd --list-modules``: the row of the detection engine (``EM002``) has its version and day.

    Raises:
        UnreadableAnswerError: there is no such row.
    """
    match = _ESET_ENGINE.search(output)
    if match is None:
        raise UnreadableAnswerError
    day = tuple(int(part) for part in match.groups()[1:])
    return Answer(database=match[1], signature_time=_moment((*day, 0, 0, 0), utc=True))


def _value(setting: Any) -> Any:
    """Settings are objects with a ``value``, where they are not the value itself."""
    return setting.get("value") if isinstance(setting, dict) else setting


def _text(value: object) -> str | None:
    return clean_text(value, 64) or None if isinstance(value, str) else None


def _local(text: str) -> float | None:
    match = _DAY_TIME.search(text)
    return _moment(tuple(int(part) for part in match.groups()), utc=False) if match else None


def _moment(parts: tuple[int, ...], *, utc: bool) -> float | None:
    """``None`` for what is no date of this age."""
    year, month, day, hour, minute, second = parts
    if not (
        1990 <= year < 2200
        and 1 <= month <= 12
        and 1 <= day <= 31
        and hour < 24
        and minute < 60
        and second < 62
    ):
        return None
    whole = (year, month, day, hour, minute, second, 0, 0, -1)
    return float(calendar.timegm(whole)) if utc else time.mktime(whole)
