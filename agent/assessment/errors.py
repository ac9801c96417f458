"""What cannot be told of a machine."""

from __future__ import annotations


class UnknownFactError(Exception):
    """A fact may not or cannot be read; ``str()`` is a sentence of ``agent.reasons``. That there is none is a fact."""
