"""What the event store knows of devices that log: the probes' reports, and which forms their messages have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from agent.messages import UNREADABLE
from collector.sources.register import normal_address

if TYPE_CHECKING:
    from collector.detect.ports import EventStore

_WHEN: Final = (
    "received_at > fromUnixTimestamp64Micro({since:Int64})"
    " AND received_at <= fromUnixTimestamp64Micro({until:Int64})"
)
_REPORTS: Final = " ".join(
    (
        "SELECT agency_id, endpoint_id, body FROM events WHERE",
        _WHEN,
        "AND product = 'probe' AND category = 'syslog_source' AND NOT simulated LIMIT 9000",
    )
)
#: Of a sample: every message would be much to read.
_FORMS: Final = " ".join(
    (
        "SELECT agency_id, address, form, product, count() AS messages FROM (",
        "SELECT agency_id, product, JSONExtractString(body, 'observer.ip') AS address,",
        "JSONExtractString(body, 'log.format') AS form FROM events WHERE",
        _WHEN,
        "AND category = 'syslog' AND NOT simulated LIMIT 2000)",
        "WHERE address != '' GROUP BY agency_id, address, form, product LIMIT 2000",
    )
)
_LONGEST: Final = 255
_MOST: Final = 1e12
#: More messages than any device sends between two reports.
_MOST_MESSAGES: Final = 1e9


class Report(Struct):
    """What one probe said of one device in a window of ``seconds``."""

    agency_id: int
    address: str
    probe_id: str
    at: float
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
    found = (_report(row, until) for row in rows)
    return [each for each in found if each is not None]


def read_forms(store: EventStore, since: float, until: float) -> dict[tuple[int, str], Forms]:
    """By agency and address. Raises what the store raises."""
    found: dict[tuple[int, str], Forms] = {}
    for row in store.query(_FORMS, {"since": int(since * 1e6), "until": int(until * 1e6)}):
        address = _address(row["address"])
        if not address:
            continue
        forms = found.setdefault((int(row["agency_id"]), address), Forms())
        messages, form, product = int(row["messages"]), str(row["form"]), str(row["product"])
        forms.messages += messages
        if form or product:
            forms.known += messages
            if messages > forms.most:
                forms.most, forms.product = messages, (form or product)[:_LONGEST]
    return found


def _report(row: dict[str, Any], until: float) -> Report | None:
    """What a probe said, made fit; ``None`` for what is about no device."""
    try:
        body = msgspec.json.decode(row["body"])
    except (*UNREADABLE, UnicodeEncodeError):
        return None
    said = body.get("syslog_source") if isinstance(body, dict) else None
    address = _address(body.get("observer.ip")) if isinstance(body, dict) else ""
    if not isinstance(said, dict) or not address:
        return None
    messages, seconds, at = (_number(said.get(name)) for name in ("messages", "seconds", "last_at"))
    if not 1 <= messages <= _MOST_MESSAGES or at <= 0:
        return None
    return Report(
        agency_id=int(row["agency_id"]),
        address=address,
        probe_id=str(row["endpoint_id"]),
        at=min(at, until),
        messages=int(messages),
        seconds=max(0.0, seconds),
        hostname=_text(body.get("log.syslog.hostname")),
        transport=_text(said.get("transport")),
        certificate=_text(body.get("tls.client.x509.subject.common_name")),
    )


def _address(value: object) -> str:
    """Written in one way; empty for what is no IP address."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return ""
    try:
        return normal_address(value)
    except ValueError:
        return ""


def _number(value: object) -> float:
    """0 for what is no number, or beyond reason."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST < value < _MOST:
        return 0.0
    return float(value)


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) and value.isprintable() else ""
