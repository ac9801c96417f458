"""Reads systemd's journal through ``libsystemd`` with a cursor (sd-journal(3)).

The library maps the journal's files a window at a time and follows its own indexes for the fields asked for, so
a poll costs neither memory nor time worth speaking of. No program is started.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agent import reasons
from agent.collectors.common.auth import PROGRAMS

if TYPE_CHECKING:
    import ctypes
    from pathlib import Path

DIRECTORIES = ("run/log/journal", "var/log/journal")
LIBRARY = "libsystemd.so.0"
CLAMAV = ("clamd", "clamonacc")
FIELDS = ("MESSAGE", "SYSLOG_IDENTIFIER", "_PID", "SYSLOG_PID", "_UID", "_EXE", "_COMM")
_SYSTEM = 1 << 2
_LOCAL_ONLY = 1 << 0
_FIELD_BYTES = 16 << 10


class JournalError(Exception):
    """The journal cannot be read; ``str()`` says which call failed and why."""


class Entry(Struct, frozen=True):
    """One message: ``fields`` holds those of ``FIELDS`` that it has; ``time`` in seconds since the epoch."""

    time: float
    cursor: str
    fields: dict[str, str]


def journal_missing(root: Path) -> str:
    """Why there is no journal to read under ``root``; empty where there is one."""
    if journal_directory(root) is None:
        return reasons.NO_JOURNAL()
    if _library_path(root) is None:
        return reasons.NO_JOURNAL_LIBRARY(library=LIBRARY)
    return ""


def journal_directory(root: Path) -> Path | None:
    """The first of ``DIRECTORIES`` that holds a system journal."""
    for name in DIRECTORIES:
        try:
            with os.scandir(root / name) as entries:
                if any(os.path.exists(f"{entry.path}/system.journal") for entry in entries):  # noqa: PTH110 - hot
                    return root / name
        except OSError:
            continue
    return None


@cache
def _library_path(root: Path) -> Path | None:
    for pattern in ("lib/*-linux-gnu*", "usr/lib/*-linux-gnu*", "usr/lib64", "lib64", "usr/lib", "lib"):
        for folder in root.glob(pattern):
            if (path := folder / LIBRARY).exists():
                return path
    return None


class Journal:
    """An open journal, kept to the messages of ``PROGRAMS`` and ``CLAMAV``.

    Not for several threads at once; ``close`` it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        """Open the system's journal, or the files of ``directory``.

        Raises:
            JournalError: the library or the journal is not there, or may not be read.
        """
        import ctypes

        self._ctypes = ctypes
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise JournalError(f"{LIBRARY}: {error}") from error
        handle = ctypes.c_void_p()
        if directory is None:
            self._check("sd_journal_open", ctypes.byref(handle), ctypes.c_int(_SYSTEM | _LOCAL_ONLY))
        else:
            self._check("sd_journal_open_directory", ctypes.byref(handle), bytes(directory), ctypes.c_int(0))
        self._handle = handle
        self._check("sd_journal_set_data_threshold", handle, ctypes.c_size_t(_FIELD_BYTES))
        for program in (*PROGRAMS, *CLAMAV):  # several values of one field are joined by OR
            match = f"SYSLOG_IDENTIFIER={program}".encode()
            self._check("sd_journal_add_match", handle, match, ctypes.c_size_t(len(match)))

    def seek(self, cursor: str, since: float) -> None:
        """Stand so that :meth:`read` goes on behind the entry of ``cursor``.

        Where that entry is gone (the journal is bounded), the next one that is left comes first; without a cursor
        it is the first entry from ``since`` (seconds since the epoch) on.
        """
        if not cursor:
            self._check(
                "sd_journal_seek_realtime_usec", self._handle, self._ctypes.c_uint64(int(since * 1e6))
            )
            return
        self._check("sd_journal_seek_cursor", self._handle, cursor.encode())
        found = self._check("sd_journal_next", self._handle) > 0
        if not found or self._call("sd_journal_test_cursor", self._handle, cursor.encode()) <= 0:
            self._check("sd_journal_previous", self._handle)

    def read(self, limit: int) -> list[Entry]:
        """At most ``limit`` entries behind where we stand, oldest first."""
        self._check("sd_journal_process", self._handle)
        entries: list[Entry] = []
        while len(entries) < limit and self._check("sd_journal_next", self._handle) > 0:
            entries.append(self._entry())
        return entries

    def close(self) -> None:
        if self._handle:
            self._library.sd_journal_close(self._handle)
            self._handle = self._ctypes.c_void_p()

    def _entry(self) -> Entry:
        ctypes = self._ctypes
        stamp = ctypes.c_uint64()
        self._check("sd_journal_get_realtime_usec", self._handle, ctypes.byref(stamp))
        fields = {}
        for name in FIELDS:
            data, length = ctypes.c_void_p(), ctypes.c_size_t()
            found = self._call(
                "sd_journal_get_data", self._handle, name.encode(), ctypes.byref(data), ctypes.byref(length)
            )
            if found >= 0 and data.value:
                raw = ctypes.string_at(data.value, min(length.value, _FIELD_BYTES))
                fields[name] = raw.partition(b"=")[2].decode("utf-8", "replace")
        return Entry(time=stamp.value / 1e6, cursor=self._cursor(), fields=fields)

    def _cursor(self) -> str:
        text = self._ctypes.c_char_p()
        if self._call("sd_journal_get_cursor", self._handle, self._ctypes.byref(text)) < 0:
            return ""
        try:
            return (text.value or b"").decode("ascii", "replace")
        finally:
            self._free(text)

    def _free(self, text: ctypes.c_char_p) -> None:
        free = self._ctypes.CDLL(None).free
        free.argtypes = [self._ctypes.c_void_p]
        free.restype = None
        free(self._ctypes.cast(text, self._ctypes.c_void_p))

    def _call(self, name: str, *arguments: Any) -> int:
        return int(getattr(self._library, name)(*arguments))

    def _check(self, name: str, *arguments: Any) -> int:
        result = self._call(name, *arguments)
        if result < 0:
            raise JournalError(reasons.AT(where=name, system_error=os.strerror(-result)))
        return result
