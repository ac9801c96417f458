"""The worker's rules: what is wrong with a folder never stops the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.detect.rulebook import LiveRules
from collector.rulebook.sources import Rulebook
from rules.catalogue import load_catalogue
from tests.collector.detect.test_worker import BAD_PROCESS
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_missing_folder_is_said_and_our_own_rules_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = LiveRules(Rulebook([str(tmp_path / "nowhere")]), new_state(tmp_path))
    assert rules.engine.rules_loaded >= 25
    assert set(rules.catalogue) == set(load_catalogue())
    assert "missing" in caplog.text


def test_of_two_rules_with_one_id_the_first_runs_and_is_described(tmp_path: Path) -> None:
    folders = []
    for name, title in (("one", "First"), ("two", "Second")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rule.yml").write_text(BAD_PROCESS.replace("Bad process", title))
        folders.append(str(folder))
    rules = LiveRules(Rulebook(folders), new_state(tmp_path))
    assert rules.catalogue["00000000-0000-4000-8000-000000000001"].title["en"] == "First"
    assert len(rules.catalogue) == len(load_catalogue()) + 1
    assert rules.engine.unsupported == []
