"""Our own rules: complete, in both languages, proven by their evidence, and quiet on an ordinary day."""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rules.catalogue import OWN_RULES, Catalogue, RuleInfo, load_catalogue
from rules.engine import Engine, Event
from rules.evidence import CONTEXT, Case, evidence_path, failures, load_evidence
from rules.lint import lint
from rules.targets import load_targets

BENIGN = sorted((Path(__file__).parent / "benign").glob("*.jsonl"))
#: Rules known to fire on the benign corpus: rule's file, how often, since when, why that is right.
KNOWN = {
    "linux/persistence_new_local_user": (1, date(2026, 11, 21), "a colleague did get an account that day"),
    "network/initial_access_new_device": (1, date(2026, 11, 21), "a new printer did come"),
}


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
    engine = Engine([OWN_RULES])
    fired: dict[str, int] = {}
    events = 0
    for path in BENIGN:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            record = json.loads(line)
            source = record["logsource"]
            happened = Event(
                f"{path.name}:{number}",
                record["time"],
                source.get("product", ""),
                source.get("category", ""),
                source.get("service", ""),
                {**CONTEXT, **record["fields"]},
            )
            events += 1
            for finding in engine.process(happened):
                name = name_of(catalogue()[finding.rule_id])
                fired[name] = fired.get(name, 0) + 1
    assert events > 100
    assert fired == {name: count for name, (count, _since, _why) in KNOWN.items()}


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
