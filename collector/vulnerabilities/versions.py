"""Versions by the rules of their ecosystem: dpkg's (deb-version(7)), rpm's EVR with ``~`` and ``^``, and plain numbers.

dpkg's and rpm's rules are `univers`'; the tests hold it to the real programs.
"""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering
from typing import Any, Final

from univers.versions import DebianVersion, InvalidVersion, RpmVersion

#: An upstream version of nothing but numbers, as Windows programs have them.
_NUMBERS: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18}){0,7}")
#: What dpkg refuses and `univers` lets through: a colon or hyphen with nothing behind it.
_EMPTY_PART: Final = re.compile(r"[:-]$")
_LONGEST: Final = 255


class VersionError(ValueError):
    """This is no version in its ecosystem."""


@total_ordering
class _Numbers:
    """``1.2`` and ``1.2.0`` are the same."""

    def __init__(self, text: str) -> None:
        numbers = [int(part) for part in text.split(".")]
        while numbers and numbers[-1] == 0:
            numbers.pop()
        self._numbers = numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Numbers) and self._numbers == other._numbers

    def __lt__(self, other: _Numbers) -> bool:
        return self._numbers < other._numbers

    def __hash__(self) -> int:
        return hash(tuple(self._numbers))


@lru_cache(maxsize=50_000)
def parse_version(scheme: str, text: str) -> Any:
    """``text`` as something that compares with its like. ``scheme``: ``dpkg``, ``rpm`` or ``numbers``.

    Raises:
        VersionError: it is no version there.
    """
    if not text.isascii() or len(text) > _LONGEST:
        raise VersionError(f"{text[:40]!r} is no version")
    try:
        if scheme == "dpkg":
            if _EMPTY_PART.search(text):
                raise VersionError(f"{text!r} is no version of dpkg")
            return DebianVersion(text)
        if scheme == "rpm":
            # rpm compares an epoch that is not there as 0.
            epoch, colon, _ = text.partition(":")
            if not text or text.isspace() or (colon and not epoch.isdigit()):
                raise VersionError(f"{text!r} is no version of rpm")
            return RpmVersion(text)
    except InvalidVersion as error:
        raise VersionError(str(error)) from error
    if not _NUMBERS.fullmatch(text):
        raise VersionError(f"{text[:40]!r} is no plain version number")
    return _Numbers(text)
