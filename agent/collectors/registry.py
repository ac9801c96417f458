"""The collectors' contract: what one is given, what it hands back, and how it makes itself known.

A collector is one function in one module of this package, registered by :func:`collector`. The runner
(``agent.runtime``) schedules it, times it, isolates it and counts; a collector only collects. Importing every
module of the package that is for a platform fills the registry (:func:`load_collectors`), so there is no second
list of them. Modules called ``windows_*`` are for Windows, all others for Linux: what both tell (``host``,
``software``) is one name, one kind of document with the same fields, collected in two ways.

Imports count in an agent that may weigh 30 MB: import here and in collectors only what is needed, heavy
things (``ctypes``, ``subprocess``) inside the function that needs them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agent.messages import Event, Metric, StatusDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from agent.settings import CollectorSettings

__all__ = [
    "Collector",
    "CollectorError",
    "Context",
    "DuplicateCollectorError",
    "Event",
    "Metric",
    "NothingToReport",
    "Output",
    "StatusDocument",
    "collector",
    "load_collectors",
]

#: A collector whose interval is at most this runs in a lane of its own, where nothing slow may hold it up.
FAST_INTERVAL_SECONDS: Final = 10.0
#: :data:`sys.platform` of Windows, and what the names of its modules begin with.
WINDOWS: Final = "win32"
_WINDOWS_MODULES: Final = "windows_"


class CollectorError(Exception):
    """Root of what a collector raises on purpose; ``str()`` is shown to the reader of ``status``."""


class NothingToReport(CollectorError):  # noqa: N818 - it is an answer, not an error
    """There is none of it here (no journald, no DMI, no such daemon): fine, and the reason is shown."""


class DuplicateCollectorError(CollectorError):
    """Two modules registered the same name for one platform."""


class Context(Struct, frozen=True):
    """What a collector may use. It takes roots and the clock from here, never from the process.

    ``root``, ``proc`` and ``sys`` are the host's trees (``/``, ``/proc``, ``/sys``; fixture trees in tests).
    ``now()`` is the time in seconds since the Unix epoch. ``state`` is this collector's own memory across
    restarts (JSON values, string keys, keep it under a few KB): what is put there is made durable together
    with the batch that holds this run's output, and is dropped when the run raises. ``collector_host`` is the
    collector's name or address, empty while the endpoint has not enrolled; ``answered_at`` when it last answered the
    agent itself, in seconds since the Unix epoch, 0 where that is not known or the link is down.
    """

    root: Path
    proc: Path
    sys: Path
    now: Callable[[], float]
    settings: CollectorSettings
    state: MutableMapping[str, Any]
    collector_host: str = ""
    collector_port: int = 8444
    answered_at: float = 0.0


class Output(Struct, frozen=True):
    """What one run found.

    ``documents`` is everything the collector now holds true: the runner sends what changed, and for an item
    that an earlier run reported and this one does not, it sends that the item is gone. ``events`` are sent at
    once, in order; ``metrics`` with the next batch. ``more`` says that there was more than one run takes: the next one
    comes soon, whatever the interval.
    """

    documents: list[StatusDocument] = []
    events: list[Event] = []
    metrics: list[Metric] = []
    more: bool = False


class Collector(Struct, frozen=True):
    """A registered collector. ``privileges`` is ``none``, or ``root: why``; ``module`` is where it stands."""

    name: str
    interval_seconds: float
    timeout_seconds: float
    platforms: frozenset[str]
    privileges: str
    description: str
    module: str
    collect: Callable[[Context], Output]

    @property
    def fast(self) -> bool:
        return self.interval_seconds <= FAST_INTERVAL_SECONDS


#: By platform and name.
_registered: dict[tuple[str, str], Collector] = {}


def collector(
    name: str,
    *,
    interval_seconds: float,
    platforms: Iterable[str],
    privileges: str,
    description: str,
    timeout_seconds: float = 30.0,
) -> Callable[[Callable[[Context], Output]], Callable[[Context], Output]]:
    """Register the decorated function; it stays an ordinary function.

    ``platforms`` are values of :data:`sys.platform`; a name is taken once on each. A run longer than
    ``timeout_seconds`` counts as failed and its output is dropped. The function may raise anything:
    :class:`NothingToReport` is an answer, all else a failure of this collector alone.

    Raises:
        DuplicateCollectorError: the name is taken, at import.
    """

    def register(function: Callable[[Context], Output]) -> Callable[[Context], Output]:
        made = Collector(
            name=name,
            interval_seconds=interval_seconds,
            timeout_seconds=timeout_seconds,
            platforms=frozenset(platforms),
            privileges=privileges,
            description=description,
            module=function.__module__,
            collect=function,
        )
        for platform in made.platforms:
            first = _registered.setdefault((platform, name), made)
            if first is not made:
                raise DuplicateCollectorError(
                    f"collector {name!r} is registered twice: in {first.module} and {made.module}"
                )
        return function

    return register


def load_collectors(platform: str = sys.platform) -> list[Collector]:
    """Import every module of this package that is for ``platform`` and return its collectors, by name."""
    folder = Path(__file__).parent
    for path in sorted(folder.glob("*.py")):
        windows = path.stem.startswith(_WINDOWS_MODULES)
        if path.stem not in ("__init__", "registry") and windows == (platform == WINDOWS):
            import_module(f"agent.collectors.{path.stem}")
    found = (made for (where, _), made in _registered.items() if where == platform)
    return sorted(found, key=lambda made: made.name)
