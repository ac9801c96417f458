"""Makes text that came from outside (host names, product names) fit to be put into a document."""

from __future__ import annotations

import unicodedata
from typing import Final

_LONGEST: Final = 255
_REPLACEMENT: Final = "\ufffd"
#: What a spreadsheet reads as the start of a formula, once a cell is exported to CSV or typed over.
_FORMULA_STARTS: Final = frozenset("=+-@")


def clean(text: str) -> str:
    """``text`` in one line without anything that steers a viewer, at most 255 characters.

    Control characters, lone surrogates, non-characters and bidirectional or invisible formatting characters
    become U+FFFD: XML cannot hold some of them, and the others let a host name pass for another one.
    """
    out = "".join(_REPLACEMENT if _steers(character) else character for character in text[: _LONGEST + 1])
    out = unicodedata.normalize("NFC", out)
    return out if len(out) <= _LONGEST else out[: _LONGEST - 1] + "…"


def looks_like_formula(text: str) -> bool:
    """Whether a spreadsheet program might one day evaluate ``text``."""
    return text.lstrip()[:1] in _FORMULA_STARTS


def _steers(character: str) -> bool:
    code = ord(character)
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or (code & 0xFFFE) == 0xFFFE
