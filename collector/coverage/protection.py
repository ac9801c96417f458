"""Reads the antivirus documents of one endpoint as one answer: protected or not, and why.

The worker makes its ``protection`` events from this, and the ledger its states, so that they cannot disagree.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from collector.coverage.models import Protection, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.settings import Coverage

ANTIVIRUS = "antivirus"
HEALTH = "collector_health"

_DAY = 86_400
# Databases are built in one time zone and read in another, and clocks differ: up to a day ahead is now.
_FUTURE_TOLERANCE_SECONDS = _DAY
# With several products the best one that is surely there decides; but as long as one cannot be read, nothing
# worse than `unknown` is said, for it may be the one that protects.
_BEST_FIRST = ("protected", "unknown", "outdated", "off", "none")


def protection_of(
    antivirus: Mapping[str, Mapping[str, Any]],
    health: Mapping[str, Mapping[str, Any]],
    now: float,
    limits: Coverage,
) -> Protection:
    """Sum up ``antivirus`` (bodies by item) and ``health`` (bodies by collector name) of one endpoint at
    ``now``.

    A product is protected when it is on and its signatures are at most ``national_signature_days`` whole
    days old. The documents are an agent's words and may hold anything.
    """
    failing = _failing(health)
    readings = [_read(item, body, failing, now, limits) for item, body in sorted(antivirus.items())]
    if not readings:
        name, detail = next(iter(sorted(failing.items())), ("", ""))
        if name:
            return Protection("unknown", Reason("collector_failing", {"collector": name, "detail": detail}))
        return Protection("unknown", Reason("no_antivirus_report"))
    return min(readings, key=lambda reading: _BEST_FIRST.index(reading.state))


def signature_age_days(signature_time: object, now: float) -> int | None:
    """Whole days since ``signature_time``; None where it is no time, or lies in the future."""
    moment = _moment(signature_time)
    if moment is None or moment > now + _FUTURE_TOLERANCE_SECONDS:
        return None
    return max(0, int((now - moment) // _DAY))


def _failing(health: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        name: _text(body.get("reason"))
        for name, body in health.items()
        if name.startswith(ANTIVIRUS) and body.get("ok") is False
    }


def _read(
    item: str, body: Mapping[str, Any], failing: Mapping[str, str], now: float, limits: Coverage
) -> Protection:
    product = _text(body.get("product")) or item
    moment = _moment(body.get("signature_time"))
    age = signature_age_days(moment, now)
    real_time = body.get("real_time")

    def reading(state: str, code: str, **parameters: str | int) -> Protection:
        return Protection(
            state,
            Reason(code, parameters),
            product=product,
            signature_time=moment,
            age_days=age,
            late=age is not None and age > limits.local_signature_days and state in ("protected", "outdated"),
            real_time=real_time if real_time in ("on", "off") else "unknown",
            documents=((ANTIVIRUS, item),),
        )

    # A collector is named by its product, or tells of all products that there are (Windows).
    collector = next((name for name in (f"{ANTIVIRUS}_{item}", ANTIVIRUS) if name in failing), "")
    if collector:
        return reading("unknown", "collector_failing", collector=collector, detail=failing[collector])
    state = body.get("state")
    if state == "not_installed":
        return reading("none", "antivirus_not_installed")
    if state == "off":
        return reading("off", "antivirus_off", product=product)
    if state != "on":
        return reading("unknown", "antivirus_unknown", product=product, detail=_text(body.get("reason")))
    # A product's own word, as Windows' Security Center has it without a date.
    if moment is None and body.get("signatures") == "outdated":
        return reading("outdated", "signatures_said_old", product=product)
    if moment is None:
        return reading("unknown", "signature_age_unknown", product=product)
    if age is None:
        return reading("unknown", "signature_time_in_future", product=product)
    if age > limits.national_signature_days:
        return reading("outdated", "signatures_old", days=age, limit=limits.national_signature_days)
    return reading("protected", "signatures_current", days=age)


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    moment = float(value)
    return moment if math.isfinite(moment) and 0 < moment < 4e9 else None


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
