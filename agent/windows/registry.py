"""The Windows registry, behind a port of two questions, so that whatever reads it is tried on any system.

Values keep their type: ``REG_SZ`` and ``REG_EXPAND_SZ`` (not expanded) are ``str``, ``REG_DWORD`` and ``REG_QWORD``
``int``, ``REG_MULTI_SZ`` a list of ``str``, everything else ``bytes``. What stands in the registry is hostile text: any
program writes there, so texts and numbers of values are bounded here and are cleaned by whoever shows them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

#: ``HKLM``: the machine's; ``HKU``: the loaded hives of users, a subkey a security identifier.
Hive = Literal["HKLM", "HKU"]
#: Which of the two registries a 64-bit Windows has for 64-bit and 32-bit programs; on 32-bit Windows both are one.
View = Literal[64, 32]
Value = str | int | list[str] | bytes

#: A key of the system has fewer; what stands beyond is not read.
MAX_SUBKEYS = 10_000
MAX_VALUES = 2_000
MAX_TEXT = 4_096
MAX_BYTES = 64 << 10


class RegistryDeniedError(PermissionError):
    """The key is there, but may not be read; ``filename`` is ``HKLM\\path``."""


class Registry(Protocol):
    """Questions to one machine's registry. Paths have backslashes and no hive; case does not count."""

    def values(self, hive: Hive, path: str, view: View = 64) -> Mapping[str, Value] | None:
        """The values of a key by name (the default value's is empty); ``None`` where there is no such key.

        Raises:
            RegistryDeniedError: there is, but it may not be read.
        """

    def subkeys(self, hive: Hive, path: str, view: View = 64) -> list[str]:
        """The names of the keys below, in the registry's order; none where there is no such key.

        Raises:
            RegistryDeniedError: there is, but it may not be read.
        """


def named(values: Mapping[str, Value] | None, name: str) -> Value | None:
    """The value called ``name``, whatever its case; ``None`` where there is none."""
    if not values:
        return None
    if name in values:
        return values[name]
    wanted = name.casefold()
    return next((value for key, value in values.items() if key.casefold() == wanted), None)


def text(values: Mapping[str, Value] | None, name: str) -> str:
    """The value called ``name`` where it is text; else the empty text."""
    found = named(values, name)
    return found if isinstance(found, str) else ""


def number(values: Mapping[str, Value] | None, name: str) -> int | None:
    """The value called ``name`` where it is a number, or text of decimal digits; else ``None``."""
    found = named(values, name)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        return int(found)
    return found if isinstance(found, int) else None


def bounded(value: object) -> Value | None:
    """``value`` as :mod:`winreg` gives it, cut to what this port promises; ``None`` for an empty ``REG_NONE``."""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, int):
        return value
    if isinstance(value, list):
        return [str(each)[:MAX_TEXT] for each in value[:MAX_VALUES]]
    return value[:MAX_BYTES] if isinstance(value, bytes) else None


if sys.platform == "win32":
    import winreg

    _HIVES = {"HKLM": winreg.HKEY_LOCAL_MACHINE, "HKU": winreg.HKEY_USERS}
    _VIEWS = {64: winreg.KEY_WOW64_64KEY, 32: winreg.KEY_WOW64_32KEY}

    class WindowsRegistry:
        """:class:`Registry` of the machine that this runs on."""

        def values(self, hive: Hive, path: str, view: View = 64) -> dict[str, Value] | None:
            key = _open(hive, path, view)
            if key is None:
                return None
            found: dict[str, Value] = {}
            with key:
                for index in range(MAX_VALUES):
                    try:
                        name, raw, _ = winreg.EnumValue(key, index)
                    except OSError:  # ERROR_NO_MORE_ITEMS, or it was deleted meanwhile
                        break
                    value = bounded(raw)
                    if value is not None:
                        found[name] = value
            return found

        def subkeys(self, hive: Hive, path: str, view: View = 64) -> list[str]:
            key = _open(hive, path, view)
            if key is None:
                return []
            names: list[str] = []
            with key:
                for index in range(MAX_SUBKEYS):
                    try:
                        names.append(winreg.EnumKey(key, index))
                    except OSError:  # ERROR_NO_MORE_ITEMS
                        break
            return names

    def _open(hive: Hive, path: str, view: View) -> winreg.HKEYType | None:
        try:
            return winreg.OpenKey(_HIVES[hive], path, 0, winreg.KEY_READ | _VIEWS[view])
        except PermissionError as error:
            raise RegistryDeniedError(error.errno, error.strerror, f"{hive}\\{path}") from error
        except OSError:  # no such key; a name that cannot be one
            return None


def registry() -> Registry:
    """This machine's registry.

    Raises:
        OSError: this is not Windows.
    """
    if sys.platform == "win32":
        return WindowsRegistry()
    raise OSError("there is no registry here: this is not Windows")
