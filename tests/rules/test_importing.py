"""Releases that somebody brought: hostile archives, what is chosen and why not, taking and taking back."""

from __future__ import annotations

import os
import stat
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.catalogue import OWN_RULES, load_catalogue
from rules.importing import (
    Choices,
    Imported,
    ImportingError,
    Received,
    Selection,
    Source,
    changes_between,
    known_sources,
    read_release,
    select,
    selected_files,
)
from rules.importing import release as release_module
from rules.importing.release import safe_path
from rules.importing.sources import Sampler
from rules.logsources import load_pipelines
from tests.rules.helpers import SHARED, rule, rule_id

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN = "s: {a: x}\ncondition: s"
HERE = Received({Source("linux", "process_creation"): 7, Source("", "test"): 0})


def a_rule(
    number: int,
    *,
    level: str = "high",
    status: str = "test",
    logsource: str = "{category: test}",
    more: str = "",
) -> str:
    text = rule(PLAIN, number=number, logsource=logsource).replace("status: test", f"status: {status}")
    return f"{text}level: {level}\n{more}"


def a_zip(path: Path, members: Mapping[str | zipfile.ZipInfo, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def choose(
    folder: Path,
    files: Mapping[str, str],
    *,
    level: str = "medium",
    statuses: tuple[str, ...] = ("stable", "test"),
    received: Received = HERE,
) -> Selection:
    """What is chosen of a release of these files."""
    release, staging = folder / "release", folder / "staging"
    for each in (release, staging):
        if each.exists():
            for old in sorted(each.rglob("*"), reverse=True):
                old.rmdir() if old.is_dir() else old.unlink()
        each.mkdir(exist_ok=True)
    for name, text in files.items():
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text(text, encoding="utf-8")
    return select(read_release(release), Choices(level, statuses, received, "received"), staging)


def test_a_folder_and_its_zip_are_the_same_release(tmp_path: Path) -> None:
    folder = tmp_path / "sigma-r1"
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "one.yml").write_text(a_rule(1))
    (folder / "rules" / "one.evidence.yml").write_text("fires: []")
    (folder / "README.md").write_text("words")
    packed = a_zip(tmp_path / "sigma-r1.zip", {"rules/one.yml": a_rule(1), "version.txt": "1"})
    one, two = read_release(folder), read_release(packed)
    assert list(one.files) == ["rules/one.yml"]
    assert (one.name, one.digest, one.files) == (two.name, two.digest, two.files)


@pytest.mark.parametrize(
    "name", ["../out.yml", "/etc/out.yml", "a/../../out.yml", "..\\out.yml", "C:\\out.yml", "C:out.yml"]
)
def test_a_member_that_leads_out_of_the_release_is_not_read(name: str, tmp_path: Path) -> None:
    found = read_release(a_zip(tmp_path / "r.zip", {name: a_rule(1), "in.yml": a_rule(2)}))
    assert list(found.files) == ["in.yml"]
    assert [each.reason for each in found.passed] == ["its path leads out of the release"]


def test_links_devices_and_encrypted_or_oddly_packed_members_are_not_read(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.yml")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    packed = zipfile.ZipInfo("lzma.yml")
    packed.compress_type = zipfile.ZIP_LZMA
    path = a_zip(tmp_path / "r.zip", {link: "/etc/passwd", packed: a_rule(1), "in.yml": a_rule(2)})
    data = bytearray(path.read_bytes())
    found = read_release(path)
    assert list(found.files) == ["in.yml"]
    assert {each.name: each.reason for each in found.passed} == {
        "link.yml": "a link or device",
        "lzma.yml": "packed in a way that is not read here",
    }
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4) + 4)
    data[at + 8] |= 1  # the third member says that it is encrypted
    path.write_bytes(data)
    with pytest.raises(ImportingError, match="no YAML file"):
        read_release(path)


def test_a_bomb_is_not_unpacked_beyond_what_a_rule_may_have(tmp_path: Path) -> None:
    path = a_zip(tmp_path / "r.zip", {"bomb.yml": b"\0" * (64 << 20), "in.yml": a_rule(1)})
    assert path.stat().st_size < 1 << 20
    found = read_release(path)
    assert list(found.files) == ["in.yml"]
    assert "larger than" in found.passed[0].reason


def test_too_much_in_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members: dict[str | zipfile.ZipInfo, str | bytes] = {f"{n}.yml": a_rule(n) for n in range(20)}
    path = a_zip(tmp_path / "r.zip", members)
    monkeypatch.setattr(release_module, "MAX_TOTAL_BYTES", 1000)
    with pytest.raises(ImportingError, match="1,000 bytes"):
        read_release(path)
    monkeypatch.setattr(release_module, "MAX_ENTRIES", 10)
    with pytest.raises(ImportingError, match="10 members"):
        read_release(path)
    monkeypatch.setattr(release_module, "MAX_DIRECTORY_BYTES", 100)
    with pytest.raises(ImportingError, match="lists too many"):
        read_release(path)
    monkeypatch.setattr(release_module, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(ImportingError, match="at most 100"):
        read_release(path)


def test_a_damaged_member_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("broken.yml", a_rule(1))
        archive.writestr("in.yml", a_rule(2))
    data = path.read_bytes().replace(b"title: Rule 1\n", b"title: Rule 9\n", 1)
    path.write_bytes(data)
    found = read_release(path)
    assert list(found.files) == ["in.yml"]
    assert "damaged" in found.passed[0].reason


def test_names_of_any_encoding_become_plain_paths(tmp_path: Path) -> None:
    cp437 = zipfile.ZipInfo("r\u00e8gles/\u202e..evil.yml")
    found = read_release(
        a_zip(tmp_path / "r.zip", {cp437: a_rule(1), "quy tắc/một.yml": a_rule(2), "../..yml": a_rule(3)})
    )
    assert all(
        name.isascii() and ".." not in name and not name.startswith(("/", ".")) for name in found.files
    )
    assert len(found.files) == 2


@given(st.text(max_size=80))
def test_no_name_leads_anywhere(name: str) -> None:
    safe = Path(safe_path(name))
    assert not safe.is_absolute()
    assert ".." not in safe.parts
    assert safe.suffix == ".yml"
    assert all(len(part) <= 110 for part in safe.parts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_damage_makes_reading_fail_otherwise(tmp_path: Path, noise: bytes, at: int) -> None:
    path = a_zip(tmp_path / "r.zip", {"in.yml": a_rule(1)})
    data = path.read_bytes()
    path.write_bytes(data[:at] + noise + data[at + len(noise) :])
    with suppress(ImportingError):
        assert len(read_release(path).files) == 1


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + b"\xff" * 18, b"words" * 99])
def test_what_is_no_zip_is_refused_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    path.write_bytes(content)
    with pytest.raises(ImportingError, match="r\\.zip"):
        read_release(path)


def test_links_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yml"
    outside.write_text(a_rule(1))
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "link.yml").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.yml")
    (folder / "in.yml").write_text(a_rule(2))
    (folder / "latin.yml").write_bytes("title: é".encode("latin-1"))
    found = read_release(folder)
    assert list(found.files) == ["in.yml"]
    assert {each.name: each.reason for each in found.passed} == {
        "link.yml": "a link",
        "pipe.yml": "no ordinary file",
        "latin.yml": "not UTF-8",
    }


def test_every_rule_that_is_not_chosen_has_its_reason(tmp_path: Path) -> None:
    own = next(iter(load_catalogue([OWN_RULES])))
    selection = choose(
        tmp_path,
        {
            "good.yml": a_rule(1),
            "windows.yml": a_rule(2, logsource="{product: windows, category: process_creation}"),
            "low.yml": a_rule(3, level="low"),
            "draft.yml": a_rule(4, status="experimental"),
            "old.yml": a_rule(5, status="deprecated"),
            "broken.yml": a_rule(6).replace("condition: s", "condition: nosuch"),
            "ours.yml": a_rule(7).replace(rule_id(7), own),
            "twice.yml": a_rule(1),
            "noid.yml": "title: x\ndetection: {s: {a: b}, condition: s}\nlogsource: {category: test}\n",
            "noyaml.yml": "title: [",
            "info.yml": "just: data",
            "auditd.yml": a_rule(8, logsource="{product: linux, service: auditd}"),
        },
    )  # fmt: skip
    found = {key: (rule.reason, rule.detail) for key, rule in selection.manifest.rules.items()}
    assert found[rule_id(1)] == ("", "")
    assert found[rule_id(2)] == ("not_received", "nothing of windows arrives")
    assert found[rule_id(3)] == ("level", "low")
    assert found[rule_id(4)] == ("status", "experimental")
    assert found[rule_id(5)] == ("status", "deprecated")
    assert found[rule_id(6)][0] == "broken"
    assert selection.manifest.rules[rule_id(6)].line == 7
    assert found[own][0] == "own"
    assert found[rule_id(8)] == ("not_received", "nothing of linux / auditd arrives")
    assert list(selection.texts) == ["good.yml"]
    assert {each.file for each in selection.manifest.unreadable} == {"twice.yml", "noid.yml", "noyaml.yml"}


def test_a_rule_that_unfolds_without_end_is_not_given_to_anybody(tmp_path: Path) -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    bomb = "title: b\nid: " + rule_id(1) + "\nlogsource: {category: test}\ndetection:\n" + "".join(
        f"  {line}\n" for line in [*lines, "condition: a"]
    )  # fmt: skip
    selection = choose(tmp_path, {"bomb.yml": bomb, "good.yml": a_rule(2)})
    assert list(selection.manifest.chosen) == [rule_id(2)]
    assert "unfolds" in selection.manifest.unreadable[0].reason


CORRELATION = (
    "title: C\nid: {id}\nstatus: test\nlevel: high\n"
    "correlation: {{type: event_count, rules: [{rules}], group-by: [User], timespan: 5m, condition: {{gte: 3}}}}\n"
)


def test_a_correlation_brings_its_rules_along_and_is_left_out_without_them(tmp_path: Path) -> None:
    windows = "{product: windows, service: security}"
    selection = choose(
        tmp_path,
        {
            "base.yml": a_rule(1, level="low"),
            "count.yml": CORRELATION.format(id=rule_id(2), rules=rule_id(1)),
            "over.yml": CORRELATION.format(id=rule_id(3), rules=rule_id(2)),
            "win.yml": a_rule(4, logsource=windows),
            "wincount.yml": CORRELATION.format(id=rule_id(5), rules=rule_id(4)),
            "winover.yml": CORRELATION.format(id=rule_id(6), rules=f"{rule_id(5)}, {rule_id(1)}"),
        },
    )
    assert set(selection.manifest.chosen) == {rule_id(1), rule_id(2), rule_id(3)}
    assert selection.manifest.rules[rule_id(6)].reason == "reference"
    assert rule_id(5) in selection.manifest.rules[rule_id(6)].detail


def test_a_windows_service_stands_for_the_categories_that_its_events_tell() -> None:
    here = Received({Source("windows", "", "sysmon"): 3})
    assert not here.misses(Source("windows", "process_creation"))
    assert not here.misses(Source("windows", "", "sysmon"))
    assert not here.misses(Source("windows"))
    assert here.misses(Source("windows", "", "security")) == "nothing of windows / security arrives"
    assert here.misses(Source("linux", "process_creation")) == "nothing of linux arrives"
    assert Received({Source("linux", "", "auth"): 1}).misses(Source("linux", "process_creation"))


def test_events_themselves_tell_what_they_are() -> None:
    sampler = Sampler()
    event = {"Channel": "Security", "EventID": 4688, "NewProcessName": "x"}
    found = sampler.sources_of(Source("windows"), event)
    assert {Source("windows", "", "security"), Source("windows", "process_creation", "security")} <= found
    assert Source("windows", "file_event") not in found
    assert sampler.sources_of(Source("linux", "", "auth"), {}) >= {Source("linux", "", "auth")}
    hostile: tuple[object, ...] = ([{}], 5, None)
    for channel in hostile:
        sampler.sources_of(Source("windows"), {"Channel": channel, "EventID": channel})


def test_an_installations_own_pipelines_tell_what_its_events_are(tmp_path: Path) -> None:
    (tmp_path / "box.yml").write_text(
        "name: box\ndescription: {en: Boxes, vi: Hộp}\nproduct: box\nwhere: {text: {present: true}}\n"
        "categories:\n  process_creation: {}\n"
    )
    wanted = Source("box", "process_creation")
    assert wanted not in Sampler().sources_of(Source("box"), {"text": "x"})
    found = Sampler(load_pipelines([str(tmp_path / "box.yml")])).sources_of(Source("box"), {"text": "x"})
    assert wanted in found
    sysmon = {Source("windows", "", "sysmon"): 3}
    assert Received(sysmon, pipelines=()).misses(Source("windows", "process_creation"))


def test_what_our_own_rules_read_is_what_agents_send() -> None:
    known = known_sources()
    assert not known.misses(Source("linux", "process_creation"))
    assert not known.misses(Source("", "antivirus"))
    assert known.misses(Source("macos", "process_creation"))
    assert not known.misses(Source("vonggac", "firewall"))
    assert known.misses(Source("", "firewall")), "a machine's own firewall state is no firewall log"
    assert not Received.everything().misses(Source("macos"))


def test_a_release_is_taken_whole_kept_and_taken_back(tmp_path: Path) -> None:
    imported = Imported(tmp_path / "imported")
    assert (imported.revision(), imported.folder(), imported.current(), selected_files(imported.root)) == (
        "",
        None,
        None,
        [],
    )
    with pytest.raises(ImportingError, match="nothing was imported"):
        imported.back("t0")
    first = choose(tmp_path, {"a.yml": a_rule(1), "b.yml": a_rule(2), "c.yml": a_rule(3, level="low")})
    imported.take(first, "t1")
    assert imported.current() == first.manifest
    assert [path.name for path in selected_files(imported.root)] == ["a.yml", "b.yml"]
    before = imported.revision()
    second = choose(tmp_path, {"a.yml": a_rule(1, level="critical")})
    imported.take(second, "t2")
    assert imported.revision() != before
    assert [path.name for path in selected_files(imported.root)] == ["a.yml"]
    assert imported.back("t3").release == first.manifest.name
    assert len(selected_files(imported.root)) == 2
    assert imported.back("t4").release == second.manifest.name
    third = choose(tmp_path, {"d.yml": a_rule(4)})
    imported.take(third, "t5")
    assert {path.name for path in imported.root.iterdir() if path.is_dir()} == {
        third.manifest.name,
        second.manifest.name,
    }
    imported.take(third, "t6")
    assert imported.state().previous == second.manifest.name


def test_going_back_from_the_first_release_leaves_no_imported_rule(tmp_path: Path) -> None:
    imported = Imported(tmp_path / "imported")
    imported.take(choose(tmp_path, {"a.yml": a_rule(1)}), "t1")
    assert imported.back("t2").release == ""
    assert selected_files(imported.root) == []
    imported.back("t3")
    assert len(selected_files(imported.root)) == 1


@pytest.mark.parametrize("content", ["", "{}", '{"release": "../x", "previous": "", "taken_at": ""}', "[]"])
def test_a_damaged_note_of_what_is_current_loads_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "current.json").write_text(content)
    assert selected_files(tmp_path) == []
    with pytest.raises(ImportingError, match="damaged"):
        Imported(tmp_path).state()


def test_an_update_shows_what_changed_and_what_takes_a_lost_rules_place(tmp_path: Path) -> None:
    before = choose(tmp_path, {f"{n}.yml": a_rule(n) for n in range(1, 7)}).manifest
    related = f"related:\n  - {{id: {rule_id(1)}, type: obsolete}}\n"
    after = choose(
        tmp_path,
        {
            "2.yml": a_rule(2, level="critical"),
            "3.yml": a_rule(3).replace("a: x", "a: y"),
            "4.yml": a_rule(4, status="deprecated"),
            "moved/5.yml": a_rule(5),
            "6.yml": "# another comment\n" + a_rule(6),
            "8.yml": a_rule(8, more=related),
        },
    ).manifest
    changes = changes_between(before, after)
    assert [each.id for each in changes.added] == [rule_id(8)]
    assert {each.id: (each.why, each.successors) for each in changes.removed} == {
        rule_id(1): ("gone from the release", (rule_id(8),)),
        rule_id(4): ("status: deprecated", ()),
    }
    assert {each.id: each.what for each in changes.changed} == {
        rule_id(2): ("level: high → critical",),
        rule_id(3): ("logic",),
        rule_id(6): ("text",),
    }
    assert changes.unchanged == 1
    assert len(changes_between(None, after).added) == 5


@pytest.mark.skipif(not (SHARED / "sigmahq").is_dir(), reason="the SigmaHQ rules are not on this machine")
def test_a_whole_release_is_judged(tmp_path: Path) -> None:
    release = read_release(SHARED / "sigmahq")
    selection = select(release, Choices("medium", ("stable", "test"), known_sources(), "agents"), tmp_path)
    reasons = {reason: counts.total() for reason, counts in selection.reasons().items()}
    assert len(selection.manifest.rules) == 3757
    assert reasons["broken"] == 2
    assert len(selection.manifest.chosen) + sum(reasons.values()) == 3757
    assert 90 < len(selection.manifest.chosen) < 400
    assert all(
        rule.logsource.startswith(("linux", "antivirus")) for rule in selection.manifest.chosen.values()
    )
