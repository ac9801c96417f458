"""An agency's probes' words about its links, as two answers: the LAN's and the WAN's.

An agency that is silent altogether has told nothing of its LAN: that is unknown, never connected. Its way to the
collector is gone, or its power: ``unreachable``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.services.models import CONNECTED, DEGRADED, LAN, LOST, UNKNOWN, UNREACHABLE, WAN, Verdict
from collector.services.verdicts import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.services.models import Probed

_ROLES = {LAN: ("lan",), WAN: ("dedicated", "internet")}


def agency_verdicts(agency_id: int, probed: Iterable[Probed], *, heard: bool) -> list[Verdict]:
    """``heard``: whether any endpoint of the agency is. One verdict each for the LAN and the WAN."""
    links = list(probed)
    fresh = [each for each in links if each.fresh]
    return [_verdict(kind, agency_id, links, fresh, heard=heard) for kind in (LAN, WAN)]


def _verdict(
    kind: str, agency_id: int, links: Sequence[Probed], fresh: Sequence[Probed], *, heard: bool
) -> Verdict:
    of_kind = [each for each in fresh if each.body.get("role") in _ROLES[kind]]
    states = [each.body.get("state") for each in of_kind]
    up, weak, down, unasked = (states.count(each) for each in ("up", "degraded", "down", "unknown"))
    reason = ""
    if not heard:
        # The probe itself cannot be reached: of the LAN behind it nothing is known.
        state, reason = (UNREACHABLE, "agency_silent") if kind == WAN else (UNKNOWN, "agency_silent")
    elif not fresh:
        state, reason = UNKNOWN, "probe_silent"
    elif not (up or weak or down):
        # That it is heard at all shows a way to the collector; whether it is the one that counts, no link says.
        state, reason = UNKNOWN, "no_link"
    elif not up and not weak and not unasked:
        # Where one of them could not be asked, it may be the one that works.
        state = LOST
    elif down or weak:
        state = DEGRADED
    else:
        state = CONNECTED
    failing = sorted(
        {text_of(each.item, 64) for each in of_kind if each.body.get("state") in ("down", "degraded")}
    )
    why = sorted({text_of(each.body.get("reason")) for each in of_kind if each.body.get("reason")})[:5]
    fields: dict[str, Any] = {
        "side": kind,
        "links_count": len([each for each in links if each.body.get("role") in _ROLES[kind]]),
        "failing": failing[:20],
        "reasons": [reason] if reason else why,
    }
    return Verdict(kind, agency_id, state, fields, fields)
