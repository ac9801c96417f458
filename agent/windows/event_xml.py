"""Events as Windows renders them (``EvtRender``, XML of the *Event* schema), to fields by Windows' own names.

Names are as rules use them: elements of the header by tag (``EventID``, ``Channel``), its attributes as
``Tag_Attribute`` (``Provider_Name``), event data by name without spaces, data without a name as the list ``Data``, user
data by element. A name in the data wins over the header's, but for ``Channel`` and ``EventID``, which say what the
event is.

Anyone who may write to a log writes texts into it, so sizes and numbers are bounded, and Windows itself renders
characters that XML does not allow; they are left out.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from agent.collectors.common.masking import hide_secrets
from agent.messages import Event, LogSource

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

WINDOWS: Final = LogSource(product="windows")
#: What Defender found: such events leave first and are let go last. The numbers are those of Sigma's category.
FOUND: Final = LogSource(product="windows", category="antivirus")
DEFENDER_CHANNEL: Final = "Microsoft-Windows-Windows Defender/Operational"
_FOUND: Final = frozenset({*range(1006, 1013), 1017, 1018, 1019, 1115, 1116})
#: A longer rendering is not read; Windows itself keeps events under 64 KB.
MAX_CHARACTERS: Final = 512 << 10
MAX_FIELDS: Final = 256
MAX_NAME: Final = 128
MAX_VALUE: Final = 16_384
_MAX_DEPTH: Final = 32

#: Of the header what rules or people ask for; the rest is the same for every event of its kind.
_HEADER: Final = frozenset(
    {
        *("Provider_Name", "EventID", "Level", "Keywords", "EventRecordID", "Execution_ProcessID"),
        *("Channel", "Computer", "Security_UserID", "TimeCreated_SystemTime"),
    }
)
_IDENTITY: Final = ("Channel", "EventID")
_COMMAND_LINES: Final = frozenset({"CommandLine", "ParentCommandLine", "ProcessCommandLine"})
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class EventXmlError(ValueError):
    """It is no event's rendering."""


class _Reader:
    """Handlers for expat: elements come one after the other, nothing is kept but the fields."""

    def __init__(self) -> None:
        self.header: dict[str, Any] = {}
        self.data: dict[str, Any] = {}
        self.unnamed: list[str] = []
        self._path: list[str] = []
        self._name = ""
        self._text: list[str] = []
        self._length = 0
        self._has_children = [False]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise EventXmlError("elements stand too deep")
        tag = tag.rpartition(":")[2][:MAX_NAME]
        self._has_children[-1] = True
        self._has_children.append(False)
        self._path.append(tag)
        self._text.clear()
        self._length = 0
        self._name = attributes.get("Name", "")
        if self._path[1:2] == ["System"] and len(self._path) == 3:
            for key, value in attributes.items():
                self._keep(self.header, f"{tag}_{key}", value)

    def text(self, piece: str) -> None:
        room = MAX_VALUE - self._length
        if room > 0:
            self._text.append(piece[:room])
            self._length += len(piece)

    def end(self, _tag: str) -> None:
        path, leaf = self._path, not self._has_children.pop()
        if leaf and len(path) >= 3:
            self._leaf(path, "".join(self._text))
        path.pop()
        self._text.clear()
        self._length = 0

    def _leaf(self, path: list[str], value: str) -> None:
        part, tag = path[1], path[-1]
        if part == "System" and len(path) == 3:
            if value:
                self._keep(self.header, tag, value)
        elif part == "EventData" and tag == "Data":
            name = self._name.replace(" ", "")[:MAX_NAME]
            if name:
                self._keep(self.data, name, value)
            elif len(self.unnamed) < MAX_FIELDS:
                self.unnamed.append(value)
        elif part in ("EventData", "UserData") and len(path) > 2:
            self._keep(self.data, tag, value)

    @staticmethod
    def _keep(where: dict[str, Any], name: str, value: str) -> None:
        if len(where) < MAX_FIELDS or name in where:
            where[name] = value[:MAX_VALUE]


def parse_event(xml: str) -> Event:
    """One rendered event.

    Raises:
        EventXmlError: it is none, or has no channel, number or time.
    """
    from xml.parsers import expat

    if len(xml) > MAX_CHARACTERS:
        raise EventXmlError("longer than any event")
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise EventXmlError("it declares a document type")
    reader = _Reader()
    parser: XMLParserType = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        # A line's end in a text stays what it is: as a reference no parser touches it.
        parser.Parse(_NOT_XML.sub("", _references(xml)).strip().replace("\r", "&#13;"), True)
    except expat.ExpatError as error:
        raise EventXmlError(str(error)) from error
    if reader.unnamed:
        reader.data["Data"] = reader.unnamed if len(reader.unnamed) > 1 else reader.unnamed[0]
    return _event(reader.header, reader.data)


def parse_time(text: str) -> float | None:
    """Seconds since the epoch of ``2026-07-22T08:15:00.1234567Z``; ``None`` for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None and moment.year > 1980 else None


def _event(header: dict[str, Any], data: dict[str, Any]) -> Event:
    time = parse_time(header.pop("TimeCreated_SystemTime", ""))
    number, channel = header.get("EventID", ""), header.get("Channel", "")
    if time is None or not channel or not (number.isascii() and number.isdigit() and len(number) < 8):
        raise EventXmlError("it has no channel, number or time")
    kept: dict[str, Any] = {name: header[name] for name in header if name in _HEADER}
    kept["EventID"] = int(number)
    fields = {**kept, **data, **{name: kept[name] for name in _IDENTITY}}
    for name in _COMMAND_LINES & fields.keys():
        fields[name] = hide_secrets(str(fields[name]))
    found = channel == DEFENDER_CHANNEL and kept["EventID"] in _FOUND
    return Event(time=time, logsource=FOUND if found else WINDOWS, fields=fields)


def _references(xml: str) -> str:
    """Without references to characters that XML does not allow (``&#x8;``), over which every parser stumbles."""
    return re.sub(r"&#(?:x([0-9A-Fa-f]{1,8})|([0-9]{1,8}));", _allowed, xml)


def _allowed(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else int(match[2])
    return "" if code > 0x10FFFF or _NOT_XML.match(chr(code)) else match[0]
