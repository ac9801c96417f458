"""Makes hostile JSON values harmless: bounded in depth and size, and writable by every store behind."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

MAX_DEPTH = 24
MAX_KEY = 256
_INT64 = 2**63
#: JSON has no number that is not finite.
_PLAIN = frozenset({str, int, float, bool, type(None)})
_MAX_PLAIN = 1_000
_LATEST = 253_402_300_799.0


class UnusableValueError(ValueError):
    """A value that cannot be taken in; ``str()`` says why."""


def clean(value: Any, *, max_leaves: int) -> Any:
    """``value`` (as JSON decodes it) with NUL and lone surrogates replaced and integers beyond 64 bits as
    text.

    Raises:
        UnusableValueError: deeper than :data:`MAX_DEPTH`, or more values than ``max_leaves``.
    """
    return _Cleaner(max_leaves).clean(value, 0)


def is_plain(fields: dict[str, Any]) -> bool:
    """Whether :func:`clean` would give the same back, but for what it does to strings: a flat map of not too many
    scalars. Costs a fraction of it."""
    kinds = {*map(type, fields.values())}
    if not kinds <= _PLAIN:
        return False
    if int in kinds and not all(
        -_INT64 <= value < _INT64 for value in fields.values() if value.__class__ is int
    ):
        return False
    return len(fields) <= _MAX_PLAIN and (not fields or max(map(len, fields)) <= MAX_KEY)


class _Cleaner:
    def __init__(self, max_leaves: int) -> None:
        self._left = self._most = max_leaves

    def clean(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is dict or kind is list:
            if depth >= MAX_DEPTH:
                raise UnusableValueError(f"nested deeper than {MAX_DEPTH}")
            # Leaves are cleaned in place: a call for each would double the time of a software list.
            items = [
                self.clean(each, depth + 1) if type(each) in _INNER else _leaf(each)
                for each in (value.values() if kind is dict else value)
            ]
            self._left -= len(items)
            if self._left < 0:
                raise UnusableValueError(f"more than {self._most} values")
            if kind is list:
                return items
            return {clean_text(key)[:MAX_KEY]: each for key, each in zip(value, items, strict=True)}
        return _leaf(value)


_INNER = frozenset({dict, list})


def _leaf(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -_INT64 <= value < _INT64:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def clean_text(text: str) -> str:
    if text.isascii():
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a ``datetime``, brought into the range that one can hold."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LATEST) if seconds == seconds else 0.0, UTC)


def event_id(*parts: str | int) -> str:
    """32 hex digits that depend on ``parts`` alone, so that the same event made again has the same id."""
    return digest_of_parts(*parts).hexdigest()[:32]


def digest_of_parts(*parts: str | int) -> hashlib._Hash:
    """The digest behind :func:`event_id`, to go on with."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "replace"))


def number(value: object) -> float | None:
    """``value`` where it is a finite number that is no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
