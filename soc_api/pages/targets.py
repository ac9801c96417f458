"""The plan's targets that a rule serves, by their own wording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from rules.targets import load_targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules.targets import Target


@dataclass(frozen=True, slots=True)
class TargetQuote:
    """``quote`` is verbatim Vietnamese from ``document``; both are empty where the target is not known."""

    id: str
    document: str
    quote: str
    value: str


def quotes(ids: Iterable[str]) -> list[TargetQuote]:
    known = _by_id()
    return [
        TargetQuote(each, f"{found.document.title}, {found.document.province}", found.quote, found.value)
        if (found := known.get(each))
        else TargetQuote(each, "", "", "")
        for each in ids
    ]


@cache
def _by_id() -> dict[str, Target]:
    return {target.id: target for target in load_targets()}
