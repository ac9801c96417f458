"""What every step of a pipeline's ``prepare`` is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rules.logsources.when import Conditions

#: How many elements of one list, or fields of one row (``a0``, ``a1`` …), are looked at.
MAX_ELEMENTS: Final = 256
#: No derived text is longer.
MAX_TEXT: Final = 1 << 16

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """``apply`` adds to ``fields`` in place; ``where`` says whether it is to."""

    where: Conditions

    def apply(self, fields: Fields) -> None:
        raise NotImplementedError
