"""What can be wrong with a rule: one root exception, and a refusal as data."""

from __future__ import annotations

from typing import NamedTuple


class RuleError(Exception):
    """A rule that cannot be loaded. ``reason`` is one sentence; ``path`` is the file, empty for inline YAML."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class Refusal(NamedTuple):
    """A rule that was not loaded. ``id`` is the rule's UUID as written, or the file's name where it has none."""

    id: str
    reason: str
    path: str = ""
