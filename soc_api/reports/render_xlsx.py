"""Draws the coverage report as a workbook whose percentages are formulas over the list of machines.

Whoever doubts a figure can click on it. Each formula's present value is stored beside it, so that
a viewer that does not calculate shows the same.
"""

from __future__ import annotations

import io
import re
import zipfile
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter

from collector.coverage.models import STATES
from soc_api.i18n import LOCAL_ZONE
from soc_api.reports.archive import with_fixed_times
from soc_api.reports.blocks import Heading, Paragraph
from soc_api.reports.clean import clean, looks_like_formula
from soc_api.reports.document import reason_of, write
from soc_api.reports.numbers import NOTHING, shown_ratio
from soc_api.reports.wording import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.coverage.models import Counts, Machine
    from collector.settings import Report as ReportSettings
    from soc_api.reports.content import CoverageReport

#: The code of machines that belong to no agency: an empty criterion would match nothing.
_NO_AGENCY: Final = "-"
_PERCENT: Final = "0.0%"
_THIN: Final = Side(style="thin", color="808080")
_BORDER: Final = Border(left=_THIN, right=_THIN, top=_THIN, bottom=_THIN)
_HEAD: Final = PatternFill("solid", fgColor="E7ECF2")
_FONT: Final = "Times New Roman"
_CELL: Final = re.compile(r'<c r="([A-Z]+[0-9]+)"([^>]*)><f>([^<]*)</f><v\s*/?>(?:</v>)?</c>')


@dataclass
class _Formula:
    """A formula and the value it has now (a number, or text where there is nothing to divide by)."""

    text: str
    value: float | str


@dataclass
class _Book:
    workbook: Workbook
    lang: str
    cached: dict[str, dict[str, float | str]] = field(default_factory=dict)
    styles: dict[tuple[bool, str, bool, bool], Any] = field(default_factory=dict)

    def say(self, sentence: str, **values: object) -> str:
        return say(self.lang, sentence, **values)

    def put(
        self, sheet: Any, row: int, column: int, value: object, *, form: str = "", bold: bool = False
    ) -> None:
        cell = sheet.cell(row, column)
        if isinstance(value, _Formula):
            cell.value = f"={value.text}"
            self.cached.setdefault(sheet.title, {})[cell.coordinate] = value.value
        elif isinstance(value, str):
            _put_text(cell, value)
        else:
            cell.value = value
        # A style set attribute by attribute costs more than all else; the second cell of a kind takes the first's.
        kind = (bold, form, isinstance(value, str), cell.quotePrefix)
        if kind in self.styles:
            cell._style = copy(self.styles[kind])  # noqa: SLF001 - there is no public way
            return
        cell.font = Font(name=_FONT, size=11, bold=bold)
        cell.border = _BORDER
        cell.alignment = Alignment(vertical="center", wrap_text=isinstance(value, str))
        if form:
            cell.number_format = form
        self.styles[kind] = copy(cell._style)  # noqa: SLF001 - as above

    def head(self, sheet: Any, row: int, titles: Sequence[str], widths: Sequence[float]) -> None:
        for column, (title, width) in enumerate(zip(titles, widths, strict=True), 1):
            self.put(sheet, row, column, title, bold=True)
            cell = sheet.cell(row, column)
            cell.fill = _HEAD
            cell.alignment = Alignment(horizontal="center", vertical="center", wrap_text=True)
            sheet.column_dimensions[get_column_letter(column)].width = width
        _fit(sheet, row, titles, widths)


def render_xlsx(report: CoverageReport, head: ReportSettings, lang: str) -> bytes:
    """The file's bytes; the same report gives the same bytes."""
    workbook = Workbook()
    book = _Book(workbook, lang)
    figures = workbook.active
    figures.title = book.say("sheet_figures")
    agencies = workbook.create_sheet(book.say("sheet_agencies"))
    machines = workbook.create_sheet(book.say("sheet_machines"))
    method = workbook.create_sheet(book.say("sheet_method"))
    document = write(report, head, lang)
    _machines(book, machines, report)
    ranges = _Ranges(machines.title, len(report.ledger.machines))
    last = _agencies(book, agencies, report, ranges)
    _figures(book, figures, report, ranges, agencies.title, last, [*document.subject, document.banner])
    _method(method, [block.text for block in document.body if isinstance(block, Heading | Paragraph)])
    for sheet in workbook.worksheets:
        sheet.page_setup.orientation = "landscape"
        sheet.page_setup.paperSize = sheet.PAPERSIZE_A4
        sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
        sheet.sheet_properties.pageSetUpPr.fitToPage = True
        if document.banner:
            sheet.oddHeader.center.text = document.banner
    workbook.calculation.fullCalcOnLoad = True
    properties = workbook.properties
    properties.creator = properties.lastModifiedBy = clean(head.issuer)
    properties.title = clean(" ".join(document.subject))
    out = io.BytesIO()
    workbook.save(out)
    names = [sheet.title for sheet in workbook.worksheets]
    return with_fixed_times(_with_values(out.getvalue(), names, book.cached), report.ledger.as_of)


class _Ranges:
    """Columns of the list of machines, as formulas name them."""

    def __init__(self, title: str, count: int) -> None:
        self._title, self._last = title, count + 1 if count else 2

    def __getitem__(self, column: str) -> str:
        return f"'{self._title}'!${column}$2:${column}${self._last}"


_AGENCY, _STATE, _COUNTED, _AGE = "B", "F", "H", "L"


def _machines(book: _Book, sheet: Any, report: CoverageReport) -> None:
    keys = [
        ("col_order", 7), ("col_code", 30), ("col_agency", 44), ("col_name", 32), ("col_kind", 24),
        ("col_state_code", 14), ("state", 24), ("col_counted", 10), ("col_reason", 60), ("col_product", 14),
        ("col_signatures", 14), ("col_age", 9), ("col_last_seen", 18), ("col_simulated", 10),
        ("col_evidence", 34),
    ]  # fmt: skip
    widths = [width for _, width in keys]
    book.head(sheet, 1, [book.say(key) for key, _ in keys], widths)
    for order, machine in enumerate(report.ledger.machines, 1):
        cells = _machine(book, order, machine)
        for column, (value, form) in enumerate(cells, 1):
            book.put(sheet, order + 1, column, value, form=form)
        _fit(sheet, order + 1, [value for value, _ in cells], widths)
    sheet.freeze_panes = "E2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(keys))}{max(2, len(report.ledger.machines) + 1)}"


def _fit(sheet: Any, row: int, values: Sequence[object], widths: Sequence[float]) -> None:
    """Make the row as high as its longest wrapped text, which not every program does by itself."""
    texts = ((value, width) for value, width in zip(values, widths, strict=True) if isinstance(value, str))
    lines = max((-(-len(text) // max(1, int(width * 0.95))) for text, width in texts), default=1)
    if lines > 1:
        sheet.row_dimensions[row].height = 15 * min(lines, 8)


def _machine(book: _Book, order: int, machine: Machine) -> list[tuple[object, str]]:
    return [
        (order, ""),
        (machine.agency_code or _NO_AGENCY, ""),
        (machine.agency_name or book.say("no_agency"), ""),
        (machine.name, ""),
        (book.say(f"kind_{machine.kind}"), ""),
        (machine.state, ""),
        (book.say(f"state_{machine.state}"), ""),
        (int(machine.counted), ""),
        (reason_of(machine, book.lang), ""),
        (machine.antivirus, ""),
        (_local(machine.signature_time), "dd/mm/yyyy"),
        (machine.age_days, ""),
        (_local(machine.last_seen), "dd/mm/yyyy hh:mm"),
        (book.say("yes") if machine.simulated else book.say("no"), ""),
        (" ".join(machine.evidence), ""),
    ]


def _agencies(book: _Book, sheet: Any, report: CoverageReport, ranges: _Ranges) -> int:
    """Fill the sheet and return the row of the last agency. Row 2 holds the state codes that the
    formulas match."""
    titles = [book.say(key) for key in ("col_order", "col_code", "col_agency", "col_officials", "col_known")]
    titles += [book.say(f"state_{state}") for state in STATES]
    titles += [book.say("col_percent_known"), book.say("col_percent_officials")]
    book.head(sheet, 1, titles, [7, 30, 50, 10, 10, *(13 for _ in STATES), 12, 12])
    for offset, state in enumerate(STATES):
        book.put(sheet, 2, 6 + offset, state)
    for order, agency in enumerate(report.ledger.agencies, 1):
        row = order + 2
        name = agency.name if agency.agency_id is not None else book.say("no_agency")
        for column, value in enumerate((order, agency.code or _NO_AGENCY, name, agency.officials), 1):
            book.put(sheet, row, column, value)
        mine = f"{ranges[_AGENCY]},$B{row},{ranges[_COUNTED]},1"
        _counts(book, sheet, row, agency.counts, mine, ranges)
    last = max(3, len(report.ledger.agencies) + 2)
    total = last + 1
    book.put(sheet, total, 3, book.say("total"), bold=True)
    counts = report.ledger.total
    sums = [counts.declared or 0, counts.known, *(counts.by_state[state] for state in STATES)]
    for column, value in enumerate(sums, 4):
        letter = get_column_letter(column)
        book.put(sheet, total, column, _Formula(f"SUM({letter}3:{letter}{last})", value), bold=True)
    _percentages(book, sheet, total, counts, f'SUMIFS(F3:F{last},D3:D{last},">=0")')
    sheet.freeze_panes = "D3"
    return last


def _counts(book: _Book, sheet: Any, row: int, counts: Counts, mine: str, ranges: _Ranges) -> None:
    book.put(sheet, row, 5, _Formula(f"COUNTIFS({mine})", counts.known))
    for offset, state in enumerate(STATES):
        column = 6 + offset
        criterion = f"{get_column_letter(column)}$2"
        text = f"COUNTIFS({mine},{ranges[_STATE]},{criterion})"
        book.put(sheet, row, column, _Formula(text, counts.by_state[state]))
    _percentages(book, sheet, row, counts, f"F{row}")


def _percentages(book: _Book, sheet: Any, row: int, counts: Counts, of_declared: str) -> None:
    first = 6 + len(STATES)
    book.put(sheet, row, first, _share(f"F{row}", f"E{row}", counts.percent_of_known), form=_PERCENT)
    share = _share(of_declared, f"D{row}", counts.percent_of_declared)
    book.put(sheet, row, first + 1, share, form=_PERCENT)


def _share(part: str, whole: str, percent: float | None) -> _Formula:
    """``part`` of ``whole`` to a tenth of a percent; 100 % and 0 % only where it is exactly so."""
    text = (
        f'IF({whole}=0,"{NOTHING}",IF(OR({part}=0,{part}>={whole}),ROUND({part}/{whole},3),'
        f"MAX(0.001,MIN(0.999,ROUND({part}/{whole},3)))))"
    )
    return _Formula(text, NOTHING if percent is None else shown_ratio(percent))


def _figures(
    book: _Book,
    sheet: Any,
    report: CoverageReport,
    ranges: _Ranges,
    agencies: str,
    last: int,
    titles: list[str],
) -> None:
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 62, 18
    for row, title in enumerate(titles, 1):
        cell = sheet.cell(row, 1)
        _put_text(cell, title)
        cell.font = Font(name=_FONT, size=13, bold=True)
    book.head(sheet, 6, [book.say("figure"), book.say("value")], [62, 18])
    ledger, total = report.ledger, report.ledger.total
    counted = f"{ranges[_COUNTED]},1"
    # Only lines with a registry entry are agencies; machines of none have their own line at the end.
    real = len(report.agencies)
    known, protected = f"'{agencies}'!$E$3:$E${real + 2}", f"'{agencies}'!$F$3:$F${real + 2}"
    officials = f"'{agencies}'!$D${last + 1}"
    of_declared = f"SUMIFS('{agencies}'!$F$3:$F${last},'{agencies}'!$D$3:$D${last},\">=0\")"
    days = report.limits.national_signature_days
    rows: list[tuple[str, object, str]] = [
        (book.say("figure_known"), _Formula(f"COUNTIFS({counted})", total.known), ""),
        (
            book.say("figure_protected"),
            _Formula(f'COUNTIFS({counted},{ranges[_STATE]},"protected")', total.protected),
            "",
        ),
        (book.say("figure_percent"), _share("B8", "B7", total.percent_of_known), _PERCENT),
        (book.say("figure_officials"), _Formula(officials, total.declared or 0), ""),
        (
            book.say("figure_percent_officials"),
            _share(of_declared, "B10", total.percent_of_declared),
            _PERCENT,
        ),
        (book.say("figure_agencies"), real, ""),
        (
            book.say("figure_with"),
            _Formula(f'COUNTIF({protected},">0")', ledger.agencies_with_protection) if real else 0,
            "",
        ),
        (book.say("figure_percent_with"), _share("B13", "B12", ledger.percent_of_agencies), _PERCENT),
        (
            book.say("figure_complete"),
            _Formula(f"SUMPRODUCT(({known}>0)*({known}={protected}))", report.agencies_complete)
            if real
            else 0,
            "",
        ),
        (
            book.say("figure_national", days=days),
            _Formula(f'COUNTIFS({counted},{ranges[_AGE]},">{days}")', report.beyond_national_limit),
            "",
        ),
    ]
    for state in STATES:
        formula = _Formula(f'COUNTIFS({counted},{ranges[_STATE]},"{state}")', total.by_state[state])
        rows.append((book.say(f"state_{state}"), formula, ""))
    for row, (title, value, form) in enumerate(rows, 7):
        book.put(sheet, row, 1, title)
        book.put(sheet, row, 2, value, form=form)


def _method(sheet: Any, texts: list[str]) -> None:
    sheet.column_dimensions["A"].width = 120
    for row, text in enumerate(texts, 1):
        cell = sheet.cell(row, 1)
        _put_text(cell, text, longest=4000)
        cell.font = Font(name=_FONT, size=12)
        cell.alignment = Alignment(wrap_text=True, vertical="top")


def _put_text(cell: Any, text: str, longest: int = 0) -> None:
    """Text stays text: the cell's type is set by us, never guessed from what a host calls itself."""
    cell.value = text[:longest] if longest else clean(text)
    cell.data_type = "s"
    if looks_like_formula(text):
        cell.quotePrefix = True


def _local(value: datetime | None) -> datetime | None:
    """Workbooks know no time zones: local time without one."""
    return None if value is None else value.astimezone(LOCAL_ZONE).replace(tzinfo=None)


def _with_values(data: bytes, sheets: list[str], cached: dict[str, dict[str, float | str]]) -> bytes:
    """Put each formula's present value beside it, which openpyxl cannot."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            found = re.fullmatch(r"xl/worksheets/sheet([0-9]+)\.xml", name)
            if found:
                values = cached.get(sheets[int(found[1]) - 1], {})
                content = _CELL.sub(partial(_cell, values), content.decode()).encode()
            target.writestr(name, content)
    return out.getvalue()


def _cell(values: dict[str, float | str], match: re.Match[str]) -> str:
    place, attributes, formula = match[1], match[2], match[3]
    value = values[place]
    if isinstance(value, str):
        return f'<c r="{place}"{attributes} t="str"><f>{formula}</f><v>{value}</v></c>'
    return f'<c r="{place}"{attributes}><f>{formula}</f><v>{value!r}</v></c>'
