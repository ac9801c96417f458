"""Rows that several pages show: alerts, machines, events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soc_api.pages.event_words import FIELD_ORDER
from soc_api.pages.reasons import sentence

if TYPE_CHECKING:
    from datetime import datetime

    from collector.coverage.models import Machine
    from collector.state.tables import Agency, Alert
    from rules.catalogue import Catalogue
    from soc_api.i18n import Translator
    from soc_api.pages.words import Words


@dataclass(frozen=True, slots=True)
class Choice:
    """An agency in a list to choose from."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    id: int
    level: str
    title: str
    subject: str
    agency: str
    status: str
    count: int
    first_event_at: datetime
    last_event_at: datetime
    simulated: bool
    cleared: bool
    incident_id: int | None


@dataclass(frozen=True, slots=True)
class MachineRow:
    """One line of the coverage ledger."""

    id: str
    link: str
    name: str
    kind: str
    role: str
    agency_code: str
    agency: str
    state: str
    reason: str
    counted: bool
    late: bool
    antivirus: str
    age_days: int | None
    last_seen: datetime | None
    simulated: bool


@dataclass(frozen=True, slots=True)
class FieldRow:
    """``value`` is ready to read, and hostile: it goes through the filter ``visible``."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class EventRow:
    id: str
    time: datetime
    source: str
    summary: str
    fields: list[FieldRow]
    rules: list[str]
    raw: str = ""


def choices(agencies: Iterable[Agency]) -> list[Choice]:
    return [Choice(agency.code, agency.name) for agency in agencies]


def alert_row(alert: Alert, catalogue: Catalogue, agencies: Mapping[int, str], t: Translator) -> AlertRow:
    return AlertRow(
        id=alert.id,
        level=alert.level,
        title=rule_title(catalogue, alert.rule_id, t),
        subject=alert.subject,
        agency="" if alert.agency_id is None else agencies.get(alert.agency_id, ""),
        status=alert.status,
        count=alert.count,
        first_event_at=alert.first_event_at,
        last_event_at=alert.last_event_at,
        simulated=alert.simulated,
        cleared=alert.cleared_at is not None,
        incident_id=alert.incident_id,
    )


def rule_title(catalogue: Catalogue, rule_id: str, t: Translator) -> str:
    """The rule's title in the reader's language; its id where the rule is no longer there."""
    rule = catalogue.get(rule_id)
    return rule_id if rule is None else t.either(rule.title)


def machine_row(machine: Machine, t: Translator) -> MachineRow:
    return MachineRow(
        id=machine.id,
        link=f"/{'endpoints' if machine.kind == 'endpoint' else 'devices'}/{machine.id}",
        name=machine.name,
        kind=machine.kind,
        role=machine.role,
        agency_code=machine.agency_code,
        agency=machine.agency_name,
        state=machine.state,
        reason=sentence(t, machine.reason, counted=machine.counted),
        counted=machine.counted,
        late=machine.late,
        antivirus=machine.antivirus,
        age_days=machine.age_days,
        last_seen=machine.last_seen,
        simulated=machine.simulated,
    )


#: What an event's reader knows already from the page around it.
_CONTEXT: Final = frozenset({"host.id", "event.id", "agency.id", "agency.code", "simulated", "changed"})
_MOST_FIELDS: Final = 60
_LONGEST_PART: Final = 160
_SUMMARY: Final = (
    "event.action",
    "User",
    "TargetUser",
    "SourceIP",
    "CommandLine",
    "Image",
    "Signature",
    "Filename",
    "TargetFilename",
    "file.owner",
    "PackageManager",
    "usb.manufacturer",
    "usb.serial_number",
    "accounts.user.name",
    "accounts.user.groups",
    "accounts.group.name",
    "listening.port.name",
    "listening.port.path",
    "services.unit.name",
    "services.unit.command",
    "antivirus.state",
    "firewall.state",
    "protection.state",
    "storage.mount",
    "storage.used_percent",
    "updates.security_pending",
    "lan.gateway.ip",
    "device.ip",
    "device.mac",
    "health.name",
    "silence.seconds",
    "clock.skew_seconds",
)


def flatten(fields: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested objects as dotted names; lists and what lies deeper than six levels stay as they are."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and depth < 6:
            flat.update(flatten(value, f"{path}.", depth + 1))
        else:
            flat[path] = value
    return flat


def event_fields(fields: Mapping[str, Any], words: Words) -> list[FieldRow]:
    """The fields in reading order: the ones that people know first, then the rest by name."""
    flat = {
        name: value
        for name, value in flatten(fields).items()
        if name not in _CONTEXT and _says_something(value)
    }
    names = sorted(flat, key=lambda name: (FIELD_ORDER.get(name, len(FIELD_ORDER)), name))
    return [FieldRow(name, readable(name, flat[name], words)) for name in names[:_MOST_FIELDS]]


def event_summary(fields: Mapping[str, Any], words: Words) -> str:
    """One line: the first few telling values."""
    flat = flatten(fields)
    parts = [readable(name, flat[name], words) for name in _SUMMARY if _says_something(flat.get(name))]
    return " · ".join(part[:_LONGEST_PART] for part in parts[:4])


def readable(name: str, value: object, words: Words) -> str:
    """A field's value as text: times as times, lists with commas, yes and no, closed words translated."""
    t = words.t
    if isinstance(value, bool):
        return t("Yes") if value else t("No")
    if isinstance(value, int | float):
        if name.endswith(_TIMES) and value > 1e8:
            return t.time(float(value))
        if name.endswith(("_seconds", ".seconds")):
            return t.span(value) if _LONG_SECONDS <= value < _FOREVER_SECONDS else f"{t.number(value, 1)} s"
        if name.endswith("_bytes"):
            return t.size(value)
        if name.endswith(".ratio"):
            return t.percent(float(value))
        if name.endswith("_percent"):
            return f"{t.number(value)} %"
        return t.number(value, 0 if float(value).is_integer() else 3) if not _is_code(name) else str(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(_element(each) for each in value[:20]) + (" …" if len(value) > 20 else "")
    return words.value(name, str(value))


_TIMES: Final = ("_time", "_since", ".time", "_at", ".first_seen", ".last_seen")
#: Shorter ones are said in seconds, with a decimal.
_LONG_SECONDS: Final = 120
_FOREVER_SECONDS: Final = 1e11


def _is_code(name: str) -> bool:
    """Numbers that are names, not amounts: ports, process numbers."""
    return name.endswith(("Port", "Id", "Pid", "_id", ".id", ".port", ".uid", ".gid"))


def _element(value: object) -> str:
    if isinstance(value, Mapping):
        said = (each for each in value.values() if isinstance(each, str | int) and not isinstance(each, bool))
        return " ".join(str(each) for each in list(said)[:3])
    return str(value)


def _says_something(value: object) -> bool:
    return value is not None and value != "" and value != [] and value != {}
