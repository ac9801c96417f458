"""Until when a product's release is supported by its maker: a table, and unknown for what it does not list."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

_TABLE: Final = Path(__file__).with_name("support.toml")


@dataclass(frozen=True)
class Support:
    """The last day of support, and where that was read."""

    until: date
    source: str


def support_of(product: str, version: str) -> Support | None:
    """None where nothing is known: of that product, or of that release (the first two numbers of ``version``)."""
    release = ".".join(version.split(".")[:2])
    return _table().get((product.casefold(), release))


@cache
def _table() -> dict[tuple[str, str], Support]:
    found = {}
    for each in tomllib.loads(_TABLE.read_text(encoding="utf-8"))["release"]:
        for release, ends in each["ends"].items():
            if not isinstance(ends, date):
                raise TypeError(f"{_TABLE}: {each['product']} {release}: not a date")
            found[each["product"].casefold(), release] = Support(ends, each["source"])
    return found
