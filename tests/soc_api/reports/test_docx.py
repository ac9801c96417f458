"""The official document as Word reads it."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import docx
import msgspec
import pytest
from docx.enum.section import WD_ORIENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.shared import Mm, Pt

from collector.coverage.models import Reason
from soc_api.reports.service import render
from tests.soc_api.reports.sample import AS_OF, HEAD, machine, machines, report


def _read(data: bytes) -> Any:
    return docx.Document(io.BytesIO(data))


def _texts(document: Any) -> str:
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


@pytest.fixture(scope="module")
def made() -> Any:
    return _read(render(report(), HEAD, "docx", "vi", 5))


def test_the_page_is_a4_with_the_decrees_margins(made: Any) -> None:
    section = made.sections[0]
    assert (round(section.page_width.mm), round(section.page_height.mm)) == (210, 297)
    assert 20 <= round(section.top_margin.mm) <= 25
    assert 20 <= round(section.bottom_margin.mm) <= 25
    assert 30 <= round(section.left_margin.mm) <= 35
    assert 15 <= round(section.right_margin.mm) <= 20


def test_lists_stand_in_landscape_appendices(made: Any) -> None:
    assert [section.orientation for section in made.sections[1:]] == [WD_ORIENT.LANDSCAPE] * 2
    assert "Phụ lục II" in [paragraph.text for paragraph in made.paragraphs]


def test_the_page_number_is_centred_above_every_page_but_the_first(made: Any) -> None:
    section = made.sections[0]
    assert section.different_first_page_header_footer
    assert section.first_page_header.paragraphs[0].text == ""
    header = section.header.paragraphs[0]
    assert header.alignment == WD_ALIGN_PARAGRAPH.CENTER
    assert " PAGE " in header._p.xml
    assert all(run.font.size in (Pt(13), Pt(14)) for run in header.runs)
    assert section.header_distance < section.top_margin


def test_the_head_has_issuer_country_motto_and_rules(made: Any) -> None:
    left, right = made.tables[0].rows[0].cells
    assert "ỦY BAN NHÂN DÂN TỈNH THANH HÓA" in left.text.replace("\n", " ")
    assert "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM" in right.text
    assert "Độc lập - Tự do - Hạnh phúc" in right.text
    assert "w:pBdr" in left._tc.xml
    assert "w:pBdr" in right._tc.xml
    number, place = made.tables[1].rows[0].cells
    assert number.text == "Số: 05/BC-GSANM"
    assert place.text == "Thanh Hóa, ngày 05 tháng 02 năm 2026"
    assert place.paragraphs[0].runs[0].italic


def test_the_body_is_justified_with_an_indented_first_line(made: Any) -> None:
    body = next(paragraph for paragraph in made.paragraphs if "mẫu số" in paragraph.text)
    assert body.alignment == WD_ALIGN_PARAGRAPH.JUSTIFY
    assert abs(body.paragraph_format.first_line_indent - Mm(12.7)) < Mm(0.1)
    assert body.paragraph_format.space_before >= Pt(6)
    assert body.runs[0].font.size in (Pt(13), Pt(14))
    assert made.styles["Normal"].font.name == "Times New Roman"


def test_the_foot_has_recipients_and_signatory(made: Any) -> None:
    text = _texts(made)
    assert "Nơi nhận:" in text
    assert "- Lưu: VT." in text
    assert "GIÁM ĐỐC" in text
    assert "Lê Thị Ánh Nguyệt" in text


def test_figures_quotation_and_every_machine_are_in_it(made: Any) -> None:
    text = _texts(made)
    assert "33,3%" in text
    assert "có 9 máy đã biết (mẫu số), trong đó 3 máy" in text
    assert "100% cơ quan nhà nước các cấp và đơn vị trực thuộc" in text
    assert "500 máy mô phỏng" in text
    for one in machines():
        assert one.name in text


def test_the_same_figures_give_the_same_bytes() -> None:
    first = render(report(), HEAD, "docx", "vi")
    assert first == render(report(), HEAD, "docx", "vi")
    assert _read(first).core_properties.modified.replace(tzinfo=AS_OF.tzinfo) == AS_OF


def test_counted_simulated_machines_are_declared_on_its_face_and_above_every_page() -> None:
    found = [dataclasses.replace(one, simulated=True) for one in machines()]
    document = _read(render(report(found, include_simulated=True), HEAD, "docx", "vi"))
    banner = "SỐ LIỆU CÓ 9 MÁY MÔ PHỎNG"
    assert any(banner in paragraph.text for paragraph in document.paragraphs[:8])
    for section in document.sections:
        assert banner in section.header.paragraphs[0].text
    assert banner in document.sections[0].first_page_header.paragraphs[0].text


def test_a_report_without_simulated_machines_carries_no_banner(made: Any) -> None:
    assert "KHÔNG DÙNG LÀM SỐ LIỆU CHÍNH THỨC" not in _texts(made)


def test_a_hostile_host_name_stays_text() -> None:
    name = "<w:p>&amp;\x00\x0b\u202eexe.docx"
    found = [*machines(), machine(1, name, "none", Reason("antivirus_not_installed"))]
    assert "<w:p>&amp;���exe.docx" in _texts(_read(render(report(found), HEAD, "docx", "vi")))


def test_a_signature_for_somebody_else_takes_lines_of_its_own() -> None:
    head = msgspec.structs.replace(HEAD, signatory_title="KT. GIÁM ĐỐC\nPHÓ GIÁM ĐỐC")
    foot = _read(render(report(), head, "docx", "vi")).tables[3].rows[0].cells[1]
    assert [paragraph.text for paragraph in foot.paragraphs[:2]] == ["KT. GIÁM ĐỐC", "PHÓ GIÁM ĐỐC"]


def test_the_english_report_says_the_same_figures() -> None:
    text = _texts(_read(render(report(), HEAD, "docx", "en")))
    assert "9 known machines (the denominator), of which 3 are protected" in text
    assert "33.3%" in text
