"""What can be wrong with a rule: one root exception, and a refusal as data."""

from __future__ import annotations

from typing import NamedTuple


class RuleError(Exception):
    """A rule that cannot be loaded. ``reason`` is one sentence; ``path`` is the file, empty for inline YAML; ``line``
    counts from 1, 0 where it is not known."""

    def __init__(self, reason: str, path: str = "", line: int = 0) -> None:
        place = f"{path}:{line}" if line and path else f"line {line}" if line else path
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason = reason
        self.path = path
        self.line = line


class Refusal(NamedTuple):
    """A rule that was not loaded. ``id`` is the rule's UUID as written, or the file's name where it has none;
    ``line`` counts from 1, 0 where it is not known."""

    id: str
    reason: str
    path: str = ""
    line: int = 0
