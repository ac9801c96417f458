"""A registry of a ``.reg`` export, as ``reg export`` and regedit write it (UTF-16 or UTF-8), for tests."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from agent.windows.registry import Hive, RegistryDeniedError, Value, View

if TYPE_CHECKING:
    from collections.abc import Mapping

_HIVES = {"HKEY_LOCAL_MACHINE": "HKLM", "HKEY_USERS": "HKU"}
_SOFTWARE = "software\\"


class RegFile:
    """:class:`agent.windows.registry.Registry` of the text of an export.

    The 32-bit view of ``SOFTWARE`` is what the export has under ``WOW6432Node``. Keys of ``denied`` (``HKLM\\path``)
    are there but may not be read.
    """

    def __init__(self, export: str | bytes, denied: tuple[str, ...] = ()) -> None:
        text = _decode(export) if isinstance(export, bytes) else export
        self._keys = parse_reg(text)
        self._names = {key.casefold(): key for key in self._keys}
        self._denied = {each.casefold() for each in denied}

    def values(self, hive: Hive, path: str, view: View = 64) -> Mapping[str, Value] | None:
        key = self._names.get(self._key(hive, path, view))
        return None if key is None else dict(self._keys[key])

    def subkeys(self, hive: Hive, path: str, view: View = 64) -> list[str]:
        prefix = self._key(hive, path, view) + "\\"
        start = len(prefix)
        found = {
            key[start:].partition("\\")[0]: None
            for folded, key in self._names.items()
            if folded.startswith(prefix)
        }
        return list(found)

    def _key(self, hive: Hive, path: str, view: View) -> str:
        if view == 32 and f"{path}\\".casefold().startswith(_SOFTWARE):
            path = f"SOFTWARE\\WOW6432Node\\{path[len(_SOFTWARE) :]}"
        key = f"{hive}\\{path}".casefold().rstrip("\\")
        if key in self._denied:
            raise RegistryDeniedError(13, "Access is denied", f"{hive}\\{path}")
        return key


def parse_reg(text: str) -> dict[str, dict[str, Value]]:
    """Keys (``HKLM\\path``) with their values. A key above another is there without values."""
    keys: dict[str, dict[str, Value]] = {}
    current: dict[str, Value] = {}
    for line in re.sub(r"\\\r?\n\s*", "", text).splitlines():
        if line.startswith("[") and line.endswith("]"):
            hive, _, path = line[1:-1].partition("\\")
            name = _HIVES[hive]
            for part in path.split("\\") if path else ():
                name = f"{name}\\{part}"
                current = keys.setdefault(name, {})
        elif match := re.fullmatch(r'(@|"(?:[^"\\]|\\.)*")=(.+)', line):
            name = "" if match[1] == "@" else _unquote(match[1])
            current[name] = _value(match[2])
    return keys


def _decode(data: bytes) -> str:
    if data.startswith(codecs.BOM_UTF16_LE):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _value(text: str) -> Value:
    if text.startswith('"'):
        return _unquote(text)
    kind, _, digits = text.partition(":")
    if kind == "dword":
        return int(digits, 16)
    data = bytes(int(pair, 16) for pair in digits.split(",") if pair)
    if kind == "hex(b)":
        return int.from_bytes(data, "little")
    if kind in ("hex(1)", "hex(2)"):
        return data.decode("utf-16-le").rstrip("\0")
    if kind == "hex(7)":
        return [part for part in data.decode("utf-16-le").split("\0") if part]
    return data
