"""Security descriptors of files (aclapi.h, sddl.h), by :mod:`ctypes`. Windows only."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform == "win32":
    import ctypes
    from ctypes import POINTER, byref, c_int, c_ulong
    from ctypes import c_void_p as pointer
    from ctypes import c_wchar_p as text

    class _Attributes(ctypes.Structure):
        """SECURITY_ATTRIBUTES."""

        _fields_ = (("size", c_ulong), ("descriptor", pointer), ("inherit", c_int))

    _advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW.argtypes = (
        *(text, c_ulong, POINTER(pointer), POINTER(c_ulong)),
    )
    _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW.restype = c_int
    _advapi32.ConvertSidToStringSidW.argtypes = (pointer, POINTER(pointer))
    _advapi32.ConvertSidToStringSidW.restype = c_int
    _advapi32.GetSecurityDescriptorDacl.argtypes = (
        *(pointer, POINTER(c_int), POINTER(pointer), POINTER(c_int)),
    )
    _advapi32.GetSecurityDescriptorDacl.restype = c_int
    _advapi32.GetSecurityDescriptorOwner.argtypes = (pointer, POINTER(pointer), POINTER(c_int))
    _advapi32.GetSecurityDescriptorOwner.restype = c_int
    _advapi32.GetSecurityDescriptorControl.argtypes = (pointer, POINTER(ctypes.c_ushort), POINTER(c_ulong))
    _advapi32.GetSecurityDescriptorControl.restype = c_int
    _advapi32.GetNamedSecurityInfoW.argtypes = (
        *(text, c_int, c_ulong, POINTER(pointer), POINTER(pointer)),
        *(POINTER(pointer), POINTER(pointer), POINTER(pointer)),
    )
    _advapi32.GetNamedSecurityInfoW.restype = c_ulong
    _advapi32.SetNamedSecurityInfoW.argtypes = (text, c_int, c_ulong, pointer, pointer, pointer, pointer)
    _advapi32.SetNamedSecurityInfoW.restype = c_ulong
    _kernel32.LocalFree.argtypes, _kernel32.LocalFree.restype = (pointer,), pointer
    _kernel32.CreateDirectoryW.argtypes, _kernel32.CreateDirectoryW.restype = (
        (text, POINTER(_Attributes)),
        c_int,
    )

    _SDDL_REVISION_1 = 1
    _SE_FILE_OBJECT = 1
    _OWNER, _DACL, _PROTECTED, _UNPROTECTED = 1, 4, 0x80000000, 0x20000000
    _SE_DACL_PROTECTED = 0x1000
    _ALREADY_EXISTS = 183

    class WindowsSecurity:
        """:class:`agent.windows.folders.Security` of the machine that this runs on."""

        def make(self, path: Path, descriptor: str) -> bool:
            with _descriptor(descriptor) as made:
                attributes = _Attributes(ctypes.sizeof(_Attributes), made, 0)
                if _kernel32.CreateDirectoryW(str(path), byref(attributes)):
                    return True
                if (code := ctypes.get_last_error()) != _ALREADY_EXISTS:
                    raise _error(code, path)
                return False

        def owner(self, path: Path) -> str:
            owner, descriptor, words = pointer(), pointer(), pointer()
            code = _advapi32.GetNamedSecurityInfoW(
                str(path), _SE_FILE_OBJECT, _OWNER, byref(owner), None, None, None, byref(descriptor)
            )
            if code:
                raise _error(code, path)
            try:
                if not _advapi32.ConvertSidToStringSidW(owner, byref(words)):
                    raise _error(ctypes.get_last_error(), path)
                try:
                    return ctypes.wstring_at(words.value or 0)
                finally:
                    _kernel32.LocalFree(words)
            finally:
                _kernel32.LocalFree(descriptor)

        def set(self, path: Path, descriptor: str) -> None:
            with _descriptor(descriptor) as made:
                owner, rights, control = pointer(), pointer(), ctypes.c_ushort()
                there, defaulted, revision = c_int(), c_int(), c_ulong()
                _advapi32.GetSecurityDescriptorOwner(made, byref(owner), byref(defaulted))
                _advapi32.GetSecurityDescriptorDacl(made, byref(there), byref(rights), byref(defaulted))
                _advapi32.GetSecurityDescriptorControl(made, byref(control), byref(revision))
                if not (owner.value and there.value and rights.value):  # no list at all would be everybody's
                    raise ValueError(f"{descriptor}: names no owner or no rights")
                protected = _PROTECTED if control.value & _SE_DACL_PROTECTED else _UNPROTECTED
                code = _advapi32.SetNamedSecurityInfoW(
                    str(path), _SE_FILE_OBJECT, _OWNER | _DACL | protected, owner, None, rights, None
                )
                if code:
                    raise _error(code, path)

    @contextmanager
    def _descriptor(words: str) -> Iterator[pointer]:
        made = pointer()
        convert = _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW
        if not convert(words, _SDDL_REVISION_1, byref(made), None):
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            yield made
        finally:
            _kernel32.LocalFree(made)

    def _error(code: int, path: Path) -> OSError:
        error = ctypes.WinError(code)
        error.filename = str(path)
        return error
