"""Who may see what: tenancy in the data layer, so that no route can forget it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import false, true

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute


@dataclass(frozen=True)
class Scope:
    """The agencies that a caller reaches: all (``agency_ids`` is None), or just these."""

    agency_ids: frozenset[int] | None = None

    def where(self, agency_column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        """The condition every query of tenant data carries. A row without an agency is seen by unlimited
        scopes only.
        """
        if self.agency_ids is None:
            return true()
        if not self.agency_ids:
            return false()
        return agency_column.in_(sorted(self.agency_ids))

    def reaches(self, agency_id: int | None) -> bool:
        return self.agency_ids is None or (agency_id is not None and agency_id in self.agency_ids)


EVERYTHING = Scope()
