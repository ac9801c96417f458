"""The workbook: its percentages are formulas, and nothing a machine calls itself is one."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from collector.coverage.models import STATES, Reason
from soc_api.reports.service import render
from soc_api.reports.wording import say
from tests.soc_api.reports.sample import HEAD, machine, machines, report
from tests.support.debian import missing, program

if TYPE_CHECKING:
    from pathlib import Path

_FIGURES, _AGENCIES, _LIST = (say("vi", f"sheet_{name}") for name in ("figures", "agencies", "machines"))


def _read(data: bytes, *, values: bool = False) -> Any:
    return openpyxl.load_workbook(io.BytesIO(data), data_only=values)


def _figures(workbook: Any) -> dict[str, Any]:
    rows = workbook[_FIGURES].iter_rows(min_row=7, max_col=2, values_only=True)
    return {title: value for title, value in rows if title}


def test_every_figure_is_a_formula_over_the_list() -> None:
    figures = _figures(_read(render(report(), HEAD, "xlsx", "vi")))
    assert figures[say("vi", "figure_known")].startswith("=COUNTIFS(")
    assert _LIST in figures[say("vi", "figure_known")]
    assert figures[say("vi", "figure_percent")].startswith("=IF(")
    for state in STATES:
        assert f'"{state}"' in figures[say("vi", f"state_{state}")]


def test_the_stored_values_are_the_reports_own_figures() -> None:
    figures = _figures(_read(render(report(), HEAD, "xlsx", "vi"), values=True))
    assert figures[say("vi", "figure_known")] == 9
    assert figures[say("vi", "figure_protected")] == 3
    assert figures[say("vi", "figure_percent")] == 0.333
    assert figures[say("vi", "figure_with")] == 2
    assert figures[say("vi", "figure_officials")] == 172


@pytest.mark.parametrize("agency", [None, 1])
def test_a_spreadsheet_program_calculates_the_same_figures(tmp_path: Path, agency: int | None) -> None:
    office = program("soffice", "libreoffice-calc-nogui")
    source = tmp_path / "report.xlsx"
    source.write_bytes(render(report(agency=agency), HEAD, "xlsx", "vi"))
    profile, kind = f"-env:UserInstallation=file://{tmp_path}/profile", "xlsx:Calc MS Excel 2007 XML"
    command = [
        office,
        profile,
        "--headless",
        "--convert-to",
        kind,
        "--outdir",
        str(tmp_path / "out"),
        str(source),
    ]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    if b"could not be loaded" in done.stderr:
        missing("LibreOffice has no Calc", "libreoffice-calc-nogui")
    calculated = (tmp_path / "out" / "report.xlsx").read_bytes()
    for sheet in (_FIGURES, _AGENCIES):
        ours = list(_read(source.read_bytes(), values=True)[sheet].iter_rows(values_only=True))
        theirs = list(_read(calculated, values=True)[sheet].iter_rows(values_only=True))
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert [_number(value) for value in mine] == [_number(value) for value in other[: len(mine)]]


def _number(value: object) -> object:
    return pytest.approx(value) if isinstance(value, float) else value or None


@pytest.mark.parametrize(
    "name",
    [
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("http://x","y")',
        "+1+1",
        "-2",
        "@SUM(1)",
        "\t=1",
        "=1\x00",
        "x" * 40_000,
    ],
)
def test_a_host_name_is_never_a_formula(name: str) -> None:
    found = [*machines(), machine(1, name, "none", Reason("antivirus_not_installed"), antivirus=name)]
    data = render(report(found), HEAD, "xlsx", "vi")
    sheet = _read(data)[_LIST]
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert not [cell.coordinate for cell in cells if cell.data_type == "f"]
    named = sheet.cell(len(found) + 1, 4)
    assert named.data_type == "s"
    if name[0] in "=+-@":
        assert named.quotePrefix


def test_reason_texts_of_an_agent_are_no_formulas_either() -> None:
    hostile = Reason("antivirus_unknown", {"product": "=1+1", "detail": "=2+2"})
    sheet = _read(render(report([machine(1, "a", "unknown", hostile)]), HEAD, "xlsx", "vi"))[_LIST]
    assert sheet.cell(2, 9).data_type == "s"


def test_no_formula_points_outside_the_workbook() -> None:
    with zipfile.ZipFile(io.BytesIO(render(report(), HEAD, "xlsx", "vi"))) as archive:
        assert not [name for name in archive.namelist() if "externalLink" in name]


def test_the_same_figures_give_the_same_bytes() -> None:
    assert render(report(), HEAD, "xlsx", "vi") == render(report(), HEAD, "xlsx", "vi")


def test_an_empty_list_still_opens() -> None:
    figures = _figures(_read(render(report([]), HEAD, "xlsx", "vi"), values=True))
    assert figures[say("vi", "figure_known")] == 0
    assert figures[say("vi", "figure_percent")] == "—"


def test_counted_simulated_machines_are_declared_on_its_face() -> None:
    found = [dataclasses.replace(one, simulated=True) for one in machines()]
    workbook = _read(render(report(found, include_simulated=True), HEAD, "xlsx", "vi"))
    texts = [cell.value for cell in workbook[_FIGURES]["A"]]
    assert any("MÁY MÔ PHỎNG" in str(text) for text in texts)
    assert "MÁY MÔ PHỎNG" in workbook[_FIGURES].oddHeader.center.text
