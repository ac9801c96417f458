"""Counts that would show that the fast matcher misses something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Guard:
    """``canary_failures``: values for which an expression's automaton did not answer (RE2's slower ways did then);
    ``shadow_checks``: rules evaluated plainly beside the matcher; ``shadow_misses``: where the two differed."""

    canary_failures: int = 0
    shadow_checks: int = 0
    shadow_misses: int = 0
