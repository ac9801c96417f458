r"""Windows: values of the registry, the audit policy and the local security policy.

The two policies are asked of Windows' own programs, in the form that does not depend on its language: ``auditpol
/backup`` (CSV with a column of numbers, [MS-GPAC] 2.2) and ``secedit /export`` (an INI file in UTF-16, [MS-GPSB] 2.2).
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent import reasons
from agent.assessment.errors import UnknownFactError
from agent.windows.registry import RegistryDeniedError, named

if TYPE_CHECKING:
    from agent.assessment.machine import Machine

SUCCESS, FAILURE = 1, 2
#: Setting values of [MS-GPAC] 2.2.1.3.1; 0 is *unchanged*, which for the effective policy is nothing recorded.
_RECORDED: Final = {"0": 0, "1": SUCCESS, "2": FAILURE, "3": SUCCESS | FAILURE, "4": 0}
_SECONDS: Final = 20.0
_MAX_BYTES: Final = 1 << 20
_GUID_COLUMN, _VALUE_COLUMN, _TARGET_COLUMN = 3, 6, 1


def decoded(data: bytes) -> str:
    """Text as Windows' programs write it: UTF-16 or UTF-8 with a mark, UTF-8 without, else bytes as they are."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_audit_backup(data: bytes) -> dict[str, int]:
    """``auditpol /backup``: by GUID in lower case without braces, what the system's policy records.

    Rows of single users, options and anything that is no subcategory are passed over.
    """
    found: dict[str, int] = {}
    lines = decoded(data).replace("\0", "").splitlines()
    for row in csv.reader(line for line in lines if len(line) < 2_000):
        if len(row) <= _VALUE_COLUMN or row[_TARGET_COLUMN].strip().casefold() != "system":
            continue
        guid, value = row[_GUID_COLUMN].strip().strip("{}").lower(), row[_VALUE_COLUMN].strip()
        if len(guid) == 36 and value in _RECORDED:
            found[guid] = _RECORDED[value]
    return found


def parse_security_export(data: bytes) -> dict[str, str]:
    """``secedit /export``: the section ``System Access`` by name in lower case, values without quotes."""
    found: dict[str, str] = {}
    within = False
    for raw in decoded(data).splitlines():
        line = raw.strip().strip("\0")
        if line.startswith("["):
            within = line.casefold() == "[system access]"
        elif within and "=" in line:
            name, _, value = line.partition("=")
            found[name.strip().casefold()[:60]] = value.strip().strip('"')[:200]
    return found


def registry_value(machine: Machine, key: str, name: str) -> str | None:
    """The value as text: numbers in decimal, several texts with commas; ``None`` where it is not set."""
    if machine.registry is None:
        raise UnknownFactError(reasons.NO_REGISTRY())
    registry = machine.registry
    try:
        found = named(machine.once(("registry", key.casefold()), lambda: registry.values("HKLM", key)), name)
    except RegistryDeniedError as error:
        raise UnknownFactError(reasons.KEY_DENIED(key=f"HKLM\\{key}")) from error
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, bytes):
        raise UnknownFactError(reasons.VALUE_BINARY(value=name))
    return str(found) if isinstance(found, int) else ",".join(found)


def read_audit(machine: Machine) -> dict[str, int]:
    return machine.once(
        "audit", lambda: parse_audit_backup(_written_by("auditpol.exe", "/backup", "/file:{}"))
    )


def read_security(machine: Machine) -> dict[str, str]:
    arguments = ("/export", "/areas", "SECURITYPOLICY", "/cfg", "{}", "/quiet")
    return machine.once("security", lambda: parse_security_export(_written_by("secedit.exe", *arguments)))


def _written_by(program: str, *arguments: str) -> bytes:
    """What one of Windows' own programs writes into the file that stands for ``{}`` in ``arguments``."""
    import subprocess
    import tempfile

    system = os.environ.get("SystemRoot", "")  # noqa: SIM112 - as Windows writes it
    path = Path(system) / "System32" / program
    if not system or not path.exists():
        raise UnknownFactError(reasons.NOT_INSTALLED(program=program))
    with tempfile.TemporaryDirectory(prefix="vonggac-") as folder:
        written = Path(folder) / "policy"
        try:
            done = subprocess.run(
                [str(path), *(each.replace("{}", str(written)) for each in arguments)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                env={"SystemRoot": system, "TEMP": folder, "TMP": folder},
                cwd=folder,
                check=False,
            )
            if not written.exists():
                raise UnknownFactError(reasons.WROTE_NO_POLICY(program=program, status=done.returncode))
            with written.open("rb") as file:
                return file.read(_MAX_BYTES)
        except subprocess.TimeoutExpired as error:
            slow = reasons.PROGRAM_SLOW(program=program, seconds=f"{_SECONDS:g}")
            raise UnknownFactError(slow) from error
        except OSError as error:
            raise UnknownFactError(reasons.at(program, error)) from error
