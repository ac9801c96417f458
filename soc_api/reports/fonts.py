"""Finds fonts to embed into a PDF: Tinos (metric twin of Times New Roman) from the console's built
files, else the system's Liberation Serif, which has the same letters."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from soc_api.reports.errors import FontsMissingError

FAMILY: Final = "VonggacSerif"
_STYLES: Final = ("", "-Bold", "-Italic", "-BoldItalic")
_TINOS: Final = ("Regular", "Bold", "Italic", "BoldItalic")
_SYSTEM_FOLDERS: Final = (
    "/usr/share/fonts/truetype/liberation",
    "/usr/share/fonts/truetype/liberation2",
    "/usr/share/fonts/liberation-serif",
    "/usr/share/fonts/liberation",
)
#: Letters that only a font made with Vietnamese in mind has.
_PROOF: Final = "ĂÂĐÊÔƠƯăâđêôơưẾỆỔỘỨỰấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ–—“”…"


@cache
def register_fonts() -> str:
    """Register the four styles with reportlab under :data:`FAMILY`, and return the font's own name.

    Raises:
        FontsMissingError: none found that covers Vietnamese.
    """
    for name, paths in _candidates():
        if all(path.is_file() for path in paths) and _register(paths):
            pdfmetrics.registerFontFamily(
                FAMILY,
                normal=FAMILY,
                bold=f"{FAMILY}-Bold",
                italic=f"{FAMILY}-Italic",
                boldItalic=f"{FAMILY}-BoldItalic",
            )
            return name
    raise FontsMissingError


def _candidates() -> list[tuple[str, list[Path]]]:
    vendor = Path(str(files("dashboards"))) / "static" / "vendor" / "fonts"
    system = [Path(folder) for folder in _SYSTEM_FOLDERS]
    return [
        ("Tinos", [vendor / f"Tinos-{style}.ttf" for style in _TINOS]),
        *(
            ("Liberation Serif", [path / f"LiberationSerif-{style}.ttf" for style in _TINOS])
            for path in system
        ),
    ]


def _register(paths: list[Path]) -> bool:
    try:
        fonts = [TTFont(FAMILY + style, str(path)) for style, path in zip(_STYLES, paths, strict=True)]
    except TTFError:
        return False
    if any(ord(letter) not in font.face.charToGlyph for font in fonts for letter in _PROOF):
        return False
    for font in fonts:
        pdfmetrics.registerFont(font)
    return True
