"""What can be wrong with a change of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.errors import CollectorError, ConflictError

if TYPE_CHECKING:
    from collector.rulebook.models import TextFault


class RuleRefusedError(CollectorError):
    """A rule's text cannot be taken. ``faults`` are all of them; the first one is the message."""

    def __init__(self, faults: tuple[TextFault, ...]) -> None:
        first = faults[0]
        place = f"{'evidence, ' if first.part == 'evidence' else ''}line {first.line}: " if first.line else ""
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"{place}{first.message}{more}")
        self.faults = faults


class StaleRevisionError(ConflictError):
    """Somebody wrote a newer revision than the one that this change was made from."""
