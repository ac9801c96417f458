"""What stands in a page's address: filters, sorting and the page number, read leniently, written canonically.

A bookmark outlives the words in it, so a value that is not (any longer) known is left out and never an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_LONGEST: Final = 200
_LAST_PAGE: Final = 10_000
#: What ``simulated`` may say: real and simulated ones, simulated ones only. Without it real ones only.
SIMULATED: Final = ("1", "only")
#: Parameters that say where in a list the reader is.
_PAGING: Final = frozenset({"page", "after"})


@dataclass(frozen=True)
class Query:
    """The address of a page: ``path`` and its parameters, in a fixed order, empty ones left out."""

    path: str
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str, parameters: Mapping[str, str], known: Container[str]) -> Query:
        kept = {
            name: value.strip()[:_LONGEST]
            for name, value in parameters.items()
            if name in known and value.strip()
        }
        return cls(path, kept)

    def text(self, name: str) -> str:
        """Free text; control characters become spaces."""
        return "".join(char if char.isprintable() else " " for char in self.values.get(name, "")).strip()

    def choice(self, name: str, among: Container[str], default: str = "") -> str:
        value = self.values.get(name, default)
        return value if value in among else default

    def number(self, name: str, default: int, lowest: int = 1, highest: int = _LAST_PAGE) -> int:
        value = self.values.get(name, "")
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            return default
        return min(max(int(value), lowest), highest)

    def flag(self, name: str, *, default: bool = False) -> bool:
        return self.values.get(name, "1" if default else "0") == "1"

    @property
    def filtered(self) -> bool:
        """Whether there is more to clear than the choice of simulated machines."""
        return bool(set(self.values) - {"simulated"})

    def link(self, **changes: str | int | None) -> str:
        """This address with ``changes``; None removes. Any other change leads back to the first page."""
        merged: dict[str, str] = dict(self.values)
        if not set(changes) <= _PAGING:
            for name in _PAGING:
                merged.pop(name, None)
        for name, value in changes.items():
            if value is None or value == "":
                merged.pop(name, None)
            else:
                merged[name] = str(value)
        return self.path + ("?" + urlencode(sorted(merged.items())) if merged else "")


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of a list: ``number`` from 1, ``size`` rows, ``total`` rows in all."""

    number: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        return 0 if self.total == 0 else (self.number - 1) * self.size + 1

    @property
    def last(self) -> int:
        return min(self.number * self.size, self.total)

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size
