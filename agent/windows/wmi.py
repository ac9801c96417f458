"""Windows Management Instrumentation, behind a port of one question: the instances of a class.

How it is asked is :mod:`agent.windows.wmi_com`; why so, ADR 25.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A property's value. Integers have the sign that their CIM type has, 64-bit ones too; times are CIM text
#: (:func:`cim_time`); of arrays those of text are read; other arrays and objects are ``None``.
Cell = str | int | float | bool | list[str] | None
Row = dict[str, Cell]

MAX_ROWS = 1_000
MAX_ELEMENTS = 64

_CIM_TIME = re.compile(r"(\d{14})\.(\d{6})([+-])(\d{3})")


class WmiError(OSError):
    """WMI did not answer; ``str()`` says what was asked, and the number Windows gave."""


class WmiMissingError(WmiError):
    """There is no such namespace or class: the part of Windows that keeps it is not installed."""


class WmiDeniedError(WmiError):
    """It may not be read by whom the agent runs as."""


class Wmi(Protocol):
    """Questions to one machine's WMI."""

    def instances(
        self, namespace: str, class_name: str, properties: Sequence[str], where: str = ""
    ) -> list[Row]:
        """Every instance for which ``where`` (a WQL condition) holds, with the ``properties`` that it has; at most
        :data:`MAX_ROWS`. Names and condition are words of our own, never of the machine.

        Raises:
            WmiMissingError: there is no such namespace or class.
            WmiDeniedError: it may not be read.
            WmiError: anything else, a time limit too.
        """


def cim_time(cell: Cell) -> float | None:
    """Seconds since the epoch of a CIM ``datetime`` (``20260722101500.123456+420``, minutes east of UTC).

    ``None`` where it is none; also for an interval, or a time that is not fully known (``*``), or before 1980,
    which is what a driver says that never set it.
    """
    match = _CIM_TIME.fullmatch(cell) if isinstance(cell, str) else None
    if match is None:
        return None
    minutes = int(match[4]) * (1 if match[3] == "+" else -1)
    try:
        local = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        moment = (local - timedelta(minutes=minutes)).timestamp()
    except (ValueError, OverflowError):
        return None
    return moment if moment > 315_532_800 else None


def text(row: Mapping[str, Cell], name: str) -> str:
    """The property where it is text; else the empty text."""
    found = row.get(name)
    return found if isinstance(found, str) else ""


def number(row: Mapping[str, Cell], name: str) -> int | None:
    """The property where it is an integer; else ``None``."""
    found = row.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def truth(row: Mapping[str, Cell], name: str) -> bool | None:
    """The property where it is a boolean; else ``None``."""
    found = row.get(name)
    return found if isinstance(found, bool) else None


def texts(row: Mapping[str, Cell], name: str) -> list[str]:
    """The property where it is an array of text; else nothing."""
    found = row.get(name)
    return found if isinstance(found, list) else []


def wmi() -> Wmi:
    """This machine's WMI.

    Raises:
        OSError: this is not Windows.
    """
    if sys.platform == "win32":
        from agent.windows.wmi_com import ComWmi

        return ComWmi()
    raise OSError("there is no WMI here: this is not Windows")
