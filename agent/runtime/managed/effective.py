"""What holds: the machine's own settings where its file says something, else the collector's, else the defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

if TYPE_CHECKING:
    from agent.settings import Settings
    from agent.steered import Steered

#: Those of :class:`agent.steered.Steered` that are one value in ``[agent]``, under the same name.
PLAIN: Final = ("heartbeat_seconds", "metrics_seconds", "spool_bytes", "spool_hours")
OWN, COLLECTOR, DEFAULT = "own", "collector", "default"


def effective(own: Settings, stated: frozenset[str], steered: Steered) -> Settings:
    """``stated``: the dotted names that the machine's file or environment says. A collector that the file disables
    stays so, whatever the collector's settings say."""
    plain: dict[str, Any] = {
        name: value
        for name in PLAIN
        if f"agent.{name}" not in stated and (value := getattr(steered, name)) is not None
    }
    collectors = own.collectors
    disabled = tuple(dict.fromkeys((*collectors.disabled, *(steered.disabled or ()))))
    intervals = {**(steered.intervals or {}), **collectors.intervals}
    return structs.replace(
        own,
        agent=structs.replace(own.agent, **plain),
        collectors=structs.replace(collectors, disabled=disabled, intervals=intervals),
    )


def stated_here(own: Settings, stated: frozenset[str]) -> list[str]:
    """Which settings the machine's own file says, so that the collector's do not hold there: by the names of
    :class:`~agent.steered.Steered`, single collectors as ``disabled.<name>`` and ``intervals.<name>``."""
    return [
        *(name for name in PLAIN if f"agent.{name}" in stated),
        *(f"disabled.{name}" for name in own.collectors.disabled),
        *(f"intervals.{name}" for name in own.collectors.intervals),
    ]


def origins(own: Settings, stated: frozenset[str], steered: Steered) -> dict[str, str]:
    """Where the value of each setting that can be steered is from: ``own``, ``collector`` or ``default``."""
    mine = set(stated_here(own, stated))
    found = {
        name: OWN if name in mine else DEFAULT if getattr(steered, name) is None else COLLECTOR
        for name in PLAIN
    }
    found |= dict.fromkeys(mine, OWN)
    for name in steered.disabled or ():
        found.setdefault(f"disabled.{name}", COLLECTOR)
    for name in steered.intervals or {}:
        found.setdefault(f"intervals.{name}", COLLECTOR)
    return found
