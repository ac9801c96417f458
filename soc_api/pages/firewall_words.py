"""The words of firewalls: what is asked of each, and why the answer is what it is."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

QUESTIONS: Final = {
    "answering": N_("Answering"),
    "configuration": N_("Configuration read"),
    "logging": N_("Logging to us"),
    "supported": N_("Supported by its maker"),
}
VALUES: Final = {"yes": N_("Yes"), "no": N_("No"), "unknown": N_("Unknown")}
#: One a code of :data:`collector.firewalls.judging.REASONS`; a test keeps the two alike.
REASONS: Final = {
    "answers": N_("A probe signs in and reads it"),
    "no_answer": N_("It does not answer the probe"),
    "sign_in_refused": N_("It refuses the probe's account: check the account in the probe's settings"),
    "host_key_changed": N_(
        "It shows another host key: find out whether it was replaced or somebody stands in between"
    ),
    "host_key_unknown": N_(
        "Its host key is not set: compare it on the device and put it into the probe's settings"
    ),
    "unreadable": N_("The probe cannot read it"),
    "not_asked": N_("No probe asks it: enter it in ssh.toml of the agency's probe"),
    "probe_silent": N_("The probe that asks it has been silent"),
    "probe_failing": N_("The probe's part that asks devices does not work"),
    "read_recently": N_("Read within a week"),
    "read_long_ago": N_("Not read for more than a week"),
    "never_read": N_("Never read"),
    "heard": N_("Its log is heard"),
    "not_heard": N_("Its log has not been heard for a day"),
    "never_heard": N_("Its log was never heard: let it send syslog to the agency's probe"),
    "supported_until": N_("Supported"),
    "support_ends_soon": N_("Support ends within half a year: plan its replacement"),
    "support_ended": N_("Support has ended: replace it or its software"),
    "support_not_known": N_("Nobody knows until when: enter the day that the maker states"),
}
FIREWALL_FIELDS: Final = {
    "device_configuration.name": N_("Device"),
    "device_configuration.role": N_("Role"),
    "device_configuration.address": N_("Address"),
    "device_configuration.platform": N_("Platform"),
    "device_configuration.vendor": N_("Vendor"),
    "device_configuration.product": N_("Product"),
    "device_configuration.state": N_("State"),
    "device_configuration.reason": N_("Reason"),
    "device_configuration.version": N_("Version"),
    "device_configuration.model": N_("Model"),
    "device_configuration.serial_number": N_("Serial number"),
    "device_configuration.hostname": N_("Name of the device"),
    "device_configuration.host_key": N_("Host key"),
    "device_configuration.log_servers": N_("Sends its log to"),
    "device_configuration.configuration.sha256": N_("Configuration (SHA-256)"),
    "device_configuration.configuration.changed_time": N_("Configuration changed"),
    "device_configuration.configuration.read_day": N_("Configuration read"),
    "configuration_change.device": N_("Device"),
    "configuration_change.role": N_("Role"),
    "configuration_change.before": N_("Configuration before (SHA-256)"),
    "configuration_change.after": N_("Configuration after (SHA-256)"),
    "configuration_change.lines_added": N_("Lines added"),
    "configuration_change.lines_removed": N_("Lines removed"),
    "configuration_change.diff": N_("What changed"),
    "configuration_change.diff_cut": N_("What changed is cut"),
    "ssh_host_key.device": N_("Device"),
    "ssh_host_key.expected": N_("Host key expected"),
    "ssh_host_key.shown": N_("Host key shown"),
}
