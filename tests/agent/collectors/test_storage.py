from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.registry import NothingToReport
from agent.collectors.storage import Mount, collect, parse_mounts, parse_read_only, settle, used_percent
from tests.agent.collectors.support import context, fixture_bytes, write

if TYPE_CHECKING:
    from pathlib import Path


def test_local_volumes_are_found_once_each_and_others_left_away() -> None:
    assert parse_mounts(fixture_bytes("proc/mounts_workstation")) == [
        Mount("/dev/nvme0n1p2", "/", "ext4", read_only=False),
        Mount("/dev/nvme0n1p1", "/boot/efi", "vfat", read_only=True),
        Mount("/dev/sdb1", "/media/Đĩa USB", "vfat", read_only=False),
    ]


def test_a_captured_table_has_one_volume() -> None:
    assert [m.path for m in parse_mounts(fixture_bytes("proc/mounts"))] == ["/"]


def test_percent_counts_like_df() -> None:
    assert used_percent(100, 50, 45) == 53
    assert used_percent(0, 0, 0) == 0
    assert used_percent(100, 0, 0) == 100


@pytest.mark.parametrize(
    ("measured", "told", "expected"),
    [
        (50, None, 50),
        (52, 50, 50),
        (55, 50, 55),
        (46, 50, 50),
        (45, 50, 45),
        (91, 90, 91),
        (92, 91, 92),
        (90, 91, 90),
    ],
)
def test_small_changes_are_told_only_when_it_gets_tight(
    measured: int, told: int | None, expected: int
) -> None:
    assert settle(measured, told) == expected


def test_every_volume_gets_a_document_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/mounts", "/dev/vda / ext4 rw 0 0\n/dev/vdb /data xfs ro 0 0\n")
    (tmp_path / "data").mkdir()
    state: dict[str, Any] = {}
    documents = collect(context(tmp_path, state=state)).documents
    assert [(d.kind, d.item) for d in documents] == [("storage", "/"), ("storage", "/data")]
    assert documents[1].body is not None
    assert documents[1].body["read_only"] is True
    assert documents[1].body["total_bytes"] > 0
    assert set(state["used_percent"]) == {"/", "/data"}


def test_a_service_shown_a_read_only_view_tells_the_truth_about_the_volume(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/mounts", "/dev/vda / ext4 ro 0 0\n/dev/vdb /data xfs ro 0 0\n")
    view = "22 1 8:1 / / ro,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro\n"
    write(tmp_path / "proc/self/mountinfo", view + "23 22 8:2 / /data ro - xfs /dev/vdb ro\n")
    (tmp_path / "data").mkdir()
    found = [document.body for document in collect(context(tmp_path)).documents]
    assert [body["read_only"] for body in found if body is not None] == [False, True]


def test_without_a_local_volume_there_is_nothing_to_report(tmp_path: Path) -> None:
    write(tmp_path / "proc/mounts", "tmpfs / tmpfs rw 0 0\n")
    with pytest.raises(NothingToReport):
        collect(context(tmp_path))


@given(st.binary(max_size=300))
def test_no_mountinfo_breaks_the_reader(text: bytes) -> None:
    assert parse_read_only(text + b"\n1 1 8:1 / / rw - ext4 /dev/vda ro")["/dev/vda"] is True


@given(st.binary(max_size=300))
def test_no_table_breaks_the_reader(text: bytes) -> None:
    for mount in parse_mounts(text + b"\n/dev/a /" + text + b" ext4 rw 0 0\n"):
        assert mount.path.startswith("/")
        mount.path.encode("utf-8")
