"""One line of Suricata's EVE JSON as an event (Suricata user guide, *Eve JSON Format*).

EVE's own names stay where Sigma has none (``alert.signature``…); beside them stand ECS's (``source.ip``…) and Sigma's
of the category that such an event belongs to: ``dns`` (``query``, ``record_type``, ``answer``) and, for HTTP, ``proxy``
(``c-uri``, ``cs-host``…), so that rules for those are offered it.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.messages import UNREADABLE, Event, LogSource

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

#: Of a longer line only its beginning is read. Suricata's alerts may carry payloads, which are not taken.
LINE_BYTES: Final = 256 << 10
#: A line of so many bytes that is no JSON may be the beginning of one: that is what is read of a file's lines.
CUT_BYTES: Final = 16 << 10
#: A time further in the future is not believed; the event then counts as of now.
FUTURE_SECONDS: Final = 86400.0
_TEXT: Final = 255
_URL: Final = 2048
_LIST: Final = 20
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SOURCES: Final = {
    "alert": LogSource(product="suricata", service="alert"),
    "anomaly": LogSource(product="suricata", service="anomaly"),
    "dns": LogSource(product="suricata", category="dns", service="dns"),
    "http": LogSource(product="suricata", category="proxy", service="http"),
    "tls": LogSource(product="suricata", service="tls"),
    "flow": LogSource(product="suricata", service="flow"),
}
_ADDRESSES: Final = (
    ("src_ip", "source.ip", "src_ip"),
    ("src_port", "source.port", "src_port"),
    ("dest_ip", "destination.ip", "dst_ip"),
    ("dest_port", "destination.port", "dst_port"),
)
_COMMON: Final = (
    ("app_proto", "network.protocol"),
    ("community_id", "network.community_id"),
    ("in_iface", "observer.ingress.interface.name"),
    ("host", "observer.name"),
)


def parse_eve_line(line: bytes, types: Container[str], now: float) -> Event | None:
    """``None`` where it is of a type that is not in ``types``.

    How long a line gets, attackers choose: a request of many kilobytes stands in it behind the alert. So a line that
    was cut is read as far as it is whole.

    Raises:
        ValueError: it is no EVE, or cut before it says what happened.
    """
    try:
        said = msgspec.json.decode(line[:LINE_BYTES])
    except UNREADABLE as error:
        if len(line) < CUT_BYTES:
            raise ValueError("no JSON") from error
        said = _beginning(line[:LINE_BYTES])
        if not isinstance(said.get("event_type"), str) or said["event_type"] not in said:
            raise ValueError("cut") from error
    kind = said.get("event_type") if isinstance(said, dict) else None
    if not isinstance(kind, str):
        raise ValueError("no event_type")  # noqa: TRY004 - of the line, not of the program
    if kind not in types or kind not in _SOURCES:
        return None
    fields: dict[str, Any] = {"event_type": kind}
    for name, ecs, sigma in _ADDRESSES:
        value = _plain(said.get(name))
        if value is not None:
            fields[ecs] = fields[sigma] = value
    transport = said.get("proto")
    if isinstance(transport, str):
        fields["network.transport"] = _text(transport).lower()
    for name, ecs in _COMMON:
        _put(fields, ecs, said.get(name))
    flow = said.get("flow_id")
    if isinstance(flow, int):
        fields["flow_id"] = str(flow)
    own = said.get(kind)
    _TELLS[kind](own if isinstance(own, dict) else {}, fields)
    return Event(time=_moment(said.get("timestamp"), now), logsource=_SOURCES[kind], fields=fields)


def _beginning(line: bytes) -> dict[str, Any]:
    """The members of an object whose end is missing, as far as they are whole."""
    text, decoder, at = line.decode("utf-8", "replace"), json.JSONDecoder(), 0
    found: dict[str, Any] = {}
    try:
        while text[at] == ("," if at else "{"):
            name, at = decoder.raw_decode(text, _behind(text, at + 1))
            if not isinstance(name, str) or text[at] != ":":
                break
            found[name], at = decoder.raw_decode(text, _behind(text, at + 1))
    except (ValueError, IndexError, RecursionError):
        pass
    try:
        msgspec.json.encode(found)  # half a surrogate pair, or a number without bound, goes no further
    except (UnicodeEncodeError, msgspec.MsgspecError, OverflowError) as error:
        raise ValueError("no text") from error
    return found


def _behind(text: str, at: int) -> int:
    """Where a space at ``at``, if there is one, ends."""
    return at + (text[at] == " ")


def _alert(own: Mapping[str, Any], fields: dict[str, Any]) -> None:
    for name in ("signature", "signature_id", "category", "severity", "action", "rev", "gid"):
        _put(fields, f"alert.{name}", own.get(name))
    metadata = own.get("metadata")
    if isinstance(metadata, dict):
        for name in ("mitre_technique_id", "cve", "signature_severity", "malware_family"):
            _put(fields, f"alert.metadata.{name}", metadata.get(name))


def _anomaly(own: Mapping[str, Any], fields: dict[str, Any]) -> None:
    for name in ("type", "event", "layer"):
        _put(fields, f"anomaly.{name}", own.get(name))


def _dns(own: Mapping[str, Any], fields: dict[str, Any]) -> None:
    asked = own.get("queries") or own.get("query")
    question = asked[0] if isinstance(asked, list) and asked and isinstance(asked[0], dict) else own
    _put(fields, "query", question.get("rrname"))
    _put(fields, "record_type", question.get("rrtype"))
    _put(fields, "dns.type", own.get("type"))
    _put(fields, "dns.response_code", own.get("rcode"))
    answers = own.get("answers")
    if isinstance(answers, list):
        found = [each.get("rdata") for each in answers[:_LIST] if isinstance(each, dict)]
        _put(fields, "answer", [each for each in found if isinstance(each, str)] or None)


def _http(own: Mapping[str, Any], fields: dict[str, Any]) -> None:
    names = (
        ("hostname", "cs-host"),
        ("url", "c-uri"),
        ("http_method", "cs-method"),
        ("http_user_agent", "c-useragent"),
        ("http_refer", "cs-referrer"),
        ("status", "sc-status"),
        ("http_content_type", "http.response.mime_type"),
    )
    for name, sigma in names:
        _put(fields, sigma, own.get(name))


def _tls(own: Mapping[str, Any], fields: dict[str, Any]) -> None:
    names = (
        ("sni", "tls.client.server_name"),
        ("subject", "tls.server.subject"),
        ("issuerdn", "tls.server.issuer"),
        ("fingerprint", "tls.server.hash.sha1"),
        ("notafter", "tls.server.not_after"),
        ("version", "tls.version"),
    )
    for name, ecs in names:
        _put(fields, ecs, own.get(name))
    for name, ecs in (("ja3", "tls.client.ja3"), ("ja3s", "tls.server.ja3s")):
        found = own.get(name)
        if isinstance(found, dict):
            _put(fields, ecs, found.get("hash"))


def _flow(own: Mapping[str, Any], fields: dict[str, Any]) -> None:
    names = (
        ("bytes_toserver", "source.bytes"),
        ("bytes_toclient", "destination.bytes"),
        ("pkts_toserver", "source.packets"),
        ("pkts_toclient", "destination.packets"),
        ("state", "flow.state"),
        ("reason", "flow.reason"),
        ("age", "flow.age"),
    )
    for name, ecs in names:
        _put(fields, ecs, own.get(name))


_TELLS: Final[dict[str, Callable[[Mapping[str, Any], dict[str, Any]], None]]] = {
    "alert": _alert,
    "anomaly": _anomaly,
    "dns": _dns,
    "http": _http,
    "tls": _tls,
    "flow": _flow,
}


def _put(fields: dict[str, Any], name: str, value: object) -> None:
    if isinstance(value, list):
        plain = [each for each in map(_plain, value[:_LIST]) if each is not None]
        if plain:
            fields[name] = plain
        return
    plain_value = _plain(value, _URL if name in ("c-uri", "cs-referrer") else _TEXT)
    if plain_value is not None:
        fields[name] = plain_value


def _plain(value: object, limit: int = _TEXT) -> str | int | bool | None:
    """Text without control characters, or a whole number of 64 bits; nothing else is taken."""
    if isinstance(value, str):
        return _text(value, limit)
    if isinstance(value, bool):
        return value
    return value if isinstance(value, int) and -(1 << 63) <= value < 1 << 63 else None


def _text(value: str, limit: int = _TEXT) -> str:
    return _CONTROL.sub(" ", value[:limit])


def _moment(stamp: object, now: float) -> float:
    if not isinstance(stamp, str):
        return now
    try:
        moment = datetime.fromisoformat(stamp[:64])
        found = moment.timestamp() if moment.tzinfo is not None else now
    except (ValueError, OverflowError):
        return now
    return found if 0 < found <= now + FUTURE_SECONDS else now
