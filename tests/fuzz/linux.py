"""Parsers of what a Linux machine says: its files, its kernel, its programs, its logs."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from agent.assessment.errors import UnknownFactError
from agent.assessment.readers import pam, sshd, system
from agent.assessment.readers import settings as key_files
from agent.collectors import (
    accounts,
    antivirus_clamav_log,
    auth_log,
    journal,
    services,
    software,
    storage,
    updates,
)
from agent.collectors.antivirus_clamav import parse_last_scan
from agent.collectors.common import (
    account_files,
    antivirus_answers,
    auth,
    clamd,
    dmi,
    file_facts,
    file_watch,
    files,
    firewall,
    follow,
    inotify,
    interfaces,
    masking,
    neighbours,
    netlink,
    probes,
    proc_connector,
    process_watch,
    routes,
    sockets,
    syslog,
    usb,
    watched_places,
)
from agent.collectors.common import journal as journal_file
from agent.collectors.host import parse_boot_time, parse_cpu, parse_memory_total, parse_os_release
from agent.collectors.listening import parse_range
from agent.collectors.load import parse_cpu_times, parse_memory_used, parse_uptime
from agent.runtime.surroundings import parse_metered
from tests.agent.collectors.support import CAPTURED, fixture_bytes, fixture_text
from tests.fuzz.parser import Parser, parser

_LINE: Final = follow.LINE_BYTES
_MESSAGES: Final = tuple(
    {line.partition(": ")[2] for line in fixture_text("auth/debian12_iso.log").splitlines()[:200]}
)
_HOSTILE: Final = (
    "Failed password for invalid user root from 203.0.113.9 port 22 from 192.0.2.7 port 40000 ssh2",
    "FAILED LOGIN (1) on '/dev/tty1' from 'pc' FOR 'root', Authentication failure",
    "FAILED SU (to root) an on /dev/pts/1",
    "an : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; ENV=A=b ; COMMAND=/bin/sh -p secret",
    "message repeated 99 times: [ Failed password for root from 192.0.2.7 port 22 ssh2]",
    "pam_unix(login:session): session opened for user root(uid=0) by an(uid=1000)",
    "add 'an' to group 'sudo'",
    "user an added by root to group sudo",
    "change user 'an' UID from '1000' to '0'",
    "new user: name=an, UID=0, GID=0, home=/root, shell=/bin/sh, from=/dev/pts/1",
)
_CLAMD: Final = (
    "Sat Nov 21 20:36:22 2026 -> /srv/a: b: Eicar-Signature(44d88612fea8a8f36de82e1278abb02f:68) FOUND"
)
_NOTICE: Final = struct.pack("=iIII", 3, 0x100, 0, 16) + b"authorized_keys\0"
_EXEC: Final = struct.pack("=IHHII", 76, 3, 0, 0, 0) + struct.pack("=IIIIHH", 1, 1, 0, 0, 40, 0)
_PACKET: Final = _EXEC + struct.pack("=IIQII", 2, 0, 1, 100, 100) + bytes(16)
_ECHO: Final = struct.pack("!BBHHH", 0, 0, 0, 1, 2) + b"t" * 16


def _auth(message: str) -> object:
    return [auth.auth_fields(program, 1, message) for program in auth.PROGRAMS]


def _syslog(line: str) -> object:
    return syslog.parse_syslog_line(line, CAPTURED)


def _neighbours(data: bytes) -> object:
    messages, _ = netlink.parse_messages(data)
    return [neighbours.parse_neighbour(each.body, {1: "lo", 2: "eth0"}) for each in messages]


def _addresses(data: bytes) -> object:
    messages, _ = netlink.parse_messages(data)
    return [interfaces.parse_address(each) for each in messages]


def _sockets(data: bytes) -> object:
    return sockets.parse_sockets("tcp", data), sockets.parse_sockets("udp", data)


def _accounts(text: str) -> object:
    users, groups = account_files.parse_passwd(text), account_files.parse_group(text)
    passwords = account_files.parse_shadow(text)
    days = [account_files.date_of(each.changed) for each in passwords.values()]
    zero = system.accounts_with_number_zero(text), system.accounts_without_password(text, text)
    return accounts.describe(users, groups, passwords), days, zero


def _sshd(text: str) -> object:
    seconds = [sshd.in_seconds(value) for _, value in sshd.parse_lines(text)]
    return sshd.effective(
        "/etc/ssh/sshd_config", lambda path: [(path, text)] if path == sshd.CONFIG else []
    ), seconds


def _settings(text: str) -> object:
    return [
        key_files.parse_setting(text, "key", section=s, equals=e) for s in ("", "a") for e in (True, False)
    ]


def _journal_entry(value: Any) -> object:
    fields = {
        str(name): each
        for name, each in (value if isinstance(value, dict) else {}).items()
        if isinstance(each, str)
    }
    entry = journal_file.Entry(time=CAPTURED, cursor="s=1", fields=fields)
    return journal.parse_journal_entry(entry), journal.parse_clamav_entry(entry, CAPTURED)


def _echo(packet: bytes) -> object:
    return [
        probes.parse_echo_reply(packet, b"t" * 16, v6=v6, raw=raw)
        for v6 in (True, False)
        for raw in (True, False)
    ], probes.is_dns_answer(packet, 1)


def _texts(*names: str) -> tuple[str, ...]:
    return tuple(fixture_text(name)[: 48 << 10] for name in names)


_DUMP: Final = (fixture_bytes("netlink/neighbours.bin"), fixture_bytes("netlink/addresses.bin"))
_PASSWD: Final = (
    "root:x:0:0:root:/root:/bin/bash\nan:x:1000:1000:,,,:/home/an:/bin/bash\nr2::000:0::/:/bin/sh\n"
)
_SHADOW: Final = "root:$y$j9T$a$b:20400:0:99999:7:::\nan:!*:20400:0:99999:7::20800:\nr2::20400::::::\n"

PARSERS: Final[tuple[Parser, ...]] = (
    parser(
        "text",
        parse_metered,
        parse_metered,
        seeds=("GENERAL.STATE:100 (connected)\nGENERAL.METERED:yes (guessed)\n\nGENERAL.STATE:10\n",),
    ),
    parser(
        "bytes",
        parse_last_scan,
        parse_last_scan,
        seeds=(fixture_bytes("clamav/clamdscan.log"),),
        longest=256 << 10,
    ),
    parser("text", parse_range, parse_range, seeds=("32768\t60999\n",), longest=64),
    parser("text", parse_cpu_times, parse_cpu_times, seeds=_texts("proc/stat")),
    parser(
        "text",
        lambda text: (parse_memory_used(text), parse_memory_total(text)),
        parse_memory_used,
        parse_memory_total,
        seeds=_texts("proc/meminfo"),
    ),
    parser("text", parse_uptime, parse_uptime, seeds=_texts("proc/uptime"), longest=64),
    parser("text", _auth, auth.auth_fields, auth.parse_auth, seeds=(*_HOSTILE, *_MESSAGES), longest=_LINE),
    parser(
        "text",
        _syslog,
        syslog.parse_syslog_line,
        syslog.parse_rfc3339,
        seeds=tuple(
            line
            for name in ("debian12_iso", "debian12_3164", "debian12_5424", "hostile_names_3164")
            for line in fixture_text(f"auth/{name}.log").splitlines()[:8]
        ),
        longest=_LINE,
    ),
    parser(
        "bytes",
        lambda data: auth_log.parse_auth_lines(follow.split_lines(data)[0], CAPTURED),
        auth_log.parse_auth_lines,
        follow.split_lines,
        seeds=(fixture_bytes("auth/debian12_3164.log")[:4000], fixture_bytes("auth/hostile_names_3164.log")),
    ),
    parser(
        "value",
        _journal_entry,
        journal.parse_journal_entry,
        journal.parse_clamav_entry,
        seeds=(
            {
                "MESSAGE": _HOSTILE[0],
                "SYSLOG_IDENTIFIER": "sshd",
                "_PID": "12",
                "_UID": "0",
                "_EXE": "/usr/sbin/sshd",
            },
            {
                "MESSAGE": _HOSTILE[3],
                "SYSLOG_IDENTIFIER": "sudo",
                "SYSLOG_PID": "7",
                "_UID": "0",
                "_COMM": "sudo",
            },
            {"MESSAGE": _CLAMD, "SYSLOG_IDENTIFIER": "clamd", "_PID": "3", "_UID": "0"},
        ),
    ),
    parser(
        "text",
        masking.hide_secrets,
        masking.hide_secrets,
        seeds=(
            "mysql -uroot --password=geheim -pgeheim",
            "curl -u an:geheim https://an:geheim@host/x?token=1",
        ),
        longest=_LINE,
    ),
    parser("text", files.clean_text, files.clean_text, seeds=("Tên máy\t\x1b[2J của tôi",)),
    parser(
        "bytes",
        netlink.parse_messages,
        netlink.parse_messages,
        seeds=_DUMP,
        raises=(OSError,),
        longest=1 << 17,
    ),
    parser("bytes", netlink.parse_attributes, netlink.parse_attributes, seeds=(_DUMP[0][28:100],)),
    parser("bytes", _neighbours, neighbours.parse_neighbour, seeds=_DUMP, raises=(OSError,)),
    parser("bytes", _addresses, interfaces.parse_address, seeds=_DUMP, raises=(OSError,)),
    parser(
        "text",
        interfaces.parse_speed,
        interfaces.parse_speed,
        seeds=("1000\n", "-1\n", "4294967295\n"),
        longest=16,
    ),
    parser("text", neighbours.parse_arp, neighbours.parse_arp, seeds=_texts("proc/arp"), longest=1 << 20),
    parser(
        "bytes",
        _sockets,
        sockets.parse_sockets,
        seeds=(
            b"   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000   107        0 "
            b"23041 1 0000 100 0 0 10 0\n   1: "
            + b"0" * 32
            + b":0016 "
            + b"0" * 32
            + b":0000 07 00000000:00000000 "
            b"00:00000000 00000000     0        0 9 1 0\n",
        ),
    ),
    parser(
        "bytes",
        lambda data: sockets.parse_answer("tcp", data),
        sockets.parse_answer,
        seeds=(
            bytes((socket.AF_INET, 10, 0, 0)) + b"\0\x16\0\0" + bytes(64),
            bytes((socket.AF_INET6, 7, 0, 0)) + b"\1" * 70,
        ),
    ),
    parser("bytes", proc_connector.parse_exec, proc_connector.parse_exec, seeds=(_PACKET,), longest=512),
    parser(
        "bytes",
        lambda data: proc_connector.is_acknowledged(data, 0),
        proc_connector.is_acknowledged,
        seeds=(_PACKET,),
        longest=512,
    ),
    parser("bytes", inotify.parse_notices, inotify.parse_notices, seeds=(_NOTICE * 3,)),
    parser(
        "bytes",
        file_watch.text_of,
        file_watch.text_of,
        seeds=("tên tệp".encode(), b"\xff\xfe\n"),
        longest=255,
    ),
    parser(
        "bytes",
        _echo,
        probes.parse_echo_reply,
        probes.is_dns_answer,
        probes.checksum,
        seeds=(_ECHO, b"\x45" + bytes(19) + _ECHO, b"\0\1\x81\x80" + bytes(12)),
        longest=2048,
    ),
    parser("text", routes.parse_route, routes.parse_route, seeds=_texts("proc/route"), longest=1 << 20),
    parser(
        "text",
        routes.parse_ipv6_route,
        routes.parse_ipv6_route,
        seeds=_texts("proc/ipv6_route"),
        longest=1 << 20,
    ),
    parser(
        "text",
        lambda text: (routes.parse_resolv_conf(text), routes.is_address(text)),
        routes.parse_resolv_conf,
        routes.is_address,
        seeds=("search lan\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n", "192.0.2.1"),
    ),
    parser(
        "bytes",
        storage.parse_mounts,
        storage.parse_mounts,
        seeds=(fixture_bytes("proc/mounts"), fixture_bytes("proc/mounts_workstation")),
        longest=1 << 20,
    ),
    parser(
        "bytes",
        storage.parse_read_only,
        storage.parse_read_only,
        seeds=(fixture_bytes("proc/mounts"),),
        longest=1 << 20,
    ),
    parser(
        "bytes",
        lambda data: system.parse_mount_options(data, "/tmp"),
        system.parse_mount_options,
        seeds=(fixture_bytes("proc/mounts"),),
        longest=1 << 20,
    ),
    parser(
        "text",
        watched_places.parse_far_mounts,
        watched_places.parse_far_mounts,
        seeds=("srv:/x /mnt/a\\040b nfs rw 0 0\nx /mnt/b fuse.sshfs rw 0 0\n",),
        longest=1 << 20,
    ),
    parser(
        "text",
        lambda text: [watched_places.home_places(each) for each in watched_places.parse_homes(text)],
        watched_places.parse_homes,
        seeds=(_PASSWD,),
        longest=1 << 20,
    ),
    parser(
        "text",
        watched_places.crowd_of,
        watched_places.crowd_of,
        longest=4096,
        seeds=("/home/an/.ssh", "/home/an/.config/systemd/user/a.wants", "/var/spool/cron/crontabs"),
    ),
    parser(
        "value",
        file_facts.recalled,
        file_facts.recalled,
        seeds=("file 1 2 3 4 33188 0 0 abcdef", "link 1 -2 3 4 5 6 7 /x y"),
    ),
    parser("text", parse_os_release, parse_os_release, seeds=_texts("os-release_debian12")),
    parser("text", parse_cpu, parse_cpu, seeds=_texts("proc/cpuinfo"), longest=256 << 10),
    parser("text", parse_boot_time, parse_boot_time, seeds=_texts("proc/stat")),
    parser(
        "text",
        lambda text: (dmi.parse_chassis(text), dmi.chassis_name(dmi.parse_chassis(text)), dmi.is_junk(text)),
        dmi.parse_chassis,
        dmi.is_junk,
        seeds=("3\n", "129", "To Be Filled By O.E.M.", "0123456789abcdef"),
        longest=4096,
    ),
    parser(
        "text",
        usb.parse_seat,
        usb.parse_seat,
        seeds=("IS_SEAT0=1\nACTIVE=1\nACTIVE_UID=1000\n",),
        longest=4096,
    ),
    parser(
        "bytes",
        process_watch.parse_command_line,
        process_watch.parse_command_line,
        seeds=(b"/usr/bin/mysql\0-uroot\0--password=x\0",),
    ),
    parser(
        "bytes",
        process_watch.parse_status,
        process_watch.parse_status,
        longest=4096,
        seeds=(b"Name:\tsh\nPPid:\t12\nUid:\t1000\t1000\t1000\t1000\n",),
    ),
    parser(
        "bytes",
        lambda data: list(software.parse_dpkg_status(data.split(b"\n"))),
        software.parse_dpkg_status,
        seeds=(fixture_bytes("dpkg/status")[:8000],),
    ),
    parser(
        "bytes",
        lambda data: system.installed(data, ["openssl", "telnetd"]),
        system.installed,
        seeds=(fixture_bytes("dpkg/status")[:8000],),
        longest=1 << 20,
    ),
    parser(
        "bytes",
        lambda data: list(software.parse_rpm_list(data)),
        software.parse_rpm_list,
        seeds=(fixture_bytes("rpm/qa.txt")[:8000],),
    ),
    parser(
        "text",
        updates.parse_apt_list,
        updates.parse_apt_list,
        seeds=_texts("apt/list_upgradable.txt"),
    ),
    parser(
        "text",
        lambda text: updates.parse_dnf(text, text),
        updates.parse_dnf,
        seeds=_texts("dnf/check_update.txt", "dnf/advisories.txt"),
    ),
    parser(
        "text",
        services.parse_unit,
        services.parse_unit,
        seeds=("[Unit]\nDescription=A\n[Service]\nExecStart=-/bin/sh -c \\\n 'x --password y'\nUser=an\n",),
    ),
    parser(
        "text",
        system.parse_units,
        system.parse_units,
        seeds=(
            "Id=ssh.service\nNames=ssh.service sshd.service\nLoadState=loaded\nActiveState=active\n\nId=x\n",
        ),
    ),
    parser(
        "text",
        _accounts,
        account_files.parse_passwd,
        account_files.parse_group,
        account_files.parse_shadow,
        account_files.date_of,
        accounts.describe,
        system.accounts_with_number_zero,
        system.accounts_without_password,
        seeds=(_PASSWD, _SHADOW, "sudo:x:27:an,binh\nroot:x:0:\n"),
    ),
    parser(
        "text",
        pam.parse_pam,
        pam.parse_pam,
        seeds=(
            "auth [success=1 default=ignore] pam_unix.so nullok\n@include a\n-session optional pam_x.so a=b\\\n c\n",
        ),
    ),
    parser("text", _settings, key_files.parse_setting, seeds=('[a]\nKey = "v" # c\n; x\nkey value\n',)),
    parser(
        "text",
        key_files.parse_sudo_defaults,
        key_files.parse_sudo_defaults,
        key_files.sudo_lines,
        seeds=(
            'Defaults env_reset, !visiblepw, secure_path="/a:/b", passwd_tries=3, \\\n logfile += "x,y"\n',
        ),
    ),
    parser(
        "text",
        _sshd,
        sshd.parse_lines,
        sshd.effective,
        sshd.in_seconds,
        raises=(UnknownFactError,),
        seeds=(
            "Port 22\nPermitRootLogin=no # x\nInclude sshd_config.d/*.conf\nLoginGraceTime 1h30m\nMatch User an\n",
        ),
    ),
    parser(
        "text",
        sshd.parse_effective,
        sshd.parse_effective,
        seeds=("port 22\nacceptenv LANG\nacceptenv LC_*\n",),
    ),
    parser(
        "text",
        clamd.parse_configuration,
        clamd.parse_configuration,
        seeds=(
            *_texts("clamav/debian_clamd.conf"),
            'LocalSocket "/run/c"\nTCPSocket 3310\nTCPAddr ::1\nLogTime yes\nOnAccessIncludePath /home\n',
        ),
    ),
    parser(
        "bytes",
        clamd.parse_version,
        clamd.parse_version,
        clamd.parse_ctime,
        longest=4096,
        seeds=(b"ClamAV 1.0.1/26961/Thu Jul  6 07:29:38 2023\0", b"ClamAV 1.4.6"),
    ),
    parser(
        "bytes",
        lambda data: antivirus_clamav_log.without_repeats(
            clamd.parse_found(follow.split_lines(data)[0], stamped=None), {}, CAPTURED
        ),
        clamd.parse_found,
        antivirus_clamav_log.without_repeats,
        seeds=(
            fixture_bytes("clamav/clamd.log"),
            fixture_bytes("clamav/clamonacc.log"),
            f"{_CLAMD}\n".encode(),
        ),
    ),
    parser(
        "bytes",
        firewall.parse_nft,
        firewall.parse_nft,
        raises=(firewall.UnreadableRulesError,),
        longest=1 << 20,
        seeds=tuple(
            fixture_bytes(f"firewall/{name}.nft.json")
            for name in ("debian_default", "workstation", "firewalld_like")
        ),
    ),
    parser(
        "text",
        firewall.parse_iptables_save,
        firewall.parse_iptables_save,
        longest=1 << 20,
        seeds=_texts("firewall/legacy.iptables.txt", "firewall/nat_only.iptables.txt"),
    ),
    parser(
        "text",
        antivirus_answers.parse_kesl,
        antivirus_answers.parse_kesl,
        raises=(antivirus_answers.UnreadableAnswerError,),
        seeds=_texts("antivirus/kesl-10.txt", "antivirus/kesl-12.txt"),
    ),
    parser(
        "bytes",
        lambda data: antivirus_answers.parse_mdatp(data, CAPTURED),
        antivirus_answers.parse_mdatp,
        raises=(antivirus_answers.UnreadableAnswerError,),
        seeds=(fixture_bytes("antivirus/mdatp.json"),),
    ),
    parser(
        "text",
        antivirus_answers.parse_eset,
        antivirus_answers.parse_eset,
        raises=(antivirus_answers.UnreadableAnswerError,),
        seeds=_texts("antivirus/eset-modules.txt"),
    ),
)
