"""Events in words: every field that is ours has a label, every value is written as people write it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import rules
from agent import reasons
from collector.coverage.models import REASONS
from soc_api.i18n import translator
from soc_api.pages.event_words import FIELDS, PROTECTION_REASONS
from soc_api.pages.rows import event_fields, event_summary, flatten, readable
from soc_api.pages.words import Words

VI, EN = Words(translator("vi")), Words(translator("en"))
SIGMA = Path(rules.__file__).parent / "sigma"
EVENTS_PAGE = Path(__file__).parents[3] / "docs" / "events.md"
#: Fields of an event that only say which one it is, and are not shown.
UNSHOWN = {"event.id", "host.id", "agency.id", "agency.code"}


def own_fields_of_the_evidence() -> set[str]:
    found: set[str] = set()
    for path in SIGMA.rglob("*.evidence.yml"):
        rule = yaml.safe_load(
            Path(str(path).replace(".evidence.", ".")).read_text(encoding="utf-8").split("---")[0]
        )
        evidence = yaml.safe_load(path.read_text(encoding="utf-8"))
        stories = [*evidence["fires"], *evidence["near_misses"]]
        for event in (event for story in stories for event in story["events"]):
            source = event.get("_logsource") or rule.get("logsource") or {}
            if source.get("product") == "vonggac":
                found |= {name for name in flatten(event) if not name.startswith("_")}
    return found


def documented_fields() -> set[str]:
    kinds = "host software storage antivirus firewall updates lan protection health device silence clock stream event"
    text = EVENTS_PAGE.read_text(encoding="utf-8")
    names = re.findall(rf"`((?:{'|'.join(kinds.split())})\.[a-z_.]+[a-z])`", text)
    return set(names) - {"event.id"}


def test_every_field_of_our_own_events_has_a_label_in_both_languages() -> None:
    documented, evidence = documented_fields(), own_fields_of_the_evidence()
    assert len(documented) > 20
    assert len(evidence) > 20
    wanted = {name.removeprefix("previous.") for name in documented | evidence} - UNSHOWN - {"changed"}
    unlabelled = {name for name in wanted if name not in FIELDS}
    assert unlabelled == set()
    for name in wanted:
        assert EN.field(name) != name
        assert VI.field(name) != name


def test_every_reason_of_an_endpoints_protection_is_said_in_words() -> None:
    ledger_only = {
        "not_heard_from",
        "never_reported",
        "no_agent",
        "retired_but_seen",
        "waiting_for_first_report",
        "copy_not_confirmed",
    }
    assert set(PROTECTION_REASONS) == set(REASONS) - ledger_only
    assert readable("protection.reason", "antivirus_off", VI) == "Đã cài phần mềm diệt virus nhưng không chạy"
    assert readable("previous.protection.reason", "no_code", VI) == "no_code"


@pytest.mark.parametrize(
    ("name", "value", "vietnamese", "english"),
    [
        ("antivirus.signature_time", 1_795_206_000.0, "21/11/2026 03:20", "21/11/2026 03:20"),
        ("device.first_seen", 1_795_206_000, "21/11/2026 03:20", "21/11/2026 03:20"),
        ("previous.silence.seconds", 259_200, "3 ngày", "3 days"),
        ("clock.skew_seconds", -12.25, "-12,2 s", "-12.2 s"),
        ("health.duration_seconds", 0.5, "0,5 s", "0.5 s"),
        ("silence.seconds", float("inf"), "inf s", "inf s"),
        ("storage.used_percent", 96, "96 %", "96 %"),
        ("host.memory_total_bytes", 16 << 30, "16,0 GiB", "16.0 GiB"),
        ("protection.state", "none", "Chưa cài đặt", "No antivirus"),
        ("previous.host.role", "server", "Máy chủ", "Server"),
        ("protection.late", True, "Có", "Yes"),
        (
            "antivirus.reason",
            reasons.CLAMD_NO_SOCKET.en,
            reasons.CLAMD_NO_SOCKET.vi,
            reasons.CLAMD_NO_SOCKET.en,
        ),
        ("health.reason", "what next year's agent says", *["what next year's agent says"] * 2),
        ("host.empty.serial_number", "readable by root only", "chỉ root đọc được", "readable by root only"),
        ("software.added", [{"name": "vim", "version": "9", "new": True}], "vim 9", "vim 9"),
    ],
)
def test_values_are_written_as_people_write_them(
    name: str, value: object, vietnamese: str, english: str
) -> None:
    assert readable(name, value, VI) == vietnamese
    assert readable(name, value, EN) == english


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"event.action": "modified", "TargetFilename": "/etc/passwd", "file": {"owner": "root"}},
            "Tệp bị sửa · /etc/passwd · root",
        ),
        (
            {"event": {"action": "added"}, "accounts": {"user": {"name": "an", "groups": ["an", "sudo"]}}},
            "Thêm mới · an · an, sudo",
        ),
        (
            {"event.action": "added", "listening": {"port": {"name": "tcp/4444", "path": "/tmp/x"}}},
            "Thêm mới · tcp/4444 · /tmp/x",
        ),
        (
            {"event.action": "usb_storage_connected", "usb": {"serial_number": "4C53"}, "User": "an"},
            "Thiết bị lưu trữ USB được cắm · an · 4C53",
        ),
    ],
)
def test_what_happened_on_linux_is_said_in_one_line(fields: dict[str, object], line: str) -> None:
    assert event_summary(fields, VI) == line


def test_what_was_before_is_labelled_as_such() -> None:
    (row,) = event_fields({"previous": {"protection": {"state": "protected"}}}, EN)
    assert (EN.field(row.name), row.value) == ("Protection state, before", "Protected")


def test_what_antivirus_and_sshd_say_by_a_word_is_said_in_the_readers_language() -> None:
    assert VI.field("Action") == "Phần mềm diệt virus đã làm gì"
    assert readable("Action", "detected", VI) == "Phát hiện, chưa xử lý"
    assert readable("Method", "publickey", VI) == "Khóa"
    assert readable("Action", "something else", VI) == "something else"
    assert readable("protection.reason", "antivirus_off", VI).startswith("Đã cài phần mềm diệt virus")


def test_the_rule_for_malware_names_the_field_as_the_page_does() -> None:
    text = (SIGMA / "antivirus" / "execution_malware_found.yml").read_text(encoding="utf-8")
    assert f"“{VI.field('Action')}”" in text
    assert f"“{EN.field('Action')}”" in text
