"""The plan's targets that a rule serves, by their own wording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class TargetQuote:
    """``quote`` is verbatim Vietnamese from the plan ``document``; empty where the target is not known."""

    id: str
    document: str
    quote: str


def quotes(ids: Iterable[str]) -> list[TargetQuote]:
    return [TargetQuote(each, each.partition("-")[0], "") for each in ids]
