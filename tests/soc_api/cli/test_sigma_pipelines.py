"""``vonggac sigma pipelines``: what is there, and what a file's events would meet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from rules.logsources import shipped
from soc_api.cli.sigma.pipelines import pipelines_command

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(pipelines_command, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_pipeline_is_listed_in_both_languages() -> None:
    output = run()
    for each in shipped():
        assert each.name in output
        assert each.description["vi"] in output


def test_one_is_shown_whole_and_as_json() -> None:
    assert "Image reads NewProcessName" in run("windows")
    (document,) = json.loads(run("windows", "--json"))
    assert document["needs"] == ["Channel", "EventID"]
    assert document["services"]["security"] == [["Channel=security"]]
    assert {"service": "sysmon", "where": ["EventID=1"], "fields": {}} in document["categories"][
        "process_creation"
    ]


def test_a_files_events_are_counted_by_what_they_would_meet(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    lines = [{"type": "EXECVE", "a0": "id"}, {"type": "EXECVE", "a0": "w"}, {"message": "x"}]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    output = run("linux-auditd", "--events", str(path))
    assert "         2  product linux; service auditd; category process_creation" in output
    assert "         1  no pipeline knows these" in output
    counted = json.loads(run("linux-auditd", "--events", str(path), "--json"))["events"]
    assert [each["events"] for each in counted] == [2, 1]


def test_a_broken_file_is_named_with_its_line_and_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text("name: own\ndescription: {en: a, vi: b}\nservices: {a: {}}\nwhen: {}\n", encoding="utf-8")
    result = CliRunner().invoke(pipelines_command, [str(path)])
    assert result.exit_code == 1
    assert f"{path}:4: unknown key 'when'; did you mean 'where'?" in result.output
