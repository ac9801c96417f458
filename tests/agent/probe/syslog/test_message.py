"""Headers of syslog as standards and devices write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.probe.syslog.message import read_message, text_of
from agent.probe.syslog.stamps import Clock

#: Ten in the morning in Vietnam, and five seconds.
CAME = datetime(2026, 11, 22, 3, 0, 5, tzinfo=UTC)
HANOI = Clock(ZoneInfo("Asia/Ho_Chi_Minh"))
HEADER = {
    "log.syslog.priority",
    "log.syslog.facility.code",
    "log.syslog.facility.name",
    "log.syslog.severity.code",
    "log.syslog.severity.name",
}


def read(text: str, came: datetime = CAME) -> tuple[datetime, dict[str, Any]]:
    seconds, fields = read_message(text, came.timestamp(), HANOI)
    return datetime.fromtimestamp(seconds, UTC), fields


def said(**names: str) -> dict[str, str]:
    return {f"log.syslog.{name}": value for name, value in names.items()}


@pytest.mark.parametrize(
    ("line", "before", "fields"),
    [
        # RFC 5424, and Juniper's structured form
        (
            "<165>1 2026-11-22T03:00:00.250Z mail.example evntslog 77 ID47 - \ufeffXin chào",
            4.75,
            {
                "message": "Xin chào",
                **said(version="1", hostname="mail.example", appname="evntslog", procid="77", msgid="ID47"),
            },
        ),
        (
            (
                "<14>1 2026-11-22T10:00:00+07:00 srx RT_FLOW - RT_FLOW_SESSION_DENY [junos@2636.1.1.1.2.28 "
                'source-address="10.0.0.1" note="a\\"b\\]"] denied'
            ),
            5,
            {
                "message": "denied",
                "log.syslog.structured_data": {
                    "junos@2636.1.1.1.2.28": {"source-address": "10.0.0.1", "note": 'a"b]'}
                },
                **said(version="1", hostname="srx", appname="RT_FLOW", msgid="RT_FLOW_SESSION_DENY"),
            },
        ),
        ("<13>1 - - - - - -", 0, {"message": "", **said(version="1")}),
        # Check Point's brackets are no structured data
        (
            '<134>1 2026-11-22T03:00:00Z cp CheckPoint 12 - [action:"Drop"; src:"10.0.0.1"]',
            5,
            {
                "message": '[action:"Drop"; src:"10.0.0.1"]',
                **said(version="1", hostname="cp", appname="CheckPoint", procid="12"),
            },
        ),
        # RFC 3164 and its kin
        (
            "<86>Nov 22 10:00:00 web1 sshd[99]: Failed password for root",
            5,
            {"message": "Failed password for root", **said(hostname="web1", appname="sshd", procid="99")},
        ),
        (
            "<13>2026-11-22T10:00:00.500000+07:00 web1 CRON[5]: (root) CMD",
            4.5,
            {"message": "(root) CMD", **said(hostname="web1", appname="CRON", procid="5")},
        ),
        (
            "<134>Nov 22 10:00:00 filterlog[12]: 5,,,0",
            5,
            {"message": "5,,,0", **said(appname="filterlog", procid="12")},
        ),
        (
            "<14>Nov 22 10:00:00 PA-220 1,2026/11/22,0",
            5,
            {"message": "1,2026/11/22,0", **said(hostname="PA-220")},
        ),
        (
            "<30>Nov  2 10:00:00 fw dhcpd: ACK",
            20 * 86400 + 5,
            {"message": "ACK", **said(hostname="fw", appname="dhcpd")},
        ),
        # Cisco
        (
            "<166>Nov 22 2026 10:00:00 fw : %ASA-6-302013: Built",
            5,
            {"message": "%ASA-6-302013: Built", **said(hostname="fw")},
        ),
        ("<166>Nov 22 2026 10:00:00: %ASA-6-302013: Built", 5, {"message": "%ASA-6-302013: Built"}),
        ("<166>%ASA-6-302013: Built", 0, {"message": "%ASA-6-302013: Built"}),
        (
            "<189>45: core1: *Nov 22 03:00:01.500 UTC: %SYS-5-CONFIG_I: Configured",
            3.5,
            {"message": "%SYS-5-CONFIG_I: Configured", **said(hostname="core1")},
        ),
        ("<187>: 2026 Nov 22 10:00:00 ICT: %ETHPORT-5-IF_DOWN: x", 5, {"message": "%ETHPORT-5-IF_DOWN: x"}),
        # no header, or next to none
        (
            '<190>date=2026-11-22 devname="FG" logid="1"',
            0,
            {"message": 'date=2026-11-22 devname="FG" logid="1"'},
        ),
        ("<30>firewall,info forward: in:ether1", 0, {"message": "firewall,info forward: in:ether1"}),
    ],
)
def test_headers(line: str, before: float, fields: dict[str, Any]) -> None:
    time, found = read(line)
    assert CAME - time == timedelta(seconds=before)
    assert found.keys() >= HEADER
    assert {name: value for name, value in found.items() if name not in HEADER} == fields


def test_the_priority_is_told_by_number_and_by_name() -> None:
    _, fields = read("<86>Nov 22 10:00:00 web1 sshd[99]: x")
    assert {name: fields[name] for name in HEADER} == {
        "log.syslog.priority": 86,
        "log.syslog.facility.code": 10,
        "log.syslog.facility.name": "authpriv",
        "log.syslog.severity.code": 6,
        "log.syslog.severity.name": "Informational",
    }


@pytest.mark.parametrize("line", ["no header at all", "<192>x", "<>x", "<13", ""])
def test_what_has_no_header_stays_whole(line: str) -> None:
    assert read(line) == (CAME, {"message": line})


@pytest.mark.parametrize("stamp", ["Feb 30 10:00:00", "Nov 22 25:00:00", "Foo 22 10:00:00"])
def test_a_time_that_there_is_not_stays_in_the_message(stamp: str) -> None:
    time, fields = read(f"<13>{stamp} web1 cron: x")
    assert (time, fields["message"]) == (CAME, f"{stamp} web1 cron: x")


def test_a_year_that_is_missing_is_the_nearest() -> None:
    new_year = datetime(2026, 12, 31, 17, 0, 30, tzinfo=UTC)  # half a minute into 2027 in Vietnam
    assert read("<13>Dec 31 23:59:50 h t: x", new_year)[0] == new_year - timedelta(seconds=40)
    ahead = datetime(2026, 12, 31, 16, 59, 50, tzinfo=UTC)
    assert read("<13>Jan  1 00:00:05 h t: x", ahead)[0] == ahead + timedelta(seconds=15)
    leap = datetime(2028, 2, 29, 3, 0, tzinfo=UTC)
    assert read("<13>Feb 29 10:00:00 h t: x", leap)[0] == leap


def test_a_clock_of_another_zone_is_known_by_whole_quarters_and_other_differences_stay() -> None:
    assert read("<13>Nov 22 03:00:00 h t: x")[0] == CAME - timedelta(seconds=5)  # a clock set to UTC
    assert read("<13>Nov 22 08:45:00 h t: x")[0] == CAME - timedelta(seconds=5)  # Nepal's
    assert read("<13>Nov 22 09:50:00 h t: x")[0] == CAME - timedelta(seconds=605)  # ten minutes late
    assert read("<13>2026-11-22T02:00:00Z h t: x")[0] == CAME - timedelta(seconds=3605)  # it says its zone
    assert read("<13>Nov 20 10:00:00 h t: x")[0] == CAME - timedelta(days=2, seconds=5)  # kept, then sent


def test_bytes_that_are_no_text_and_controls_stay_readable() -> None:
    assert text_of("đăng nhập".encode()) == "đăng nhập"
    assert text_of(b"caf\xe9\x00\x1b[31m\tx\n") == "caf\\xe9#000#033[31m\tx\n"


def test_brackets_without_end_cost_no_more_than_their_length() -> None:
    hostile = "<13>1 2026-11-22T03:00:00Z h a - - " + '[a b="' * 20_000
    for _ in range(5):
        _, fields = read(hostile[:16_384])
        assert fields["message"].startswith('[a b="')
    many = "".join(f'[e{number} a="b"]' for number in range(1_000))
    assert "log.syslog.structured_data" not in read(f"<13>1 - h a - - {many}")[1]
