"""What the event store knows of devices that log: the probes' reports, and which forms their messages have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from collector.sources.register import normal_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.detect.ports import EventStore

#: One row an endpoint, with what it says of so many devices at most: nobody's reports take the place of another's.
_REPORTS: Final = """
SELECT agency_id, endpoint_id,
    groupArray(500)((address, times, messages, seconds, hostname, transport, certificate)) AS devices
FROM (
    SELECT agency_id, endpoint_id, address, sum(count_said) AS messages, sum(seconds_said) AS seconds,
        arraySort(arraySlice(arrayReverseSort(groupArray(1000)(at)), 1, 200)) AS times,
        argMax(hostname_said, at) AS hostname, argMax(transport_said, at) AS transport,
        argMax(certificate_said, at) AS certificate
    FROM (
        SELECT agency_id, endpoint_id,
            substringUTF8(JSONExtractString(body, 'observer.ip'), 1, 64) AS address,
            JSONExtractFloat(body, 'syslog_source', 'messages') AS count_said,
            least(greatest(JSONExtractFloat(body, 'syslog_source', 'seconds'), 0), 86400) AS seconds_said,
            JSONExtractFloat(body, 'syslog_source', 'last_at') AS at,
            substringUTF8(JSONExtractString(body, 'log.syslog.hostname'), 1, 255) AS hostname_said,
            substringUTF8(JSONExtractString(body, 'syslog_source', 'transport'), 1, 255) AS transport_said,
            substringUTF8(JSONExtractString(body, 'tls.client.x509.subject.common_name'), 1, 255) AS certificate_said
        FROM events
        WHERE received_at > fromUnixTimestamp64Micro({since:Int64})
            AND received_at <= fromUnixTimestamp64Micro({until:Int64})
            AND product = 'probe' AND category = 'syslog_source' AND NOT simulated AND length(body) < 4096
    )
    WHERE address != '' AND count_said >= 1 AND count_said <= 1e9 AND at > 0 AND at < 1e12
    GROUP BY agency_id, endpoint_id, address
    ORDER BY messages DESC LIMIT 500 BY endpoint_id
)
GROUP BY agency_id, endpoint_id LIMIT 9000
"""
#: Of a sample, the same of every endpoint: every message would be much to read. One row an agency.
_FORMS: Final = """
SELECT agency_id, groupArray(2000)((address, form, product, messages)) AS samples
FROM (
    SELECT agency_id, address, form, product, count() AS messages
    FROM (
        SELECT agency_id, product,
            substringUTF8(JSONExtractString(body, 'observer.ip'), 1, 64) AS address,
            substringUTF8(JSONExtractString(body, 'log.format'), 1, 255) AS form
        FROM events
        WHERE received_at > fromUnixTimestamp64Micro({since:Int64})
            AND received_at <= fromUnixTimestamp64Micro({until:Int64})
            AND category = 'syslog' AND event_id GLOBAL IN (
            SELECT event_id FROM events
            WHERE received_at > fromUnixTimestamp64Micro({since:Int64})
                AND received_at <= fromUnixTimestamp64Micro({until:Int64})
                AND category = 'syslog' AND NOT simulated LIMIT 50 BY endpoint_id LIMIT 50000
        )
    )
    WHERE address != '' GROUP BY agency_id, address, form, product
)
GROUP BY agency_id LIMIT 9000
"""


class Report(Struct):
    """What one probe said of one device: ``messages`` within ``seconds``, the last ones at ``times`` (seconds since
    1970, rising, at least one)."""

    agency_id: int
    address: str
    probe_id: str
    times: list[float]
    messages: int
    seconds: float
    hostname: str
    transport: str
    certificate: str


class Forms(Struct):
    """Of a sample of one device's messages: how many, how many of a known form, and that of the most."""

    messages: int = 0
    known: int = 0
    product: str = ""
    most: int = 0


def read_reports(store: EventStore, since: float, until: float) -> list[Report]:
    """Of the time after ``since`` up to ``until``. Raises what the store raises."""
    rows = store.query(_REPORTS, {"since": int(since * 1e6), "until": int(until * 1e6)})
    found = (
        _report(int(row["agency_id"]), str(row["endpoint_id"]), each, until)
        for row in rows
        for each in row["devices"]
    )
    return [each for each in found if each is not None]


def read_forms(store: EventStore, since: float, until: float) -> dict[tuple[int, str], Forms]:
    """By agency and address. Raises what the store raises."""
    found: dict[tuple[int, str], Forms] = {}
    for row in store.query(_FORMS, {"since": int(since * 1e6), "until": int(until * 1e6)}):
        for said, form, product, count in row["samples"]:
            address, messages = _address(said), int(count)
            if not address:
                continue
            forms = found.setdefault((int(row["agency_id"]), address), Forms())
            forms.messages += messages
            if form or product:
                forms.known += messages
                if messages > forms.most:
                    forms.most, forms.product = messages, form or product
    return found


def _report(agency_id: int, probe_id: str, device: Sequence[Any], until: float) -> Report | None:
    """What a probe said, made fit; ``None`` for what is about no device."""
    said, times, messages, seconds, hostname, transport, certificate = device
    address = _address(said)
    if not address:
        return None
    return Report(
        agency_id,
        address,
        probe_id,
        times=[min(float(each), until) for each in times],
        messages=int(messages),
        seconds=float(seconds),
        hostname=_text(hostname),
        transport=_text(transport),
        certificate=_text(certificate),
    )


def _address(value: str) -> str:
    """Written in one way; empty for what is no IP address."""
    try:
        return normal_address(value)
    except ValueError:
        return ""


def _text(value: str) -> str:
    return value if value.isprintable() else ""
