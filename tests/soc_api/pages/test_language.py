"""Vietnamese is whole, and both languages write numbers and times as people do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from dashboards import messages
from soc_api.i18n import translator

if TYPE_CHECKING:
    from starlette.testclient import TestClient

NOON = datetime(2026, 11, 21, 20, 30, 5, tzinfo=UTC)


def test_every_message_has_its_vietnamese_with_the_same_placeholders() -> None:
    used = messages.extract()
    assert len(used) > 300
    assert messages.faults(used, messages.read()) == []


def test_a_missing_a_fuzzy_and_a_mismatched_translation_are_found() -> None:
    used = messages.extract()
    catalogue = messages.read()
    catalogue["Alerts"].string = ""
    catalogue["Coverage"].flags.add("fuzzy")
    catalogue["%(span)s ago"].string = "%(other)s trước"
    found = messages.faults(used, catalogue)
    assert "not translated: Alerts" in found
    assert "fuzzy: Coverage" in found
    assert any(line.endswith("%(span)s ago") for line in found)


def test_numbers_and_percentages_are_written_as_the_language_does() -> None:
    assert translator("vi").number(1234567.891, 2) == "1.234.567,89"
    assert translator("en").number(1234567.891, 2) == "1,234,567.89"
    assert translator("vi").percent(0.925) == "92,5 %"
    assert translator("vi").percent(None) == "—"


def test_times_are_local_and_day_first() -> None:
    t = translator("vi")
    assert t.time(NOON) == "22/11/2026 03:30"
    assert t.time(NOON.timestamp(), seconds=True) == "22/11/2026 03:30:05"
    assert t.date(date(2026, 1, 2)) == "02/01/2026"
    assert t.time(1e300) == t.time(float("nan")) == t.time(None) == "—"
    assert t.ago(NOON - timedelta(hours=3), NOON) == "3 giờ trước"
    assert translator("en").ago(NOON - timedelta(days=1, hours=2), NOON) == "26 hours ago"


def test_plurals_follow_the_language() -> None:
    assert translator("en").plural("%(num)s day", "%(num)s days", 1) == "1 day"
    assert translator("en").plural("%(num)s day", "%(num)s days", 1200) == "1,200 days"
    assert translator("vi").plural("%(num)s day", "%(num)s days", 1) == "1 ngày"


def test_the_page_speaks_vietnamese_until_told_otherwise(anonymous: TestClient) -> None:
    assert "Đăng nhập" in anonymous.get("/sign-in").text
    anonymous.cookies.set("lang", "xx")
    assert "Đăng nhập" in anonymous.get("/sign-in").text
    answer = anonymous.post(
        "/language", data={"lang": "en", "next": "//evil.example"}, follow_redirects=False
    )
    assert answer.headers["location"] == "/"
    anonymous.cookies.set("lang", "en")
    assert "Sign in" in anonymous.get("/sign-in").text


def test_the_theme_is_a_choice_of_three(anonymous: TestClient) -> None:
    assert 'data-bs-theme="auto"' in anonymous.get("/sign-in").text
    anonymous.cookies.set("theme", "dark")
    assert 'data-bs-theme="dark"' in anonymous.get("/sign-in").text
    anonymous.cookies.set("theme", '"><script>')
    assert 'data-bs-theme="auto"' in anonymous.get("/sign-in").text
