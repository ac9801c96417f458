"""A text is looked at before it is stored: whatever is wrong is said with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.rulebook.checking import check
from tests.collector.rulebook.conftest import BURST_ID, PAIR, RULE, RULE_ID

if TYPE_CHECKING:
    from collector.rulebook.models import Checked
    from tests.collector.rulebook.conftest import Shelf

pytestmark = pytest.mark.usefixtures("on_both_databases")

EVIDENCE = """fires:
  - why: It is evil
    events:
      - {Image: /tmp/evil}
near_misses:
  - why: It is only medieval
    events:
      - {Image: /tmp/medieval-x}
"""


def look(shelf: Shelf, text: str, evidence: str = "", rule_id: str = "") -> Checked:
    with shelf.state.read() as session:
        return check(session, shelf.rulebook, shelf.book(), text, evidence, rule_id=rule_id)


def test_a_sound_rule_with_evidence_that_holds_has_no_error(shelf: Shelf) -> None:
    checked = look(shelf, RULE, EVIDENCE)
    assert checked.errors == ()
    assert checked.cases == 2
    assert checked.info is not None
    assert checked.info.id == RULE_ID


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("title: x\ndetection: [\n", 3, "not YAML"),
        ("- a\n- b\n", 1, "mapping"),
        (RULE + "---\n" + RULE, 9, "one rule a text"),
        (RULE.replace(f"id: {RULE_ID}\n", ""), 1, "no id"),
        (RULE.replace(RULE_ID, "Bad-Id"), 2, "no UUID"),
        (RULE.replace("level: high", "level: hihg"), 4, "level"),
        (RULE.replace("condition: selection", "condition: selektion"), 8, "selektion"),
        (RULE.replace("Image|endswith", "Image|endswit"), 7, "endswit"),
        (RULE.replace("/evil", "'['").replace("endswith", "re"), 7, ""),
        (RULE.replace("title: Bad process\n", ""), 1, "title"),
    ],
)
def test_each_fault_is_told_with_its_line(shelf: Shelf, text: str, line: int, words: str) -> None:
    checked = look(shelf, text)
    assert checked.errors, checked
    assert words in checked.errors[0].message
    assert checked.errors[0].line == line


def test_another_rules_id_is_refused_where_a_rule_is_changed(shelf: Shelf) -> None:
    checked = look(shelf, RULE, rule_id=BURST_ID)
    assert "not that of the rule" in checked.errors[0].message


def test_evidence_that_does_not_hold_is_an_error_of_its_own_part(shelf: Shelf) -> None:
    checked = look(shelf, RULE, EVIDENCE.replace("/tmp/medieval-x", "/tmp/x/evil"))
    (fault,) = checked.errors
    assert (fault.part, fault.line) == ("evidence", 6)
    assert "medieval" in fault.message


@pytest.mark.parametrize(
    "evidence", ["[", "a: 1", "fires: 3", "fires: [{why: x, events: [3]}]", "fires: [{why: x}]"]
)
def test_evidence_of_another_form_is_refused_and_nothing_breaks(shelf: Shelf, evidence: str) -> None:
    checked = look(shelf, RULE, evidence)
    assert checked.errors
    assert all(fault.part == "evidence" for fault in checked.errors)


def test_evidence_that_would_keep_the_server_busy_is_refused_before_it_is_made(shelf: Shelf) -> None:
    cases = "".join(f"  - {{why: w{n}, events: [{{Image: /x, _repeat: 9000}}]}}\n" for n in range(90))
    (fault,) = look(shelf, RULE, "near_misses:\n" + cases).errors
    assert "810,000 events; at most 20,000" in fault.message


def test_a_correlation_is_checked_with_the_rules_that_it_refers_to(shelf: Shelf) -> None:
    correlation = PAIR.partition("---\n")[2]
    evidence = """fires:
  - why: Three at once
    events:
      - {event.action: ssh_login_failed, _repeat: 3, _logsource: {product: linux, category: auth}}
"""
    assert look(shelf, correlation, evidence).errors == ()
    checked = look(shelf, correlation.replace("[failed]", "[faild]"))
    assert "faild" in checked.errors[0].message


@given(text=st.text(max_size=300))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_text_breaks_the_check(shelf: Shelf, text: str) -> None:
    assert look(shelf, text).errors
    look(shelf, RULE + text.replace("\x00", ""))
