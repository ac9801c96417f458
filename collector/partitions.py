"""How the work is divided: every endpoint belongs to one partition, for ever.

What an endpoint sends is worked on in the order in which it came, by whoever holds its partition's lease. The
number of partitions is how many workers can share the work at most; it is written into every row of the log and
of the event store, so it never changes.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

PARTITIONS: Final = 32
#: What only a look at everything can find (correlations, the clock) is written under this number: no endpoint's.
WHOLE: Final = PARTITIONS
ALL: Final = range(PARTITIONS)


@lru_cache(maxsize=1 << 17)
def partition_of(endpoint_id: str) -> int:
    """The endpoint's partition, 0 to 31: the first 32 bits of the SHA-256 of its id, modulo 32."""
    return int.from_bytes(hashlib.sha256(endpoint_id.encode()).digest()[:4], "big") % PARTITIONS


def all_from(offset: int) -> dict[int, int]:
    """Positions of a reader of every partition that has read up to ``offset``."""
    return dict.fromkeys(ALL, offset)


def check_complete(partitions: Collection[int]) -> None:
    """Refuse anything but all partitions.

    Raises:
        ValueError: one is missing.
    """
    if not set(ALL) <= set(partitions):
        raise ValueError("positions of all partitions are needed")
