"""``vonggac sigma list … throttle`` as a rule author calls them, on a data directory whose server does not run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from collector.settings import DataDirectory
from collector.state.migrate import upgrade
from soc_api.cli import main
from tests.collector.rulebook.test_checking import EVIDENCE
from tests.soc_api.api.test_rules import BROKEN, MINE, OWN, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Vonggac = Callable[..., Result]


@pytest.fixture
def vonggac(tmp_path: Path) -> Vonggac:
    data = DataDirectory(tmp_path / "data")
    data.create()
    upgrade(data.state)

    def call(*arguments: str, stdin: str = "") -> Result:
        words = ["sigma", *arguments, "--data", str(data.root)]
        return CliRunner().invoke(main, words, input=stdin, prog_name="vonggac")

    return call


@pytest.fixture
def rule(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yml"
    path.write_text(TEXT)
    return path


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_rule_is_added_shown_changed_and_taken_back(vonggac: Vonggac, rule: Path) -> None:
    added = vonggac("add", str(rule), "--comment", "first")
    assert added.exit_code == 0, added.output
    assert f"{MINE}: revision 1 stored; no worker runs here now" in added.stdout
    shown = vonggac("show", MINE)
    assert "* revision 1" in shown.stdout
    assert "first" in shown.stdout
    rule.write_text(TEXT.replace("level: high", "level: low"))
    assert answer(vonggac("add", str(rule), "--on", "1", "--json"))["revision"] == 2
    assert "-level: high" in vonggac("show", MINE, "--diff", "1").stdout
    assert vonggac("show", MINE, "--revision", "1").stdout == TEXT
    assert answer(vonggac("revert", MINE, "--to", "1", "--json"))["applied_at"] is None
    assert vonggac("show", MINE, "--text").stdout == TEXT


def test_evidence_beside_the_file_is_run_and_an_unsound_one_refuses_the_rule(
    vonggac: Vonggac, rule: Path
) -> None:
    beside = rule.with_name("mine.evidence.yml")
    beside.write_text(EVIDENCE)
    assert "2 cases of evidence hold" in vonggac("add", str(rule), "--dry-run").stdout
    assert vonggac("show", MINE).exit_code == 1
    beside.write_text(EVIDENCE.replace("/tmp/evil", "/bin/ls"))
    refused = vonggac("add", str(rule))
    assert refused.exit_code == 1
    assert f"{beside}:2: error: does not fire: It is evil" in refused.stderr


def test_a_broken_rule_is_refused_with_file_and_line_and_nothing_is_stored(
    vonggac: Vonggac, rule: Path
) -> None:
    rule.write_text(BROKEN)
    refused = vonggac("add", str(rule))
    assert refused.exit_code == 1
    assert f"{rule}:8: error:" in refused.stderr
    assert "nothing was stored: correct this and repeat" in refused.stderr
    by_pipe = vonggac("add", "-", "--json", stdin=BROKEN)
    assert by_pipe.exit_code == 1, by_pipe.output
    assert json.loads(by_pipe.stdout)["faults"][0]["line"] == 8
    assert vonggac("show", MINE).exit_code == 1
    rule.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in vonggac("add", str(rule)).stderr


def test_who_did_not_say_what_the_text_was_made_from_is_told_the_next_step(
    vonggac: Vonggac, rule: Path
) -> None:
    vonggac("add", str(rule))
    again = vonggac("add", str(rule))
    assert again.exit_code == 1
    assert "start from that text and name its number (1)" in again.stderr


def test_rules_are_disabled_enabled_and_limited_by_name_or_the_beginning_of_the_id(vonggac: Vonggac) -> None:
    assert "disabled" in vonggac("disable", OWN[:8], "--reason", "a printer").stdout
    listed = answer(vonggac("list", "--state", "disabled", "--json"))
    assert [row["id"] for row in listed] == [OWN]
    assert vonggac("disable", OWN, "--reason", "again").exit_code == 1
    assert vonggac("enable", OWN).exit_code == 0
    assert vonggac("throttle", OWN, "--an-hour", "20", "--reason", "loud").exit_code == 0
    assert answer(vonggac("show", OWN, "--json"))["throttle"] == 20
    assert vonggac("throttle", OWN, "--off").exit_code == 0
    assert vonggac("throttle", OWN).exit_code == 2
    assert vonggac("disable", OWN).exit_code == 2
    missing = vonggac("show", "no-such-rule")
    assert missing.exit_code == 1
    assert "vonggac sigma list --text WORD" in missing.stderr


def test_a_rule_that_correlations_need_is_not_disabled(vonggac: Vonggac) -> None:
    base = next(row for row in answer(vonggac("list", "--text", "failed", "--json")) if row["kind"] == "rule")
    refused = vonggac("disable", base["id"], "--reason", "x")
    assert refused.exit_code == 1
    assert "correlations need this rule" in refused.stderr


def test_figures_and_the_list_are_tables_for_people_and_json_for_programs(vonggac: Vonggac) -> None:
    assert vonggac("stats").stdout.splitlines()[0].split()[:4] == ["ID", "STATE", "OFFERED", "CANDIDATES"]
    assert len(answer(vonggac("stats", "--sort", "seconds", "--limit", "3", "--json"))) == 3
    assert len(vonggac("list").stdout.splitlines()) > 40
    assert "no rule is like that" in vonggac("list", "--text", "nothing has this").stdout


def test_a_folder_that_is_no_data_directory_names_the_next_step(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["sigma", "list", "--data", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "is not a data directory" in result.stderr


def test_changed_folders_are_looked_at_again_when_asked_to(vonggac: Vonggac) -> None:
    assert "no worker runs here now" in vonggac("reload").stdout


def test_a_file_that_breaks_is_refused_with_its_line_and_is_still_in_the_list(
    vonggac: Vonggac, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "more"
    folder.mkdir()
    file = folder / "mine.yml"
    file.write_text(TEXT)
    config = tmp_path / "vonggac.toml"
    config.write_text(f"[detect]\nrule_folders = ['{folder}']\n")
    options = ("--config", str(config))
    assert vonggac("reload", *options).exit_code == 0
    file.write_text(TEXT.replace("level: high", "level: [high"))
    told = vonggac("reload", *options)
    assert told.exit_code == 1
    assert f"refused: {file}:5: cannot be read: " in told.stderr
    assert "(rules of it that stay as they were: 1)" in told.stderr
    found = vonggac("list", "--state", "refused", *options)
    assert MINE in found.stdout
    assert f"{file}:5: " in found.stderr
    assert "line 5: cannot be read" in vonggac("show", MINE, *options).stdout
    as_json = json.loads(vonggac("reload", "--json", *options).stdout)
    assert [(each["path"], each["line"], each["rules"]) for each in as_json["refused_files"]] == [
        (str(file), 5, 1)
    ]
