"""Measures of an official document (Decree 30/2020/NĐ-CP, Appendix I), shared by DOCX and PDF. Lengths in mm,
type sizes in points."""

from __future__ import annotations

import unicodedata
from typing import Final

from reportlab.pdfbase.pdfmetrics import stringWidth

PAGE_WIDTH: Final = 210.0
PAGE_HEIGHT: Final = 297.0
MARGIN_TOP: Final = 20.0
MARGIN_BOTTOM: Final = 20.0
MARGIN_LEFT: Final = 30.0
MARGIN_RIGHT: Final = 15.0
#: From the paper's edge to the page number, inside the top margin.
HEADER_DISTANCE: Final = 10.0

FONT: Final = "Times New Roman"
COUNTRY: Final = 12.0
MOTTO: Final = 13.0
BODY: Final = 14.0
NUMBER: Final = 13.0
TITLE: Final = 14.0
RECIPIENTS_TITLE: Final = 12.0
RECIPIENTS: Final = 11.0
TABLE: Final = 11.0
LIST: Final = 9.5
PAGE_NUMBER: Final = 13.0

FIRST_LINE: Final = 12.7
PARAGRAPH_GAP: Final = 6.0
LINE_SPACING: Final = 1.15

#: The head's two columns: the issuer, and the country with its motto.
HEAD_LEFT: Final = 70.0
HEAD_RIGHT: Final = 95.0

POINTS_PER_MM: Final = 72 / 25.4

TEXT_WIDTH: Final = PAGE_WIDTH - MARGIN_LEFT - MARGIN_RIGHT
LANDSCAPE_TEXT_WIDTH: Final = PAGE_HEIGHT - MARGIN_LEFT - MARGIN_RIGHT
#: The rule under the issuer is a third to a half of its text.
ISSUER_RULE: Final = 0.4


def text_width(text: str, size: float, *, font: str = "Times-Bold") -> float:
    """How wide ``text`` prints in Times, in mm. Vietnamese letters are as wide as their bases (ơ
    and ư nearly)."""
    bare = unicodedata.normalize("NFD", text).replace("đ", "d").replace("Đ", "D")
    latin = "".join(character for character in bare if not unicodedata.combining(character))
    width: float = stringWidth(latin.encode("latin-1", "replace").decode("latin-1"), font, size)
    return width / POINTS_PER_MM


def balanced_lines(text: str, size: float, width: float) -> list[str]:
    """``text`` in as few lines of at most ``width`` mm as it takes, as even as can be: no word is
    left alone."""
    words = text.split()
    lines = _filled(words, size, width)
    count = len(lines)
    narrowest = width
    while count > 1 and narrowest > 1:
        tried = _filled(words, size, narrowest - 1)
        if len(tried) > count:
            break
        lines, narrowest = tried, narrowest - 1
    return lines


def _filled(words: list[str], size: float, width: float) -> list[str]:
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
