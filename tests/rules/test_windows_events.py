"""Windows events: both JSON forms, routing by channel and event id, renamed fields."""

from __future__ import annotations

from typing import Any

import pytest

from rules.engine import Engine
from tests.rules.helpers import WindowsEvents, rule

SYSMON = "Microsoft-Windows-Sysmon/Operational"
WINDOWS = WindowsEvents()


def offered(
    logsource: str, record: dict[str, Any], detection: str = "s: {Channel: '*'}\ncondition: s"
) -> bool:
    read = WINDOWS.read(record, "1")
    return read is not None and bool(Engine([rule(detection, logsource=logsource)]).process(*read))


@pytest.mark.parametrize(
    ("logsource", "channel", "number", "expected"),
    [
        ("{product: windows}", "Anything", 1, True),
        ("{product: windows, service: security}", "security", 1, True),
        ("{product: windows, service: security}", "Security/Other", 1, False),
        ("{product: windows, category: process_creation}", SYSMON, 1, True),
        ("{product: windows, category: process_creation}", SYSMON, "1", True),
        ("{product: windows, category: process_creation}", SYSMON, 2, False),
        ("{product: windows, category: process_creation}", "Security", 4688, True),
        ("{product: windows, category: process_creation}", "Security", 1, False),
        ("{product: windows, category: process_creation, service: sysmon}", "Security", 4688, False),
        ("{category: antivirus}", "Microsoft-Windows-Windows Defender/Operational", 1116, True),
        ("{category: antivirus}", "Microsoft-Windows-Windows Defender/Operational", 5001, False),
        ("{product: windows, service: nosuch}", "Security", 1, False),
        ("{product: linux, service: auth}", "Security", 1, False),
    ],
)
def test_an_event_belongs_where_its_channel_and_id_say(
    logsource: str, channel: str, number: object, expected: bool
) -> None:
    assert offered(logsource, {"Channel": channel, "EventID": number}) is expected


@pytest.mark.parametrize(
    ("kind", "expected"), [("CreateKey", True), ("createkey", True), ("DeleteKey", False)]
)
def test_some_categories_ask_for_a_field_as_well(kind: str, expected: bool) -> None:
    record = {"Channel": SYSMON, "EventID": 12, "EventType": kind}
    assert offered("{product: windows, category: registry_add}", record) is expected


def test_fields_are_renamed_for_the_way_the_event_came_by_and_nothing_else() -> None:
    detection = "s: {Image|endswith: cmd.exe}\ncondition: s"
    audited = {"Channel": "Security", "EventID": 4688, "NewProcessName": "C:\\cmd.exe"}
    assert offered("{product: windows, category: process_creation}", audited, detection)
    assert not offered("{product: windows, service: security}", audited, detection)
    wrong = {"Channel": "Security", "EventID": 4688, "Image": "C:\\cmd.exe"}
    assert not offered("{product: windows, category: process_creation}", wrong, detection)


def test_flat_names_lose_their_spaces_and_the_source_stands_for_the_provider() -> None:
    event, _ = WINDOWS.read({"Channel": "x", "EventID": 1, "Threat Name": "t", "SourceName": "s"}, "1") or (
        None,
        None,
    )
    assert event is not None
    assert event.fields["ThreatName"] == "t"
    assert event.fields["Provider_Name"] == "s"


EVTX = {
    "Event": {
        "System": {
            "Provider": {"#attributes": {"Name": "P", "Guid": "g"}},
            "EventID": {"#attributes": {"Qualifiers": 7}, "#text": 104},
            "Channel": "System",
            "Computer": "PC",
            "TimeCreated": {"#attributes": {"SystemTime": "2026-01-02T03:04:05.5Z"}},
            "Execution": {"#attributes": {"ProcessID": 4}},
        },
        "EventData": {"Computer": "Other", "Image Path": "x", "Data": {"#text": ["one", "two"]}},
        "UserData": {"LogFileCleared": {"#attributes": {"xmlns": "n"}, "Deep": {"SubjectUserName": "lan"}}},
    }
}


def test_the_evtx_form_gives_header_data_and_user_data_by_name() -> None:
    read = WINDOWS.read(EVTX, "1")
    assert read is not None
    event, sources = read
    assert event.time == 1767323045.5
    assert sources.services == {"system"}
    assert {key: event.fields[key] for key in ("EventID", "EventID_Qualifiers", "Provider_Name")} == {
        "EventID": 104,
        "EventID_Qualifiers": 7,
        "Provider_Name": "P",
    }
    assert event.fields["Execution_ProcessID"] == 4
    assert event.fields["Computer"] == "Other"
    assert event.fields["ImagePath"] == "x"
    assert event.fields["Data"] == ["one", "two"]
    assert event.fields["SubjectUserName"] == "lan"


def test_keywords_search_a_header_that_the_data_covers() -> None:
    read = WINDOWS.read(EVTX, "1")
    assert read is not None
    engine = Engine([rule("k: [PC]\ncondition: k", logsource="{product: windows}")])
    assert engine.process(*read)


def test_routing_uses_the_header_even_where_the_data_has_the_same_name() -> None:
    record = {"Event": {"System": {"EventID": 1, "Channel": "System"}, "EventData": {"Channel": "Security"}}}
    assert offered("{product: windows, service: system}", record)
    assert not offered("{product: windows, service: security}", record)


@pytest.mark.parametrize(
    "record",
    [{}, {"Channel": "x"}, {"EventID": 1}, [], 5, None, "x", {"Channel": None, "EventID": 1}, {"Event": 1}],
)
def test_what_has_no_channel_and_id_is_no_windows_event(record: object) -> None:
    assert WINDOWS.read(record, "1") is None


@pytest.mark.parametrize(
    "stamp", ["2026-01-02T03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T10:04:05+07:00"]
)
def test_flat_time_without_an_offset_is_utc(stamp: str) -> None:
    read = WINDOWS.read({"Channel": "x", "EventID": 1, "@timestamp": stamp}, "1")
    assert read is not None
    assert read[0].time == 1767323045.0
