"""Draws an official document as PDF, laid out after Decree 30/2020/NĐ-CP, Appendix I, fonts embedded."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY, TA_LEFT, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    LongTable,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Paragraph as Lines
from reportlab.platypus import Table as Grid

from soc_api.reports import layout
from soc_api.reports.blocks import Heading, Table
from soc_api.reports.clean import clean
from soc_api.reports.fonts import FAMILY, register_fonts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from soc_api.reports.blocks import Appendix, Block, OfficialDocument

_ALIGN: Final = {"left": TA_LEFT, "center": TA_CENTER, "right": TA_RIGHT, "justify": TA_JUSTIFY}
_PADDING: Final = 3.0
_PORTRAIT: Final = (layout.PAGE_WIDTH * mm, layout.PAGE_HEIGHT * mm)
_LANDSCAPE: Final = (layout.PAGE_HEIGHT * mm, layout.PAGE_WIDTH * mm)


def render_pdf(document: OfficialDocument) -> bytes:
    """The file's bytes; the same document gives the same bytes.

    Raises:
        FontsMissingError: no font to embed covers Vietnamese.
    """
    register_fonts()
    out = io.BytesIO()
    template = BaseDocTemplate(
        out,
        title=clean(" ".join(document.subject)),
        author=clean(document.issuer),
        subject=clean(document.kind),
        creator="Vọng Gác",
        lang="vi-VN" if document.lang == "vi" else "en-GB",
        invariant=1,
    )
    template.addPageTemplates(
        [
            _page("portrait", _PORTRAIT, document),
            _page("landscape", _LANDSCAPE, document),
        ]
    )
    story: list[Flowable] = [*_head(document), *_title(document)]
    for block in document.body:
        story += _block(block, layout.TEXT_WIDTH, layout.TABLE)
    story.append(KeepTogether(_foot(document)))
    for appendix in document.appendices:
        story += [NextPageTemplate("landscape"), PageBreak(), *_appendix(appendix)]
    template.build(story, canvasmaker=_canvas_of(document.made_at))
    return out.getvalue()


def _canvas_of(moment: datetime) -> Callable[..., Canvas]:
    def make(*args: Any, **kwargs: Any) -> Canvas:
        canvas = Canvas(*args, **kwargs)
        # reportlab's invariant mode writes the year 2000; ours is the cut-off of the figures.
        stamp = canvas._doc._timeStamp  # noqa: SLF001 - there is no public way
        stamp.t, stamp.lt = moment.timestamp(), moment.timetuple()
        stamp.YMDhms = tuple(stamp.lt)[:6]
        return canvas

    return make


def _page(name: str, size: tuple[float, float], document: OfficialDocument) -> PageTemplate:
    width, height = size
    frame = Frame(
        layout.MARGIN_LEFT * mm,
        layout.MARGIN_BOTTOM * mm,
        width - (layout.MARGIN_LEFT + layout.MARGIN_RIGHT) * mm,
        height - (layout.MARGIN_TOP + layout.MARGIN_BOTTOM) * mm,
        leftPadding=0,
        rightPadding=0,
        topPadding=0,
        bottomPadding=0,
    )

    def draw(canvas: Canvas, template: BaseDocTemplate) -> None:
        canvas.saveState()
        # Centred over the text, inside the top margin; not on the first page.
        middle = (layout.MARGIN_LEFT * mm + width - layout.MARGIN_RIGHT * mm) / 2
        baseline = height - layout.HEADER_DISTANCE * mm - layout.PAGE_NUMBER * 0.8
        if template.page > 1:
            canvas.setFont(FAMILY, layout.PAGE_NUMBER)
            canvas.drawCentredString(middle, baseline, str(template.page))
        if document.banner:
            canvas.setFont(f"{FAMILY}-Bold", 9)
            canvas.drawCentredString(middle, height - 7 * mm, document.banner)
        canvas.restoreState()

    return PageTemplate(name, [frame], onPage=draw, pagesize=size)


def _style(
    size: float, *, bold: bool = False, italic: bool = False, align: str = "center", **more: Any
) -> Any:
    suffix = f"-{'Bold' if bold else ''}{'Italic' if italic else ''}" if bold or italic else ""
    leading = size * more.pop("spacing", 1.2)
    return ParagraphStyle(
        "s", fontName=FAMILY + suffix, fontSize=size, leading=leading, alignment=_ALIGN[align], **more
    )


def _lines(text: str, style: Any) -> Lines:
    return Lines(escape(text), style)


class _Rule(Flowable):  # type: ignore[misc]  # reportlab has no types
    """A horizontal rule of ``length`` mm, centred in whatever width there is."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self.length = length * mm

    def wrap(self, width: float, _height: float) -> tuple[float, float]:
        self.width = width
        return width, 4.0

    def draw(self) -> None:
        start = (self.width - self.length) / 2
        self.canv.setLineWidth(0.7)
        self.canv.line(start, 2, start + self.length, 2)


def _columns(left: Sequence[Flowable], right: Sequence[Flowable]) -> Grid:
    grid = Grid([[list(left), list(right)]], colWidths=[layout.HEAD_LEFT * mm, layout.HEAD_RIGHT * mm])
    none = [(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")]
    grid.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *none]))
    return grid


def _head(document: OfficialDocument) -> list[Flowable]:
    parent = layout.balanced_lines(clean(document.parent_body), layout.COUNTRY, layout.HEAD_LEFT)
    issuer = layout.balanced_lines(clean(document.issuer), layout.COUNTRY, layout.HEAD_LEFT)
    widest = max((layout.text_width(line, layout.COUNTRY) for line in issuer), default=0.0)
    left = [
        *(_lines(line, _style(layout.COUNTRY)) for line in parent),
        *(_lines(line, _style(layout.COUNTRY, bold=True)) for line in issuer),
        _Rule(widest * layout.ISSUER_RULE),
    ]
    right = [
        _lines(document.country, _style(layout.COUNTRY, bold=True)),
        _lines(document.motto, _style(layout.MOTTO, bold=True)),
        _Rule(layout.text_width(document.motto, layout.MOTTO)),
    ]
    number = _lines(clean(document.number), _style(layout.NUMBER))
    place = _lines(clean(document.place_and_date), _style(layout.NUMBER, italic=True))
    return [_columns(left, right), Spacer(1, 6), _columns([number], [place])]


def _title(document: OfficialDocument) -> list[Flowable]:
    *subject, cut_off = document.subject
    bold = _style(layout.TITLE, bold=True)
    story: list[Flowable] = [Spacer(1, 16), _lines(document.kind, bold)]
    story += [_lines(clean(line), bold) for line in subject]
    story.append(_lines(cut_off, _style(layout.NUMBER, italic=True)))
    if document.banner:
        boxed = _style(
            12, bold=True, borderWidth=1.2, borderColor=colors.black, borderPadding=5, spaceBefore=14
        )
        story.append(_lines(document.banner, boxed))
        story.append(Spacer(1, 6))
    story.append(Spacer(1, 6))
    return story


def _block(block: Block, width: float, size: float) -> list[Flowable]:
    if isinstance(block, Table):
        return [Spacer(1, layout.PARAGRAPH_GAP), _table(block, width, size), Spacer(1, layout.PARAGRAPH_GAP)]
    gap: dict[str, Any] = {"spaceBefore": layout.PARAGRAPH_GAP, "spacing": layout.LINE_SPACING * 1.15}
    if isinstance(block, Heading):
        indent = layout.FIRST_LINE * mm
        style = _style(layout.BODY, bold=True, align="left", firstLineIndent=indent, keepWithNext=1, **gap)
        return [_lines(block.text, style)]
    if block.style == "note":
        return [_lines(block.text, _style(layout.TABLE, italic=True, align="left", **gap))]
    italic = block.style == "quote"
    indent = layout.FIRST_LINE * mm
    style = _style(layout.BODY, italic=italic, align="justify", firstLineIndent=indent, **gap)
    return [_lines(block.text, style)]


def _table(table: Table, width: float, size: float) -> LongTable:
    total = sum(column.share for column in table.columns)
    widths = [column.share / total * width * mm for column in table.columns]
    head = _style(size, bold=True, splitLongWords=0)
    plain = {column.align: _style(size, align=column.align, splitLongWords=1) for column in table.columns}
    strong = {align: _style(size, bold=True, align=align) for align in plain}
    rows = [[_lines(column.title, head) for column in table.columns]]
    last = len(table.rows) - 1
    for index, row in enumerate(table.rows):
        styles = strong if table.bold_last and index == last else plain
        cells = zip((clean(text) for text in row), table.columns, widths, strict=True)
        rows.append([_cell(text, styles[column.align], width) for text, column, width in cells])
    grid = LongTable(rows, colWidths=widths, repeatRows=1)
    aligns = [
        ("ALIGN", (index, 1), (index, -1), column.align.upper()) for index, column in enumerate(table.columns)
    ]
    grid.setStyle(
        TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.5, colors.black),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("LEFTPADDING", (0, 0), (-1, -1), _PADDING),
                ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
                ("FONT", (0, 0), (-1, -1), FAMILY, size, size * 1.2),
                *aligns,
            ]
        )
    )
    return grid


def _cell(text: str, style: Any, width: float) -> str | Lines:
    """Plain text where it fits on one line: a paragraph in every cell of a province's list takes a minute."""
    if style.fontName == FAMILY and stringWidth(text, FAMILY, style.fontSize) < width - 2 * _PADDING:
        return text
    return _lines(text, style)


def _foot(document: OfficialDocument) -> list[Flowable]:
    left = [
        _lines(
            document.recipients_title, _style(layout.RECIPIENTS_TITLE, bold=True, italic=True, align="left")
        ),
        *(_lines(clean(line), _style(layout.RECIPIENTS, align="left")) for line in document.recipients),
    ]
    bold = _style(layout.TITLE, bold=True)
    right: list[Flowable] = [_lines(clean(line), bold) for line in document.signatory_title.splitlines()]
    right.append(Spacer(1, 70))
    if document.signatory_name:
        right.append(_lines(clean(document.signatory_name), bold))
    return [Spacer(1, 14), _columns(left, right)]


def _appendix(appendix: Appendix) -> list[Flowable]:
    bold = _style(layout.TITLE, bold=True)
    story: list[Flowable] = [
        _lines(appendix.label, bold),
        _lines(appendix.title, bold),
        _lines(clean(appendix.reference), _style(layout.NUMBER, italic=True)),
        Spacer(1, 6),
    ]
    for block in appendix.blocks:
        story += _block(block, layout.LANDSCAPE_TEXT_WIDTH, layout.LIST)
    return story
