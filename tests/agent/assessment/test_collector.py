"""The collector on a tree of files, and on this very machine."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zstandard

from agent.assessment.machine import Machine
from agent.assessment.shipped import load
from agent.collectors.assessment import collect
from agent.collectors.registry import Context
from agent.reasons import translate
from agent.settings import CollectorSettings
from tests.agent.collectors.support import context, write

if TYPE_CHECKING:
    import os

HASH = "$y$j9T$AbCdEf$0123456789abcdefghijklmnopqrstuvwxyz"


def checks_of(ctx: Context) -> dict[str, Any]:
    (document,) = collect(ctx).documents
    assert (document.kind, document.item) == ("assessment", "linux")
    assert document.body is not None
    told: dict[str, Any] = document.body["checks"]
    return told


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A Debian server that was set up with some care."""
    files = {
        "etc/os-release": "ID=debian\n",
        "etc/ssh/sshd_config": "PermitRootLogin yes\nPasswordAuthentication no\nMaxAuthTries 3\n",
        "usr/sbin/sshd": "",
        "etc/passwd": "root:x:0:0::/root:/bin/bash\n",
        "etc/group": "root:x:0:\n",
        "etc/shadow": f"root:{HASH}:19000:0:99999:7:::\n",
        "etc/sudoers": "Defaults use_pty\n",
        "etc/login.defs": "PASS_MAX_DAYS 180\nENCRYPT_METHOD YESCRYPT\nUMASK 027\n",
        "etc/pam.d/common-auth": "auth required pam_faillock.so preauth\n",
        "etc/security/faillock.conf": "deny = 10\n",
        "var/lib/dpkg/status": "Package: unattended-upgrades\nStatus: install ok installed\n",
        "etc/apt/apt.conf.d/20auto-upgrades": 'APT::Periodic::Unattended-Upgrade "1";\n',
        "proc/sys/kernel/randomize_va_space": "2\n",
        "proc/sys/net/ipv4/tcp_syncookies": "0\n",
        "proc/1/mounts": "tmpfs /tmp tmpfs rw,nodev,nosuid 0 0\n",
    }
    for name, text in files.items():
        write(tmp_path / name, text)
    (tmp_path / "etc/shadow").chmod(0o644)
    return tmp_path


def test_a_tree_of_files_is_judged(server: Path) -> None:
    told = checks_of(context(server))
    results = {name: entry["result"] for name, entry in told.items()}
    expected = {
        "sshd_root_login": "failed",
        "sshd_password_auth": "passed",
        "sshd_max_auth_tries": "passed",
        "account_uid_zero": "passed",
        "account_empty_password": "passed",
        "password_max_age": "passed",
        "password_hash": "passed",
        "password_quality": "unknown",
        "account_lockout": "passed",
        "account_lockout_tries": "failed",
        "updates_automatic_apt": "passed",
        "updates_automatic_dnf": "not_applicable",
        "reboot_pending": "passed",
        "samba_smb1": "not_applicable",
        "firewall_on": "unknown",
        "auditd_running": "unknown",
        "kernel_aslr": "passed",
        "net_syncookies": "failed",
        "tmp_mount_options": "passed",
        "file_shadow": "failed",
    }
    assert {name: results[name] for name in expected} == expected
    assert told["sshd_root_login"]["wanted"].startswith("permitrootlogin = no")
    assert "wanted" not in told["sshd_max_auth_tries"]


def test_nothing_of_a_password_is_told(server: Path) -> None:
    (document,) = collect(context(server)).documents
    assert HASH not in msgspec.json.encode(document).decode()
    assert "j9T" not in msgspec.json.encode(document).decode()


def test_the_same_machine_gives_the_same_document_and_a_change_shows_in_one_check(server: Path) -> None:
    state: dict[str, Any] = {}
    before = checks_of(context(server, state=state))
    assert checks_of(context(server, state=state)) == before
    assert state["last"]["net_syncookies"] == "failed"
    write(server / "proc/sys/net/ipv4/tcp_syncookies", "1\n")
    after = checks_of(context(server, state=state))
    assert [name for name in before if before[name] != after[name]] == ["net_syncookies"]


def test_a_machine_full_of_hostile_files_is_judged_and_stays_small(server: Path) -> None:
    for path in sorted(server.rglob("*")):
        if path.is_file():
            path.write_bytes(b"\xff\x00\x1b[31m" * 300 + b"\nInclude *\nroot::0:0\n" + "Ⅷ٣".encode() * 400)
    (document,) = collect(context(server)).documents
    raw = msgspec.json.encode(document)
    assert len(raw) < 16_384
    assert "\x1b" not in raw.decode()


def test_this_machine_is_judged_lightly(tmp_path: Path) -> None:
    ctx = Context(Path("/"), Path("/proc"), Path("/sys"), time.time, CollectorSettings(), {})
    collect(ctx)
    began = time.process_time()
    told = checks_of(ctx)
    assert time.process_time() - began < 0.1
    assert {entry["result"] for entry in told.values()} >= {"passed", "failed"}
    for entry in told.values():
        if entry["result"] in ("unknown", "not_applicable"):
            assert entry["reason"]
        else:
            assert entry["found"]
    assert len(zstandard.compress(msgspec.json.encode(told))) < 4096


def test_where_the_system_does_not_tell_its_name_its_checks_are_unknown(server: Path) -> None:
    for text in (None, "# ID=debian\n"):
        if text is None:
            (server / "etc/os-release").unlink()
        else:
            write(server / "etc/os-release", text)
        told = checks_of(context(server))
        for check in ("updates_automatic_apt", "updates_automatic_dnf", "reboot_pending"):
            assert told[check]["result"] == "unknown", check
            assert told[check]["reason"] == "os-release does not tell which system this is"


def test_a_path_that_may_not_be_looked_at_leaves_the_other_checks(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.lstat

    def denied(self: Path) -> os.stat_result:
        if self.name == "sudoers":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "lstat", denied)
    told = checks_of(context(server))
    assert told["sudo_use_pty"]["result"] == "unknown"
    assert told["sudo_use_pty"]["reason"] == "/etc/sudoers: Permission denied"
    assert told["sshd_root_login"]["result"] == "failed"


def test_every_reason_is_said_in_vietnamese(server: Path) -> None:
    for entry in checks_of(context(server)).values():
        if reason := entry.get("reason"):
            assert translate(reason, "vi") != reason


def test_a_question_is_put_once_for_all_checks(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def answer(_self: Machine, *words: str) -> str:
        asked.append(words)
        running = "Id=auditd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
        others = [
            f"Id={name}\nLoadState=not-found\nActiveState=inactive\n"
            for name in words[5:]
            if name != "auditd.service"
        ]
        return "\n".join([running, *others])

    monkeypatch.setattr(Machine, "output", answer)
    (server / "run/systemd/system").mkdir(parents=True)
    told = checks_of(context(server))
    assert told["auditd_running"] == {
        "result": "passed",
        "importance": "medium",
        "found": "auditd.service running, enabled",
    }
    assert told["time_synchronised"]["result"] == "failed"
    assert [words[0] for words in asked] == ["systemctl"]
    units = {
        name
        for check in load("linux").checks
        for test in check.tests()
        for name in getattr(test, "names", [])
    }
    assert set(asked[0][5:]) <= units
