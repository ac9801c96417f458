"""Keeps passwords that stand on command lines out of events."""

from __future__ import annotations

import re

_WORD = r"[\w-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key)"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|\S+)"
#: ``--password x``, ``-password=x``, ``PASSWORD=x``, ``token:x``; but not "password for alice".
_SECRET = re.compile(rf"(?i)((?:^|\s)(?:--?{_WORD}(?:[=:]\s?|\s+)|{_WORD}[=:])){_VALUE}")


def hide_secrets(command_line: str) -> str:
    """Masks what follows a word like ``--password``: a command line is seen by people who need not know it."""
    return _SECRET.sub(r"\1***", command_line)
