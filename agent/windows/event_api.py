"""Windows' event log through ``wevtapi.dll`` (winevt.h), with nothing but :mod:`ctypes`. Windows only.

Subscriptions are of the pull model: Windows signals an event object when there is something, which nobody waits for
here, because the collector looks every few seconds; ``EvtNext`` hands out what is there.
"""

from __future__ import annotations

import sys

from agent.windows.event_log import ChannelError, Extent, Subscription, bookmark

if sys.platform == "win32":
    import ctypes
    from ctypes import POINTER, byref, c_int, c_ulong, c_ulonglong
    from ctypes import c_void_p as handle
    from ctypes import c_wchar_p as text

    _wevtapi = ctypes.WinDLL("wevtapi", use_last_error=True)
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)

    class _Variant(ctypes.Structure):
        """EVT_VARIANT, as far as log properties use it."""

        _fields_ = (("number", c_ulonglong), ("count", c_ulong), ("type", c_ulong))

    _wevtapi.EvtOpenLog.argtypes, _wevtapi.EvtOpenLog.restype = (handle, text, c_ulong), handle
    _wevtapi.EvtGetLogInfo.argtypes = (handle, c_int, c_ulong, POINTER(_Variant), POINTER(c_ulong))
    _wevtapi.EvtGetLogInfo.restype = c_int
    _wevtapi.EvtCreateBookmark.argtypes, _wevtapi.EvtCreateBookmark.restype = (text,), handle
    _wevtapi.EvtSubscribe.argtypes = (handle, handle, text, text, handle, handle, handle, c_ulong)
    _wevtapi.EvtSubscribe.restype = handle
    _wevtapi.EvtNext.argtypes = (handle, c_ulong, POINTER(handle), c_ulong, c_ulong, POINTER(c_ulong))
    _wevtapi.EvtNext.restype = c_int
    _wevtapi.EvtRender.argtypes = (
        *(handle, handle, c_ulong, c_ulong, handle),
        *(POINTER(c_ulong), POINTER(c_ulong)),
    )
    _wevtapi.EvtRender.restype = c_int
    _wevtapi.EvtClose.argtypes, _wevtapi.EvtClose.restype = (handle,), c_int
    _kernel32.CreateEventW.argtypes, _kernel32.CreateEventW.restype = (handle, c_int, c_int, text), handle
    _kernel32.CloseHandle.argtypes, _kernel32.CloseHandle.restype = (handle,), c_int

    _OPEN_CHANNEL_PATH = 1
    _NUMBER_OF_RECORDS, _OLDEST_RECORD = 5, 6
    _START_AFTER_BOOKMARK, _START_AT_OLDEST = 3, 2
    _RENDER_XML = 1
    _INSUFFICIENT_BUFFER, _NO_MORE_ITEMS, _TIMEOUT = 122, 259, 1460
    #: Handles asked for at once, and the most one rendering may take: what is longer is passed over.
    _AT_ONCE = 64
    _FIRST_BYTES, _MOST_BYTES = 16 << 10, 1 << 20

    class WindowsEventLog:
        """:class:`agent.windows.event_log.EventLog` of the machine that this runs on."""

        def extent(self, channel: str) -> Extent:
            log = _wevtapi.EvtOpenLog(None, channel, _OPEN_CHANNEL_PATH)
            if not log:
                raise _error(channel)
            try:
                oldest, count = (
                    self._number(log, each, channel) for each in (_OLDEST_RECORD, _NUMBER_OF_RECORDS)
                )
                return Extent(oldest, count)
            finally:
                _wevtapi.EvtClose(log)

        def subscribe(self, channel: str, wanted: str, after: int) -> Subscription:
            return _Following(channel, wanted, after)

        def _number(self, log: int, which: int, channel: str) -> int:
            variant, used = _Variant(), c_ulong()
            size = ctypes.sizeof(variant)
            if not _wevtapi.EvtGetLogInfo(log, which, size, byref(variant), byref(used)):
                raise _error(channel)
            return int(variant.number)

    class _Following:
        def __init__(self, channel: str, wanted: str, after: int) -> None:
            self._channel = channel
            self._signal = _kernel32.CreateEventW(None, 1, 1, None)
            self._held = 0
            self._buffer = ctypes.create_string_buffer(_FIRST_BYTES)
            mark = _wevtapi.EvtCreateBookmark(bookmark(channel, after)) if after else None
            if not self._signal or (after and not mark):
                self.close()
                raise _error(channel)
            start = _START_AFTER_BOOKMARK if after else _START_AT_OLDEST
            # The query names its channel itself, so the path is empty (EvtSubscribe, remarks on structured queries).
            held = _wevtapi.EvtSubscribe(None, self._signal, None, wanted, mark, None, None, start)
            error = None if held else _error(channel)
            if mark:
                _wevtapi.EvtClose(mark)
            if error is not None:
                self.close()
                raise error
            self._held = held

        def next(self, limit: int) -> list[str]:
            found: list[str] = []
            while len(found) < limit:
                events, count = (handle * min(_AT_ONCE, limit - len(found)))(), c_ulong()
                if not _wevtapi.EvtNext(self._held, len(events), events, 0, 0, byref(count)):
                    if ctypes.get_last_error() in (_NO_MORE_ITEMS, _TIMEOUT):
                        return found
                    raise _error(self._channel)
                for event in events[: count.value]:
                    try:
                        rendered = self._render(event)
                    finally:
                        _wevtapi.EvtClose(event)
                    if rendered is not None:
                        found.append(rendered)
            return found

        def close(self) -> None:
            if self._held:
                _wevtapi.EvtClose(self._held)
                self._held = 0
            if self._signal:
                _kernel32.CloseHandle(self._signal)
                self._signal = None

        def _render(self, event: int | None) -> str | None:
            """The event's XML; ``None`` where it is longer than any should be, or gone meanwhile."""
            used, properties = c_ulong(), c_ulong()
            for _ in range(2):
                size = len(self._buffer)
                done = _wevtapi.EvtRender(
                    None, event, _RENDER_XML, size, self._buffer, byref(used), byref(properties)
                )
                if done:
                    raw = self._buffer.raw[: used.value]
                    return raw.decode("utf-16-le", "replace").rstrip("\0")
                if ctypes.get_last_error() != _INSUFFICIENT_BUFFER or used.value > _MOST_BYTES:
                    return None
                self._buffer = ctypes.create_string_buffer(used.value)
            return None

    def _error(channel: str) -> ChannelError:
        code = ctypes.get_last_error()
        return ChannelError(f"{channel}: {ctypes.FormatError(code).strip()} ({code})")
