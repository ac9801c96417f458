"""A page's sketches: stable where a page changes rightly, far apart where it was replaced."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from agent.probe.services.content import Content, contains
from agent.probe.services.page import read_page
from agent.probe.services.result import Result
from agent.probe.services.settings import Service
from agent.probe.services.sketch import difference, sketch_of
from agent.probe.services.words import defacement_words
from tests.agent.probe.services.province import portal_page

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = Service(name="portal", kind="http", url="https://portal.test/", watch_content=True)


def result(html: str) -> Result:
    return Result("up", 0.1, page=html.encode(), charset="utf-8")


def text_of(html: str) -> str:
    return sketch_of(read_page(html.encode(), "", "portal.test").text_features())


def test_what_readers_see_is_read_and_scripts_are_not() -> None:
    page = read_page(
        b"<title>A &amp; B</title><body><p>Xin  ch\xc3\xa0o<script>var hidden = '<b>no</b>'</script> 7"
        b"<!-- nor this --><img src='//evil.test/x.png'><iframe src=https://portal.test/in></iframe>"
        b"<meta http-equiv=refresh content='0;url=http://other.test/'>",
        "utf-8",
        "portal.test",
    )
    assert (page.title, page.text) == ("A & B", "Xin chào 7")
    assert page.hosts == ("evil.test", "other.test")


def test_letters_that_are_longer_in_small_letters_hide_nothing_behind_a_script() -> None:
    page = "<!-- " + "\u0130" * 5_000 + " --><script>x</ScRiPt><p>HACKED BY x</p>" + "<p>end</p>" * 1_000
    assert read_page(page.encode(), "utf-8", "portal.test").text.startswith("HACKED BY x end")


def test_a_run_of_combining_marks_takes_no_time_with_its_square() -> None:
    began = time.monotonic()
    page = read_page(("<p>a" + "\u0301\u0316" * 250_000).encode(), "utf-8", "portal.test")
    assert time.monotonic() - began < 8
    assert [len(word) for word in page.blocks[""]] == [99]


def test_sketches_tell_how_alike_two_pages_are() -> None:
    same, news = text_of(portal_page()), text_of(portal_page("Một tin ngắn khác"))
    other = text_of("<h1>It works!</h1><p>This is the default web page for this server.</p>")
    assert difference(same, text_of(portal_page())) == 0
    assert difference(same, news) < 0.25
    assert difference(same, other) > 0.9
    with pytest.raises(ValueError, match="not a sketch"):
        difference(same, "AAAA")


def test_dates_and_counters_change_nothing(tmp_path: Path) -> None:
    content = Content(SERVICE, tmp_path)
    assert content.take(result("<p>Hôm nay 22/11/2026, lượt truy cập 1234567"), "portal.test")
    assert not content.take(result("<p>Hôm nay 23/11/2026, lượt truy cập 1299999"), "portal.test")


def test_a_region_that_changes_again_and_again_is_left_out_and_one_that_fills_the_page_is_not(
    tmp_path: Path,
) -> None:
    content = Content(SERVICE, tmp_path)
    for day in ("một", "hai", "ba", "bốn", "năm"):
        content.take(result(portal_page(f"Tin {day} " + f"dòng {day} nữa " * 12)), "portal.test")
    again = Content(SERVICE, tmp_path)  # what was learnt outlives the process
    assert not again.take(result(portal_page("Tin sáu " + "dòng sáu nữa " * 12)), "portal.test")
    assert again.take(result(portal_page().replace("Sở ngành thứ", "Đã bị thay thế")), "portal.test")


def test_words_of_defacers_are_found_however_they_are_written() -> None:
    assert defacement_words("*** HaCkEd__By  x ***") == ["hacked by"]
    assert defacement_words("Trang này đã bị HACK") == ["đã bị hack"]
    assert defacement_words("Hội nghị về an toàn thông tin") == []


def test_the_text_that_a_page_must_have_is_sought_as_readers_see_it() -> None:
    page = result("<p>Thủ  tục <b>hành chính</b></p><script>bí mật</script>")
    assert contains(page, "thủ tục hành chính", "x")
    assert not contains(page, "bí mật", "x")


@pytest.mark.parametrize(
    "evil",
    [
        b"<!--" * 250_000,
        b"<" * 1_000_000,
        b"<a " * 330_000,
        b"<script" * 140_000,
        b"<a b='" * 160_000,
        b"<div>" * 200_000,
        b"</p>" * 250_000,
        b"<p id=x class=y>" * 60_000,
        b"&#x" * 330_000,
    ],
)
def test_a_hostile_page_takes_no_longer_than_its_length(evil: bytes) -> None:
    began = time.process_time()
    read_page(evil, "utf-8", "portal.test")
    assert time.process_time() - began < 5
