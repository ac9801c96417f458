"""One finding about an installation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """``state``: ``ok``, ``warning`` (works, but look at it) or ``failure``. ``advice`` is empty where it is
    ok."""

    name: str
    state: str
    finding: str
    advice: str = ""
