"""One line into Windows' Application log: for what has no other place, as an installation that failed. Windows only."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import ctypes
    from ctypes import POINTER, c_int, c_ulong, c_ushort
    from ctypes import c_void_p as handle
    from ctypes import c_wchar_p as text

    _advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
    _advapi32.RegisterEventSourceW.argtypes, _advapi32.RegisterEventSourceW.restype = (text, text), handle
    _advapi32.DeregisterEventSource.argtypes, _advapi32.DeregisterEventSource.restype = (handle,), c_int
    _advapi32.ReportEventW.argtypes = (
        *(handle, c_ushort, c_ushort, c_ulong, handle),
        *(c_ushort, c_ulong, POINTER(text), handle),
    )
    _advapi32.ReportEventW.restype = c_int

    _ERROR_TYPE = 1
    #: Of one string of an event.
    _MOST_CHARACTERS = 4_000

    def report_error(source: str, words: str) -> None:
        """Nothing where Windows does not take it."""
        log = _advapi32.RegisterEventSourceW(None, source)
        if log:
            strings = (text * 1)(words[:_MOST_CHARACTERS])
            _advapi32.ReportEventW(log, _ERROR_TYPE, 0, 0, None, 1, 0, strings, None)
            _advapi32.DeregisterEventSource(log)
