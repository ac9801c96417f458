"""How a report writes a percentage."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import translator

NOTHING: Final = "—"


def shown_ratio(percent: float) -> float:
    """The ratio (0 to 1) as a report shows it: to a tenth of a percent, but never 0 or 100 % by
    rounding alone."""
    rounded = round(percent / 100 + 1e-12, 3)
    return min(0.999, max(0.001, rounded)) if 0 < percent < 100 else rounded


def percent_text(percent: float | None, lang: str) -> str:
    """``33,3%`` in Vietnamese, ``33.3%`` in English; a dash where there is no denominator; 0 and 100 without
    decimals, because they are exact."""
    if percent is None:
        return NOTHING
    shown = shown_ratio(percent) * 100
    return f"{translator(lang).number(shown, 0 if shown in (0.0, 100.0) else 1)}%"
