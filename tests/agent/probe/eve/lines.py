"""Lines as Suricata 7 and 8 write them (their user guides, *Eve JSON Format*), made for these tests."""

from __future__ import annotations

import json
from typing import Any, Final

ALERT: Final[dict[str, Any]] = {
    "timestamp": "2026-11-22T08:15:27.251547+0700",
    "flow_id": 586497171462735,
    "in_iface": "eth1",
    "event_type": "alert",
    "src_ip": "203.0.113.9",
    "src_port": 50096,
    "dest_ip": "10.77.0.6",
    "dest_port": 80,
    "proto": "TCP",
    "pkt_src": "wire/pcap",
    "community_id": "1:wCb3OG7yAFWelaUydu0D+125CLM=",
    "tx_id": 0,
    "alert": {
        "action": "allowed",
        "gid": 1,
        "signature_id": 2034647,
        "rev": 2,
        "signature": "ET EXPLOIT Apache log4j RCE Attempt (http ldap) (CVE-2021-44228)",
        "category": "Attempted Administrator Privilege Gain",
        "severity": 1,
        "metadata": {
            "cve": ["CVE_2021_44228"],
            "mitre_technique_id": ["T1190"],
            "signature_severity": ["Major"],
        },
    },
    "app_proto": "http",
    "payload": "R0VUIC8gSFRUUC8xLjENCg==",
}
ANOMALY: Final[dict[str, Any]] = {
    **{name: ALERT[name] for name in ("timestamp", "src_ip", "src_port", "dest_ip", "dest_port", "proto")},
    "event_type": "anomaly",
    "anomaly": {
        "type": "applayer",
        "event": "APPLAYER_DETECT_PROTOCOL_ONLY_ONE_DIRECTION",
        "layer": "proto_detect",
    },
}
DNS: Final[dict[str, Any]] = {
    **{name: ALERT[name] for name in ("timestamp", "src_ip", "src_port", "dest_ip", "dest_port")},
    "event_type": "dns",
    "proto": "UDP",
    "dns": {
        "version": 2,
        "type": "answer",
        "id": 45444,
        "rrname": "c2.example",
        "rrtype": "A",
        "rcode": "NOERROR",
        "answers": [{"rrname": "c2.example", "rrtype": "A", "ttl": 60, "rdata": "198.51.100.7"}],
    },
}
#: Version 3 of ``dns``, of Suricata 8.
DNS3: Final[dict[str, Any]] = {
    **DNS,
    "dns": {"version": 3, "type": "request", "id": 1, "queries": [{"rrname": "c2.example", "rrtype": "TXT"}]},
}
HTTP: Final[dict[str, Any]] = {
    **{name: ALERT[name] for name in ("timestamp", "src_ip", "src_port", "dest_ip", "dest_port", "proto")},
    "event_type": "http",
    "http": {
        "hostname": "portal.example",
        "url": "/cgi-bin/%2e%2e/bin/sh",
        "http_user_agent": "Nikto/2.5",
        "http_method": "POST",
        "protocol": "HTTP/1.1",
        "status": 404,
        "length": 12,
    },
}
TLS: Final[dict[str, Any]] = {
    **{name: ALERT[name] for name in ("timestamp", "src_ip", "src_port", "dest_ip", "dest_port", "proto")},
    "event_type": "tls",
    "tls": {
        "subject": "CN=portal.example",
        "issuerdn": "CN=Some CA",
        "fingerprint": "aa:bb",
        "sni": "portal.example",
        "version": "TLS 1.2",
        "ja3": {"hash": "e7d705a3286e19ea42f587b344ee6865", "string": "771,..."},
    },
}
FLOW: Final[dict[str, Any]] = {
    **{name: ALERT[name] for name in ("timestamp", "src_ip", "src_port", "dest_ip", "dest_port", "proto")},
    "event_type": "flow",
    "app_proto": "http",
    "flow": {
        "pkts_toserver": 6,
        "pkts_toclient": 5,
        "bytes_toserver": 597,
        "bytes_toclient": 1200,
        "start": "2026-11-22T08:15:27.1+0700",
        "end": "2026-11-22T08:15:28.1+0700",
        "age": 1,
        "state": "closed",
        "reason": "timeout",
        "alerted": False,
    },
}
STATS: Final[dict[str, Any]] = {
    "timestamp": ALERT["timestamp"],
    "event_type": "stats",
    "stats": {"uptime": 9},
}


def line(said: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({**said, **more}).encode() + b"\n"
