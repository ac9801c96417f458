"""Numbers over time out of what a profile asks for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.probe.snmp.values import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.probe.snmp.profiles import Gauge, Profile, Ratio
    from agent.probe.snmp.tables import Columns
    from agent.probe.snmp.values import Value


def gauges_of(profile: Profile, values: Mapping[str, Value], columns: Columns) -> dict[str, float]:
    """By metric; of ratios only what is one (0 to 1)."""
    found: dict[str, float] = {}
    for gauge in profile.gauges:
        value = _gauge(gauge, values, columns)
        if value is not None:
            found.setdefault(gauge.metric, value)
    for ratio in profile.ratio:
        value = _ratio(ratio, values)
        if value is not None:
            found.setdefault(ratio.metric, value)
    return {
        metric: round(value, 4)
        for metric, value in found.items()
        if not metric.endswith("_ratio") or 0 <= value <= 1
    }


def _gauge(gauge: Gauge, values: Mapping[str, Value], columns: Columns) -> float | None:
    if gauge.scalar:
        said = [number(values.get(gauge.scalar))]
    else:
        said = [number(value) for value in columns.get(gauge.column, {}).values()]
    numbers = [each for each in said if each is not None]
    if gauge.metric.endswith("_celsius"):
        numbers = [each for each in numbers if each > 0]
    if not numbers:
        return None
    return gauge.factor * (max(numbers) if gauge.combine == "max" else sum(numbers) / len(numbers))


def _ratio(ratio: Ratio, values: Mapping[str, Value]) -> float | None:
    used, free, total = (
        number(values.get(oid)) if oid else None for oid in (ratio.used, ratio.free, ratio.total)
    )
    if free is not None:
        free += sum(number(values.get(oid)) or 0 for oid in ratio.also_free)
    if total is None and used is not None and free is not None:
        total = used + free
    if used is None and total is not None and free is not None:
        used = total - free
    return used / total if used is not None and total else None
