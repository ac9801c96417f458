"""Coverage of ATT&CK: mapped and evidence-tested, told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rules.attack import Cell, Matrix, attack, coverage, navigator_layer, techniques_of
from rules.catalogue import OWN_RULES, RuleInfo, load_catalogue
from rules.evidence import is_proven
from tests.rules.helpers import rule

if TYPE_CHECKING:
    from pathlib import Path


def a_rule(number: int, *tags: str) -> RuleInfo:
    info = next(iter(load_catalogue([OWN_RULES]).values()))
    return replace(info, id=f"rule-{number}", tags=tags, internal=False)


def cell(matrix: Matrix, tactic: str, technique: str) -> Cell:
    [column] = [each for each in matrix.columns if each.tactic.key == tactic]
    every = [part for each in column.cells for part in (each, *each.parts)]
    return next(each for each in every if each.technique.id == technique)


def test_the_matrix_is_whole() -> None:
    known = attack()
    assert known.version == "19"
    assert len(known.tactics) == 15
    assert next(iter(known.tactics)) == "reconnaissance"
    assert list(known.tactics)[-1] == "impact"
    assert len([each for each in known.techniques.values() if each.id == each.parent]) == 222
    assert len(known.techniques) == 697
    assert all(each.tactics for each in known.techniques.values())
    assert {tactic for each in known.techniques.values() for tactic in each.tactics} == known.tactics.keys()
    assert all(each.parent in known.techniques for each in known.techniques.values())
    assert all(
        tactic.name["vi"] and tactic.name["vi"] != tactic.name["en"] for tactic in known.tactics.values()
    )


def test_a_technique_has_the_rules_of_its_sub_techniques() -> None:
    matrix = coverage([a_rule(1, "attack.t1110.001"), a_rule(2, "attack.t1110")], {"rule-1"})
    whole = cell(matrix, "credential-access", "T1110")
    assert (whole.mapped, whole.tested, whole.state) == (("rule-1", "rule-2"), ("rule-1",), "tested")
    assert cell(matrix, "credential-access", "T1110.001").state == "tested"
    assert cell(matrix, "credential-access", "T1110.002").state == "none"
    assert (matrix.techniques("tested"), matrix.techniques("mapped"), matrix.techniques("none")) == (
        1,
        0,
        221,
    )


def test_a_rule_counts_under_the_tactics_that_it_names() -> None:
    named = a_rule(1, "attack.initial-access", "attack.t1078")
    matrix = coverage([named], ())
    assert cell(matrix, "initial-access", "T1078").state == "mapped"
    assert cell(matrix, "persistence", "T1078").state == "none"
    for tags in (("attack.t1078",), ("attack.exfiltration", "attack.t1078")):
        everywhere = coverage([a_rule(1, *tags)], ())
        assert all(cell(everywhere, each, "T1078").mapped for each in attack().techniques["T1078"].tactics)


def test_rules_without_technique_and_techniques_that_do_not_exist_are_told() -> None:
    internal = replace(a_rule(3, "attack.t1110"), internal=True)
    matrix = coverage([a_rule(1), a_rule(2, "attack.t9999"), internal], ())
    assert (matrix.rules, matrix.unplaced, matrix.unknown) == (2, ("rule-1", "rule-2"), ("T9999",))
    assert techniques_of(["ATTACK.T1059.004", "attack.g0001", "cve.2024-1"]) == {"T1059.004"}


def test_evidence_that_does_not_hold_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.yml"
    path.write_text(rule("s: {a: x}\ncondition: s"))
    catalogue = load_catalogue([tmp_path])
    [info] = catalogue.values()
    beside = tmp_path / "one.evidence.yml"
    assert not is_proven(info, catalogue)
    for text, proven in (
        ("fires: [{why: y, events: [{a: x}]}]\nnear_misses: [{why: n, events: [{a: z}]}]", True),
        ("fires: [{why: y, events: [{a: z}]}]", False),
        ("near_misses: [{why: n, events: [{a: z}]}]", False),
        ("fires: [", False),
    ):
        beside.write_text(text)
        assert is_proven(info, catalogue) is proven


def test_the_layer_is_of_navigators_form() -> None:
    matrix = coverage([a_rule(1, "attack.t1110.001"), a_rule(2, "attack.t1046")], {"rule-1"})
    layer = navigator_layer(matrix, "Vọng Gác", "what runs")
    assert layer["versions"] == {"attack": "19", "navigator": "5.1.0", "layer": "4.5"}
    assert layer["domain"] == "enterprise-attack"
    found = {(each["techniqueID"], each["tactic"]): each for each in layer["techniques"]}
    assert found["T1110", "credential-access"]["score"] == 2
    assert found["T1110", "credential-access"]["showSubtechniques"] is True
    assert found["T1110.001", "credential-access"]["metadata"] == [{"name": "rule", "value": "rule-1"}]
    assert found["T1046", "discovery"]["score"] == 1
    assert len(found) == 3


def test_our_own_rules_are_all_evidence_tested() -> None:
    catalogue = load_catalogue([OWN_RULES])
    proven = {info.id for info in catalogue.values() if is_proven(info, catalogue)}
    matrix = coverage(catalogue.values(), proven)
    assert matrix.techniques("mapped") == 0
    assert matrix.techniques("tested") >= 20
    assert matrix.tested_rules == matrix.rules
