"""Modifiers of the specification that pySigma's table lacks or narrows; importing this module registers them.

``utf16le`` is the specification's name for what pySigma calls ``wide`` only. ``windash`` in pySigma replaces ``-``
and ``/``; the specification's five dash characters are interchangeable, so all five are replaced here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sigma.exceptions import SigmaModifiedError
from sigma.modifiers import SigmaWideModifier, SigmaWindowsDashModifier, modifier_mapping
from sigma.types import Placeholder, SigmaCasedString, SigmaExpansion, SigmaString

if TYPE_CHECKING:
    from collections.abc import Iterator

_DASHES: Final = "-/\u2013\u2014\u2015"
_BEGINS_A_WORD: Final = re.compile(rf"(?<!\w)[{re.escape(_DASHES)}](?=\w)")


class FiveDashes(SigmaWindowsDashModifier):
    """Each dash that begins a word stands for any of the five, in all combinations, for at most three dashes."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        def each(placeholder: Placeholder) -> Iterator[str | Placeholder]:
            if placeholder.name == "_windash":
                yield from _DASHES
            else:
                yield placeholder

        marked = val.replace_with_placeholder(_BEGINS_A_WORD, "_windash")
        dashes = sum(isinstance(part, Placeholder) and part.name == "_windash" for part in marked.s)
        if dashes > self.max_expanded_dashes:
            raise SigmaModifiedError(
                f"windash expands at most {self.max_expanded_dashes} dashes in one value, not {dashes}: "
                "split the value into several",
                source=self.source,
            )
        found = marked.replace_placeholders(each)
        if isinstance(val, SigmaCasedString):  # which pySigma forgets when it replaces something
            found = [SigmaCasedString.from_sigma_string(text) for text in found]
        return SigmaExpansion(list(found))


modifier_mapping["utf16le"] = SigmaWideModifier
modifier_mapping["windash"] = FiveDashes
