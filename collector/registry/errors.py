"""What can be wrong with the registry of agencies."""

from __future__ import annotations

from collector.errors import CollectorError, ConflictError, NotFoundError


class RegistryRowError(CollectorError):
    """A row of an import that cannot be used; ``row`` counts from 1, ``column`` names the cell."""

    def __init__(self, row: int, column: str, problem: str) -> None:
        super().__init__(f"row {row}, column {column!r}: {problem}")
        self.row = row
        self.column = column


class AgencyNotFoundError(NotFoundError):
    """No agency of that code or name within the caller's reach."""

    def __init__(self, wanted: str, near: str = "") -> None:
        hint = f"; did you mean {near!r}?" if near else "; `vonggac agency list` shows them all"
        super().__init__(f"no agency {wanted!r}{hint}")
        self.wanted = wanted


class AssignmentError(ConflictError):
    """An endpoint cannot be assigned so (a date before its present assignment began)."""
