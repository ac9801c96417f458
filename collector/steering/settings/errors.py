"""What can be wrong with settings for agents."""

from __future__ import annotations

from collector.errors import CollectorError, ConflictError, NotFoundError


class SettingsRefusedError(CollectorError):
    """Settings that no agent would take; ``field`` is the setting, or empty."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class GroupNotFoundError(NotFoundError):
    """No such group within the caller's reach."""


class PublicationNotFoundError(NotFoundError):
    """No publication of that number within the caller's reach."""


class OutrunError(ConflictError):
    """Somebody else has published for the group since it was looked at."""
