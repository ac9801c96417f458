"""Windows events as JSON: which log sources one belongs to, and its fields by the names rules use.

Two forms are read: flat (as nxlog writes them: ``Channel``, ``EventID`` and the event data at the top level) and the
rendering of an EVTX record (``Event.System``, ``Event.EventData``, ``Event.UserData``). What belongs where is data:
``rules/pipelines/windows.yml``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from rules.engine.events import Event
from rules.engine.fields import read_field, text_of
from rules.engine.routing import Renames, Sources
from rules.engine.values import parse_time

PIPELINE: Final = Path(__file__).parents[1] / "pipelines" / "windows.yml"
_MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class _Way:
    category: str
    service: str
    event_ids: frozenset[str]
    where: tuple[tuple[str, str], ...]
    renames: Renames


class WindowsEvents:
    """Reads Windows events; ``read`` is safe on any JSON value."""

    def __init__(self, pipeline: Path = PIPELINE) -> None:
        data = yaml.safe_load(pipeline.read_text(encoding="utf-8"))
        self._product: str = data["product"]
        self._services: dict[str, set[str]] = {}
        for service, channels in data["services"].items():
            for channel in channels:
                self._services.setdefault(channel.lower(), set()).add(service)
        self._ways: dict[str, list[_Way]] = {}
        for category, ways in data["categories"].items():
            for way in ways:
                self._ways.setdefault(way["service"], []).append(
                    _Way(
                        category,
                        way["service"],
                        frozenset(str(each) for each in way["event_ids"]),
                        tuple((name, str(value).lower()) for name, value in way.get("where", {}).items()),
                        tuple(sorted(way.get("fields", {}).items())),
                    )
                )

    def read(self, record: object, event_id: str) -> tuple[Event, Sources] | None:
        """The event and its log sources, or ``None`` where ``record`` has no channel or no event id."""
        if not isinstance(record, Mapping):
            return None
        inner = record.get("Event")
        if isinstance(inner, Mapping) and isinstance(inner.get("System"), Mapping):
            fields, header = _evtx_fields(inner)
            time = header.get("TimeCreated_SystemTime", header.get("TimeCreated"))
        else:
            fields = header = _flat_fields(record)
            time = fields.get("@timestamp")
        channel, number = text_of(header.get("Channel")), text_of(header.get("EventID"))
        if not channel or not number:
            return None
        moment = parse_time(time) if isinstance(time, str) else None
        seconds = math.nan if moment is None else moment.timestamp()
        return Event(event_id, seconds, self._product, "", "", fields), self._sources(channel, number, fields)

    def _sources(self, channel: str, number: str, fields: Mapping[str, Any]) -> Sources:
        services = self._services.get(channel.lower(), set())
        categories = frozenset(
            (way.category, way.renames)
            for service in services
            for way in self._ways.get(service, ())
            if number in way.event_ids
            and all(wanted in read_field(fields, name).lows for name, wanted in way.where)
        )
        return Sources(self._product, frozenset(services), categories)


def _flat_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name.replace(" ", ""): value for name, value in record.items()}
    if "Provider_Name" not in fields and "SourceName" in fields:
        fields["Provider_Name"] = fields["SourceName"]
    return fields


def _evtx_fields(event: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All fields, and the header alone; a name of the event data wins over the same name of the header."""
    header: dict[str, Any] = {}
    for tag, value in event["System"].items():
        _header_element(header, tag.replace(" ", ""), value)
    fields = dict(header)
    data = event.get("EventData")
    if isinstance(data, Mapping):
        for name, value in data.items():
            if name not in ("#attributes", "Data"):
                fields[name.replace(" ", "")] = _plain(value)
        if "Data" in data:
            _data_elements(fields, data["Data"])
    elif data is not None:
        fields["Data"] = data
    user = event.get("UserData")
    if isinstance(user, Mapping):
        _user_data(fields, user, 0)
    hidden = [value for name, value in header.items() if fields[name] is not value]
    if hidden:  # keywords still search what a name of the data has covered
        fields["#header"] = hidden
    return fields, header


def _header_element(header: dict[str, Any], tag: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        header[tag] = value
        return
    attributes = value.get("#attributes")
    for name, each in attributes.items() if isinstance(attributes, Mapping) else ():
        header[f"{tag}_{name}"] = each
    for name, each in value.items():
        if name == "#text":
            header[tag] = each
        elif name.startswith("@"):
            header[f"{tag}_{name[1:]}"] = each
        elif name != "#attributes":
            header[f"{tag}_{name}"] = each


def _plain(value: Any) -> Any:
    """An element's text where it is wrapped with its attributes."""
    return value["#text"] if isinstance(value, Mapping) and "#text" in value else value


def _data_elements(fields: dict[str, Any], data: Any) -> None:
    """``Data`` elements: with a ``Name`` attribute they are fields, without they are the field ``Data``."""
    unnamed: list[Any] = []
    for each in data if isinstance(data, list) else [data]:
        attributes = each.get("#attributes", each) if isinstance(each, Mapping) else {}
        name = attributes.get("Name", attributes.get("@Name")) if isinstance(attributes, Mapping) else None
        value = _plain(each)
        if isinstance(name, str):
            fields[name.replace(" ", "")] = value
        elif isinstance(value, list):
            unnamed.extend(value)
        else:
            unnamed.append(value)
    if unnamed:
        fields["Data"] = unnamed[0] if len(unnamed) == 1 else unnamed


def _user_data(fields: dict[str, Any], element: Mapping[str, Any], depth: int) -> None:
    for name, value in element.items():
        if name.startswith(("#", "@")):
            continue
        value = _plain(value)
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            _user_data(fields, value, depth + 1)
        else:
            fields[name.replace(" ", "")] = value
