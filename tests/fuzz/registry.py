"""Every parser of input that somebody else chose; and modules that only look as if they had one, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.fuzz import linux, probe_lan, probe_snmp, probe_wire, services, ssh, syslog, windows, wire

if TYPE_CHECKING:
    from tests.fuzz.parser import Parser

PARSERS: Final[tuple[Parser, ...]] = (
    *linux.PARSERS,
    *probe_lan.PARSERS,
    *probe_snmp.PARSERS,
    *probe_wire.PARSERS,
    *ssh.PARSERS,
    *windows.PARSERS,
    *wire.PARSERS,
    *services.PARSERS,
    *syslog.PARSERS,
)

#: Modules (and single functions) that take something apart and are fuzzed by nobody, with the reason.
NOT_FUZZED: Final[dict[str, str]] = {
    "agent.assessment.facts": "splits keys of the shipped checks alone",
    "agent.assessment.machine": "reads and decodes; what stands there is taken apart by the readers",
    "agent.collectors.antivirus_products": "reads process names; answers are taken apart by common.antivirus_answers",
    "agent.collectors.assessment": "splits a field of what host.parse_os_release gave",
    "agent.collectors.common.command": "splits the first 200 bytes of an error text into words",
    "agent.collectors.common.journal": "cuts the field's name off what libsystemd gave",
    "agent.collectors.common.package_run": "looks for one line in a kernel's file of 4 KB",
    "agent.collectors.firewall_local": "splits a kernel's list of table names",
    "agent.probe.snmp.around": "takes MACs that values has read",
    "agent.probe.snmp.senders": "takes addresses that the system gives",
    "agent.probe.snmp.known": "reads back what it wrote",
    "agent.probe.snmp.telling": "cuts the name of a field of the shipped profiles",
    "agent.probe.services.connecting": "cuts the scope off an address that the system gave",
    "agent.probe.contract": "decodes into closed types, tried in tests/agent/probe/test_host.py",
    "agent.probe.host": "hands frames on that contract has decoded",
    "agent.probe.process": "hands frames on that contract has decoded",
    "agent.probe.ssh.asking": "looks at what session and platforms have given",
    "agent.probe.ssh.keeping": "reads back what it wrote",
    "agent.probe.ssh.settings": "the operator's own file",
    "agent.probe.eve.run": "cuts lines, which lines.parse_eve_line takes apart",
    "agent.probe.lan.building": "makes frames of addresses that frames has read, or the system gave",
    "agent.probe.lan.link": "reads the kernel's own tables and counts",
    "agent.probe.lan.scan": "the operator's own settings, and addresses of the system",
    "agent.probe.lan.run": "cuts the prefix off addresses of the system",
    "agent.probe.wire.events": "formats addresses that watch took from frames",
    "agent.probe.wire.ring": "reads the kernel's own headers",
    "agent.probe.backups.settings": "splits paths of its own settings",
    "agent.probe.syslog.inbox": "reads back what it wrote",
    "agent.probe.syslog.listening": "unpacks the kernel's count of dropped datagrams",
    "agent.probe.syslog.senders": "takes the zone off an address that the kernel gave",
    "agent.probe.snmp.traps": "takes objects that pysnmp has decoded; their values are taken apart by notifications",
    "agent.update.windows_place": "reads back what the installer wrote",
    "agent.runtime.evidence": "compares words without their spaces",
    "agent.runtime.managed.checking": "reads the answer of the agent's own program",
    "agent.runtime.managed.manager": "decodes into a closed type, tried in tests/agent/runtime/managed",
    "agent.runtime.managed.record": "reads back what it wrote",
    "agent.runtime.managed.verify": "decodes what is signed, tried in tests/agent/runtime/managed",
    "agent.runtime.memory": "reads the kernel's tables of the agent itself",
    "agent.runtime.process": "reads the order of the agent's own process",
    "agent.runtime.spool": "reads back what it wrote, torn or not: tests/agent/runtime/test_spool.py",
    "agent.runtime.outbox": "takes its own keys apart, and copies its own memories",
    "agent.update.commands": "splits a command that the officer typed",
    "agent.update.environment": "shows the last line of what pip wrote",
    "agent.update.following": "reads the answer of the agent's own program",
    "agent.update.launcher": "reads back what root wrote, torn or not: tests/agent/update/test_launcher.py",
    "agent.update.place": "reads back what it wrote",
    "agent.update.removal": "splits the system's own tables of users",
    "agent.update.starts": "reads back what it wrote, tried in tests/agent/update/test_following.py",
    "agent.update.windows_environment": "checks the members' names of signed wheels, tried in tests/agent/windows",
    "agent.update.words": "reads back what the updater wrote",
    "agent.windows.scm": "matches one pattern against the command of the agent's own service",
    "collector.ingest.app": "decodes into the messages' closed types, tried over the wire in tests/collector/ingest",
    "collector.ingest.bundle": "matches a file's name against one bounded pattern",
    "collector.ingest.releases": "matches one bounded pattern against a header",
    "collector.steering.releases.files": "matches a name against one bounded pattern",
    "collector.steering.releases.rollout": "makes a number of a digest of its own",
    "collector.steering.settings.groups": "decodes what it encoded itself",
    "collector.steering.settings.publishing": "splits the words of msgspec's errors",
    "collector.vulnerabilities.book": "matches names that osv, nvd and kev have given",
    "collector.vulnerabilities.importing": "splits the file's name and ecosystems that osv has given",
    "collector.vulnerabilities.packing": "unpacks what it packed itself into the state store",
    "collector.vulnerabilities.packing.unpack_affected": "unpacks what it packed itself into the state store",
    "collector.vulnerabilities.packing.unpack_tally": "unpacks what it packed itself into the state store",
}
