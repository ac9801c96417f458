"""The catalogue that console and alerts read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rules.catalogue import load_catalogue
from rules.engine import RuleError
from tests.rules.helpers import rule, rule_id

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "s: {a: x}\ncondition: s"


def test_our_rules_speak_both_languages_and_name_their_technique() -> None:
    [info] = [each for each in load_catalogue().values() if each.name == "ssh_brute_force"]
    assert info.title == {"vi": "Dò mật khẩu SSH", "en": "SSH password guessing"}
    assert info.techniques == ("T1110.001",)
    assert info.subject == ("SourceIP",)
    assert info.references == ("ssh_login_failed",)
    assert info.level == "high"
    assert len(info.triage["vi"]) == len(info.triage["en"]) == 4
    assert not info.internal


def test_a_rule_that_only_serves_correlations_is_internal() -> None:
    internal = {info.name for info in load_catalogue().values() if info.internal}
    assert {"ssh_login_failed", "ssh_repeated_failures", "sudo_failed", "endpoint_fell_silent"} <= internal
    assert "malware_found" not in internal


def test_a_rule_from_elsewhere_falls_back_to_english_and_to_the_host(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(rule(PLAIN), encoding="utf-8")
    (tmp_path / "none.yml").write_text("just: data", encoding="utf-8")
    (tmp_path / "broken.yml").write_text("title: [", encoding="utf-8")
    catalogue = load_catalogue([tmp_path])
    assert list(catalogue) == [rule_id(1)]
    assert catalogue[rule_id(1)].title == {"vi": "Rule 1", "en": "Rule 1"}
    assert catalogue[rule_id(1)].subject == ("host.id",)
    assert catalogue[rule_id(1)].logsource == {"category": "test"}


def test_two_rules_of_one_id_are_an_error_that_names_both(tmp_path: Path) -> None:
    for name in ("one.yml", "two.yml"):
        (tmp_path / name).write_text(rule(PLAIN), encoding="utf-8")
    with pytest.raises(RuleError, match=r"two\.yml.*one\.yml"):
        load_catalogue([tmp_path])
