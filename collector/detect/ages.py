"""What grows older while nothing happens: whole days since a time that a document states.

Numbers that depend on the day are not the agent's to send (documents travel when they change); they are
added to the document's events here, and an event is made when a day passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.coverage.protection import signature_age_days
from collector.detect.values import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.settings import Coverage

#: The kinds whose documents grow older.
AGING = ("antivirus", "updates")


@dataclass(frozen=True)
class Age:
    """``field`` of a document is ``days`` old; ``extra`` are fields that follow from it."""

    field: str
    days: int
    extra: Mapping[str, int]


def age_of(kind: str, body: Mapping[str, Any], now: float, limits: Coverage) -> Age | None:
    """The age of a document's facts at ``now``; None where it has none, or none is known.

    ``antivirus.signature_age_days`` with ``signature_overdue_days`` (age less the local limit, negative
    while it is kept) and ``updates.pending_days`` (days since the oldest pending security update was first
    seen).
    """
    if kind == "antivirus":
        days = signature_age_days(body.get("signature_time"), now)
        if days is None or body.get("state") == "not_installed":
            return None
        return Age("signature_age_days", days, {"signature_overdue_days": days - limits.local_signature_days})
    if kind == "updates":
        since, pending = number(body.get("pending_since")), number(body.get("security_pending"))
        if since is None or not pending or not 0 < since <= now + 86_400:
            return None
        return Age("pending_days", max(0, int((now - since) // 86_400)), {})
    return None


def with_age(body: Mapping[str, Any], age: Age | None) -> dict[str, Any]:
    return dict(body) if age is None else {**body, age.field: age.days, **age.extra}
