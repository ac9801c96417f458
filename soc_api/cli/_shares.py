"""Spreads a number over agencies in proportion to their officials."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def shares(total: int, weights: Mapping[int, int]) -> dict[int, int]:
    """``total`` split by ``weights`` (largest remainders, Hamilton's method): the sum is exact, and while
    there is enough to go round every agency gets at least one. Without any weight all count the same.
    """
    if not weights:
        return {}
    counted = {key: max(weight, 0) for key, weight in weights.items()}
    if not any(counted.values()):
        counted = dict.fromkeys(counted, 1)
    least = 1 if total >= len(counted) else 0
    whole = sum(counted.values())
    spare = total - least * len(counted)
    exact = {key: spare * weight / whole for key, weight in counted.items()}
    result = {key: least + int(value) for key, value in exact.items()}
    by_remainder = sorted(counted, key=lambda key: (int(exact[key]) - exact[key], key))
    for key in by_remainder[: total - sum(result.values())]:
        result[key] += 1
    return result
