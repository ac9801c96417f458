"""Severity by CVSS: the base score of a version 3 vector (FIRST, CVSS v3.1 specification, 7.1 and appendix A)."""

from __future__ import annotations

import math
from typing import Final

_WEIGHTS: Final = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
#: By whether the scope changes.
_PRIVILEGES: Final = {"N": (0.85, 0.85), "L": (0.62, 0.68), "H": (0.27, 0.5)}
#: The specification's qualitative scale (6).
_SCALE: Final = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"))
#: How distributions say it in words.
_WORDS: Final = {
    "critical": "critical",
    "important": "high",
    "high": "high",
    "moderate": "medium",
    "medium": "medium",
    "low": "low",
    "negligible": "none",
    "unimportant": "none",
    "none": "none",
}


def base_score(vector: str) -> float | None:
    """0 to 10; None for what is no whole vector of version 3.0 or 3.1."""
    prefix, _, rest = vector.partition("/")
    if prefix not in ("CVSS:3.0", "CVSS:3.1"):
        return None
    metrics = dict(part.partition(":")[::2] for part in rest.split("/"))
    try:
        weight = {name: values[metrics[name]] for name, values in _WEIGHTS.items()}
        changed = {"U": False, "C": True}[metrics["S"]]
        privileges = _PRIVILEGES[metrics["PR"]][changed]
    except KeyError:
        return None
    lost = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15 if changed else 6.42 * lost
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    return _round_up(min((1.08 if changed else 1.0) * (impact + exploitability), 10.0))


def by_score(score: float) -> str:
    return next((word for least, word in _SCALE if score >= least), "none")


def by_word(word: str) -> str:
    """The severity for a distribution's word; ``unknown`` for any other."""
    return _WORDS.get(word.strip().casefold(), "unknown")


def _round_up(value: float) -> float:
    """To one decimal, upwards, in whole numbers, as the specification does it."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10
