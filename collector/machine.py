"""What a process can say of the machine it runs on: its disk, its clock, and the ends of its certificates.

Nothing here needs a right beyond reading the data directory.
"""

from __future__ import annotations

import ctypes
import shutil
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.settings import DataDirectory

#: A wall clock that moved by more than this against the time since boot was set, not slewed.
JUMP_SECONDS: Final = 5.0
#: How long a jump is told after it happened.
_TOLD_SECONDS: Final = 3600.0
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x40
_libc = ctypes.CDLL(None, use_errno=True)


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


@dataclass(frozen=True, slots=True)
class Synchronisation:
    """What the kernel knows of NTP: whether anything disciplines the clock, and by how much it may be wrong."""

    synchronised: bool
    error_seconds: float


def read_synchronisation() -> Synchronisation | None:
    """From adjtimex(2), which any user may ask; None where the system does not answer."""
    said = _Timex()
    state = _libc.adjtimex(ctypes.byref(said))
    if state < 0:
        return None
    well = state != _TIME_ERROR and not said.status & _STA_UNSYNC
    return Synchronisation(well, said.maxerror / 1e6)


def since_boot() -> float:
    """Seconds since boot, sleep included: what no setting of the clock moves."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockGuard:
    """Notices that the wall clock was set. Ask :meth:`look` often; it is not thread-safe.

    Args:
        now, steady: the two clocks that are compared, in seconds.
    """

    def __init__(
        self, now: Callable[[], float] = time.time, steady: Callable[[], float] = since_boot
    ) -> None:
        self._now, self._steady = now, steady
        self._difference = now() - steady()
        self._jump = 0.0
        self._jumped_at = float("-inf")

    def look(self) -> float:
        """By how many seconds the clock was set since the last look (positive: forward); 0 where it was not."""
        steady = self._steady()
        difference = self._now() - steady
        moved, self._difference = difference - self._difference, difference
        if abs(moved) < JUMP_SECONDS:
            return 0.0
        self._jump, self._jumped_at = moved, steady
        return moved

    @property
    def since_jump(self) -> float:
        """Seconds since the last jump by the steady clock; infinite where there was none."""
        return self._steady() - self._jumped_at

    @property
    def jump(self) -> float:
        """The last jump in seconds, told for an hour; then 0."""
        return self._jump if self.since_jump < _TOLD_SECONDS else 0.0


class Machine:
    """Gathers the figures of this machine for :class:`collector.health.Heartbeat`.

    ``guard`` is looked at with every gathering.
    """

    def __init__(self, data: DataDirectory, guard: ClockGuard | None = None) -> None:
        self._data = data
        self._guard = guard or ClockGuard()

    def figures(self) -> dict[str, Any]:
        """``clock_jump_seconds``, ``disk_free_bytes``, ``disk_size_bytes``; where known ``clock_synchronised`` (0 or
        1), ``clock_error_seconds``, and ``certificates``: name → end, in seconds since the epoch."""
        self._guard.look()
        found: dict[str, Any] = {"clock_jump_seconds": round(self._guard.jump, 3)}
        synchronisation = read_synchronisation()
        if synchronisation is not None:
            found["clock_synchronised"] = int(synchronisation.synchronised)
            found["clock_error_seconds"] = synchronisation.error_seconds
        try:
            usage = shutil.disk_usage(self._data.root)
        except OSError:
            pass
        else:
            found["disk_free_bytes"], found["disk_size_bytes"] = usage.free, usage.total
        certificates = {name: _end_of(self._data, name) for name in ("ca", "server")}
        found["certificates"] = {name: end for name, end in certificates.items() if end is not None}
        return found


def machine_name() -> str:
    """The name this machine goes by in figures and alerts."""
    return socket.gethostname() or "localhost"


def _end_of(data: DataDirectory, name: str) -> float | None:
    try:
        certificate = x509.load_pem_x509_certificate((data.ca / f"{name}.crt").read_bytes())
    except (OSError, ValueError):
        return None
    return certificate.not_valid_after_utc.timestamp()
