"""Words for devices that log over probes, and for the backups of important systems."""

from typing import Final

from soc_api.i18n import N_

SOURCE_STATES: Final = {
    "waiting": N_("Not heard yet"),
    "heard": N_("Sends its log"),
    "silent": N_("Has stopped sending"),
    "unheard": N_("Not known: its probe does not listen"),
    "never_heard": N_("Never heard"),
}
STANDINGS: Final = {
    "new": N_("Nobody has decided yet"),
    "expected": N_("Shall log"),
    "retired": N_("Retired"),
}
BACKUP_STATES: Final = {
    "": N_("Not judged yet"),
    "ok": N_("In order"),
    "failed": N_("Failed"),
    "overdue": N_("Overdue"),
    "never": N_("Never"),
}
BACKUP_WAYS: Final = {
    "report": N_("Signed report"),
    "file": N_("An agent saw the file"),
    "snmp": N_("A device told a probe (SNMP)"),
    "restore": N_("Restore test"),
}

SYSLOG_FIELDS: Final = {
    "log.syslog.hostname": N_("Name, as the device says"),
    "log.syslog.appname": N_("Program, as the device says"),
    "log.syslog.transport": N_("Came over"),
    "log.syslog.severity.name": N_("Severity"),
    "log.syslog.facility.name": N_("Facility"),
    "log.format": N_("Form of the log"),
    "observer.vendor": N_("Maker"),
    "observer.product": N_("Product"),
    "observer.type": N_("Kind of device"),
    "syslog_source.messages": N_("Messages"),
    "syslog_source.bytes": N_("Bytes"),
    "syslog_source.seconds": N_("Within (s)"),
    "syslog_source.refused": N_("Datagrams beyond the rate"),
    "syslog_source.broken": N_("Broken connections"),
    "syslog_source.cut": N_("Messages cut"),
    "syslog_source.transport": N_("Came over"),
    "syslog_source.last_at": N_("Last message"),
    "syslog_source.lost_count": N_("Datagrams lost"),
    "syslog_source.strangers_count": N_("Turned away: may not send"),
    "syslog_source.turned_away_count": N_("Turned away: too many connections"),
    "syslog_input.udp_port": N_("Listens at port (UDP)"),
    "syslog_input.tcp_port": N_("Listens at port (TCP)"),
    "syslog_input.tls_port": N_("Listens at port (TLS)"),
    "log_source.address": N_("Address"),
    "log_source.name": N_("Device"),
    "log_source.hostname": N_("Name, as the device says"),
    "log_source.product": N_("Product"),
    "log_source.standing": N_("Decision"),
    "log_source.state": N_("State"),
    "log_source.seconds": N_("Silent for (s)"),
    "log_source.expected_seconds": N_("Silence that is usual (s)"),
    "log_source.last_seen": N_("Last message"),
    "log_source.previous.state": N_("State before"),
    "backup.system": N_("System"),
    "backup.title": N_("Title"),
    "backup.owner": N_("Who answers for it"),
    "backup.state": N_("Backup"),
    "backup.restore_state": N_("Restore test"),
    "backup.interval_seconds": N_("May be so old (s)"),
    "backup.age_seconds": N_("Age of the last good backup (s)"),
    "backup.restore_age_seconds": N_("Age of the last good restore test (s)"),
    "backup.last_good": N_("Last good backup"),
    "backup.way": N_("Known by"),
    "backup.note": N_("Note"),
}

SYSLOG_ACTIONS: Final = {
    "first_heard": N_("Heard for the first time"),
    "heard_again": N_("Heard again"),
    "never_heard": N_("Never heard"),
    "unheard": N_("Cannot be heard: the probe does not listen"),
    "backup_changed": N_("A backup's state changed"),
}

SYSLOG_SOURCES: Final = {
    "/syslog": N_("Syslog of devices"),
    "probe/syslog_source": N_("Probe: who logs"),
    "vonggac/log_source": N_("Sources of logs"),
    "vonggac/syslog_input": N_("Probe: listens for syslog"),
    "vonggac/backup": N_("Backups"),
}
