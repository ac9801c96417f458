"""What stops an import as a whole. What is wrong with one rule is data in the manifest."""

from __future__ import annotations

from rules.engine.errors import RuleError


class ImportingError(RuleError):
    """A release that cannot be read or taken; ``str()`` says what to do."""
