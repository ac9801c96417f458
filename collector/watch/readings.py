"""What a look finds, and what looks remember between them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

HOUR: Final = 3600.0
#: The hour is kept in parts of this length.
_PART_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A concern's value of one subject. ``fields`` go into the event beside it (``agency``…), ``detail`` is kept
    for the next look and the console."""

    concern: str
    subject: str
    value: float
    fields: dict[str, Any] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


class HourCount:
    """How much a counter that only rises (and starts anew with its process) rose within the last hour."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._parts: deque[tuple[float, float]] = deque()

    def add(self, steady: float, total: float) -> float:
        """Take in the counter's value now; return the hour's rise. What it had when first seen is not news."""
        if self._last is not None:
            rise = total - self._last if total >= self._last else total
            if rise:
                if self._parts and steady - self._parts[-1][0] < _PART_SECONDS:
                    began, before = self._parts[-1]
                    self._parts[-1] = (began, before + rise)
                else:
                    self._parts.append((steady, rise))
        self._last = total
        while self._parts and self._parts[0][0] < steady - HOUR:
            self._parts.popleft()
        return sum(rise for _, rise in self._parts)


class LastChange(Generic[T]):
    """Since when each of some values has stood still, by the steady clock: no setting of a clock moves that."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[T, float]] = {}

    def age(self, name: str, value: T, steady: float) -> float:
        """Seconds since ``value`` was first seen as it is; 0 the first time."""
        seen = self._seen.get(name)
        if seen is None or seen[0] != value:
            self._seen[name] = (value, steady)
            return 0.0
        return steady - seen[1]

    def keep(self, names: set[str]) -> None:
        """Forget all others."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
