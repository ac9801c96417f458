"""What is wrong with a release or a rollout."""

from __future__ import annotations

from collector.errors import ConflictError


class RolloutError(ConflictError):
    """What was asked of a rollout cannot be; the message says why."""
