"""USB disks in trees of the shape that the kernel's ``/sys`` has; this machine has no USB to plug anything into."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import usb_storage
from agent.collectors.common.usb import block_names, parse_seat, read_disk
from agent.collectors.registry import Output
from tests.agent.collectors.support import FakeClock, context, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.messages import Event

DEVICES = "sys/devices/pci0000:00"
STICK = f"{DEVICES}/0000:00:14.0/usb1/1-2"


class Host:
    def __init__(self, root: Path) -> None:
        self.root, self.clock, self.state = root, FakeClock(), dict[str, Any]()
        (root / "sys/block").mkdir(parents=True)
        self.disk("sda", f"{DEVICES}/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0", 1000215216)
        write(root / "run/systemd/seats/seat0", "IS_SEAT0=1\nACTIVE=2\nACTIVE_UID=0\n")

    def disk(self, name: str, unit: str, sectors: int) -> None:
        write(self.root / unit / "block" / name / "size", f"{sectors}\n")
        (self.root / "sys/block" / name).unlink(missing_ok=True)
        (self.root / "sys/block" / name).symlink_to(self.root / unit / "block" / name)

    def plug_in(
        self, name: str = "sdb", serial: str = "4C530001230801117392", sectors: int = 60062500
    ) -> None:
        for file, text in (
            ("idVendor", "0781\n"),
            ("idProduct", "5581\n"),
            ("manufacturer", " SanDisk\n"),
            ("product", "Ultra\n"),
            ("serial", f"{serial}\n"),
        ):
            write(self.root / STICK / file, text)
        self.disk(name, f"{STICK}/1-2:1.0/host6/target6:0:0/6:0:0:0", sectors)

    def pull_out(self, name: str = "sdb") -> None:
        shutil.rmtree(self.root / STICK)
        (self.root / "sys/block" / name).unlink()

    def look(self) -> list[Event]:
        return self.output().events

    def output(self) -> Output:
        self.clock.now += 2
        return usb_storage.collect(context(self.root, state=self.state, now=self.clock))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    assert made.look() == []
    yield made
    forget()


def forget() -> None:
    """As after a restart of the agent."""
    usb_storage._looked = usb_storage._Looked()
    usb_storage._quota = usb_storage._Quota()


def actions(events: list[Event]) -> list[str]:
    return [str(event.fields["event.action"]) for event in events]


def test_a_stick_is_told_when_it_comes_and_when_it_goes(host: Host) -> None:
    host.plug_in()
    (event,) = host.look()
    assert (event.logsource.product, event.logsource.service) == ("linux", "usb")
    assert event.fields == {
        "event.action": "usb_storage_connected",
        "usb": {
            "name": "sdb",
            "vendor_id": "0781",
            "product_id": "5581",
            "manufacturer": "SanDisk",
            "model": "Ultra",
            "serial_number": "4C530001230801117392",
            "port": "1-2",
            "size_bytes": 60062500 * 512,
        },
        "DetectedBy": "watch",
        "User": "root",
    }
    assert host.look() == []
    host.pull_out()
    (event,) = host.look()
    assert event.fields["event.action"] == "usb_storage_disconnected"
    assert event.fields["usb"]["serial_number"] == "4C530001230801117392"


def test_a_reader_is_told_when_a_card_is_put_in(host: Host) -> None:
    host.plug_in(sectors=0)
    assert host.look() == []
    host.plug_in(sectors=1000)
    assert actions(host.look()) == ["usb_storage_connected"]
    host.plug_in(sectors=0)
    assert actions(host.look()) == ["usb_storage_disconnected"]


def test_what_stays_over_a_restart_is_no_news_and_what_came_meanwhile_is(host: Host) -> None:
    host.plug_in()
    host.look()
    forget()
    host.pull_out()
    host.plug_in("sdc")  # the same stick under another name
    assert host.look() == []
    forget()
    host.pull_out("sdc")
    host.plug_in("sdb", serial="OTHER")
    events = host.look()
    assert actions(events) == ["usb_storage_disconnected", "usb_storage_connected"]
    assert {event.fields["DetectedBy"] for event in events} == {"comparison"}
    assert not any("User" in event.fields for event in events)


def test_what_was_not_kept_is_told_again(host: Host) -> None:
    host.plug_in()
    host.look()
    host.state.clear()
    assert actions(host.look()) == ["usb_storage_connected"]


def test_what_a_device_says_of_itself_is_text(host: Host) -> None:
    host.plug_in(serial="\x1b[31m" + "x" * 600)
    (event,) = host.look()
    assert event.fields["usb"]["serial_number"].isprintable()
    assert len(event.fields["usb"]["serial_number"]) <= 128


def test_another_stick_under_the_same_name_is_seen_though_the_look_came_too_late_to_see_the_gap(
    host: Host,
) -> None:
    host.plug_in()
    host.look()
    host.pull_out()
    host.plug_in(serial="OTHER")
    (host.root / "sys/block/sdb").unlink()
    host.disk("sdb", f"{STICK}/1-2:1.0/host7/target7:0:0/7:0:0:0", 60062500)
    assert actions(host.look()) == ["usb_storage_disconnected", "usb_storage_connected"]


def test_a_device_that_changes_its_size_is_told_a_few_times_the_rest_counted_and_how_it_ends(
    host: Host,
) -> None:
    host.plug_in()
    outputs = [host.output()]
    for turn in range(100):
        host.plug_in(sectors=2000 + turn % 2)
        outputs.append(host.output())
    assert sum(len(output.events) for output in outputs) == usb_storage.MAX_OF_DEVICE
    counts = [metric.value for output in outputs for metric in output.metrics]
    assert counts == sorted(counts)
    # Each of the 100 changes takes away and connects; the first connection was told besides.
    assert counts[-1] == 1 + 2 * 100 - usb_storage.MAX_OF_DEVICE
    assert host.output() == Output()  # nothing new: nothing more to count
    host.disk("sdc", f"{DEVICES}/0000:00:14.0/usb1/1-3/1-3:1.0/host8/target8:0:0/8:0:0:0", 1000)
    write(host.root / DEVICES / "0000:00:14.0/usb1/1-3/idVendor", "abcd\n")
    assert [event.fields["usb"]["vendor_id"] for event in host.look()] == ["abcd"]  # another is told at once
    host.clock.now += usb_storage.WINDOW_SECONDS
    host.look()
    sizes = {disk["size"] for disk in host.state["disks"].values() if disk["vendor_id"] == "0781"}
    assert sizes == {2001 * 512}


def test_a_device_that_changes_its_number_is_bounded_too(host: Host) -> None:
    told = 0
    for turn in range(100):
        host.plug_in(serial=f"number {turn}")
        told += len(host.look())
        host.pull_out()
        told += len(host.look())
    assert told == usb_storage.MAX_OF_ALL
    assert len(host.state["disks"]) <= usb_storage.MAX_DISKS


def test_the_disks_of_this_machine_are_read() -> None:
    names = block_names(Path("/sys"))
    if not names:
        pytest.skip("no /sys/block here")
    assert [name for name in names if name.startswith("loop") and read_disk(Path("/sys"), name)] == []


@given(st.text(max_size=100))
def test_no_seat_file_breaks_the_reader(text: str) -> None:
    uid = parse_seat(f"{text}\nACTIVE_UID={text}")
    assert uid is None or 0 <= uid < 1 << 32
