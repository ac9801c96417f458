"""SigmaHQ's regression cases, run as they lie beside their rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rules.catalogue import load_catalogue
from rules.engine import RuleError
from rules.regression import regression_cases, regression_faults
from soc_api.cli.sigma.test import test_command as command
from tests.rules.helpers import SHARED, rule, rule_id

if TYPE_CHECKING:
    from pathlib import Path

SIGMAHQ = SHARED / "sigmahq"
INFO = (
    "rule_metadata: [{{id: {id}}}]\n"
    "regression_tests_info: [{{name: It fires, type: evtx, path: far/away/{file}, match_count: {least}}}]\n"
)


def case(folder: Path, number: int, least: int, *, file: str = "", events: int = 2) -> None:
    place = folder / str(number)
    place.mkdir(parents=True)
    file = file or f"{number}.jsonl"
    (place / "info.yml").write_text(INFO.format(id=rule_id(number), file=file, least=least))
    line = json.dumps({"Channel": "Security", "EventID": 4688, "a": "x"}) + "\n"
    if events:
        (place / file).write_text(line * events)


def test_each_case_says_by_itself_why_it_fails(tmp_path: Path) -> None:
    cases, rules = tmp_path / "cases", tmp_path / "rules"
    rules.mkdir()
    for number in (1, 2, 4, 5, 6):
        text = rule("s: {a: x}\ncondition: s", number=number, logsource="{product: windows}")
        (rules / f"{number}.yml").write_text(text)
    case(cases, 1, 2)
    case(cases, 2, 3)
    case(cases, 3, 1)
    case(cases, 4, 1, events=0)
    case(cases, 5, 2, file="same.jsonl")
    case(cases, 6, 2, file="same.jsonl", events=1)
    found = regression_faults(list(regression_cases(cases)), load_catalogue([rules]))
    assert found == [
        "",
        "matches 2 events; 3 expected at least",
        "its rule is not among the rules",
        "4.jsonl is missing",
        "",
        "matches 1 events; 2 expected at least",
    ]


def test_a_file_that_cannot_be_read_fails_its_own_case_only(tmp_path: Path) -> None:
    cases, rules = tmp_path / "cases", tmp_path / "rules"
    rules.mkdir()
    for number in (1, 2):
        text = rule("s: {a: x}\ncondition: s", number=number, logsource="{product: windows}")
        (rules / f"{number}.yml").write_text(text)
    case(cases, 1, 1)
    case(cases, 2, 1, file="broken.evtx")
    one, two = regression_faults(list(regression_cases(cases)), load_catalogue([rules]))
    assert one == ""
    assert two != ""


@pytest.mark.parametrize("text", ["[]", "rule_metadata: []", "{", "rule_metadata: [{id: x}]"])
def test_a_case_of_another_form_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "info.yml").write_text(text)
    with pytest.raises(RuleError, match=r"info\.yml"):
        list(regression_cases(tmp_path))


@pytest.mark.skipif(not SIGMAHQ.is_dir(), reason="the SigmaHQ rules are not on this machine")
def test_the_command_runs_sigmahqs_own_cases() -> None:
    folders = [str(SIGMAHQ / name) for name in ("rules", "rules-emerging-threats", "rules-threat-hunting")]
    run = CliRunner().invoke(command, ["--regression", str(SIGMAHQ / "regression"), "--json", *folders])
    assert run.exit_code == 0, run.output[:500]
    assert len(json.loads(run.stdout)) == 122
