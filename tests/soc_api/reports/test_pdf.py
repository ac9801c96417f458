"""The official document as a PDF reader sees it."""

from __future__ import annotations

import dataclasses
import io
import unicodedata

import pypdf
import pytest

from collector.coverage.models import Reason
from soc_api.reports import fonts
from soc_api.reports.errors import FontsMissingError
from soc_api.reports.service import render
from tests.soc_api.reports.sample import HEAD, machine, machines, report

_MM = 72 / 25.4


def _read(data: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(data))


def _text(reader: pypdf.PdfReader) -> str:
    text = " ".join(page.extract_text() for page in reader.pages)
    return unicodedata.normalize("NFC", " ".join(text.split()))


@pytest.fixture(scope="module")
def made() -> pypdf.PdfReader:
    return _read(render(report(), HEAD, "pdf", "vi"))


def test_the_pages_are_a4_the_appendices_across(made: pypdf.PdfReader) -> None:
    sizes = [(round(page.mediabox.width / _MM), round(page.mediabox.height / _MM)) for page in made.pages]
    assert sizes[0] == (210, 297)
    assert sizes[-2:] == [(297, 210)] * 2


def test_every_font_is_embedded(made: pypdf.PdfReader) -> None:
    seen = set()
    for page in made.pages:
        for font in page["/Resources"]["/Font"].values():  # type: ignore[index]  # pypdf's dictionaries are untyped
            font = font.get_object()
            descriptor = font.get("/FontDescriptor")
            if descriptor is None:  # the viewer's own, which no text may use
                continue
            assert "/FontFile2" in descriptor.get_object()
            seen.add(str(font["/BaseFont"]))
    assert len(seen) >= 3
    assert any("Bold" in name for name in seen)


def test_vietnamese_reads_back_as_it_was_written(made: pypdf.PdfReader) -> None:
    text = _text(made)
    for words in (
        "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM",
        "Độc lập - Tự do - Hạnh phúc",
        "Tỷ lệ máy tính được bảo vệ bằng phần mềm phòng, chống mã độc",
        "Lê Thị Ánh Nguyệt",
        "33,3%",
    ):
        assert words in text


def test_the_text_keeps_the_margins(made: pypdf.PdfReader) -> None:
    spots: list[tuple[float, float]] = []

    def visit(text: str, cm: list[float], tm: list[float], _font: object, _size: float) -> None:
        if text.strip():
            spots.append((tm[4] * cm[0] + tm[5] * cm[2] + cm[4], tm[4] * cm[1] + tm[5] * cm[3] + cm[5]))

    made.pages[0].extract_text(visitor_text=visit)
    assert min(x for x, _ in spots) >= 30 * _MM - 0.5
    assert all(20 * _MM <= y <= (297 - 20) * _MM for _, y in spots)


def test_the_first_page_has_no_number_and_the_second_has(made: pypdf.PdfReader) -> None:
    assert not made.pages[0].extract_text().strip().startswith("1\n")
    assert made.pages[1].extract_text().strip().startswith("2\n")


def test_every_machine_is_listed(made: pypdf.PdfReader) -> None:
    text = _text(made)
    for one in machines():
        assert one.name in text


def test_the_same_figures_give_the_same_bytes() -> None:
    first = render(report(), HEAD, "pdf", "vi")
    assert first == render(report(), HEAD, "pdf", "vi")
    metadata = _read(first).metadata
    assert metadata is not None
    assert str(metadata["/CreationDate"]).startswith("D:20260205080430")


def test_counted_simulated_machines_are_declared_on_every_page() -> None:
    found = [dataclasses.replace(one, simulated=True) for one in machines()]
    reader = _read(render(report(found, include_simulated=True), HEAD, "pdf", "vi"))
    for page in reader.pages:
        assert "SỐ LIỆU CÓ 9 MÁY MÔ PHỎNG" in unicodedata.normalize("NFC", page.extract_text())


def test_a_hostile_host_name_is_not_markup() -> None:
    found = [
        *machines(),
        machine(1, "<img src='file:///etc/passwd'/><b>x", "none", Reason("antivirus_not_installed")),
    ]
    text = _text(_read(render(report(found), HEAD, "pdf", "vi")))
    assert "<img" in text


def test_without_a_vietnamese_font_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts.register_fonts.cache_clear()
    monkeypatch.setattr(fonts, "_candidates", list)
    with pytest.raises(FontsMissingError, match="make assets"):
        render(report(), HEAD, "pdf", "vi")
    fonts.register_fonts.cache_clear()
