"""The probe's part ``syslog``: what firewalls, switches and servers log comes here."""

from agent.probe.contract import Part
from agent.probe.syslog.settings import SyslogSettings

PART = Part(
    name="syslog",
    settings=SyslogSettings,
    sources=("syslog",),
    module="agent.probe.syslog.receiving",
    privileges=("CAP_NET_BIND_SERVICE: the port 514",),
    description="Syslog of other devices over UDP, TCP and TLS (RFC 3164, RFC 5424).",
)
