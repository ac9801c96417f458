"""The service control manager (winsvc.h), by :mod:`ctypes`. Windows only."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.windows.scm import Commands

if sys.platform == "win32":
    import ctypes
    from ctypes import POINTER, byref, c_int, c_ulong
    from ctypes import c_void_p as handle
    from ctypes import c_wchar_p as text

    from agent.windows import scm
    from agent.windows.service import CONTROL_STOP, STOPPED

    class _Action(ctypes.Structure):
        """SC_ACTION."""

        _fields_ = (("kind", c_int), ("delay_ms", c_ulong))

    class _FailureActions(ctypes.Structure):
        """SERVICE_FAILURE_ACTIONSW."""

        _fields_ = (
            ("reset_seconds", c_ulong),
            ("reboot_message", text),
            ("command", text),
            ("count", c_ulong),
            ("actions", POINTER(_Action)),
        )

    class _Number(ctypes.Structure):
        """The structures of ChangeServiceConfig2 that are one number or one flag."""

        _fields_ = (("value", c_ulong),)

    class _Text(ctypes.Structure):
        """SERVICE_DESCRIPTIONW."""

        _fields_ = (("value", text),)

    class _Config(ctypes.Structure):
        """QUERY_SERVICE_CONFIGW."""

        _fields_ = (
            *(("type", c_ulong), ("start", c_ulong), ("error_control", c_ulong), ("command", text)),
            *(
                ("group", text),
                ("tag", c_ulong),
                ("dependencies", handle),
                ("account", text),
                ("display", text),
            ),
        )

    class _Status(ctypes.Structure):
        """SERVICE_STATUS."""

        _fields_ = tuple(
            (name, c_ulong) for name in ("type", "state", "accepts", "exit", "specific", "checkpoint", "wait")
        )

    _advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
    _advapi32.OpenSCManagerW.argtypes, _advapi32.OpenSCManagerW.restype = (text, text, c_ulong), handle
    _advapi32.OpenServiceW.argtypes, _advapi32.OpenServiceW.restype = (handle, text, c_ulong), handle
    _advapi32.CloseServiceHandle.argtypes, _advapi32.CloseServiceHandle.restype = (handle,), c_int
    _advapi32.CreateServiceW.argtypes = (
        *(handle, text, text, c_ulong, c_ulong, c_ulong, c_ulong, text),
        *(text, POINTER(c_ulong), text, text, text),
    )
    _advapi32.CreateServiceW.restype = handle
    _advapi32.ChangeServiceConfigW.argtypes = (
        *(handle, c_ulong, c_ulong, c_ulong, text, text, POINTER(c_ulong)),
        *(text, text, text, text),
    )
    _advapi32.ChangeServiceConfigW.restype = c_int
    _advapi32.ChangeServiceConfig2W.argtypes = (handle, c_ulong, handle)
    _advapi32.ChangeServiceConfig2W.restype = c_int
    _advapi32.QueryServiceConfigW.argtypes = (handle, handle, c_ulong, POINTER(c_ulong))
    _advapi32.QueryServiceConfigW.restype = c_int
    _advapi32.QueryServiceStatus.argtypes = (handle, POINTER(_Status))
    _advapi32.QueryServiceStatus.restype = c_int
    _advapi32.StartServiceW.argtypes, _advapi32.StartServiceW.restype = (handle, c_ulong, handle), c_int
    _advapi32.ControlService.argtypes = (handle, c_ulong, POINTER(_Status))
    _advapi32.ControlService.restype = c_int
    _advapi32.DeleteService.argtypes, _advapi32.DeleteService.restype = (handle,), c_int

    _OWN_PROCESS, _AUTO_START, _ERROR_NORMAL = 0x10, 2, 1
    _MANAGER_CONNECT, _MANAGER_CREATE = 1, 2
    _QUERY_CONFIG, _CHANGE_CONFIG, _QUERY_STATUS, _START, _STOP, _DELETE = 1, 2, 4, 0x10, 0x20, 0x10000
    _ALL_OF_THEM = _QUERY_CONFIG | _CHANGE_CONFIG | _QUERY_STATUS | _START | _STOP | _DELETE
    _DESCRIPTION, _FAILURE_ACTIONS, _DELAYED_START, _ON_ANY_FAILURE, _SID, _PRESHUTDOWN = 1, 2, 3, 4, 5, 7
    _SID_UNRESTRICTED = 1
    _NO_SUCH_SERVICE, _ALREADY_RUNNING, _NOT_ACTIVE, _MARKED_FOR_DELETE = 1060, 1056, 1062, 1072

    class WindowsManager:
        """:class:`agent.windows.scm.Manager` of the machine that this runs on. Reading needs no rights."""

        def command(self) -> str:
            with _opened(_QUERY_CONFIG) as (_, service):
                if not service:
                    return ""
                needed = c_ulong()
                _advapi32.QueryServiceConfigW(service, None, 0, byref(needed))
                buffer = ctypes.create_string_buffer(max(needed.value, ctypes.sizeof(_Config)))
                _demand(_advapi32.QueryServiceConfigW(service, buffer, len(buffer), byref(needed)))
                return str(_Config.from_buffer(buffer).command or "")

        def define(self, commands: Commands) -> None:
            with _opened(_ALL_OF_THEM, _MANAGER_CONNECT | _MANAGER_CREATE) as (manager, found):
                kind = (_OWN_PROCESS, _AUTO_START, _ERROR_NORMAL, commands.run)
                if found:
                    service = found
                    _demand(
                        _advapi32.ChangeServiceConfigW(
                            service, *kind, None, None, None, "LocalSystem", None, scm.DISPLAY_NAME
                        )
                    )
                else:
                    service = _demand(
                        _advapi32.CreateServiceW(
                            *(manager, scm.NAME, scm.DISPLAY_NAME, _ALL_OF_THEM, *kind),
                            *(None, None, None, None, None),
                        )
                    )
                try:
                    self._detail(service, commands)
                finally:
                    if not found:
                        _advapi32.CloseServiceHandle(service)

        def _detail(self, service: int, commands: Commands) -> None:
            wanted = commands.failure_actions
            actions = (_Action * len(wanted))(*(_Action(*each) for each in wanted))
            failure = _FailureActions(
                scm.FAILURES_FORGOTTEN_SECONDS, "", commands.rescue, len(wanted), actions
            )
            for level, value in (
                (_FAILURE_ACTIONS, failure),
                (_ON_ANY_FAILURE, _Number(1)),
                (_DESCRIPTION, _Text(scm.DESCRIPTION)),
                (_DELAYED_START, _Number(1)),
                (_SID, _Number(_SID_UNRESTRICTED)),
                (_PRESHUTDOWN, _Number(scm.PRESHUTDOWN_MS)),
            ):
                _demand(_advapi32.ChangeServiceConfig2W(service, level, byref(value)))

        def state(self) -> int:
            with _opened(_QUERY_STATUS) as (_, service):
                if not service:
                    return STOPPED
                status = _Status()
                _demand(_advapi32.QueryServiceStatus(service, byref(status)))
                return int(status.state)

        def start(self) -> None:
            with _opened(_START) as (_, service):
                if not service:
                    raise ctypes.WinError(_NO_SUCH_SERVICE)
                _demand(_advapi32.StartServiceW(service, 0, None), but=_ALREADY_RUNNING)

        def stop(self) -> None:
            with _opened(_STOP) as (_, service):
                if service:
                    done = _advapi32.ControlService(service, CONTROL_STOP, byref(_Status()))
                    _demand(done, but=_NOT_ACTIVE)

        def delete(self) -> None:
            with _opened(_DELETE) as (_, service):
                if service:
                    _demand(_advapi32.DeleteService(service), but=_MARKED_FOR_DELETE)

    @contextmanager
    def _opened(rights: int, of_manager: int = _MANAGER_CONNECT) -> Iterator[tuple[int, int | None]]:
        """The manager, and the service; None where there is none."""
        manager = _demand(_advapi32.OpenSCManagerW(None, None, of_manager))
        try:
            service = _advapi32.OpenServiceW(manager, scm.NAME, rights)
            if not service:
                _demand(service, but=_NO_SUCH_SERVICE)
            try:
                yield manager, service
            finally:
                if service:
                    _advapi32.CloseServiceHandle(service)
        finally:
            _advapi32.CloseServiceHandle(manager)

    def _demand(done: int | None, but: int = 0) -> int:
        """What a call returned; raise ``OSError`` where it failed, unless with error ``but``."""
        if not done and (code := ctypes.get_last_error()) != but:
            raise ctypes.WinError(code)
        return done or 0
