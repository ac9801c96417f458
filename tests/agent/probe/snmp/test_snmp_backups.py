"""Backups that devices tell of: a real snmpd with ``extend``, and what a device may say."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.probe.snmp.around import Around
from agent.probe.snmp.backups import Backups, parse_date_and_time, parse_time
from agent.probe.snmp.device import Polled
from agent.probe.snmp.known import Memory
from agent.probe.snmp.settings import Backup, Device, Poll, SnmpSettings
from tests.agent.probe.snmp.answering import Answering
from tests.support.netns import wait_for
from tests.support.snmp import snmpd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agent.probe.snmp.conftest import Running, Site

#: NET-SNMP-EXTEND-MIB: nsExtendOutput1Line and nsExtendResult, by the extension's name.
OUTPUT, RESULT = "1.3.6.1.4.1.8072.1.3.2.3.1.1", "1.3.6.1.4.1.8072.1.3.2.3.1.4"
#: HOST-RESOURCES-MIB: the machine's own time, a DateAndTime.
HR_DATE = "1.3.6.1.2.1.25.1.2.0"


def of(column: str, name: str) -> str:
    return ".".join([column, str(len(name)), *(str(ord(letter)) for letter in name)])


def told(part: Running, system: str) -> dict[str, Any]:
    return part.documents.get(("backup", system)) or {}


def test_a_real_snmpd_tells_when_a_backup_ended_and_how(site: Site, tmp_path: Path) -> None:
    ended = round(time.time()) - 7_200
    when, outcome = tmp_path / "when", tmp_path / "outcome"
    when.write_text(f"{ended}\n")
    outcome.write_text("0")
    script = tmp_path / "state.sh"
    script.write_text(f"exit $(cat {outcome})\n")
    lines = [
        f"extend when /bin/cat {when}",
        f"extend state /bin/sh {script}",
        "extend age /bin/echo 3600",
    ]
    with snmpd(tmp_path / "snmpd", "\n".join(lines)) as port:
        site.community("nas", "bimat")
        site.device("nas-1", "nas", port)
        site.backups += [
            Backup("his-db", "nas-1", of(OUTPUT, "when"), "unix_seconds", of(RESULT, "state")),
            Backup("files", "nas-1", of(OUTPUT, "age"), "age_seconds"),
            Backup("clock", "nas-1", HR_DATE),
            Backup("nothing", "nas-1", of(OUTPUT, "none"), "unix_seconds"),
        ]
        with site.running() as part:
            wait_for(lambda: told(part, "his-db") and told(part, "nothing"), 60)
            assert told(part, "his-db") == {
                "way": "snmp",
                "device": "nas-1",
                "state": "good",
                "newest_time": float(ended),
            }
            now = time.time()
            assert told(part, "files")["newest_time"] == pytest.approx(now - 3600, abs=120)
            assert told(part, "clock")["newest_time"] == pytest.approx(now, abs=120)
            assert told(part, "nothing") == {"way": "snmp", "device": "nas-1", "state": "missing"}
            outcome.write_text("3")
            wait_for(lambda: told(part, "his-db").get("state") == "failed", 60)
    failed = told(part, "his-db")
    assert (failed["newest_time"], failed["reason"]) == (float(ended), "3")
    assert failed["failed_time"] == pytest.approx(time.time(), abs=120)
    ages = [
        each.body["newest_time"]
        for said in part.said
        for each in said.found().documents
        if each.item == "files" and each.body is not None
    ]
    assert len(ages) == 1, "an age that grows is no new backup"


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (bytes([7, 234, 11, 22, 18, 0, 0, 0, 0x2B, 7, 0]), "date_and_time", NOW - 3600),
        (bytes([7, 234, 11, 22, 6, 0, 60, 0, 0x2D, 5, 0]), "date_and_time", NOW - 3541),
        (bytes([7, 234, 13, 22, 18, 0, 0, 0, 0x2B, 7, 0]), "date_and_time", None),
        (bytes([7, 234, 11, 22, 18, 0, 0, 0, 0x2B, 99, 99]), "date_and_time", None),
        (bytes([7, 234, 11, 22, 18, 0, 0, 0, 0, 7, 0]), "date_and_time", None),
        (bytes([7, 235, 1, 1, 0, 0, 0, 0, 0x2B, 7, 0]), "date_and_time", None),  # ahead
        (b"", "date_and_time", None),
        (7, "date_and_time", None),
        (int(NOW) - 60, "unix_seconds", NOW - 60),
        (str(int(NOW) - 60).encode(), "unix_seconds", NOW - 60),
        (0, "unix_seconds", None),
        (2**63, "unix_seconds", None),
        (60, "age_seconds", NOW - 60),
        (-1, "age_seconds", None),
        (2**63, "age_seconds", None),
        (None, "age_seconds", None),
        ("never", "unix_seconds", None),
    ],
)
def test_a_time_is_read_in_its_form_and_what_is_none_is_passed_over(
    value: Any, form: Any, expected: float | None
) -> None:
    found = parse_time(value, form, NOW)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_time_without_a_zone_is_this_machines() -> None:
    local = datetime.fromtimestamp(NOW)  # noqa: DTZ006 - as this machine has it
    octets = bytes([*local.year.to_bytes(2, "big"), local.month, local.day, local.hour, local.minute, 0, 0])
    assert parse_date_and_time(octets) == NOW


def test_a_failure_keeps_the_time_at_which_it_was_first_seen_until_a_run_is_good() -> None:
    one = Backup("a", "nas", "1.3.6.1", "unix_seconds", "1.3.6.2", (0, 2))
    good, failed = {"removed": NOW}, {"removed": NOW}
    backups = Backups((one,), good, failed)

    def body(now: float, state: int | None) -> dict[str, Any]:
        [document] = backups.documents({"1.3.6.1": int(NOW) - 60, "1.3.6.2": state}, now)
        assert document.body is not None
        return document.body

    assert body(NOW, 0)["state"] == "good"
    assert body(NOW + 1, 1)["failed_time"] == NOW + 1
    backups = Backups((one,), good, failed)  # as after a restart
    assert (good, failed) == ({"a": NOW - 60}, {"a": NOW + 1})
    assert body(NOW + 8, None)["state"] == "missing"
    assert body(NOW + 9, 1)["failed_time"] == NOW + 1
    assert "failed_time" not in body(NOW + 10, 2)
    assert body(NOW + 11, None)["state"] == "missing", "a state that is asked for and not told is not good"


def test_a_device_that_tells_of_its_backup_later_than_it_starts_is_asked_on() -> None:
    device: Any = Answering()
    one = Polled(Device("nas", "10.0.0.2", "c"), Poll(), device, Memory(), Around(300))
    one.backups = Backups((Backup("a", "nas", "1.3.6.1", "unix_seconds"),), {}, {})
    for minute, value in ((0, None), (1, int(NOW))):
        if value is not None:
            device.scalars["1.3.6.1"] = value
        asyncio.run(one.ask(NOW + 60 * minute))
    [document] = one.backups.documents(one.values, NOW + 60)
    assert document.body is not None
    assert document.body["state"] == "good"


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "sw-2"},
        {"oid": "sysDescr"},
        {"form": "iso"},
        {"state_oid": "1.x"},
        {"good_states": []},
        {"system": "Có dấu"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    backup = {"system": "a", "device": "sw-1", "oid": "1.3.6.1.2.1.1.3.0"}
    settings = {
        "credentials": {"credential": [{"name": "c", "version": "2c", "community_file": "/x"}]},
        "devices": {"device": [{"name": "sw-1", "address": "10.0.0.1", "credential": "c"}]},
        "backups": {"backup": [backup]},
    }
    msgspec.convert(settings, SnmpSettings, strict=True)
    settings["backups"] = {"backup": [{**backup, **wrong}]}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, SnmpSettings, strict=True)
