"""The percentage, its denominator, and what is left out."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import reasons
from collector.coverage.models import REASONS, STATES, Reason
from soc_api.reports.clean import clean, looks_like_formula
from soc_api.reports.document import reason_sentence, write
from soc_api.reports.numbers import percent_text, shown_ratio
from soc_api.reports.render_json import as_dict, render_json
from soc_api.reports.wording import SENTENCES, say
from tests.soc_api.reports.sample import HEAD, machine, machines, report


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("sentence", sorted(SENTENCES))
def test_both_languages_say_as_much(sentence: str) -> None:
    texts = SENTENCES[sentence]
    assert set(texts) == {"vi", "en"}
    assert all(text.strip() for text in texts.values())
    assert _placeholders(texts["vi"]) == _placeholders(texts["en"])


def test_every_state_and_every_reason_has_its_words() -> None:
    for state in STATES:
        assert {f"state_{state}", f"means_{state}"} <= set(SENTENCES)
    for code in REASONS:
        assert f"reason_{code}" in SENTENCES


def test_unknown_silent_and_unmanaged_machines_stay_in_the_denominator() -> None:
    found = as_dict(report())
    assert found["total"]["known"] == 9
    assert found["total"]["protected"] == 3
    assert found["total"]["percent_of_known"] == pytest.approx(100 / 3)
    assert found["total"]["by_state"]["unknown"] == 1


def test_network_equipment_is_listed_but_not_counted() -> None:
    found = as_dict(report())
    assert found["excluded"]["network_equipment"] == 1
    assert [one["name"] for one in found["machines"] if not one["counted"]] == ["10.1.2.1"]


def test_the_list_adds_up_to_the_denominator() -> None:
    found = as_dict(report())
    assert sum(one["counted"] for one in found["machines"]) == found["total"]["known"]
    assert sum(agency["known"] for agency in found["agencies"]) == found["total"]["known"]


def test_no_machine_gives_no_percentage_instead_of_a_hundred() -> None:
    empty = report([])
    assert as_dict(empty)["total"]["percent_of_known"] is None
    texts = [getattr(block, "text", "") for block in write(empty, HEAD, "vi").body]
    assert any("không tính được tỷ lệ" in text for text in texts)


def test_both_readings_of_the_target_are_given() -> None:
    target = as_dict(report())["target"]
    assert target["by_agency"] | {} == {
        "with_protection": 2,
        "agencies": 3,
        "percent": pytest.approx(200 / 3),
        "complete": 0,
        "without_machines": 1,
    }
    assert target["by_machine"]["protected"] == 3


def test_the_national_limit_and_the_local_one_are_counted_apart() -> None:
    signatures = as_dict(report())["signatures"]
    assert signatures == {"beyond_national_limit": 1, "beyond_local_limit": 2}


def test_officials_are_compared_only_where_they_were_declared() -> None:
    found = machines()
    found.append(machine(3, "snv-01", "protected", Reason("signatures_current", {"days": 0}), 0))
    made = report(found)
    assert made.known_where_declared == 9
    assert made.ledger.total.percent_of_declared == pytest.approx(100 * 3 / 172)


@pytest.mark.parametrize(
    ("percent", "vietnamese", "english"),
    [
        (None, "—", "—"),
        (0.0, "0%", "0%"),
        (0.01, "0,1%", "0.1%"),
        (33.333, "33,3%", "33.3%"),
        (66.65, "66,7%", "66.7%"),
        (99.99, "99,9%", "99.9%"),
        (100.0, "100%", "100%"),
        (123.4, "123,4%", "123.4%"),
    ],
)
def test_a_hundred_percent_is_written_only_where_it_is_so(
    percent: float | None, vietnamese: str, english: str
) -> None:
    assert percent_text(percent, "vi") == vietnamese
    assert percent_text(percent, "en") == english


@given(st.integers(0, 50_000), st.integers(1, 50_000))
def test_a_shown_ratio_never_hides_a_single_machine(part: int, whole: int) -> None:
    shown = shown_ratio(100 * part / whole)
    assert (shown == 0) == (part == 0)
    if part < whole:
        assert shown < 1
    assert abs(shown - part / whole) <= 0.001


@given(st.text())
def test_cleaned_text_is_one_harmless_line(text: str) -> None:
    made = clean(text)
    assert len(made) <= 255
    assert "\n" not in made
    assert all(ord(character) >= 32 for character in made)
    assert not set("\u202e\u2066\u200b\x7f") & set(made)
    made.encode()


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "  =1"])
def test_what_a_spreadsheet_would_run_is_recognised(text: str) -> None:
    assert looks_like_formula(text)


def test_an_agents_own_words_cannot_break_a_sentence() -> None:
    reason = Reason("antivirus_unknown", {"product": "{0}{secret}\x00", "detail": "a\r\nb\u202e"})
    assert reason_sentence(reason, "vi") == "không đọc được tình trạng của {0}{secret}�: a��b�"


def test_a_reports_reason_is_said_in_the_reports_language() -> None:
    detail = reasons.CLAMD_NOT_ASKED(why="/run/clamav/clamd.ctl: Permission denied")
    reason = Reason("antivirus_unknown", {"product": "clamav", "detail": detail})
    said = "không được phép hỏi clamd: /run/clamav/clamd.ctl: không đủ quyền"
    assert reason_sentence(reason, "vi") == f"không đọc được tình trạng của clamav: {said}"
    assert reason_sentence(reason, "en").endswith(detail)


def test_an_unforeseen_reason_is_shown_by_its_code() -> None:
    assert reason_sentence(Reason("brand_new"), "vi") == "brand_new"


def test_the_json_is_the_same_for_the_same_figures() -> None:
    assert render_json(report()) == render_json(report())
    assert json.loads(render_json(report()))["as_of"] == "2026-02-05T08:04:30Z"


def test_days_and_months_are_padded_as_the_decree_says() -> None:
    assert write(report(), HEAD, "vi", 5).place_and_date == "Thanh Hóa, ngày 05 tháng 02 năm 2026"
    assert write(report(), HEAD, "vi", 5).number == "Số: 05/BC-GSANM"
    assert write(report(), HEAD, "vi").number == "Số: ……/BC-GSANM"


def test_one_agencys_report_names_it_and_lists_only_its_machines() -> None:
    document = write(report(agency=1), HEAD, "vi")
    assert document.subject[1] == "tại Văn phòng UBND tỉnh"
    assert [appendix.title for appendix in document.appendices] == [say("vi", "list")]
