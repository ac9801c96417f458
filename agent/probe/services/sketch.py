"""A page as two short sketches, of which anybody can tell how alike two pages are without having either.

A sketch keeps, of a set of features, the smallest hash in each of 128 bins (one-permutation hashing, Li, Owen and Zhang
2012). The share of bins that agree estimates the sets' Jaccard similarity, with an error of some 4 %.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

BINS: Final = 128
_WIDTH: Final = 4
_EMPTY: Final = (1 << 8 * _WIDTH) - 1


def sketch_of(features: Iterable[str]) -> str:
    """684 characters of base64, whatever there is of features."""
    bins = [_EMPTY] * BINS
    for feature in features:
        number = int.from_bytes(blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "big")
        at, value = number % BINS, (number >> 16) & _EMPTY
        if value < bins[at]:
            bins[at] = value
    return base64.b64encode(b"".join(each.to_bytes(_WIDTH, "big") for each in bins)).decode("ascii")


def difference(one: str, other: str) -> float:
    """0: alike, 1: nothing in common.

    Raises:
        ValueError: one of the two is no sketch.
    """
    mine, theirs = _bins(one), _bins(other)
    told = [(a, b) for a, b in zip(mine, theirs, strict=True) if a != _EMPTY or b != _EMPTY]
    return 1 - sum(a == b for a, b in told) / len(told) if told else 0.0


def _bins(sketch: str) -> list[int]:
    try:
        raw = base64.b64decode(sketch, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a sketch") from error
    if len(raw) != BINS * _WIDTH:
        raise ValueError("not a sketch")
    return [int.from_bytes(raw[at : at + _WIDTH], "big") for at in range(0, len(raw), _WIDTH)]
