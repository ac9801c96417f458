"""Windows events as JSON: their fields by the names rules use, whichever of two forms they come in.

Flat, as nxlog writes them (``Channel``, ``EventID`` and the event data at the top level), and the rendering of an EVTX
record (``Event.System``, ``Event.EventData``, ``Event.UserData``). Which log sources an event belongs to is data:
``rules/pipelines/windows.yml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rules.logsources.deciding import CACHE_LIMIT, MAX_KEY, Decider, KeyedDecider, decider_of, key_of
from rules.logsources.pipelines import find_pipeline

if TYPE_CHECKING:
    from rules.engine.routing import Sources
    from rules.logsources.pipelines import Pipeline

_MAX_DEPTH: Final = 64
#: How many names without a space are remembered; names come from outside.
_NAMES_LIMIT: Final = 8192
_MAX_NAME: Final = 256


class Forms:
    """Reads the flat form. Keeps the names it has seen without a space, so that an event need not be copied."""

    __slots__ = ("_spaceless",)

    def __init__(self) -> None:
        self._spaceless: set[str] = set()

    def flat(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record itself, or a copy where a name has a space; ``SourceName`` stands in for a missing
        ``Provider_Name`` (added in place)."""
        if not self._spaceless.issuperset(record):
            record = self._learn(record)
        if "SourceName" in record and "Provider_Name" not in record:
            record["Provider_Name"] = record["SourceName"]
        return record

    def _learn(self, record: dict[str, Any]) -> dict[str, Any]:
        """Remember names; where one has a space, all of them without."""
        new = [name for name in record if " " not in name and len(name) <= _MAX_NAME]
        if len(self._spaceless) + len(new) > _NAMES_LIMIT:
            self._spaceless.clear()
        self._spaceless.update(new[:_NAMES_LIMIT])
        if not any(" " in name for name in record):
            return record
        made = {name: value for name, value in record.items() if " " not in name}
        for name, value in record.items():
            made.setdefault(name.replace(" ", ""), value)  # a name that is there as it is stays
        return made


class WindowsSources:
    """The log sources of Windows events by channel and event id, from a pipeline (default: the shipped one)."""

    __slots__ = ("_decider", "_known", "_open")

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self._open = decider_of(pipeline or find_pipeline("windows"))
        self._decider = KeyedDecider(self._open, ("Channel", "EventID"))
        self._known: dict[tuple[object, object], Decider] = {}

    def sources(self, channel: object, number: object, fields: Mapping[str, Any]) -> Sources | None:
        """``channel`` and ``number`` as the header has them; ``None`` where one of them is no text or number (nor a
        list of such), or empty. ``fields`` are looked at only where those two do not settle it.
        """
        try:
            found = self._known[channel, number]
        except (KeyError, TypeError):
            return self._find(channel, number, fields)
        if number is True or number is False:  # equal to 1 and 0 as a key, but not as a text
            return self._find(channel, number, fields)
        constant = found.constant
        return constant if constant is not None else found.decide(fields)

    def open_fields(self, channel: object, number: object) -> tuple[str, ...] | None:
        """What else the log sources hang on, for a channel and event id that were asked for before; else ``None``."""
        if type(channel) is not str or type(number) not in (int, str):
            return None
        found = self._known.get((channel, number))
        return found.open_fields() if found is not None else None

    def _find(self, channel: object, number: object, fields: Mapping[str, Any]) -> Sources | None:
        first, second = key_of(channel), key_of(number)
        if first is None or second is None:
            return None
        if not first or not second:
            return self._open.decide(fields)
        found = self._decider.decider((first, second))
        # The values as they are, so that the next event's need not become text first.
        if type(channel) is str and type(number) in (int, str) and len(first) + len(second) <= MAX_KEY:
            if len(self._known) >= CACHE_LIMIT:
                self._known.clear()
            self._known[channel, number] = found
        return found.constant or found.decide(fields)


def evtx_fields(record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """All fields, and the header alone; a name of the event data wins over the same name of the header. ``None``
    where ``record`` is no rendering of EVTX."""
    event = record.get("Event")
    if not isinstance(event, Mapping) or not isinstance(event.get("System"), Mapping):
        return None
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


def flattened(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """EVTX's rendering as a flat event, ``None`` where ``record`` is none. There is one ``Channel`` and one ``EventID``
    then, so these are the header's."""
    found = evtx_fields(record)
    if found is None:
        return None
    fields, header = found
    time = header.get("TimeCreated_SystemTime", header.get("TimeCreated"))
    return {
        **fields,
        **{name: header[name] for name in ("Channel", "EventID") if name in header},
        "@timestamp": time,
    }


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
