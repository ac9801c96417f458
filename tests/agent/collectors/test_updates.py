from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import updates
from agent.collectors.common.command import find_program
from agent.collectors.registry import NothingToReport
from agent.collectors.updates import Update, collect, parse_apt_list, parse_dnf, pending_since
from tests.agent.collectors.support import CAPTURED, FakeClock, context, fixture_text, write

CHECK = """
bash.x86_64                    5.2.26-4.fc40                 updates
openssl-libs.x86_64            1:3.2.2-1.fc40                updates
Obsoleting Packages
old.noarch                     1-1                           updates
"""
ADVISORIES = """FEDORA-2026-aaaaaaaaaa Important/Sec. openssl-libs-1:3.2.2-1.fc40.x86_64
FEDORA-2026-bbbbbbbbbb Moderate/Sec. other-1-1.fc40.noarch
"""


def test_a_captured_list_is_counted() -> None:
    text = fixture_text("apt/list_upgradable.txt")
    found = parse_apt_list(text)
    assert len(found) == text.count("[upgradable from: ")
    secure = {u.package for u in found if u.security}
    assert "libgcrypt20" in secure
    assert "base-files" not in secure
    assert Update("bash", "5.2.15-2+b13", security=False) in found


def test_ubuntus_security_pockets_count_too() -> None:
    lines = (
        "libssl3/jammy-updates,jammy-security 3.0.2-0ubuntu1.2 amd64 [upgradable from: 3.0.2-0ubuntu1.1]",
        "vim/jammy-apps-security 2:8.2.1 amd64 [upgradable from: 2:8.2.0]",
        "nano/jammy-security-proposed 6.3-1 amd64 [upgradable from: 6.2-1]",
    )
    assert parse_apt_list("\n".join(lines)) == [
        Update("libssl3", "3.0.2-0ubuntu1.2", security=True),
        Update("vim", "2:8.2.1", security=True),
        Update("nano", "6.3-1", security=False),
    ]


def test_apts_own_answer_is_read(tmp_path: Path) -> None:
    if find_program("apt") is None or not updates._has_lists(Path("/")):
        pytest.skip("no apt with fetched lists on this machine")
    found, reason = updates.read_apt(Path("/"))
    assert (found is not None, reason) == (True, "")


def test_dnf_updates_are_joined_with_their_advisories() -> None:
    assert parse_dnf(CHECK, ADVISORIES) == [
        Update("bash.x86_64", "5.2.26-4.fc40", security=False),
        Update("openssl-libs.x86_64", "1:3.2.2-1.fc40", security=True),
    ]


def test_a_newer_version_does_not_set_the_clock_of_a_pending_update_back() -> None:
    first = pending_since([Update("a", "1", True), Update("b", "1", False)], {}, 100.0)
    assert first == {"a": 100.0}
    later = pending_since([Update("a", "2", True), Update("c", "1", True)], first, 200.0)
    assert later == {"a": 100.0, "c": 200.0}


def host(tmp_path: Path) -> Path:
    write(tmp_path / "var/lib/dpkg/status", "")
    write(tmp_path / "var/lib/apt/lists/x_Packages", "")
    return tmp_path


def test_apt_is_asked_again_only_when_something_changed_or_six_hours_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    clock, state = FakeClock(), dict[str, Any]()

    def read_apt(root: Path) -> tuple[list[Update], str]:
        asked.append(clock.now)
        return [Update("a", "1", True), Update("b", "1", False)], ""

    monkeypatch.setattr(updates, "read_apt", read_apt)
    host(tmp_path)
    for passed in (0, 900, 3 * 3600):
        clock.now = CAPTURED + passed
        (document,) = collect(context(tmp_path, now=clock, state=state)).documents
        assert document.body is not None
        assert (document.body["pending"], document.body["security_pending"]) == (2, 1)
        assert document.body["pending_since"] == CAPTURED
    assert len(asked) == 1
    write(tmp_path / "var/lib/dpkg/status", "changed")
    collect(context(tmp_path, now=clock, state=state))
    assert len(asked) == 2
    clock.now += 6 * 3600
    collect(context(tmp_path, now=clock, state=state))
    assert len(asked) == 3


def test_lists_that_were_never_fetched_make_it_unknown_and_not_zero(tmp_path: Path) -> None:
    write(tmp_path / "var/lib/dpkg/status", "")
    (document,) = collect(context(tmp_path)).documents
    assert document.body is not None
    assert (document.body["state"], document.body["pending"], document.body["last_check_time"]) == (
        "unknown",
        None,
        None,
    )
    assert document.body["reason"]


def test_a_failed_question_keeps_the_dates_it_knew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    answers: list[tuple[list[Update] | None, str]] = [
        ([Update("a", "1", True)], ""),
        (None, "broken"),
        ([Update("a", "1", True)], ""),
    ]
    monkeypatch.setattr(updates, "read_apt", lambda root: answers.pop(0))
    clock = FakeClock()
    host(tmp_path)
    seen = []
    for _ in range(3):
        body = collect(context(tmp_path, now=clock, state=state)).documents[0].body or {}
        seen.append((body["state"], body["pending_since"]))
        clock.now += 7 * 3600
    assert seen == [("ok", CAPTURED), ("unknown", None), ("ok", CAPTURED)]


def test_the_last_check_is_apts_own_stamp(tmp_path: Path) -> None:
    host(tmp_path)
    stamp = write(tmp_path / "var/lib/apt/periodic/update-success-stamp", "")
    os.utime(stamp, (CAPTURED, CAPTURED))
    os.utime(tmp_path / "var/lib/apt/lists", (CAPTURED - 99, CAPTURED - 99))
    assert updates.apt_last_check(tmp_path) == CAPTURED


def test_without_apt_or_dnf_there_is_nothing_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "find_program", lambda name: None)
    with pytest.raises(NothingToReport):
        collect(context(tmp_path))


def test_a_captured_answer_of_dnf_is_counted() -> None:
    found = parse_dnf(fixture_text("dnf/check_update.txt"), fixture_text("dnf/advisories.txt"))
    assert found == [
        Update("vg-hai.noarch", "3:1.2-1", security=True),
        Update("vg-thu.noarch", "1.2-1", security=False),
    ]


def test_dnfs_last_check_is_when_its_lists_came(tmp_path: Path) -> None:
    assert updates.dnf_last_check(tmp_path) is None
    lists = tmp_path / "var/cache/dnf/updates-1234/repodata"
    write(lists / "repomd.xml", "")
    os.utime(lists, (CAPTURED, CAPTURED))
    assert updates.dnf_last_check(tmp_path) == CAPTURED


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_output_breaks_the_readers(one: str, other: str) -> None:
    parse_apt_list(f"a/{one} 1 amd64 [upgradable from: {other}]\n{other}")
    parse_dnf(one, other)
    assert parse_apt_list(one) is not None
