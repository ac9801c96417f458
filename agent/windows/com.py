"""What WMI and automation share of COM: libraries, structures, apartments, strings. Windows only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Texts that programs hand out are cut to this.
MAX_TEXT = 4_096

if sys.platform == "win32":
    import ctypes
    from contextlib import contextmanager
    from ctypes import POINTER, WINFUNCTYPE, c_long, c_uint, c_ulong, c_ushort
    from ctypes import c_void_p as pointer
    from ctypes import c_wchar_p as text

    class Guid(ctypes.Structure):
        _fields_ = (("a", c_ulong), ("b", c_ushort), ("c", c_ushort), ("d", ctypes.c_ubyte * 8))

    class _Value(ctypes.Union):
        """Of VARIANT's union what is used here; two pointers long, as the longest member is."""

        _fields_ = (
            ("int64", ctypes.c_longlong),
            ("int32", c_long),
            ("int16", ctypes.c_short),
            ("uint8", ctypes.c_ubyte),
            ("float", ctypes.c_float),
            ("double", ctypes.c_double),
            ("address", pointer),
            ("record", pointer * 2),
        )

    class Variant(ctypes.Structure):
        _fields_ = (("vt", c_ushort), ("reserved", c_ushort * 3), ("value", _Value))

    VT_I2, VT_I4, VT_R4, VT_R8, VT_DATE, VT_BSTR, VT_DISPATCH, VT_BOOL, VT_UI1 = 2, 3, 4, 5, 7, 8, 9, 11, 17
    VT_ARRAY_OF_BSTR = 0x2008
    CLSCTX_INPROC_SERVER, CLSCTX_SERVER = 1, 0x15
    _COINIT_MULTITHREADED = 0
    _CHANGED_MODE = 0x80010106

    ole32 = ctypes.WinDLL("ole32")
    oleaut32 = ctypes.WinDLL("oleaut32")
    ole32.CoInitializeEx.argtypes, ole32.CoInitializeEx.restype = (pointer, c_ulong), c_long
    ole32.CoUninitialize.argtypes, ole32.CoUninitialize.restype = (), None
    ole32.CoCreateInstance.argtypes = (POINTER(Guid), pointer, c_ulong, POINTER(Guid), POINTER(pointer))
    ole32.CoCreateInstance.restype = c_long
    oleaut32.SysAllocString.argtypes, oleaut32.SysAllocString.restype = (text,), pointer
    oleaut32.SysFreeString.argtypes, oleaut32.SysFreeString.restype = (pointer,), None
    oleaut32.SysStringLen.argtypes, oleaut32.SysStringLen.restype = (pointer,), c_uint
    oleaut32.VariantClear.argtypes, oleaut32.VariantClear.restype = (POINTER(Variant),), c_long

    release = WINFUNCTYPE(c_ulong)(2, "IUnknown.Release")

    @contextmanager
    def apartment() -> Iterator[None]:
        """COM, for this thread. One that has its apartment already (of another kind) keeps it.

        Raises:
            OSError: COM is not to be had.
        """
        done = ole32.CoInitializeEx(None, _COINIT_MULTITHREADED)
        if done < 0 and done & 0xFFFFFFFF != _CHANGED_MODE:
            raise OSError(f"COM: error 0x{done & 0xFFFFFFFF:08X}")
        try:
            yield
        finally:
            if done >= 0:
                ole32.CoUninitialize()

    @contextmanager
    def bstr(of: str) -> Iterator[pointer]:
        """``of`` as a BSTR, freed in the end."""
        made = pointer(oleaut32.SysAllocString(of))
        try:
            yield made
        finally:
            oleaut32.SysFreeString(made)

    def bstr_text(address: int | None) -> str:
        """The text of a BSTR, which stays whose it is; a null one is the empty text."""
        if not address:
            return ""
        return ctypes.wstring_at(address, min(oleaut32.SysStringLen(address), MAX_TEXT))
