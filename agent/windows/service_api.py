"""A process's talk with the service control manager (winsvc.h), by :mod:`ctypes`. Windows only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.windows.service import Report

if sys.platform == "win32":
    import ctypes
    from ctypes import POINTER, WINFUNCTYPE, c_int, c_ulong
    from ctypes import c_void_p as handle
    from ctypes import c_wchar_p as text

    from agent.windows.service import Lifecycle

    _SERVICE_WIN32_OWN_PROCESS = 0x10
    _FAILED_CONTROLLER_CONNECT = 1063

    _ServiceMain = WINFUNCTYPE(None, c_ulong, POINTER(text))
    _Handler = WINFUNCTYPE(c_ulong, c_ulong, c_ulong, handle, handle)

    class _Entry(ctypes.Structure):
        """SERVICE_TABLE_ENTRYW."""

        _fields_ = (("name", text), ("main", _ServiceMain))

    class _Status(ctypes.Structure):
        """SERVICE_STATUS."""

        _fields_ = tuple(
            (name, c_ulong) for name in ("type", "state", "accepts", "exit", "specific", "checkpoint", "wait")
        )

    _advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
    _advapi32.StartServiceCtrlDispatcherW.argtypes = (POINTER(_Entry),)
    _advapi32.StartServiceCtrlDispatcherW.restype = c_int
    _advapi32.RegisterServiceCtrlHandlerExW.argtypes = (text, _Handler, handle)
    _advapi32.RegisterServiceCtrlHandlerExW.restype = handle
    _advapi32.SetServiceStatus.argtypes = (handle, POINTER(_Status))
    _advapi32.SetServiceStatus.restype = c_int

    class Dispatcher:
        """The one service of this process. Windows calls back on threads of its own."""

        def __init__(self, name: str) -> None:
            self._name = name
            self._handle: int | None = None
            self.life = Lifecycle(self._report)
            self._main = _ServiceMain(self._serve)  # kept, for Windows holds nothing but their addresses
            self._handler = _Handler(self._control)

        def run(self) -> None:
            """Connect, and return when the service has stopped.

            Raises:
                OSError: this process was not started as a service, or Windows refuses.
            """
            table = (_Entry * 2)()
            table[0] = _Entry(self._name, self._main)
            if not _advapi32.StartServiceCtrlDispatcherW(table):
                code = ctypes.get_last_error()
                if code == _FAILED_CONTROLLER_CONNECT:
                    raise OSError("only Windows starts this, as a service; by hand it is: vonggac-agent run")
                raise ctypes.WinError(code)

        def _serve(self, _count: int, _words: object) -> None:
            self._handle = _advapi32.RegisterServiceCtrlHandlerExW(self._name, self._handler, None)
            self.life.serve()

        def _control(self, code: int, _event: int, _data: object, _context: object) -> int:
            return self.life.control(code)

        def _report(self, report: Report) -> None:
            status = _Status(
                _SERVICE_WIN32_OWN_PROCESS,
                report.state,
                report.accepts,
                report.exit_code,
                report.specific,
                report.checkpoint,
                report.wait_ms,
            )
            if self._handle:
                _advapi32.SetServiceStatus(self._handle, ctypes.byref(status))
