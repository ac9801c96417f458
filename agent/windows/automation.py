"""Calls programs' objects by name, as scripts do (COM's IDispatch), with nothing but :mod:`ctypes`. Windows only.

For Windows Update, whose objects are made for scripts: names are documented and stay, places in tables are many.
"""

from __future__ import annotations

import sys
from typing import Protocol, Self, TypeAlias

#: What a property or a method gives: text, numbers, times as days since 30 December 1899, objects, or nothing.
Result: TypeAlias = "str | int | float | bool | Automation | None"


class AutomationError(OSError):
    """The object refused; ``str()`` names the member and the number Windows gave."""


class Automation(Protocol):
    """One object. Its members keep their case. Used as a context manager it is released in the end."""

    def get(self, name: str, *arguments: int) -> Result:
        """The property ``name``; with ``arguments`` an element of it."""

    def put(self, name: str, value: bool) -> None:
        """Set the property ``name``."""

    def call(self, name: str, *arguments: str) -> Result:
        """Call the method ``name``."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


if sys.platform == "win32":
    import ctypes
    from contextlib import contextmanager
    from ctypes import POINTER, WINFUNCTYPE, byref, c_long, c_uint, c_ulong, c_ushort
    from ctypes import c_void_p as pointer
    from ctypes import c_wchar_p as text
    from typing import TYPE_CHECKING

    from agent.windows.com import (
        CLSCTX_SERVER,
        VT_BOOL,
        VT_BSTR,
        VT_DATE,
        VT_DISPATCH,
        VT_I2,
        VT_I4,
        VT_R8,
        Guid,
        Variant,
        apartment,
        bstr_text,
        ole32,
        oleaut32,
        release,
    )

    if TYPE_CHECKING:
        from collections.abc import Iterator

    class _Parameters(ctypes.Structure):
        """DISPPARAMS; arguments stand in reverse."""

        _fields_ = (
            ("arguments", POINTER(Variant)),
            ("names", POINTER(c_long)),
            ("count", c_uint),
            ("named", c_uint),
        )

    ole32.CLSIDFromProgID.argtypes, ole32.CLSIDFromProgID.restype = (text, POINTER(Guid)), c_long

    _NO_GUID = Guid()
    _DISPATCH = Guid(0x00020400, 0, 0, (ctypes.c_ubyte * 8)(*b"\xc0\0\0\0\0\0\0\x46"))
    _ids_of_names = WINFUNCTYPE(c_long, POINTER(Guid), POINTER(text), c_uint, c_ulong, POINTER(c_long))(
        5, "IDispatch.GetIDsOfNames"
    )
    _invoke = WINFUNCTYPE(
        *(c_long, c_long, POINTER(Guid), c_ulong, c_ushort),
        *(POINTER(_Parameters), POINTER(Variant), pointer, POINTER(c_uint)),
    )(6, "IDispatch.Invoke")
    _METHOD, _GET, _PUT = 1, 2, 4
    _PUT_NAME = -3  # DISPID_PROPERTYPUT
    _ENGLISH = 0x409

    class _Object:
        """An IDispatch pointer that is ours."""

        def __init__(self, held: pointer) -> None:
            self._held = held

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            if self._held.value:
                release(self._held)
                self._held = pointer()

        def get(self, name: str, *arguments: int) -> Result:
            return self._invoke(name, _GET, [_variant(each) for each in arguments])

        def put(self, name: str, value: bool) -> None:
            self._invoke(name, _PUT, [_variant(value)])

        def call(self, name: str, *arguments: str) -> Result:
            return self._invoke(name, _METHOD, [_variant(each) for each in arguments])

        def _invoke(self, name: str, how: int, given: list[Variant]) -> Result:
            number, names = c_long(), (text * 1)(name)
            done = _ids_of_names(self._held, byref(_NO_GUID), names, 1, _ENGLISH, byref(number))
            _check(done, name)
            arguments = (Variant * len(given))(*reversed(given))
            put_name = c_long(_PUT_NAME)
            parameters = _Parameters(arguments, None, len(given), 0)
            if how == _PUT:
                parameters.names, parameters.named = ctypes.pointer(put_name), 1
            result, wrong = Variant(), c_uint()
            try:
                done = _invoke(
                    *(self._held, number, byref(_NO_GUID), _ENGLISH, how),
                    *(byref(parameters), byref(result), None, byref(wrong)),
                )
            finally:
                for each in given:
                    oleaut32.VariantClear(byref(each))
            _check(done, name)
            return _taken(result)

    @contextmanager
    def made(program: str) -> Iterator[Automation]:
        """A new object of the class called ``program`` (``Microsoft.Update.Session``), in an apartment of this thread.

        Raises:
            AutomationError: there is no such class, or it cannot be made.
        """
        with apartment():
            number, held = Guid(), pointer()
            _check(ole32.CLSIDFromProgID(program, byref(number)), program)
            done = ole32.CoCreateInstance(byref(number), None, CLSCTX_SERVER, byref(_DISPATCH), byref(held))
            _check(done, program)
            with _Object(held) as one:
                yield one

    def _variant(value: str | int | bool) -> Variant:
        variant = Variant()
        if isinstance(value, bool):
            variant.vt, variant.value.int16 = VT_BOOL, -1 if value else 0
        elif isinstance(value, int):
            variant.vt, variant.value.int32 = VT_I4, value
        else:
            variant.vt, variant.value.address = VT_BSTR, oleaut32.SysAllocString(value)
        return variant

    def _taken(variant: Variant) -> Result:
        """The value; an object keeps the variant's reference, everything else is copied and freed."""
        kind, value = variant.vt, variant.value
        if kind == VT_DISPATCH:
            return _Object(pointer(value.address)) if value.address else None
        try:
            if kind == VT_BSTR:
                return bstr_text(value.address)
            if kind == VT_BOOL:
                return bool(value.int16)
            if kind in (VT_I2, VT_I4):
                return int(value.int16 if kind == VT_I2 else value.int32)
            return float(value.double) if kind in (VT_R8, VT_DATE) else None
        finally:
            oleaut32.VariantClear(byref(variant))

    def _check(done: int, what: str) -> None:
        if done < 0:
            raise AutomationError(f"{what}: error 0x{done & 0xFFFFFFFF:08X}")
