"""What the collector watches of itself: one frozen table.

A concern measures a value of each of its subjects. Passing one of its marks, either way, is an event; which mark is
worth an alert is said by the rules (``rules/sigma/collector``), never here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Concern:
    """``unit`` names the value's field in events (``collector.queue_lag.seconds``).

    ``marks`` go from harmless to grave: ascending, or descending where ``falling`` (less is worse). ``every``: subjects
    that are well are kept and shown too; else only those in trouble are.
    """

    name: str
    unit: str
    marks: tuple[float, ...]
    falling: bool = False
    every: bool = True

    @property
    def field(self) -> str:
        return f"collector.{self.name}.{self.unit}"

    def severity(self, value: float, before: int = 0) -> int:
        """How many marks ``value`` has passed, 0 when well.

        A mark once passed counts until the value is clear of it by a fifth, so that one at the mark does not flutter.
        """
        passed = sum(value < mark if self.falling else value >= mark for mark in self.marks)
        if passed >= before:
            return passed
        yet = sum(value < mark * 1.25 if self.falling else value >= mark * 0.8 for mark in self.marks)
        return min(before, yet)

    def mark(self, severity: int) -> float:
        """The gravest mark passed; 0 when well."""
        return self.marks[severity - 1] if severity else 0.0


_HOUR: Final = 3600.0
_DAY: Final = 86_400.0

CONCERNS: Final = {
    concern.name: concern
    for concern in (
        Concern("queue_lag", "seconds", (60, 600, _HOUR)),
        Concern("checkpoint_age", "seconds", (120, 600, _HOUR)),
        Concern("correlate_lag", "seconds", (60, 600, _HOUR)),
        Concern("rule_lag", "seconds", (120, 600, _HOUR)),
        Concern("dead_letters", "an_hour", (10, 100, 1000)),
        Concern("refused_batches", "an_hour", (1, 100, 1000)),
        Concern("store_latency", "seconds", (1, 5, 30)),
        Concern("store_damage", "count", (1, 10, 100)),
        Concern("disk_runway", "days", (30, 14, 7, 3, 1), falling=True),
        Concern("disk_free", "ratio", (0.2, 0.1, 0.05), falling=True),
        Concern("clock_jump", "seconds", (5, 60, _HOUR)),
        Concern("clock_unsynchronised", "seconds", (_HOUR, _DAY)),
        Concern("certificate", "days", (30, 14, 7, 1), falling=True),
        Concern("agent_certificates", "count", (1, 10, 100)),
        Concern("process_silence", "seconds", (60, 600, _HOUR)),
        Concern("process_restarts", "an_hour", (3, 10)),
        Concern("export_lag", "seconds", (600, _HOUR, _DAY)),
        Concern("export_loss", "an_hour", (1, 1000, 100_000)),
        Concern("rollout_halted", "count", (1,), every=False),
        Concern("agency_silence", "seconds", (_HOUR, _DAY, 3 * _DAY), every=False),
        Concern("source_silence", "seconds", (_HOUR, _DAY, 3 * _DAY), every=False),
    )
}
