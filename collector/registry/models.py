"""What goes into the registry and comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date  # noqa: TC003 - a dataclass field that tools introspect

LEVELS = ("tinh", "huyen", "xa")


@dataclass(frozen=True)
class AgencyRow:
    """One agency of an import. ``None`` for ``officials`` means that no head-count was declared, which is
    not 0.
    """

    code: str
    name: str
    level: str
    officials: int | None = None
    organ_id: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True)
class ImportResult:
    """How many agencies an import made, changed and found as they already were."""

    created: int
    changed: int
    unchanged: int
