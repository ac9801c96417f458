"""Our own rules: complete, in both languages, proven by their evidence, and quiet on an ordinary day."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rules import benign
from rules.catalogue import OWN_RULES, Catalogue, RuleInfo, load_catalogue
from rules.engine import RuleError
from rules.evidence import Case, evidence_path, failures, load_evidence
from rules.lint import lint
from rules.targets import load_targets
from tests.rules.helpers import rule, rule_id


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


def name_of(info: RuleInfo) -> str:
    return Path(info.path).relative_to(OWN_RULES).with_suffix("").as_posix()


def cases() -> list[tuple[RuleInfo, Case]]:
    return [
        (info, case)
        for info in catalogue().values()
        for case in load_evidence(info, evidence_path(Path(info.path)))
    ]


@pytest.mark.parametrize("info", catalogue().values(), ids=name_of)
def test_a_rule_keeps_the_house_rules(info: RuleInfo) -> None:
    issues = [issue for issue in all_issues() if issue.path == info.path]
    assert issues == []


@cache
def all_issues() -> list[Any]:
    return lint([OWN_RULES], own=True)


def test_nothing_is_wrong_with_the_corpus_as_a_whole() -> None:
    assert all_issues() == []


@pytest.mark.parametrize(
    ("info", "case"), cases(), ids=[f"{name_of(info)}: {case.why}" for info, case in cases()]
)
def test_evidence_holds(info: RuleInfo, case: Case) -> None:
    assert list(failures(info, [case], [OWN_RULES])) == []


def test_there_are_rules_for_every_area_that_the_plans_ask_for() -> None:
    reported = [info for info in catalogue().values() if not info.internal]
    assert len(reported) >= 40
    served = {target for info in reported for target in info.targets}
    assert {"TB112-01", "TB112-08", "TB112-11", "TB112-12", "TH22-13", "QN790-04", "HG167-02"} <= served
    assert served <= {target.id for target in load_targets()}


def test_building_blocks_are_marked_and_alone_in_being_informational() -> None:
    for info in catalogue().values():
        assert info.internal == (info.level == "informational"), info.path


@pytest.mark.parametrize("info", catalogue().values(), ids=name_of)
def test_vietnamese_is_written_with_its_marks_and_english_without(info: RuleInfo) -> None:
    vietnamese = " ".join(
        [info.title["vi"], info.description["vi"], *info.triage["vi"], *info.falsepositives["vi"]]
    )
    english = " ".join(
        [info.title["en"], info.description["en"], *info.triage["en"], *info.falsepositives["en"]]
    )
    assert sum(character in "ăâđêôơưạảấầậắặẹếềệịọốộớợụứựỹ" for character in vietnamese.lower()) > 10
    assert not any(
        character in "ăđơưạảấầậắặẹếềệịọốộớợụứự" for character in english.lower().replace("công văn", "")
    )


def test_an_ordinary_day_is_quiet_but_for_what_is_known() -> None:
    assert len(list(benign.events())) > 100
    assert list(benign.faults([OWN_RULES], min(each.until for each in benign.known()))) == []


def test_a_known_noise_must_still_be_true_and_looked_at_in_time(tmp_path: Path) -> None:
    (tmp_path / "day.jsonl").write_text(
        '{"time": 0, "logsource": {"category": "test"}, "fields": {"a": "x"}}\n'
    )
    quiet, loud = tmp_path / "quiet.yml", tmp_path / "loud.yml"
    loud.write_text(rule("s: {a: x}\ncondition: s"))
    quiet.write_text(rule("s: {a: y}\ncondition: s"))
    today = date(2026, 11, 21)
    [(found, why)] = benign.faults([loud], today, tmp_path)
    assert (found, why) == (rule_id(1), "fires 1 times on 1 ordinary events")
    entry = f"[{{rule: {rule_id(1)}, times: 1, since: 2026-01-01, until: 2026-11-21, why: it may}}]"
    (tmp_path / "known.yml").write_text(entry)
    assert list(benign.faults([loud], today, tmp_path)) == []
    assert "expired" in next(benign.faults([loud], date(2026, 11, 22), tmp_path))[1]
    assert "known.yml says 1" in next(benign.faults([quiet], today, tmp_path))[1]
    (tmp_path / "known.yml").write_text("[{rule: x}]")
    with pytest.raises(RuleError, match=r"known\.yml"):
        list(benign.faults([quiet], today, tmp_path))
    (tmp_path / "day.jsonl").write_text("[]")
    with pytest.raises(RuleError, match=r"day\.jsonl.*line 1"):
        list(benign.faults([quiet], today, tmp_path))


def test_lint_sees_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "Bad-Name.yml"
    path.write_text(
        "title: Bad\nid: 00000000-0000-1000-8000-000000000001\nlogsource: {category: t}\n"
        "tags: [attack.t99, attack.nosuch, attack.t1110]\nlevel: high\nstatus: test\n"
        "detection: {s: {a: '*x*'}, unused: {b: y}, condition: s}\n"
        "vonggac: {title_vi: Xấu, targets: [NO-01], subject: [host.id], nosuch: 1, triage: {vi: [một], en: []}}\n"
    )
    (tmp_path / "orphan.evidence.yml").write_text("fires: []\n")
    messages = "\n".join(issue.message for issue in lint([tmp_path], own=True))
    for word in (
        "file's name",
        "version 4 UUID",
        "description is missing",
        "attack.t99",
        "attack.nosuch",
        "NO-01",
        "vonggac.nosuch",
        "triage.en",
        "description_vi",
        "differ in number",
        "evidence cannot be read",
        "evidence without its rule",
        "unused",
        "contains",
    ):
        assert word in messages, word


def test_lint_warns_of_a_filter_that_keeps_only_what_it_describes(tmp_path: Path) -> None:
    text = (
        "title: F\nlogsource: {category: t}\nfilter: {rules: any, selection: {a: x}, condition: %s}\n"
        "id: 00000000-0000-4000-8000-000000000001\n"
    )
    for condition, warned in (("selection", True), ("not selection", False)):
        (tmp_path / "f.yml").write_text(text % condition)
        assert any("keeps only" in issue.message for issue in lint([tmp_path], own=False)) is warned


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "fires: [{why: x}]",
        "other: []",
        "fires: [{why: x, events: [5]}]",
        "fires: [{why: x, events: [{_no: 1}]}]",
    ],
)
def test_evidence_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    info = next(iter(catalogue().values()))
    path = tmp_path / "x.evidence.yml"
    path.write_text(text)
    with pytest.raises(Exception, match=r"x\.evidence\.yml"):
        load_evidence(info, path)
