"""Backups that a device tells of over SNMP: when the last good one ended, and how the last run went.

What a device says may be anything: ``parse_*`` are pure and pass over what makes no sense.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from agent.collectors.registry import StatusDocument
from agent.probe.snmp.values import Value, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.probe.snmp.settings import Backup, Form

KIND: Final = "backup"
#: An age is told anew with each poll: the time that comes of it stays while it moves by less than this.
_SAME_SECONDS: Final = 120.0
#: Clocks of devices differ; what lies further ahead is no time of a backup.
_AHEAD_SECONDS: Final = 600.0
_LONGEST_AGE: Final = 10 * 366 * 86_400.0


class Backups:
    """Those of one device, from poll to poll. ``good``, ``failed``: by system, when the last good one ended and since
    when the last run counts as failed; kept up to date, and remembered over a restart by whom they belong to."""

    def __init__(self, backups: tuple[Backup, ...], good: dict[str, float], failed: dict[str, float]) -> None:
        self._backups, self._good, self._failed = backups, good, failed
        named = {each.system for each in backups}
        for times in (good, failed):
            for system in times.keys() - named:
                del times[system]

    @property
    def oids(self) -> list[str]:
        """The single values that are to be asked for."""
        return [oid for each in self._backups for oid in (each.oid, each.state_oid) if oid]

    def documents(self, values: Mapping[str, Value], now: float) -> list[StatusDocument]:
        """``backup``, one a system: ``way`` (``snmp``), ``device``, ``state`` (``good``, ``failed``, ``missing`` where
        the device has no such value), ``newest_time`` (of the last good one) and ``failed_time`` (when the failure of
        the last run was first seen), seconds since the epoch."""
        return [
            StatusDocument(KIND, now, self._body(each, values, now), each.system) for each in self._backups
        ]

    def _body(self, backup: Backup, values: Mapping[str, Value], now: float) -> dict[str, Any]:
        name = backup.system
        at = parse_time(values.get(backup.oid), backup.form, now)
        if at is not None and abs(at - self._good.get(name, 0.0)) >= _SAME_SECONDS:
            self._good[name] = at
        code = number(values.get(backup.state_oid)) if backup.state_oid else None
        failed = code is not None and code not in backup.good_states
        if failed:
            self._failed.setdefault(name, now)
        elif code is not None or not backup.state_oid:
            self._failed.pop(name, None)
        known = at is not None and (code is not None or not backup.state_oid)
        body: dict[str, Any] = {
            "way": "snmp",
            "device": backup.device,
            "state": "failed" if failed else "good" if known else "missing",
        }
        if at is not None:
            body["newest_time"] = round(self._good[name], 3)
        if failed:
            body["failed_time"] = round(self._failed[name], 3)
            body["reason"] = f"{code}"
        return body


def parse_time(value: Value, form: Form, now: float) -> float | None:
    """When a backup ended, seconds since the epoch; ``None`` for what is no such time, or lies ahead."""
    if form == "date_and_time":
        at = parse_date_and_time(value)
    else:
        seconds = number(value)
        at = None if seconds is None else float(seconds)
        if at is not None and form == "age_seconds":
            at = now - at if 0 <= at <= _LONGEST_AGE else None
    return at if at is not None and 0 < at <= now + _AHEAD_SECONDS else None


def parse_date_and_time(value: Value) -> float | None:
    """A ``DateAndTime`` (SNMPv2-TC, RFC 2579): 8 octets of local time, this machine's, or 11 with their zone."""
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if not isinstance(value, bytes) or len(value) not in (8, 11):
        return None
    try:
        # A second of 60 is a leap second.
        local = datetime(  # noqa: DTZ001 - its zone follows
            int.from_bytes(value[:2], "big"), value[2], value[3], value[4], value[5], min(value[6], 59)
        )
        if len(value) == 8:
            return local.astimezone().timestamp()
        if value[8:9] not in (b"+", b"-"):
            return None
        offset = timedelta(hours=value[9], minutes=value[10])
        zone = timezone(offset if value[8:9] == b"+" else -offset)
        return local.replace(tzinfo=zone).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
