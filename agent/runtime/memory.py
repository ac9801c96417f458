"""What the running agent keeps resident, and what it gives back: most of a long-lived process is its first minute.

Linux with glibc; elsewhere nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: ``M_ARENA_MAX`` of glibc's malloc.h, ``MADV_DONTNEED`` of Linux' mman-common.h.
_M_ARENA_MAX: Final = -8
_MADV_DONTNEED: Final = 4
_SMAPS: Final = Path("/proc/self/smaps")


def spare() -> None:
    """Keep out what an endpoint does not have, but a server's environment does, and what threads would keep back. Call
    it before anything else is imported.

    msgspec takes ``typing_extensions`` where it is installed, 5 MB of it, for annotations that nobody here
    uses. glibc gives each thread a heap of its own, a megabyte in all that no other thread uses (mallopt(3)).
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    if "msgspec" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment] # the documented way to bar an import
        import msgspec  # noqa: F401

        del sys.modules["typing_extensions"]


def give_back() -> None:
    """Return free heap to the system (malloc_trim(3)), and let go of pages of programs and libraries: those that are
    used come back from the page cache at once, those that only a start needs do not (madvise(2), MADV_DONTNEED)."""
    if sys.platform != "linux":
        return
    gc.collect()
    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(AttributeError):
        libc.malloc_trim(0)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with contextlib.suppress(OSError):
        for start, size in program_pages(_SMAPS.read_text(encoding="utf-8", errors="replace").splitlines()):
            libc.madvise(start, size, _MADV_DONTNEED)


def program_pages(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Address and bytes of the mappings (``/proc/PID/smaps``, proc(5)) that hold only what stands in a program's or a
    library's file: neither writable nor with a page of its own. Files that nothing is executed from are left out, for
    they may be unmapped while this runs and the address be somebody else's; libraries are not."""
    found: list[tuple[str, int, int]] = []
    programs: set[str] = set()
    path, readable_only, start, size = "", False, 0, 0
    for line in smaps:
        words = line.split(maxsplit=5)
        if not words[0].endswith(":"):
            path = words[5].strip() if len(words) > 5 else ""
            low, _, high = words[0].partition("-")
            start, size = int(low, 16), int(high, 16) - int(low, 16)
            readable_only = path.startswith("/") and "w" not in words[1] and words[1].endswith("p")
            if readable_only and "x" in words[1]:
                programs.add(path)
        elif words[0] == "Anonymous:" and readable_only and words[1] == "0":
            found.append((path, start, size))
    return ((start, size) for path, start, size in found if path in programs)


def resident_bytes(pid: int | None = None) -> int:
    """Of this process, or another; 0 where it cannot be told."""
    try:
        pages = int(Path(f"/proc/{'self' if pid is None else pid}/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
