"""Asks WMI through COM, with nothing but :mod:`ctypes`: IWbemLocator, IWbemServices, IEnumWbemClassObject,
IWbemClassObject (wbemcli.h; *COM API for WMI* in Microsoft's documentation). Windows only.

Methods are called by their place in the interface's table, counted from IUnknown's three.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agent.windows.wmi import (
    MAX_ELEMENTS,
    MAX_ROWS,
    Cell,
    Row,
    WmiDeniedError,
    WmiError,
    WmiMissingError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

if sys.platform == "win32":
    import ctypes
    from ctypes import POINTER, WINFUNCTYPE, byref, c_long, c_ulong
    from ctypes import c_void_p as pointer
    from ctypes import c_wchar_p as text

    from agent.windows.com import (
        CLSCTX_INPROC_SERVER,
        VT_ARRAY_OF_BSTR,
        VT_BOOL,
        VT_BSTR,
        VT_I2,
        VT_I4,
        VT_R4,
        VT_R8,
        VT_UI1,
        Guid,
        Variant,
        apartment,
        bstr,
        bstr_text,
        ole32,
        oleaut32,
        release,
    )

    #: How long one instance may take to come; Security Center and Defender answer in milliseconds.
    ROW_MILLISECONDS = 10_000

    ole32.CoSetProxyBlanket.argtypes = (
        *(pointer, c_ulong, c_ulong, text),
        *(c_ulong, c_ulong, pointer, c_ulong),
    )
    ole32.CoSetProxyBlanket.restype = c_long
    for _bound in (oleaut32.SafeArrayGetLBound, oleaut32.SafeArrayGetUBound):
        _bound.argtypes, _bound.restype = (pointer, ctypes.c_uint, POINTER(c_long)), c_long
    oleaut32.SafeArrayGetElement.argtypes = (pointer, POINTER(c_long), POINTER(pointer))
    oleaut32.SafeArrayGetElement.restype = c_long

    _LOCATOR_CLASS = Guid(0x4590F811, 0x1D3A, 0x11D0, (ctypes.c_ubyte * 8)(*b"\x89\x1f\0\xaa\0\x4b\x2e\x24"))
    _LOCATOR = Guid(0xDC12A687, 0x737F, 0x11CF, (ctypes.c_ubyte * 8)(*b"\x88\x4d\0\xaa\0\x4b\x2e\x24"))

    _connect_server = WINFUNCTYPE(
        c_long, pointer, pointer, pointer, pointer, c_long, pointer, pointer, POINTER(pointer)
    )(3, "IWbemLocator.ConnectServer")
    _exec_query = WINFUNCTYPE(c_long, pointer, pointer, c_long, pointer, POINTER(pointer))(
        20, "IWbemServices.ExecQuery"
    )
    _next = WINFUNCTYPE(c_long, c_long, c_ulong, POINTER(pointer), POINTER(c_ulong))(
        4, "IEnumWbemClassObject.Next"
    )
    _get = WINFUNCTYPE(c_long, text, c_long, POINTER(Variant), POINTER(c_long), POINTER(c_long))(
        4, "IWbemClassObject.Get"
    )

    _AUTHN_WINNT, _AUTHN_LEVEL_PKT_PRIVACY, _IMP_LEVEL_IMPERSONATE = 10, 6, 3
    _CONNECT_USE_MAX_WAIT = 0x80
    _FORWARD_ONLY_AND_IMMEDIATELY = 0x30
    _S_FALSE, _TIMED_OUT = 1, 0x40004
    _MISSING = {0x8004100E, 0x80041010, 0x80041002}  # namespace, class, object
    _DENIED = {0x80041003, 0x80070005}

    _CIM_UINT16, _CIM_UINT32, _CIM_SINT64, _CIM_UINT64 = 18, 19, 20, 21

    class ComWmi:
        """:class:`agent.windows.wmi.Wmi` of the machine that this runs on; any thread may use it."""

        def instances(
            self, namespace: str, class_name: str, properties: Sequence[str], where: str = ""
        ) -> list[Row]:
            what = f"{namespace}:{class_name}"
            query = f"SELECT * FROM {class_name}{where and f' WHERE {where}'}"  # noqa: S608 - our own words
            rows: list[Row] = []
            with apartment(), _Interfaces() as held:
                locator = held.new()
                done = ole32.CoCreateInstance(
                    byref(_LOCATOR_CLASS), None, CLSCTX_INPROC_SERVER, byref(_LOCATOR), byref(locator)
                )
                _check(done, what)
                services, found = held.new(), held.new()
                with bstr(namespace) as place:
                    flags = _CONNECT_USE_MAX_WAIT
                    done = _connect_server(locator, place, *(None,) * 3, flags, None, None, byref(services))
                _check(done, what)
                _blanket(services, what)
                with bstr("WQL") as language, bstr(query) as asked:
                    flags = _FORWARD_ONLY_AND_IMMEDIATELY
                    done = _exec_query(services, language, asked, flags, None, byref(found))
                _check(done, what)
                _blanket(found, what)
                while len(rows) < MAX_ROWS:
                    with _Interfaces() as one:
                        row, count = one.new(), c_ulong()
                        done = _next(found, ROW_MILLISECONDS, 1, byref(row), byref(count))
                        _check(done, what)
                        if done & 0xFFFFFFFF == _TIMED_OUT:
                            seconds = ROW_MILLISECONDS // 1000
                            raise WmiError(f"{what}: no answer within {seconds} seconds")
                        if not count.value:
                            return rows
                        rows.append({name: _property(row, name) for name in properties})
            return rows

    class _Interfaces:
        """Interface pointers, released in the end, the last first."""

        def __init__(self) -> None:
            self._held: list[pointer] = []

        def new(self) -> pointer:
            self._held.append(pointer())
            return self._held[-1]

        def __enter__(self) -> _Interfaces:
            return self

        def __exit__(self, *_: object) -> None:
            for each in reversed(self._held):
                if each.value:
                    release(each)

    def _blanket(proxy: pointer, what: str) -> None:
        """Calls to ``proxy`` are made as ourselves and encrypted, which BitLocker's namespace insists on."""
        level, impersonate = _AUTHN_LEVEL_PKT_PRIVACY, _IMP_LEVEL_IMPERSONATE
        done = ole32.CoSetProxyBlanket(proxy, _AUTHN_WINNT, 0, None, level, impersonate, None, 0)
        if done & 0xFFFFFFFF != 0x80004002:  # E_NOINTERFACE: it is no proxy, there is nothing to set
            _check(done, what)

    def _property(row: pointer, name: str) -> Cell:
        """The value of a property; ``None`` also where this version of the class does not have it."""
        variant, cim = Variant(), c_long()
        if _get(row, name, 0, byref(variant), byref(cim), None) < 0:
            return None
        try:
            return _cell(variant, cim.value)
        finally:
            oleaut32.VariantClear(byref(variant))

    def _cell(variant: Variant, cim: int) -> Cell:
        """WMI hands out unsigned 32-bit integers as signed ones and 64-bit ones as text: the CIM type decides."""
        kind, value = variant.vt, variant.value
        if kind == VT_BSTR and value.address:
            found = bstr_text(value.address)
            if cim in (_CIM_SINT64, _CIM_UINT64):
                return int(found) if found.lstrip("-").isdecimal() and len(found) < 22 else None
            return found
        if kind == VT_BOOL:
            return bool(value.int16)
        if kind == VT_I4:
            return value.int32 & 0xFFFFFFFF if cim == _CIM_UINT32 else int(value.int32)
        if kind == VT_I2:
            return value.int16 & 0xFFFF if cim == _CIM_UINT16 else int(value.int16)
        if kind == VT_UI1:
            return int(value.uint8)
        if kind in (VT_R4, VT_R8):
            return float(value.float if kind == VT_R4 else value.double)
        if kind == VT_ARRAY_OF_BSTR and value.address:
            return list(_texts(value.address))
        return None

    def _texts(array: int) -> Iterator[str]:
        low, high = c_long(), c_long(-1)
        oleaut32.SafeArrayGetLBound(array, 1, byref(low))
        oleaut32.SafeArrayGetUBound(array, 1, byref(high))
        for index in range(low.value, min(high.value + 1, low.value + MAX_ELEMENTS)):
            element = pointer()  # a copy, ours to free
            if oleaut32.SafeArrayGetElement(array, byref(c_long(index)), byref(element)) < 0:
                return
            if element.value:
                yield bstr_text(element.value)
                oleaut32.SysFreeString(element)

    def _check(done: int, what: str) -> None:
        if done >= 0:
            return
        code = done & 0xFFFFFFFF
        kind = WmiMissingError if code in _MISSING else WmiDeniedError if code in _DENIED else WmiError
        raise kind(f"{what}: error 0x{code:08X}")
