"""Events as Windows renders them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages import LogSource
from agent.windows.event_xml import (
    DEFENDER_CHANNEL,
    FOUND,
    MAX_VALUE,
    EventXmlError,
    parse_event,
    parse_time,
)
from rules.logsources import LogSources, shipped
from rules.logsources.windows import evtx_fields
from tests.rules.helpers import SHARED

REGRESSION = SHARED / "sigmahq" / "regression"
#: As EvtRender writes them: one line, single quotes, braces around GUIDs.
LOGON_FAILED = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Microsoft-Windows-Security-Auditing' Guid='{54849625-5478-4994-a5ba-3e3b0328c30d}'/>"
    "<EventID>4625</EventID><Version>0</Version><Level>0</Level><Task>12544</Task><Opcode>0</Opcode>"
    "<Keywords>0x8010000000000000</Keywords><TimeCreated SystemTime='2026-07-22T08:15:12.1234567Z'/>"
    "<EventRecordID>318823</EventRecordID><Correlation ActivityID='{d7a7c3ad-0000-0000-0000-000000000001}'/>"
    "<Execution ProcessID='660' ThreadID='4212'/><Channel>Security</Channel><Computer>UBND-PC07</Computer>"
    "<Security/></System><EventData><Data Name='SubjectUserSid'>S-1-0-0</Data>"
    "<Data Name='TargetUserName'>qu&#x1EA3;n tr&#7883;</Data><Data Name='IpAddress'>203.0.113.9</Data>"
    "<Data Name='LogonType'>3</Data><Data Name='WorkstationName'></Data><Data Name='LmPackageName'/>"
    "</EventData></Event>"
)
CLEARED = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Microsoft-Windows-Eventlog' Guid='{fc65ddd8-d6ef-4962-83d5-6e5cfe9ce148}'/>"
    "<EventID>1102</EventID><Level>4</Level><TimeCreated SystemTime='2026-07-22T08:16:00.0000000Z'/>"
    "<EventRecordID>318824</EventRecordID><Channel>Security</Channel><Computer>UBND-PC07</Computer></System>"
    "<UserData><LogFileCleared xmlns='http://manifests.microsoft.com/win/2004/08/windows/eventlog'>"
    "<SubjectUserSid>S-1-5-21-1-2-3-1001</SubjectUserSid><SubjectUserName>an</SubjectUserName>"
    "</LogFileCleared></UserData></Event>"
)
SERVICE = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Windows PowerShell'/><EventID Qualifiers='0'>400</EventID>"
    "<TimeCreated SystemTime='2026-07-22T08:17:00.5Z'/><EventRecordID>12</EventRecordID>"
    "<Channel>Windows PowerShell</Channel><Computer>UBND-PC07</Computer></System><EventData>"
    "<Data>Available</Data><Data>None</Data><Data>HostApplication=powershell.exe -enc AAAA\r\n</Data>"
    "<Binary>00FF</Binary></EventData></Event>"
)


def test_a_failed_logon_has_windows_own_names() -> None:
    event = parse_event(LOGON_FAILED)
    assert event.logsource == LogSource(product="windows")
    assert event.time == pytest.approx(1784708112.123456)
    assert event.fields == {
        "Provider_Name": "Microsoft-Windows-Security-Auditing",
        "EventID": 4625,
        "Level": "0",
        "Keywords": "0x8010000000000000",
        "EventRecordID": "318823",
        "Execution_ProcessID": "660",
        "Channel": "Security",
        "Computer": "UBND-PC07",
        "SubjectUserSid": "S-1-0-0",
        "TargetUserName": "quản trị",
        "IpAddress": "203.0.113.9",
        "LogonType": "3",
        "WorkstationName": "",
        "LmPackageName": "",
    }


def test_user_data_is_read_by_its_elements() -> None:
    fields = parse_event(CLEARED).fields
    assert fields["EventID"] == 1102
    assert fields["SubjectUserName"] == "an"
    assert "LogFileCleared" not in fields


def test_data_without_names_is_a_list_with_its_line_ends() -> None:
    fields = parse_event(SERVICE).fields
    assert fields["Data"] == ["Available", "None", "HostApplication=powershell.exe -enc AAAA\r\n"]
    assert fields["Binary"] == "00FF"
    assert fields["EventID"] == 400


def test_the_data_may_not_say_what_the_event_is() -> None:
    xml = LOGON_FAILED.replace("Name='LogonType'", "Name='EventID'").replace(
        "Name='IpAddress'", "Name='Channel'"
    )
    fields = parse_event(xml).fields
    assert (fields["EventID"], fields["Channel"]) == (4625, "Security")


def test_what_defender_found_is_said_to_be_of_an_antivirus_and_meets_the_same_rules() -> None:
    xml = LOGON_FAILED.replace(">4625<", ">1116<").replace(">Security<", f">{DEFENDER_CHANNEL}<")
    event = parse_event(xml)
    assert event.logsource == FOUND
    sources = LogSources(shipped())
    _, said = sources.read("windows", "antivirus", "", dict(event.fields))
    _, unsaid = sources.read("windows", "", "", dict(event.fields))
    assert said == unsaid
    assert "antivirus" in {category for category, _ in said.categories}
    assert parse_event(xml.replace(">1116<", ">1150<")).logsource == LogSource(product="windows")
    for number in range(1000, 1200):
        _, known = sources.read("windows", "", "", {"Channel": DEFENDER_CHANNEL, "EventID": number})
        found = parse_event(xml.replace(">1116<", f">{number}<")).logsource == FOUND
        assert found == bool(known.categories), number


def test_names_lose_their_spaces_and_the_data_wins_over_the_header() -> None:
    xml = LOGON_FAILED.replace("Name='LogonType'", "Name='Threat Name'").replace(
        "Name='IpAddress'", "Name='Computer'"
    )
    fields = parse_event(xml).fields
    assert fields["ThreatName"] == "3"
    assert fields["Computer"] == "203.0.113.9"


@pytest.mark.parametrize(
    "character", ["\x00", "\x08", "&#x8;", "&#8;", "\ufffe", "\ud800", "&#xD800;", "&#99999999;"]
)
def test_what_xml_does_not_allow_is_left_out(character: str) -> None:
    fields = parse_event(LOGON_FAILED.replace("203.0.113.9", f"a{character}b")).fields
    assert fields["IpAddress"] == "ab"


def test_a_password_on_a_command_line_is_masked() -> None:
    xml = LOGON_FAILED.replace("Name='LogonType'>3", "Name='CommandLine'>net use z: --password Bi-mat1 x")
    assert parse_event(xml).fields["CommandLine"] == "net use z: --password *** x"


def test_sizes_are_bounded() -> None:
    fields = parse_event(LOGON_FAILED.replace("203.0.113.9", "x" * 100_000)).fields
    assert len(fields["IpAddress"]) == MAX_VALUE
    many = "".join(f"<Data Name='f{number}'>x</Data>" for number in range(2000))
    assert len(parse_event(LOGON_FAILED.replace("<Data Name='LogonType'>3</Data>", many)).fields) < 300


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<Event/>",
        "<Event><System></System></Event>",
        LOGON_FAILED[:-9],
        LOGON_FAILED.replace("4625", "-1"),
        LOGON_FAILED.replace("2026-07-22T08:15:12.1234567Z", "yesterday"),
        "<!DOCTYPE a [<!ENTITY b 'c'>]>" + LOGON_FAILED,
        "<a>" * 100,
        LOGON_FAILED + " " * (600 << 10),
    ],
)
def test_what_is_no_event_is_refused(xml: str) -> None:
    with pytest.raises(EventXmlError):
        parse_event(xml)


@given(st.text(), st.text(alphabet=st.characters(codec=None)))
def test_any_text_is_an_event_or_refused(xml: str, value: str) -> None:
    for tried in (
        xml,
        LOGON_FAILED.replace("203.0.113.9", value),
        LOGON_FAILED.replace("Name='IpAddress'", xml),
    ):
        try:
            event = parse_event(tried)
        except EventXmlError:
            continue
        json.dumps(event.fields).encode()
        assert event.fields["EventID"] == 4625


@given(st.text())
def test_any_text_is_a_time_or_none(text: str) -> None:
    moment = parse_time(text)
    assert moment is None or moment > 0


@pytest.mark.skipif(not REGRESSION.is_dir(), reason="the SigmaHQ regression events are not on this machine")
def test_real_events_have_the_fields_that_the_rules_were_tried_on() -> None:
    """Of every EVTX file of SigmaHQ's: what the agent sends is what the engine reads from the record, or left out."""
    import evtx

    seen = 0
    for path in sorted(REGRESSION.rglob("*.evtx")):
        renderings = [record["data"] for record in evtx.PyEvtxParser(str(path)).records() if record]
        records = [
            json.loads(record["data"]) for record in evtx.PyEvtxParser(str(path)).records_json() if record
        ]
        for rendering, record in zip(renderings, records, strict=True):
            found = evtx_fields(record)
            assert found is not None, path
            fields, header = found
            sent = parse_event(rendering).fields
            for name, value in sent.items():
                if name.endswith("CommandLine") and "***" in value:
                    continue
                assert str("" if fields[name] is None else fields[name]) == str(value), (path, name)
            data = fields.keys() - header.keys() - {"#header"}
            assert data <= sent.keys(), path
            seen += 1
    assert seen > 100
