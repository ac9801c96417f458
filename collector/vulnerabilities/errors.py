"""What can be wrong with a feed."""

from __future__ import annotations

from collector.errors import CollectorError, NotFoundError


class FeedError(CollectorError):
    """The file cannot be taken as a feed; nothing of it is in use. ``str()`` names the file and says why."""


class RecordError(ValueError):
    """One record cannot be read; it is left out and counted, the others are taken."""


class FeedNotFoundError(NotFoundError):
    """No feed of this name is in use."""


class VulnerabilityNotFoundError(NotFoundError):
    """No machine within reach is known to have it."""
