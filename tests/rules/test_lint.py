"""What a check finds, with its line; which validators run and why others do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner
from sigma.validators.core import validators as known_validators

from rules.engine.errors import RuleError
from rules.lint import Issue, lint
from rules.validators import CHECKS, chosen_validators
from soc_api.cli.sigma.check import check_command
from tests.rules.helpers import rule, rule_id

if TYPE_CHECKING:
    from pathlib import Path


def found(folder: Path, text: str) -> list[Issue]:
    (folder / "one.yml").write_text(text, encoding="utf-8")
    return lint([folder], own=False)


@pytest.mark.parametrize(
    ("old", "new", "check", "severity", "line"),
    [
        ("b: y", "b: '5'", "number_as_string", "warning", 10),
        ("b: y", "b|contains: 'a\\*c'", "escaped_wildcard", "warning", 10),
        ("b: y", "b: '*y*'", "wildcards_instead_of_modifiers", "warning", 10),
        ("b: y", "b|all: [x, y]", "invalid_modifier_combinations", "error", 10),
        ("condition: s or t", "condition: s", "dangling_detection", "error", 9),
        ("condition: s or t", "condition: all of them", "all_of_them_condition", "warning", 11),
        ("condition: s or t", "condition: s or nosuch", "engine", "error", 11),
        ("tags: [attack.t1110]", "tags: [attack.t1110, attack.t9999]", "attack_technique", "warning", 5),
        ("tags: [attack.t1110]", "tags: [attack.t1110, attack.t1110]", "duplicate_tag", "warning", 5),
        ("tags: [attack.t1110]", "tags: [cve.nosuch]", "cvetag", "warning", 5),
        ("status: test", "status: [", "engine", "error", 5),
    ],
)
def test_a_finding_names_its_line(
    old: str, new: str, check: str, severity: str, line: int, tmp_path: Path
) -> None:
    text = (
        f"title: A rule\nid: {rule_id(1)}\nstatus: test\nlevel: high\ntags: [attack.t1110]\n"
        "logsource: {category: test}\ndetection:\n  s: {a: x}\n  t:\n    b: y\n  condition: s or t\n"
    )
    assert found(tmp_path, text) == []
    issues = found(tmp_path, text.replace(old, new))
    assert (check, severity) in {(issue.check, issue.severity) for issue in issues}
    [line_found] = {issue.line for issue in issues if issue.check == check}
    assert line_found == line
    assert str(issues[0]).startswith(f"{tmp_path / 'one.yml'}:{issues[0].line}: ")


def test_every_validator_of_pysigma_is_chosen_or_left_out_for_a_reason() -> None:
    data = yaml.safe_load(CHECKS.read_text(encoding="utf-8"))
    assert data["validators"].keys() & data["left_out"].keys() == set()
    assert data["validators"].keys() | data["left_out"].keys() - {"d3fendtag"} == known_validators.keys()
    assert all(data["left_out"].values())


@pytest.mark.parametrize(
    "text", ["[]", "validators: [x]", "validators: {nosuch: error}", "validators: {cvetag: bad}", "{"]
)
def test_a_choice_of_validators_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "checks.yml"
    path.write_text(text)
    with pytest.raises(RuleError, match=r"checks\.yml"):
        chosen_validators(path)


def test_another_choice_of_validators_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "checks.txt"
    path.write_text("validators: {number_as_string: error}")
    (tmp_path / "one.yml").write_text(rule("s: {a: '5', b: '*x*'}\ncondition: s"))
    assert [issue.check for issue in lint([tmp_path], own=False, config=path)] == ["number_as_string"]


def test_the_second_document_of_a_file_has_lines_of_its_own(tmp_path: Path) -> None:
    text = rule("s: {a: x}\ncondition: s") + "---\n" + rule("s: {a: '5'}\ncondition: s", number=2)
    [issue] = found(tmp_path, text)
    assert (issue.rule, issue.line) == (rule_id(2), 14)


def test_findings_can_be_read_by_programs(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(rule("s: {a: '5'}\ncondition: s"))
    run = CliRunner().invoke(check_command, [str(tmp_path), "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)[0]["line"] == 6
    assert CliRunner().invoke(check_command, [str(tmp_path), "--json", "--strict"]).exit_code == 1
    sarif = json.loads(CliRunner().invoke(check_command, [str(tmp_path), "--sarif"]).stdout)
    [result] = sarif["runs"][0]["results"]
    assert result["ruleId"] == "number_as_string"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 6}
