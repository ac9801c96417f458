"""What goes into the engine and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Event:
    """One event as rules see it.

    ``time``: seconds since the epoch, UTC; ``nan`` where the event has none (then it takes no part in
    correlations). ``product``, ``category``, ``service``: Sigma's log source, ``""`` where it has none.
    ``fields``: JSON values, flat or nested; ``a.b`` in a rule reaches the key ``a.b`` or the nested value, and a list
    (of scalars, or of maps on the way) gives several values.
    """

    id: str
    time: float
    product: str
    category: str
    service: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that fired. ``event`` is the event that completed it.

    ``group``: the group-by values of a correlation by their name, else empty. ``events``: a correlation's evidence,
    oldest first, ``event`` among them, at most :data:`rules.engine.correlation.EVIDENCE_LIMIT`.
    """

    rule_id: str
    event: Event
    group: dict[str, str] = field(default_factory=dict)
    events: Sequence[Event] = ()
