"""What can be wrong with settings for agents."""

from __future__ import annotations

from collector.errors import CollectorError, ConflictError, NotFoundError


class SettingsRefusedError(CollectorError):
    """Settings that no agent would take; ``where`` is the setting (``intervals.lan``), or empty."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.where = where
        self.reason = reason


class GroupNotFoundError(NotFoundError):
    """No such group within the caller's reach."""


class PublicationNotFoundError(NotFoundError):
    """No publication of that number within the caller's reach."""


class OutrunError(ConflictError):
    """Somebody else has published for the group since it was looked at."""
