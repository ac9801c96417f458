"""What stops a hunt before it begins."""

from __future__ import annotations

from collector.errors import CollectorError


class HuntError(CollectorError):
    """The rule cannot be hunted with; ``line`` is where in its text, 0 where that is not known."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line
