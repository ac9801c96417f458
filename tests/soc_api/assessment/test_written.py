"""Files of checks: what is wrong is said with the line it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.assessment.form import decoder
from soc_api.assessment.service import results_of
from soc_api.assessment.written import CheckFileError, parse_set, shipped_checks, shipped_sets, stale_sets
from soc_api.cli import main

if TYPE_CHECKING:
    from pathlib import Path

SET = """\
set: site
version: 1
platform: linux
title: {vi: "Của tỉnh", en: "Of the province"}
checks:
  - id: kernel_aslr
    title: {vi: "Xáo trộn địa chỉ", en: "Random addresses"}
    why: {vi: "Khó khai thác", en: "Harder to exploit"}
    remedy: {vi: "Đặt bằng 2", en: "Set it to 2"}
    importance: high
    levels: [1, 2]
    test: {kind: sysctl, key: kernel.randomize_va_space, one_of: ["2"]}
"""


def test_a_sound_set_is_compiled_to_what_an_agent_reads() -> None:
    written = parse_set(SET.encode(), "site.yml")
    compiled = decoder().decode(written.compiled())
    assert [(check.id, check.importance, check.levels) for check in compiled.checks] == [
        ("kernel_aslr", "high", [1, 2])
    ]
    assert b"remedy" not in written.compiled()


@pytest.mark.parametrize(
    ("old", "new", "line", "fault"),
    [
        ("importance: high", "importance: grave", 10, "checks[0].importance: Invalid enum value 'grave'"),
        ('one_of: ["2"]', "one_of: [2]", 12, "checks[0].test.one_of[0]: Expected `str`, got `int`"),
        ("kind: sysctl", "kind: command", 12, "checks[0].test.kind: Invalid value 'command'"),
        ('["2"]}', '["2"], run: id}', 12, "checks[0].test: Object contains unknown field `run`"),
        ("[1, 2]\n", "[1]\n    levels: [1]\n", 12, "a key that is no text, or comes twice: 'levels'"),
        ("platform: linux", "platform: windows", 6, "kernel_aslr: windows has no test 'sysctl'"),
        ('vi: "Đặt bằng 2", ', "", 9, "checks[0].remedy: Object missing required field `vi`"),
        ("version: 1", "version: [1", 3, "did not find expected ',' or ']'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, line: int, fault: str) -> None:
    text = SET.replace(old, new, 1)
    assert text != SET
    with pytest.raises(CheckFileError) as caught:
        parse_set(text.encode(), "site.yml")
    assert str(caught.value) == f"site.yml:{line}: {fault}"


def test_aliases_and_repeated_ids_are_refused() -> None:
    text = SET.replace(
        'why: {vi: "Khó khai thác", en: "Harder to exploit"}', "why: &w {vi: Khó quá, en: Hard}"
    ).replace('remedy: {vi: "Đặt bằng 2", en: "Set it to 2"}', "remedy: *w")
    with pytest.raises(CheckFileError, match=r"site.yml:8: an alias"):
        parse_set(text.encode(), "site.yml")
    twice = SET + SET[SET.index("  - id") :]
    with pytest.raises(
        CheckFileError, match=r"^site.yml:13: kernel_aslr: there is another check of this id$"
    ):
        parse_set(twice.encode(), "site.yml")
    with pytest.raises(CheckFileError, match=r"site\.yml: larger than"):
        parse_set(b"#" * (1 << 20) + SET.encode(), "site.yml")


def test_a_shared_id_means_the_same_in_every_shipped_set() -> None:
    sets = shipped_sets()
    assert set(sets) == {"linux", "windows"}
    for check, written in shipped_checks("linux").items():
        other = shipped_checks("windows").get(check)
        assert other is None or (other.title, other.why) == (written.title, written.why), check
    assert stale_sets() == []
    assert shipped_checks("of a newer agent") == {}


def test_nothing_is_kept_of_sets_and_checks_that_agents_make_up() -> None:
    kept = [id(shipped_checks(f"made up {at}")) for at in range(2)]
    assert kept[0] == kept[1]
    entry = {"result": "passed", "importance": "high"}
    checks = {f"made_up_{at}": entry for at in range(500)} | {"kernel_aslr": entry}
    assert results_of({"set": "linux", "checks": checks}) == (("kernel_aslr", "passed"),)


@pytest.mark.parametrize("name", ["linux", "windows"])
def test_every_shipped_check_has_words_that_say_something_in_both_languages(name: str) -> None:
    for check in shipped_checks(name).values():
        for words in (check.title, check.why, check.remedy):
            assert words.vi != words.en, check.id
            assert not set(words.en) & set("ăâđêôơưĂÂĐÊÔƠƯ"), check.id
        assert len(check.remedy.vi) > 20, check.id
    titles = [check.title.vi for check in shipped_checks(name).values()]
    assert len(titles) - len(set(titles)) <= 1  # automatic updates by apt and by dnf


def test_the_command_checks_and_lists(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(main, ["assessment", "check"]).exit_code == 0
    path = tmp_path / "site.yml"
    path.write_text(SET.replace("high", "grave"), encoding="utf-8")
    wrong = run(main, ["assessment", "check", str(path), str(tmp_path / "nowhere.yml")])
    assert wrong.exit_code == 1
    assert f"{path}:10: checks[0].importance: Invalid enum value 'grave'\n" in wrong.output
    assert f"{tmp_path}/nowhere.yml: No such file or directory" in wrong.output
    listed = run(main, ["assessment", "list", "--set", "linux", "--lang", "en"])
    assert "sshd_root_login" in listed.output
    assert "smb1_client" not in listed.output
    assert run(main, ["assessment", "list", "--set", "solaris"]).exit_code == 1
    assert '"remedy"' in run(main, ["assessment", "list", "--json"]).output


@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="abc:[]{}&*-! \n\"'#", max_size=80).map(str.encode))
)
def test_any_file_is_sound_or_a_fault_with_its_name(data: bytes) -> None:
    with pytest.raises(CheckFileError, match=r"^site\.yml:"):
        parse_set(data, "site.yml")
