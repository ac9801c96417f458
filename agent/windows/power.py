"""Mains or battery, and for how long Windows has run."""

from __future__ import annotations

import ctypes
from typing import Any, Final

#: ``ACLineStatus`` of SYSTEM_POWER_STATUS (winbase.h): on battery.
_OFFLINE: Final = 0


class _PowerStatus(ctypes.Structure):
    """SYSTEM_POWER_STATUS."""

    _fields_ = (
        ("ACLineStatus", ctypes.c_ubyte),
        ("BatteryFlag", ctypes.c_ubyte),
        ("BatteryLifePercent", ctypes.c_ubyte),
        ("SystemStatusFlag", ctypes.c_ubyte),
        ("BatteryLifeTime", ctypes.c_uint32),
        ("BatteryFullLifeTime", ctypes.c_uint32),
    )


def _kernel32() -> Any:
    return ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore] # there on Windows alone


def on_battery() -> bool:
    """``GetSystemPowerStatus``; no where it does not answer."""
    status = _PowerStatus()
    done = _kernel32().GetSystemPowerStatus(ctypes.byref(status))
    return bool(done) and status.ACLineStatus == _OFFLINE


def uptime_seconds() -> float:
    """``GetTickCount64``."""
    count = _kernel32().GetTickCount64
    count.restype = ctypes.c_uint64
    return int(count()) / 1000
