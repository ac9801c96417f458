"""How full the volumes are: one status document a mount point."""

from __future__ import annotations

import os
import re

from msgspec import Struct

from agent import reasons
from agent.collectors.common.files import read_bytes, under
from agent.collectors.registry import Context, NothingToReport, Output, StatusDocument, collector

#: File systems that hold data of their own on a local disk. Others (tmpfs, overlay, squashfs of snap, NFS whose
#: server may hang the reader) are not this machine's storage.
LOCAL = frozenset(
    {
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "f2fs",
        "zfs",
        "jfs",
        "reiserfs",
        "ntfs",
        "ntfs3",
        "fuseblk",
        "vfat",
    }
    | {"exfat", "bcachefs"}
)
MAX_MOUNTS = 64
#: Above this much used, one percent counts; below it five do: the document moves only when it says something.
NEARLY_FULL_PERCENT = 90
COARSE_STEP = 5

_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mount(Struct, frozen=True):
    """One line of ``/proc/self/mounts`` (proc(5), fstab(5)), its escapes undone."""

    device: str
    path: str
    filesystem: str
    read_only: bool


def parse_mounts(text: bytes) -> list[Mount]:
    """Local volumes, each device once (at the first place it is mounted), in the kernel's order."""
    mounts: dict[bytes, Mount] = {}
    for line in text.split(b"\n"):
        parts = line.split(b" ")
        if len(parts) < 4 or not parts[1].startswith(b"/") or parts[0] in mounts or len(mounts) >= MAX_MOUNTS:
            continue
        filesystem = parts[2].decode("ascii", "replace")
        if filesystem in LOCAL:
            read_only = b"ro" in parts[3].split(b",")
            mounts[parts[0]] = Mount(_unescape(parts[0]), _unescape(parts[1]), filesystem, read_only)
    return list(mounts.values())


def parse_read_only(text: bytes) -> dict[str, bool]:
    """``/proc/self/mountinfo`` (proc(5)): by device, whether the file system itself is read-only.

    The options of a single mount do not tell: a service manager may show its services a read-only view of
    volumes that everybody else can write (systemd's ``ProtectSystem``).
    """
    found: dict[str, bool] = {}
    for line in text.split(b"\n"):
        after = line.partition(b" - ")[2].split(b" ")
        if len(after) >= 3:
            found[_unescape(after[1])] = b"ro" in after[2].split(b",")
    return found


def _unescape(text: bytes) -> str:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), text).decode("utf-8", "replace")


def used_percent(total: int, free_for_root: int, available: int) -> int:
    """Like df(1): of what users may have, how much is used, rounded up. Bytes or blocks, in one unit."""
    used = max(0, total - free_for_root)
    whole = used + max(0, available)
    return 0 if whole <= 0 else min(100, -(-used * 100 // whole))


def settle(measured: int, told: int | None) -> int:
    """What to tell, given what was told last: hysteresis, so that a busy disk does not chatter."""
    if told is None:
        return measured
    if measured > NEARLY_FULL_PERCENT or told > NEARLY_FULL_PERCENT:
        return measured
    return measured if abs(measured - told) >= COARSE_STEP else told


@collector(
    "storage",
    interval_seconds=300,
    platforms={"linux"},
    privileges="none",
    description="Local volumes: size, how full, read-only or not; one document a mount point",
)
def collect(ctx: Context) -> Output:
    text = read_bytes(ctx.proc / "self/mounts") or read_bytes(ctx.proc / "mounts")
    if text is None:
        raise NothingToReport(reasons.FILE_UNREADABLE(path=f"{ctx.proc}/mounts"))
    mounts = parse_mounts(text)
    if not mounts:
        raise NothingToReport(reasons.NO_VOLUME())
    read_only = parse_read_only(read_bytes(ctx.proc / "self/mountinfo") or b"")
    told = ctx.state.get("used_percent") or {}
    documents, percents = [], {}
    for mount in mounts:
        try:
            volume = os.statvfs(under(ctx.root, mount.path))
        except OSError:
            continue
        measured = used_percent(volume.f_blocks, volume.f_bfree, volume.f_bavail)
        percents[mount.path] = settle(measured, told.get(mount.path))
        body = {
            "mount": mount.path,
            "device": mount.device,
            "filesystem": mount.filesystem,
            "total_bytes": volume.f_blocks * volume.f_frsize,
            "used_percent": percents[mount.path],
            "read_only": read_only.get(mount.device, mount.read_only),
        }
        documents.append(
            StatusDocument(kind="storage", item=mount.path[:255], observed_at=ctx.now(), body=body)
        )
    if percents != told:
        ctx.state["used_percent"] = percents
    return Output(documents=documents)
