"""The plans' targets, shipped as data."""

from __future__ import annotations

import csv
import unicodedata
from typing import TYPE_CHECKING

import pytest

from rules.targets import KINDS, LEVELS, MODES, TargetError, load_targets
from tests.rules.helpers import SHARED

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = SHARED / "reference" / "targets.csv"


def test_every_statement_of_the_five_documents_is_there_once() -> None:
    targets = load_targets()
    assert len(targets) == len({target.id for target in targets}) == 72
    assert {target.document.key for target in targets} == {"TH22", "TH120", "HG167", "QN790", "TB112"}


def test_targets_are_whole_and_in_normal_form() -> None:
    for target in load_targets():
        assert target.quote
        assert target.topic
        assert target.measure
        assert target.levels
        assert target.kind in KINDS
        assert target.mode in MODES
        assert set(target.levels) <= set(LEVELS)
        assert unicodedata.is_normalized("NFC", target.quote + target.topic + target.scope)


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"the reference is not beside the project: no {REFERENCE}")
def test_quotes_and_modes_are_those_of_the_reference() -> None:
    with REFERENCE.open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert {target.id: (target.quote, target.kind, target.mode) for target in load_targets()} == {
        key: (row["quote_vi"], row["kind"], row["mode"]) for key, row in rows.items()
    }


HEAD = "document: X\ntitle: t\nprovince: p\ndate: 2026-01-01\nperiod: '2026'\ntargets:\n"
GOOD = (
    "  - {id: X-01, kind: target, topic: t, quote: q, value: v, levels: [xa], scope: s, due: d, current: c, "
    "mode: A, measure: m}\n"
)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        HEAD + GOOD + GOOD,
        HEAD + GOOD.replace("X-01", "Y-01"),
        HEAD + GOOD.replace("mode: A", "mode: Z"),
        HEAD + GOOD.replace("value: v", "value: 5"),
        HEAD + GOOD.replace("scope: s, ", ""),
    ],
)
def test_data_that_is_not_of_the_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(text, encoding="utf-8")
    with pytest.raises(TargetError, match=r"x\.yml|twice"):
        load_targets(tmp_path)


def test_data_of_the_form_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(HEAD + GOOD, encoding="utf-8")
    assert [target.id for target in load_targets(tmp_path)] == ["X-01"]
