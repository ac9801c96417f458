"""The words for what a probe counts on the wire, and for what an intrusion detection system says."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

#: Fields of the events.
PROBE_WIRE_FIELDS: Final = {
    "source.port": N_("Source port"),
    "destination.ip": N_("Destination address"),
    "destination.port": N_("Destination port"),
    "network.transport": N_("Protocol"),
    "network.protocol": N_("Application protocol"),
    "traffic.kind": N_("What was counted"),
    "traffic.window": N_("Window"),
    "traffic.window_seconds": N_("Length of the window"),
    "traffic.seconds": N_("Counted over"),
    "traffic.distinct_ports": N_("Different ports"),
    "traffic.distinct_hosts": N_("Different hosts"),
    "traffic.distinct_sources": N_("Different sources"),
    "traffic.answered_ratio": N_("Share that was answered"),
    "traffic.refused_ratio": N_("Share that was refused"),
    "traffic.finished_ratio": N_("Share of connections that ended in good order"),
    "traffic.more": N_("More than could be counted"),
    "traffic.expected": N_("Expected: a scanner that may"),
    "traffic.tcp_flags": N_("TCP flags"),
    "traffic.connections": N_("Connections"),
    "traffic.short_connections": N_("Short connections"),
    "traffic.answer_bytes": N_("Said by the server in each"),
    "traffic.packets_per_second": N_("Packets a second"),
    "traffic.bytes_per_second": N_("Bytes a second"),
    "capture.interface": N_("The probe's interface"),
    "capture.frames_count": N_("Frames looked at"),
    "capture.dropped_count": N_("Frames dropped"),
    "capture.dropped_ratio": N_("Share of frames dropped"),
    "capture.one_in": N_("Looked at one frame in"),
    "capture.untracked_count": N_("Not counted for want of room"),
    "capture.untold_count": N_("Counted, but not told for want of room"),
    "event_type": N_("Type"),
    "flow_id": N_("Flow"),
    "alert.signature": N_("Signature"),
    "alert.signature_id": N_("Signature's number"),
    "alert.category": N_("Class"),
    "alert.severity": N_("Severity (1 is the gravest)"),
    "alert.action": N_("Let through or blocked"),
    "alert.rev": N_("Signature's revision"),
    "alert.gid": N_("Signature's group"),
    "alert.metadata.cve": N_("Vulnerability"),
    "alert.metadata.mitre_technique_id": N_("ATT&CK technique"),
    "alert.metadata.signature_severity": N_("The signature's own severity"),
    "alert.metadata.malware_family": N_("Malware family"),
    "anomaly.type": N_("Anomaly's type"),
    "anomaly.event": N_("Anomaly"),
    "anomaly.layer": N_("Layer"),
}

PROBE_WIRE_SOURCES: Final = {
    "probe/traffic": N_("Probe: traffic"),
    "probe/capture": N_("Probe: what it sees of the wire"),
    "suricata/alert": N_("Suricata: alert"),
    "suricata/anomaly": N_("Suricata: anomaly"),
    "suricata/dns": N_("Suricata: DNS"),
    "suricata/http": N_("Suricata: HTTP"),
    "suricata/tls": N_("Suricata: TLS"),
    "suricata/flow": N_("Suricata: flow"),
}
