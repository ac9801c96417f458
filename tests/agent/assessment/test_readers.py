from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assessment import form
from agent.assessment.errors import UnknownFactError
from agent.assessment.judge import evaluate
from agent.assessment.machine import Machine
from agent.assessment.readers.pam import parse_pam, read_stack
from agent.assessment.readers.settings import parse_setting, parse_sudo_defaults
from agent.assessment.readers.system import (
    UnitState,
    accounts_with_number_zero,
    accounts_without_password,
    installed,
    parse_mount_options,
    parse_units,
    read_units,
)
from agent.assessment.shipped import load
from agent.assessment.values import whole
from agent.collectors.common import command
from tests.agent.assessment.support import ask, machine, test_of, write
from tests.support.debian import program, root

APT: dict[str, Any] = {
    "paths": ["/etc/apt/apt.conf.d/*"],
    "key": "APT::Periodic::Unattended-Upgrade",
    "equals": False,
}


def test_the_last_line_of_the_last_file_wins(tmp_path: Path) -> None:
    write(tmp_path / "etc/apt/apt.conf.d/10periodic", 'APT::Periodic::Unattended-Upgrade "1";\n')
    assert ask(tmp_path, kind="setting", none_of=["0"], **APT).passed is True
    write(tmp_path / "etc/apt/apt.conf.d/20auto", '// no\nAPT::Periodic::Unattended-Upgrade "0";\n')
    outcome = ask(tmp_path, kind="setting", none_of=["0"], **APT)
    assert (outcome.passed, outcome.found) == (False, "APT::Periodic::Unattended-Upgrade 0")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("20auto", True), ("20auto.conf", True), ("20a:b_c-d", True), ("20auto.more.conf", True),
        ("20auto.bak", False), ("20auto.conf~", False), ("20auto.dpkg-old", False), ("20 auto.conf", False),
        ("20auto.conf.", False), ("20autố.conf", False), ("20auto+x", False), (".conf", False),
    ],
)  # fmt: skip
def test_of_a_folder_those_files_count_that_apt_reads(tmp_path: Path, name: str, counts: bool) -> None:
    write(tmp_path / f"etc/apt/apt.conf.d/{name}", 'APT::Periodic::Unattended-Upgrade "1";\n')
    assert ask(tmp_path, kind="setting", none_of=["0"], names="apt", **APT).passed is counts


def test_apt_reads_its_one_file_after_those_of_the_folder(tmp_path: Path) -> None:
    (test,) = (
        test
        for check in load("linux").checks
        for test in check.tests()
        if isinstance(test, form.Setting) and test.key == APT["key"]
    )
    write(tmp_path / "etc/apt/apt.conf.d/20auto", 'APT::Periodic::Unattended-Upgrade "1";\n')
    assert evaluate(test, machine(tmp_path, test)).passed is True
    write(tmp_path / "etc/apt/apt.conf", 'APT::Periodic::Unattended-Upgrade "0";\n')
    assert evaluate(test, machine(tmp_path, test)).passed is False


@pytest.mark.parametrize(
    ("text", "key", "options", "found"),
    [
        ("PASS_MAX_DAYS\t99999\nPASS_MAX_DAYS 90 # days\n", "PASS_MAX_DAYS", {"equals": False}, "90"),
        ("# PASS_MAX_DAYS 90\n", "PASS_MAX_DAYS", {"equals": False}, None),
        ("PASS_MAX_DAYSX 1\n", "PASS_MAX_DAYS", {"equals": False}, None),
        ("minlen = 12\n", "MinLen", {}, "12"),
        ("audit\n", "audit", {}, ""),
        ("[global]\n Server Min Protocol = NT1\n[share]\nserver min protocol = SMB3\n", "server min protocol",
         {"section": "global"}, "NT1"),
        ("server min protocol = NT1\n", "server min protocol", {"section": "global"}, None),
    ],
)  # fmt: skip
def test_a_setting_is_read_as_its_program_reads_it(
    text: str, key: str, options: dict[str, bool], found: str | None
) -> None:
    assert parse_setting(text, key, **options) == found  # type: ignore[arg-type] # section and equals by row


def test_a_limit_is_kept_by_numbers_only(tmp_path: Path) -> None:
    for value, passed in (("365", True), ("366", False), ("0", False), ("never", False), ("９０", False)):
        write(tmp_path / "etc/login.defs", f"PASS_MAX_DAYS {value}\n")
        test: dict[str, Any] = {
            "paths": ["/etc/login.defs"],
            "key": "PASS_MAX_DAYS",
            "equals": False,
            "at_least": 1,
            "at_most": 365,
        }
        assert ask(tmp_path, kind="setting", **test).passed is passed, value
    assert (whole("-1"), whole("--1"), whole(""), whole("9" * 20)) == (-1, None, None, None)


def test_defaults_of_sudo_for_everybody_are_read_with_what_is_included(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/sudoers",
        "Defaults\tenv_reset, !use_pty\nDefaults:backup !syslog\n"
        'Defaults logfile="/var/log/su do.log", \\\n  timestamp_timeout=5\n'
        "@includedir /etc/sudoers.d\n",
    )
    write(tmp_path / "etc/sudoers.d/10-pty", "Defaults use_pty\n")
    write(tmp_path / "etc/sudoers.d/90.bak", "Defaults !use_pty\n")
    assert ask(tmp_path, kind="sudo", option="use_pty", one_of=["on"]).passed is True
    assert ask(tmp_path, kind="sudo", option="logfile", one_of=["/var/log/su do.log"]).passed is True
    assert ask(tmp_path, kind="sudo", option="timestamp_timeout", at_most=5).passed is True
    assert ask(tmp_path, kind="sudo", option="syslog", none_of=["off"], default="authpriv").passed is True


def test_included_sudoers_count_in_the_order_of_lines(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/sudoers",
        "Defaults use_pty\n@includedir /etc/sudoers.d\nDefaults !syslog\n@include sudoers.last\n",
    )
    write(tmp_path / "etc/sudoers.d/10-a", "Defaults syslog=auth\nDefaults !use_pty\n")
    write(tmp_path / "etc/sudoers.last", f"Defaults {'env_reset, ' * 80}!logfile\n")
    assert ask(tmp_path, kind="sudo", option="syslog", none_of=["off"], default="auth").passed is False
    assert ask(tmp_path, kind="sudo", option="use_pty", one_of=["on"]).passed is False
    assert ask(tmp_path, kind="sudo", option="logfile", none_of=["off"], default="x").passed is False
    for included in (
        "@include /etc/sudoers",
        "@include /etc/sudoers.%h",
        '@include "/etc/a b"',
        "@include a\0b",
    ):
        write(tmp_path / "etc/sudoers.last", f"{included}\n")
        assert ask(tmp_path, kind="sudo", option="use_pty", one_of=["off"]).passed is None, included


def test_a_stack_is_followed_through_what_it_includes(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/pam.d/system-auth",
        "auth required pam_env.so\nauth substack password-auth\n@include other\n",
    )
    write(
        tmp_path / "etc/pam.d/password-auth",
        "-auth [success=1 default=bad] /lib/security/pam_faillock.so preauth deny=3\nauth include system-auth\n",
    )
    write(tmp_path / "etc/pam.d/other", "session optional pam_umask.so\nauth optional pam_warn.so\n")
    stack = read_stack(machine(tmp_path), ["common-auth", "system-auth"], "auth")
    assert stack is not None
    assert stack[0] == "system-auth"
    assert [entry.module for entry in stack[1]] == ["pam_env.so", "pam_faillock.so", "pam_warn.so"]
    lockout: dict[str, Any] = {
        "services": ["common-auth", "system-auth"],
        "type": "auth",
        "modules": ["pam_faillock.so"],
    }
    assert ask(tmp_path, kind="pam", **lockout).passed is True
    assert ask(tmp_path, kind="pam", **lockout, arguments=["deny=5"]).passed is False
    assert ask(tmp_path / "nowhere", kind="pam", **lockout).passed is None


def test_units_are_told_by_one_answer() -> None:
    text = (
        "Id=auditd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"
        "Id=chrony.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n\n"
        "Id=ntp.service\nLoadState=masked\nActiveState=inactive\nUnitFileState=masked\n"
    )
    assert parse_units(text) == {
        "auditd.service": UnitState(there=True, running=True, enabled=True),
        "chrony.service": UnitState(there=False, running=False, enabled=False),
        "ntp.service": UnitState(there=False, running=False, enabled=False),
    }


def test_a_unit_that_is_masked_but_runs_is_on_and_an_alias_stands_for_its_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_self: Machine, *_words: str) -> str:
        return (
            "Id=telnet.service\nNames=telnet.service\nLoadState=masked\nActiveState=active\nUnitFileState=masked\n\n"
            "Id=ssh.service\nNames=ssh.service sshd.service\nLoadState=loaded\nActiveState=active\n"
            "UnitFileState=enabled\n\n"
            "Id=nis.service\nNames=nis.service\nLoadState=masked\nActiveState=inactive\nUnitFileState=masked\n"
        )

    monkeypatch.setattr(Machine, "output", answer)
    (tmp_path / "run/systemd/system").mkdir(parents=True)

    def passed(state: str, *names: str) -> bool | None:
        return ask(tmp_path, kind="unit", names=list(names), state=state).passed

    assert passed("off", "telnet.service") is False
    assert passed("off", "sshd.service") is False
    assert passed("enabled", "sshd.service") is True
    assert passed("off", "nis.service") is True
    assert passed("off", "nis.service", "rsh.service") is None
    assert passed("running", "nis.service", "rsh.service") is None
    assert passed("off", "telnet.service", "rsh.service") is False


def test_systemd_here_tells_its_units_by_the_names_that_were_asked_for() -> None:
    program("systemctl", "systemd")
    wanted = ["ssh.service", "sshd.service", "none-such.service"]
    test = test_of(kind="unit", names=wanted, state="off")
    where = Machine(Path("/"), Path("/proc"), Path("/sys"), tests=tuple(form.leaves(test)))
    try:
        known = read_units(where)
    except UnknownFactError as error:
        pytest.skip(str(error))
    assert set(wanted) <= known.keys()


def test_without_systemd_a_unit_is_unknown(tmp_path: Path) -> None:
    outcome = ask(tmp_path, kind="unit", names=["auditd.service"], state="running")
    assert (outcome.passed, outcome.reason) == (None, "systemd does not run here")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    outcome = ask(tmp_path, kind="unit", names=["auditd.service"], state="running")
    assert outcome.passed is None
    assert "another machine" in outcome.reason


def test_left_over_configuration_is_no_installed_package(tmp_path: Path) -> None:
    write(
        tmp_path / "var/lib/dpkg/status",
        "Package: telnetd\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: tftpd-hpa\nStatus: install ok installed\nVersion: 5\n\n"
        "Package: nis-tools\nStatus: install ok installed\nVersion: 5\n",
    )
    outcome = ask(tmp_path, kind="package", names=["telnetd", "tftpd-hpa", "nis"], present=False)
    assert (outcome.passed, outcome.found) == (False, "tftpd-hpa")
    assert ask(tmp_path, kind="package", names=["telnetd", "nis"], present=False).passed is True
    outcome = ask(tmp_path / "nowhere", kind="package", names=["nis"], present=False)
    assert (outcome.passed, outcome.reason) == (None, "neither a dpkg nor an rpm database is here")


@pytest.mark.parametrize(
    ("status", "there"),
    [
        ("install ok installed", True),
        ("install ok triggers-pending", True),
        ("install reinstreq half-configured", True),
        ("deinstall ok half-installed", True),
        ("hold ok unpacked", True),
        ("deinstall ok config-files", False),
        ("purge ok not-installed", False),
    ],
)
def test_a_package_is_there_in_every_state_but_two(tmp_path: Path, status: str, there: bool) -> None:
    write(
        tmp_path / "var/lib/dpkg/status",
        f"Package: telnetd\nEssential: yes\nStatus: {status}\nVersion: 1\n\n"
        "X-Package: nis\nStatus: install ok installed\n\nPackage: nis\n\nStatus: install ok installed\n",
    )
    outcome = ask(tmp_path, kind="package", names=["telnetd", "nis"], present=False)
    assert outcome.passed is not there
    assert outcome.found == ("telnetd" if there else "∄ telnetd, nis")


@pytest.mark.parametrize(
    ("answer", "status", "passed", "reason"),
    [
        ("nis", 1, True, ""),
        ("", 0, False, ""),
        ("nis rpm", 2, None, "rpm does not find itself in its database"),
        ("nis", 127, None, "rpm ended with status 127: error: cannot open Packages"),
        ("nis", -9, None, "rpm ended with status -9: error: cannot open Packages"),
    ],
)
def test_an_rpm_database_that_cannot_be_read_is_not_one_without_packages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    passed: bool | None,
    reason: str,
) -> None:
    """A program that answers as rpm does: ``answer`` are the packages that it does not have."""
    write(tmp_path / "var/lib/rpm/rpmdb.sqlite", "")
    script = write(
        tmp_path / "bin/rpm",
        "#!/bin/sh\nwhile [ $1 != -- ]; do shift; done\nshift\necho error: cannot open Packages >&2\n"
        f'for n; do case " {answer} " in *" $n "*) echo "package $n is not installed";; *) echo $n;; esac; done\n'
        f"{f'kill {status} $$' if status < 0 else f'exit {status}'}\n",
    )
    script.chmod(0o755)
    monkeypatch.setattr(command, "SEARCH_PATH", f"{tmp_path}/bin:{command.SEARCH_PATH}")
    test = test_of(kind="package", names=["nis"], present=False)
    where = Machine(
        tmp_path, tmp_path / "proc", tmp_path / "sys", programs=True, tests=tuple(form.leaves(test))
    )
    outcome = evaluate(test, where)
    assert (outcome.passed, outcome.reason) == (passed, reason)


def test_a_real_rpm_says_whether_its_database_has_it(tmp_path: Path) -> None:
    rpm = program("rpm", "rpm")
    done = command.run_program([rpm, "--dbpath", str(tmp_path), "-q", "--", "rpm", "telnet-server"], 10)
    assert done.status == 2
    assert b"telnet-server is not installed" in done.output


def test_a_parameter_that_the_kernel_lacks_is_not_one_that_cannot_be_read(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"kind": "sysctl", "key": "net.ipv6.conf.all.accept_redirects", "one_of": ["0"]}
    assert ask(tmp_path, **asked).passed is None
    (tmp_path / "proc/sys").mkdir(parents=True)
    assert ask(tmp_path, **asked).passed is False
    assert ask(tmp_path, **asked, default="0").passed is True


def test_a_module_has_to_be_blocked_and_not_loaded(tmp_path: Path) -> None:
    assert ask(tmp_path, kind="module", name="usb-storage").passed is None
    write(tmp_path / "proc/modules", "usb_storage 81920 0 - Live 0x0\n")
    write(tmp_path / "etc/modprobe.d/a.conf", "# no\ninstall usb-storage /bin/false\nblacklist rds\n")
    assert ask(tmp_path, kind="module", name="usb-storage").found == "usb-storage loaded, blocked"
    write(tmp_path / "proc/modules", "")
    assert ask(tmp_path, kind="module", name="usb_storage").passed is True
    assert ask(tmp_path, kind="module", name="rds").passed is False


def test_the_last_mount_on_a_place_counts_as_the_first_process_sees_it(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/mounts", "tmpfs /tmp tmpfs rw,nodev,nosuid 0 0\n")
    write(tmp_path / "proc/1/mounts", "tmpfs /tmp tmpfs rw,nodev,nosuid 0 0\n/dev/sdb /tmp ext4 rw 0 0\n")
    tmp: dict[str, Any] = {"path": "/tmp", "options": ["nodev", "nosuid"]}
    assert ask(tmp_path, kind="mount", **tmp).found == "/tmp rw"
    (tmp_path / "proc/1/mounts").unlink()
    assert ask(tmp_path, kind="mount", **tmp).passed is True
    assert ask(tmp_path, kind="mount", path="/home", options=["nodev"]).found == "/home ∉ mounts"


def test_beyond_the_bound_of_files_a_test_is_failed_by_what_was_seen_or_unknown(tmp_path: Path) -> None:
    root("files of root")
    for at in range(72):
        write(tmp_path / f"etc/sudoers.d/{at:02}", "Defaults use_pty\n").chmod(0o440)
    write(tmp_path / "etc/sudoers", "@includedir /etc/sudoers.d\n")
    kept: dict[str, Any] = {"kind": "file", "path": "/etc/sudoers.d/*", "mode": "0644"}
    (tmp_path / "etc/sudoers.d/71").chmod(0o666)
    outcome = ask(tmp_path, **kept)
    assert (outcome.passed, outcome.reason) == (None, "more than 64 files fit /etc/sudoers.d/*")
    assert ask(tmp_path, kind="not", of=kept).passed is None
    (tmp_path / "etc/sudoers.d/03").chmod(0o666)
    assert ask(tmp_path, **kept).found == "/etc/sudoers.d/03 0666 root:root"
    assert ask(tmp_path, kind="file", path="/etc/sudoers.d/*", exists=False).passed is False
    assert ask(tmp_path, kind="sudo", option="use_pty", one_of=["on"]).passed is None
    assert (
        ask(tmp_path, kind="setting", paths=["/etc/sudoers.d/*"], key="a", one_of=["1"], default="1").passed
        is None
    )
    for at in range(64, 72):
        (tmp_path / f"etc/sudoers.d/{at}").unlink()
    (tmp_path / "etc/sudoers.d/03").chmod(0o440)
    assert ask(tmp_path, **kept).passed is True


def test_a_file_that_is_longer_than_what_is_read_is_unknown(tmp_path: Path) -> None:
    line = "user:x:1000:1000::/:/bin/sh\n"
    passwd, shadow = tmp_path / "etc/passwd", tmp_path / "etc/shadow"
    fill = line * ((256 << 10) // len(line) + 1)
    write(passwd, "root:x:0:0::/:/bin/sh\n" + fill + "toor:x:0:0::/:/bin/sh\n")
    outcome = ask(tmp_path, kind="accounts", none="uid_zero")
    assert (outcome.passed, outcome.reason) == (None, "/etc/passwd is larger than 256 KB")
    write(passwd, "root:x:0:0::/:/bin/sh\n")
    write(shadow, fill + "an::1::::::\n")
    outcome = ask(tmp_path, kind="accounts", none="empty_password")
    assert (outcome.passed, outcome.reason) == (None, "/etc/shadow is larger than 256 KB")
    write(shadow, fill[: 256 << 10])
    assert ask(tmp_path, kind="accounts", none="empty_password").passed is True
    write(tmp_path / "proc/1/mounts", "x /y ext4 rw 0 0\n" * 70_000 + "tmpfs /tmp tmpfs rw 0 0\n")
    write(tmp_path / "proc/self/mounts", "tmpfs /tmp tmpfs rw,nodev 0 0\n")
    assert ask(tmp_path, kind="mount", path="/tmp", options=["nodev"]).passed is None


def test_no_bit_beyond_the_mode_and_no_other_owner(tmp_path: Path) -> None:
    root("files of root")
    shadow = write(tmp_path / "etc/shadow", "root:*:1::::::\n")
    write(tmp_path / "etc/group", "root:x:0:\nshadow:x:42:\n")
    write(tmp_path / "etc/passwd", "root:x:0:0::/root:/bin/sh\nan:x:1000:1000::/home/an:/bin/sh\n")
    wanted: dict[str, Any] = {
        "path": "/etc/shadow",
        "mode": "0640",
        "owners": ["root"],
        "groups": ["root", "shadow"],
    }
    os.chown(shadow, 0, 42)
    shadow.chmod(0o600)
    assert ask(tmp_path, kind="file", **wanted).passed is True
    shadow.chmod(0o4640)
    assert ask(tmp_path, kind="file", **wanted).found == "/etc/shadow 4640 root:shadow"
    shadow.chmod(0o640)
    os.chown(shadow, 1000, 42)
    outcome = ask(tmp_path, kind="file", **wanted)
    assert (outcome.passed, outcome.found) == (False, "/etc/shadow 0640 an:shadow")
    assert (
        ask(tmp_path, kind="file", **wanted | {"path": "/etc/gshadow", "missing": "failed"}).passed is False
    )
    assert ask(tmp_path, kind="file", **wanted | {"path": "/etc/gshadow"}).found == "∄ /etc/gshadow"


def test_names_of_accounts_are_told_and_never_a_hash(tmp_path: Path) -> None:
    passwd = "root:x:0:0::/root:/bin/sh\ntoor:x:00:0::/:/bin/sh\nan:x:1000:1000::/:/bin/sh\nold::1001:1001::/:/bin/sh\n"
    write(tmp_path / "etc/passwd", passwd)
    write(
        tmp_path / "etc/shadow", "root:$y$j9T$SECRETSALT$SECRETHASH:1::::::\nan::1::::::\nlocked:!:1::::::\n"
    )
    test = test_of(kind="accounts", none="empty_password")
    where = machine(tmp_path, test)
    outcome = ask(tmp_path, kind="accounts", none="empty_password")
    assert (outcome.passed, outcome.found) == (False, "an, old")
    assert ask(tmp_path, kind="accounts", none="uid_zero").found == "toor"
    where.text("/etc/passwd")
    assert "SECRET" not in repr(vars(where))


@given(st.text(max_size=300), st.text(min_size=1, max_size=20), st.booleans())
def test_any_text_file_is_read_without_an_exception(text: str, key: str, equals: bool) -> None:
    parse_setting(text, key, equals=equals, section="global")
    parse_sudo_defaults("Defaults " + text)
    parse_pam("auth required " + text)
    parse_units(text)
    accounts_with_number_zero(text)
    accounts_without_password(text, text)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_exception(data: bytes) -> None:
    parse_mount_options(data, "/tmp")
    assert installed(data, ["telnetd"]) in (set(), {"telnetd"})
