"""What stops an import as a whole. What is wrong with one rule is data in the manifest."""

from __future__ import annotations


class ImportingError(Exception):
    """A release that cannot be read or taken; ``str()`` says what to do."""
