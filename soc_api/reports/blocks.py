"""An official document taken apart: what it says, in order, without how a format draws it.

DOCX and PDF are drawn from the same :class:`OfficialDocument`, so they say the same. Texts are
plain: a renderer escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str
    style: Literal["body", "quote", "note"] = "body"


@dataclass(frozen=True)
class Column:
    """``share`` of the table's width, relative to the other columns'."""

    title: str
    share: float
    align: Literal["left", "center", "right"] = "left"


@dataclass(frozen=True)
class Table:
    """``rows`` are as long as ``columns``; ``bold_last`` marks a line of totals. The head repeats
    on each page."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    bold_last: bool = False


Block = Heading | Paragraph | Table


@dataclass(frozen=True)
class Appendix:
    """Begins on a page of its own, in landscape (its tables are wide)."""

    label: str
    title: str
    reference: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class OfficialDocument:
    """Decree 30/2020/NĐ-CP, Appendix I. ``banner``, where not empty, stands on the face and above every page.

    ``made_at`` is the cut-off of the figures; it is the only time in the file, its metadata
    included, so that the same figures give the same bytes.
    """

    lang: str
    country: str
    motto: str
    parent_body: str
    issuer: str
    number: str
    place_and_date: str
    kind: str
    subject: Sequence[str]
    banner: str
    body: Sequence[Block]
    recipients_title: str
    recipients: Sequence[str]
    signatory_title: str
    signatory_name: str
    made_at: datetime
    appendices: Sequence[Appendix] = field(default=())
