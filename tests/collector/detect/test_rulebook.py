"""The worker's rules: what is wrong with a folder never stops the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.detect.rulebook import load_rules
from rules.catalogue import load_catalogue
from tests.collector.detect.test_worker import BAD_PROCESS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_missing_folder_is_said_and_our_own_rules_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, catalogue = load_rules([str(tmp_path / "nowhere")])
    assert engine.rules_loaded >= 25
    assert set(catalogue) == set(load_catalogue())
    assert "missing" in caplog.text


def test_a_taken_id_is_said_and_every_folder_still_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = []
    for name, title in (("one", "First"), ("two", "Second")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rule.yml").write_text(BAD_PROCESS.replace("Bad process", title))
        folders.append(str(folder))
    _, catalogue = load_rules(folders)
    assert catalogue["00000000-0000-4000-8000-000000000001"].title["en"] == "First"
    assert len(catalogue) == len(load_catalogue()) + 1
    assert "share an id" in caplog.text
