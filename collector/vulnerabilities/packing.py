"""Sets of vulnerabilities in few bytes: a machine may have two thousand, and there are many machines."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_QUICK = 1


def pack_affected(found: Iterable[tuple[int, bool]]) -> bytes:
    """``(number of the vulnerability, whether an update ends it)``; numbers below 2³¹."""
    return _pack(sorted(number << 1 | fixable for number, fixable in found))


def unpack_affected(packed: bytes) -> tuple[int, ...]:
    """Sorted; each is a number doubled, plus 1 where an update ends it."""
    return _unpack(packed)


def pack_tally(tally: Mapping[int, tuple[int, int]]) -> bytes:
    """``{number: (machines, machines where an update ends it)}``."""
    return _pack([value for number, pair in sorted(tally.items()) for value in (number, *pair)])


def unpack_tally(packed: bytes) -> dict[int, tuple[int, int]]:
    values = iter(_unpack(packed))
    return {
        number: (machines, fixable) for number, machines, fixable in zip(values, values, values, strict=True)
    }


def _pack(values: list[int]) -> bytes:
    return zlib.compress(struct.pack(f"<{len(values)}I", *values), _QUICK)


def _unpack(packed: bytes) -> tuple[int, ...]:
    raw = zlib.decompress(packed)
    return struct.unpack(f"<{len(raw) // 4}I", raw)
