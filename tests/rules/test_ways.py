"""Live and history ask the same of an event: what LogSources gives it, the conditions on stored events find again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rules.engine.fields import View
from rules.engine.plain import plain_test
from rules.engine.ruleset import LogSource
from rules.history.ways import CATEGORY, PRODUCT, SERVICE, ways_to
from rules.logsources import LogSources, shipped

if TYPE_CHECKING:
    from rules.engine.routing import Sources

LIVE = LogSources(shipped())
WANTED = [
    LogSource(product, category, service)
    for product, category, service in [
        ("windows", "", ""), ("windows", "process_creation", ""), ("windows", "", "security"),
        ("windows", "registry_add", ""), ("windows", "process_creation", "sysmon"), ("", "antivirus", ""),
        ("linux", "", ""), ("linux", "", "auditd"), ("linux", "process_creation", ""), ("linux", "file_event", ""),
        ("linux", "network_connection", ""), ("linux", "", "sshd"), ("linux", "", "auth"), ("linux", "", "syslog"),
        ("", "firewall", ""), ("", "proxy", ""), ("", "webserver", ""), ("", "dns", ""), ("", "", "nginx"),
        ("macos", "process_creation", ""),
    ]
]  # fmt: skip
TESTS = {
    wanted: [
        (plain_test(way.condition), tuple(sorted(way.renames.items()))) for way in ways_to(wanted, shipped())
    ]
    for wanted in WANTED
}


def offered(wanted: LogSource, sources: Sources) -> set[tuple[tuple[str, str], ...]]:
    """The renames under which a rule with this log source is offered an event with these; empty: it is not."""
    if wanted.product not in ("", sources.product) or (
        wanted.service and wanted.service not in sources.services
    ):
        return set()
    if not wanted.category:
        return {()}
    return {renames for category, renames in sources.categories if category == wanted.category}


SOURCES = st.sampled_from(
    [("windows", "", ""), ("linux", "", "auditd"), ("linux", "", "auth"), ("linux", "", "syslog"), ("", "", "syslog"),
     ("linux", "process_creation", ""), ("linux", "", ""), ("macos", "", ""), ("", "firewall", ""), ("", "proxy", ""),
     ("", "webserver", ""), ("", "dns", ""), ("fortigate", "firewall", ""), ("", "", ""), ("windows", "antivirus", "")]
)  # fmt: skip
VALUES: dict[str, list[Any]] = {
    "Channel": ["Security", "security", "Microsoft-Windows-Sysmon/Operational", "", 5],
    "EventID": [1, "1", 12, 4688, 1116, None, ["4688"]],
    "EventType": ["CreateKey", "x"],
    "type": ["EXECVE", "PATH", ["SYSCALL", "EXECVE"], "SYSCALL"],
    "SYSCALL": ["execve", "connect", {"SYSCALL": "execve", "exe": "/bin/sh"}],
    "ID": ["1.2:3"],
    "EXECVE": [{"ARGV": ["sh", "-i"]}],
    "exe": ["/bin/sh", None],
    "a0": ["sh"],
    "success": ["yes", "no", "NO"],
    "nametype": ["CREATE", "NORMAL"],
    "DestinationIp": ["203.0.113.9"],
    "Process": ["sshd", "sudo", "cron"],
    "message": ["proto TCP (SYN), 10.0.0.9:5->10.0.0.1:22", "query[A] x.example from 10.0.0.9", "x"],
    "dstip": ["10.0.0.1"],
    "dst_ip": ["10.0.0.1", None],
    "dst_port": [22],
    "cs-method": ["GET"],
    "url": [{"original": "/a", "path": "/a"}, "http://x/"],
    "method": ["GET"],
    "query": ["x.example"],
    "event": [{"category": ["process"], "type": ["start"], "id": "e"}, {"id": "e"}],
    "host": [{"id": "h", "os": {"type": "windows"}}, {"id": "h"}],
    "winlog": [{"channel": "Security", "event_id": 4688}],
    "program": ["nginx"],
}
RECORDS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(SOURCES, RECORDS)
@example(("linux", "", "auditd"), {"type": "SYSCALL", "SYSCALL": "execve", "exe": "/bin/sh", "success": "no"})
@example(("linux", "", "auditd"), {"type": "SYSCALL", "SYSCALL": "execve", "exe": "/bin/sh"})
@example(("windows", "", ""), {"Channel": "Security", "EventID": ["4688"]})
def test_stored_events_are_offered_to_the_rules_that_live_ones_are(
    source: tuple[str, str, str], record: dict[str, Any]
) -> None:
    fields, sources = LIVE.read(*source, dict(record))
    stored = View({**fields, PRODUCT: source[0], CATEGORY: source[1], SERVICE: source[2]})
    for wanted, tests in TESTS.items():
        assert {renames for test, renames in tests if test(stored)} == offered(wanted, sources), wanted


@pytest.mark.parametrize("wanted", WANTED)
def test_every_log_source_has_a_way(wanted: LogSource) -> None:
    assert TESTS[wanted]
