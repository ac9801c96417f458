"""Installed programs, from the registry's uninstall keys: what Windows itself lists under *Installed apps*.

Which entries Windows shows: those with a ``DisplayName`` that are no component of the system (``SystemComponent``), no
update or part of another entry (``ParentKeyName``, ``ReleaseType``), and that can be removed (``UninstallString``, or
made by Windows Installer). Programs of one user are in that user's hive, which is loaded while the user is signed in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.collectors.common.files import clean_text
from agent.windows.registry import RegistryDeniedError, number, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.windows.registry import Hive, Registry, Value, View

UNINSTALL = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"
ENVIRONMENT = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
#: Words of ``PROCESSOR_ARCHITECTURE``, and what packages for it are called.
_ARCHITECTURES = {"amd64": "x64", "arm64": "arm64", "x86": "x86"}
_UPDATES = frozenset({"update", "security update", "update rollup", "hotfix", "service pack", "servicepack"})
_UPDATE_KEY = re.compile(r"KB[0-9]{6,8}", re.IGNORECASE)
#: People: accounts of the machine or a domain, and of Entra ID.
_PERSON = re.compile(r"S-1-(?:5-21|12-1)-[0-9-]{1,200}")

Package = dict[str, str]


def installed(registry: Registry) -> list[Package]:
    """Programs by name, each once: ``name``, ``version``, ``architecture`` and ``manager`` (``msi``: Windows Installer;
    ``setup``: a set-up program of its own).

    Raises:
        RegistryDeniedError: not even the machine's own list may be read.
    """
    native = architecture(registry)
    found = list(_entries(registry, "HKLM", UNINSTALL, 64, native))
    if native != "x86":
        found += _entries(registry, "HKLM", UNINSTALL, 32, "x86")
    for user in registry.subkeys("HKU", ""):
        if _PERSON.fullmatch(user):
            try:
                found += _entries(registry, "HKU", rf"{user}\{UNINSTALL}", 64, native)
            except RegistryDeniedError:
                continue
    once = {(p["name"], p["version"], p["architecture"], p["manager"]): p for p in found}
    return [once[key] for key in sorted(once)]


def architecture(registry: Registry) -> str:
    """``x64``, ``arm64`` or ``x86``: of the system, whatever this process is."""
    word = text(registry.values("HKLM", ENVIRONMENT), "PROCESSOR_ARCHITECTURE").lower()
    return _ARCHITECTURES.get(word, "x64")


def parse_entry(key: str, values: Mapping[str, Value], architecture: str) -> Package | None:
    """One uninstall key; ``None`` where Windows does not show it."""
    name = clean_text(text(values, "DisplayName"))
    if not name or number(values, "SystemComponent") == 1:
        return None
    if text(values, "ParentKeyName") or text(values, "ReleaseType").lower() in _UPDATES:
        return None
    by_installer = number(values, "WindowsInstaller") == 1
    if _UPDATE_KEY.fullmatch(key) or not (by_installer or text(values, "UninstallString")):
        return None
    return {
        "name": name,
        "version": clean_text(text(values, "DisplayVersion")),
        "architecture": architecture,
        "manager": "msi" if by_installer else "setup",
    }


def _entries(registry: Registry, hive: Hive, path: str, view: View, architecture: str) -> Iterator[Package]:
    for key in registry.subkeys(hive, path, view):
        try:
            values = registry.values(hive, rf"{path}\{key}", view)
        except RegistryDeniedError:
            continue
        if values and (package := parse_entry(key, values, architecture)) is not None:
            yield package
