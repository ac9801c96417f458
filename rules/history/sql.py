"""Pieces of SQL (ClickHouse's), put together without ever putting a value into the text."""

from __future__ import annotations

from typing import Final

#: Constants: conditions that always and never hold.
TRUE: Final = "1"
FALSE: Final = "0"


class Parameters:
    """Values bound beside the text: ``{name:Type}`` stands for each. Equal values share a name."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self._names: dict[tuple[str, object], str] = {}

    def text(self, value: str) -> str:
        return self._bind("String", value, value)

    def texts(self, values: list[str]) -> str:
        return self._bind("Array(String)", tuple(values), values)

    def number(self, value: float) -> str:
        return self._bind("Float64", value, value)

    def _bind(self, kind: str, key: object, value: object) -> str:
        name = self._names.get((kind, key))
        if name is None:
            name = self._names[kind, key] = f"v{len(self.values)}"
            self.values[name] = value
        return f"{{{name}:{kind}}}"


def all_of(conditions: list[str]) -> str:
    kept = [each for each in dict.fromkeys(conditions) if each != TRUE]
    if FALSE in kept:
        return FALSE
    if len(kept) < 2:
        return kept[0] if kept else TRUE
    return "(" + " AND ".join(kept) + ")"


def any_of(conditions: list[str]) -> str:
    kept = [each for each in dict.fromkeys(conditions) if each != FALSE]
    if TRUE in kept:
        return TRUE
    if len(kept) < 2:
        return kept[0] if kept else FALSE
    return "(" + " OR ".join(kept) + ")"


def none_of(condition: str) -> str:
    if condition in (TRUE, FALSE):
        return FALSE if condition == TRUE else TRUE
    return f"(NOT {condition})"
