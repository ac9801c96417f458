"""Draws an official document as DOCX, laid out after Decree 30/2020/NĐ-CP, Appendix I.

Tables are written as XML at once: python-docx finds every cell anew, which takes minutes for a
province's list.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

import docx
from docx.enum.section import WD_ORIENT, WD_SECTION
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Mm, Pt

from soc_api.reports import layout
from soc_api.reports.archive import with_fixed_times
from soc_api.reports.blocks import Heading, Paragraph, Table
from soc_api.reports.clean import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soc_api.reports.blocks import Appendix, Block, OfficialDocument

_TWIPS_PER_MM: Final = 1440 / 25.4
_CENTER: Final = WD_ALIGN_PARAGRAPH.CENTER


def render_docx(document: OfficialDocument) -> bytes:
    """The file's bytes; the same document gives the same bytes."""
    word = docx.Document()
    _defaults(word, document)
    _page(word.sections[0], document, landscape=False)
    _head(word, document)
    _title(word, document)
    for block in document.body:
        _block(word, block, layout.TEXT_WIDTH, layout.TABLE)
    _foot(word, document)
    for appendix in document.appendices:
        _appendix(word, document, appendix)
    out = io.BytesIO()
    word.save(out)
    return with_fixed_times(out.getvalue(), document.made_at)


def _defaults(word: Any, document: OfficialDocument) -> None:
    normal = word.styles["Normal"]
    normal.font.name = layout.FONT
    normal.font.size = Pt(layout.BODY)
    fonts = normal.element.get_or_add_rPr().get_or_add_rFonts()
    for script in ("w:ascii", "w:hAnsi", "w:eastAsia", "w:cs"):
        fonts.set(qn(script), layout.FONT)
    language = OxmlElement("w:lang")
    language.set(qn("w:val"), "vi-VN" if document.lang == "vi" else "en-GB")
    normal.element.rPr.append(language)
    normal.paragraph_format.space_after = Pt(0)
    normal.paragraph_format.space_before = Pt(0)
    properties = word.core_properties
    properties.title = clean(" ".join(document.subject))
    properties.author = properties.last_modified_by = clean(document.issuer)
    properties.language = document.lang
    properties.comments = ""
    properties.created = properties.modified = document.made_at.replace(tzinfo=None)


def _page(section: Any, document: OfficialDocument, *, landscape: bool) -> None:
    width, height = Mm(layout.PAGE_WIDTH), Mm(layout.PAGE_HEIGHT)
    section.orientation = WD_ORIENT.LANDSCAPE if landscape else WD_ORIENT.PORTRAIT
    section.page_width, section.page_height = (height, width) if landscape else (width, height)
    section.top_margin, section.bottom_margin = Mm(layout.MARGIN_TOP), Mm(layout.MARGIN_BOTTOM)
    section.left_margin, section.right_margin = Mm(layout.MARGIN_LEFT), Mm(layout.MARGIN_RIGHT)
    section.header_distance = section.footer_distance = Mm(layout.HEADER_DISTANCE)
    section.different_first_page_header_footer = not landscape
    section.header.is_linked_to_previous = False
    number = section.header.paragraphs[0]
    number.alignment = _CENTER
    _page_field(number)
    if document.banner:
        _run(number, f"   {document.banner}", 9, bold=True)
        if not landscape:
            first = section.first_page_header.paragraphs[0]
            first.alignment = _CENTER
            _run(first, document.banner, 9, bold=True)


def _page_field(paragraph: Any) -> None:
    for kind, text in (("begin", ""), ("", " PAGE "), ("separate", ""), ("text", "2"), ("end", "")):
        run = paragraph.add_run("2" if kind == "text" else "")
        run.font.size = Pt(layout.PAGE_NUMBER)
        if kind in {"begin", "separate", "end"}:
            mark = OxmlElement("w:fldChar")
            mark.set(qn("w:fldCharType"), kind)
            run._r.append(mark)  # noqa: SLF001 - python-docx has no fields of its own
        elif not kind:
            instruction = OxmlElement("w:instrText")
            instruction.text = text
            run._r.append(instruction)  # noqa: SLF001 - as above


def _run(paragraph: Any, text: str, size: float, *, bold: bool = False, italic: bool = False) -> None:
    run = paragraph.add_run(clean(text))
    run.font.size = Pt(size)
    run.bold, run.italic = bold, italic


def _line(
    cell: Any, text: str, size: float, *, bold: bool = False, italic: bool = False, align: Any = _CENTER
) -> None:
    """A line in a cell of the head or foot; the first one takes the paragraph every cell is born with."""
    paragraph = cell.paragraphs[0] if not cell.paragraphs[0].runs else cell.add_paragraph()
    paragraph.alignment = align
    _run(paragraph, text, size, bold=bold, italic=italic)


def _rule(cell: Any, cell_width: float, length: float) -> None:
    """A horizontal rule of ``length`` mm, centred: a thin paragraph with a top border, drawn in
    from both sides."""
    paragraph = cell.add_paragraph()
    side = Mm(max(0.0, (cell_width - length) / 2))
    form = paragraph.paragraph_format
    form.left_indent = form.right_indent = side
    form.space_before, form.line_spacing = Pt(1), Pt(5)
    border = parse_xml(
        f'<w:pBdr {nsdecls("w")}><w:top w:val="single" w:sz="6" w:space="0" w:color="000000"/></w:pBdr>'
    )
    properties = paragraph._p.get_or_add_pPr()  # noqa: SLF001 - python-docx has no paragraph borders
    properties.insert_element_before(
        border, "w:shd", "w:tabs", "w:suppressAutoHyphens", "w:spacing", "w:ind", "w:jc", "w:rPr"
    )


def _columns(word: Any, widths: Sequence[float]) -> list[Any]:
    """A row of cells without borders or padding, ``widths`` in mm."""
    table = word.add_table(rows=1, cols=len(widths))
    table.autofit = False
    table.alignment = 1
    margins = parse_xml(
        f'<w:tblCellMar {nsdecls("w")}><w:left w:w="0" w:type="dxa"/>'
        '<w:right w:w="0" w:type="dxa"/></w:tblCellMar>'
    )
    table._tbl.tblPr.append(margins)  # noqa: SLF001 - python-docx has no cell margins
    cells = list(table.rows[0].cells)
    for cell, width, column in zip(cells, widths, table.columns, strict=True):
        cell.width = column.width = Mm(width)
    return cells


def _head(word: Any, document: OfficialDocument) -> None:
    left, right = _columns(word, (layout.HEAD_LEFT, layout.HEAD_RIGHT))
    for line in layout.balanced_lines(document.parent_body, layout.COUNTRY, layout.HEAD_LEFT):
        _line(left, line, layout.COUNTRY)
    issuer = layout.balanced_lines(document.issuer, layout.COUNTRY, layout.HEAD_LEFT)
    for line in issuer:
        _line(left, line, layout.COUNTRY, bold=True)
    widest = max((layout.text_width(line, layout.COUNTRY) for line in issuer), default=0.0)
    _rule(left, layout.HEAD_LEFT, widest * layout.ISSUER_RULE)
    _line(right, document.country, layout.COUNTRY, bold=True)
    _line(right, document.motto, layout.MOTTO, bold=True)
    _rule(right, layout.HEAD_RIGHT, layout.text_width(document.motto, layout.MOTTO))
    left, right = _columns(word, (layout.HEAD_LEFT, layout.HEAD_RIGHT))
    _line(left, document.number, layout.NUMBER)
    _line(right, document.place_and_date, layout.NUMBER, italic=True)


def _title(word: Any, document: OfficialDocument) -> None:
    title = word.add_paragraph()
    title.alignment = _CENTER
    title.paragraph_format.space_before = Pt(14)
    _run(title, document.kind, layout.TITLE, bold=True)
    *subject, cut_off = document.subject
    for line in subject:
        paragraph = word.add_paragraph()
        paragraph.alignment = _CENTER
        _run(paragraph, line, layout.TITLE, bold=True)
    paragraph = word.add_paragraph()
    paragraph.alignment = _CENTER
    _run(paragraph, cut_off, layout.NUMBER, italic=True)
    if document.banner:
        paragraph = word.add_paragraph()
        paragraph.alignment = _CENTER
        paragraph.paragraph_format.space_before = Pt(8)
        edges = "".join(
            f'<w:{side} w:val="single" w:sz="12" w:space="4" w:color="000000"/>'
            for side in ("top", "left", "bottom", "right")
        )
        properties = paragraph._p.get_or_add_pPr()  # noqa: SLF001 - python-docx has no paragraph borders
        properties.insert_element_before(
            parse_xml(f"<w:pBdr {nsdecls('w')}>{edges}</w:pBdr>"),
            "w:shd",
            "w:spacing",
            "w:ind",
            "w:jc",
            "w:rPr",
        )
        _run(paragraph, document.banner, 12, bold=True)
    word.add_paragraph().paragraph_format.line_spacing = Pt(6)


def _block(word: Any, block: Block, width: float, size: float) -> None:
    if isinstance(block, Table):
        word.add_paragraph().paragraph_format.line_spacing = Pt(4)
        word.element.body.insert_element_before(_table(block, width, size), "w:sectPr")
        word.add_paragraph().paragraph_format.line_spacing = Pt(6)
        return
    paragraph = word.add_paragraph()
    form = paragraph.paragraph_format
    form.space_before, form.line_spacing = Pt(layout.PARAGRAPH_GAP), layout.LINE_SPACING
    if isinstance(block, Heading):
        form.first_line_indent, form.keep_with_next = Mm(layout.FIRST_LINE), True
        _run(paragraph, block.text, layout.BODY, bold=True)
        return
    note = block.style == "note"
    paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if note else WD_ALIGN_PARAGRAPH.JUSTIFY
    form.widow_control = True
    if not note:
        form.first_line_indent = Mm(layout.FIRST_LINE)
    # A sentence of ours may be longer than what clean() lets a name be; names in it were cleaned already.
    run = paragraph.add_run(block.text)
    run.font.size = Pt(layout.TABLE if note else layout.BODY)
    run.italic = block.style != "body"


def _table(table: Table, width: float, size: float) -> Any:
    total = sum(column.share for column in table.columns)
    widths = [round(column.share / total * width * _TWIPS_PER_MM) for column in table.columns]
    edges = "".join(
        f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="000000"/>'
        for side in ("top", "left", "bottom", "right", "insideH", "insideV")
    )
    grid = "".join(f'<w:gridCol w:w="{w}"/>' for w in widths)
    aligns = [column.align for column in table.columns]
    titles = [column.title for column in table.columns]
    rows = [_row(titles, widths, ["center"] * len(widths), size, bold=True, head=True)]
    last = len(table.rows) - 1
    for index, row in enumerate(table.rows):
        rows.append(_row(row, widths, aligns, size, bold=table.bold_last and index == last))
    return parse_xml(
        f"<w:tbl {nsdecls('w')}><w:tblPr><w:tblW w:w='{sum(widths)}' w:type='dxa'/><w:jc w:val='center'/>"
        f"<w:tblBorders>{edges}</w:tblBorders><w:tblLayout w:type='fixed'/>"
        "<w:tblCellMar><w:left w:w='60' w:type='dxa'/><w:right w:w='60' w:type='dxa'/></w:tblCellMar>"
        f"</w:tblPr><w:tblGrid>{grid}</w:tblGrid>{''.join(rows)}</w:tbl>"
    )


def _row(
    cells: Sequence[str],
    widths: Sequence[int],
    aligns: Sequence[str],
    size: float,
    *,
    bold: bool = False,
    head: bool = False,
) -> str:
    weight = "<w:b/>" if bold else ""
    half_points = round(size * 2)
    out = [
        "<w:tr><w:trPr><w:cantSplit/>",
        "<w:tblHeader/>" if head else "",
        "</w:trPr>",
    ]
    for text, width, align in zip(cells, widths, aligns, strict=True):
        out.append(
            f"<w:tc><w:tcPr><w:tcW w:w='{width}' w:type='dxa'/><w:vAlign w:val='center'/></w:tcPr>"
            f"<w:p><w:pPr><w:spacing w:before='20' w:after='20'/><w:jc w:val='{align}'/></w:pPr>"
            f"<w:r><w:rPr>{weight}<w:sz w:val='{half_points}'/></w:rPr>"
            f"<w:t xml:space='preserve'>{escape(clean(text))}</w:t></w:r></w:p></w:tc>"
        )
    return "".join([*out, "</w:tr>"])


def _foot(word: Any, document: OfficialDocument) -> None:
    word.add_paragraph().paragraph_format.line_spacing = Pt(10)
    left, right = _columns(word, (layout.HEAD_LEFT, layout.HEAD_RIGHT))
    start = WD_ALIGN_PARAGRAPH.LEFT
    _line(left, document.recipients_title, layout.RECIPIENTS_TITLE, bold=True, italic=True, align=start)
    for line in document.recipients:
        _line(left, line, layout.RECIPIENTS, align=start)
    for line in document.signatory_title.splitlines():
        _line(right, line, layout.TITLE, bold=True)
    for _ in range(4):
        _run(right.add_paragraph(), " ", layout.TITLE)
    _line(right, document.signatory_name or " ", layout.TITLE, bold=True)


def _appendix(word: Any, document: OfficialDocument, appendix: Appendix) -> None:
    _page(word.add_section(WD_SECTION.NEW_PAGE), document, landscape=True)
    for text, bold in ((appendix.label, True), (appendix.title, True), (appendix.reference, False)):
        paragraph = word.add_paragraph()
        paragraph.alignment = _CENTER
        _run(paragraph, text, layout.TITLE if bold else layout.NUMBER, bold=bold, italic=not bold)
    word.add_paragraph().paragraph_format.line_spacing = Pt(8)
    for block in appendix.blocks:
        if isinstance(block, Paragraph | Heading | Table):
            _block(word, block, layout.LANDSCAPE_TEXT_WIDTH, layout.LIST)
