"""The installer: a ``.msi`` by ``wixl`` (Debian package wixl), which lays files down and lets the agent do the rest.

The service, its rights and its folders are ``vonggac-agent service install``'s, which Windows runs as SYSTEM; the
installer's own tables know less of a service than that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import uuid
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import quoteattr

import click

from agent.update.windows_place import PYTHON
from agent.windows.scm import MODULE, NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from soc_api.cli.windows._payload import Payload

#: The same for ever: by it Windows knows that one package is a later version of another.
UPGRADE_CODE: Final = uuid.UUID("5d1d7e6c-6f0c-4f6e-9a55-1c0f4b7d2a61")
#: wixl's architectures, and the folder of programs of each.
_ARCHITECTURES: Final = {
    "win-amd64": ("x64", "ProgramFiles64Folder"),
    "win32": ("x86", "ProgramFilesFolder"),
}
#: Dates of files: equal input gives an equal tree.
_DATE: Final = 1_767_225_600
_SECONDS: Final = 600.0
_PROGRAM: Final = "wixl"


def make_msi(payload: Payload, folder: Path, target: Path) -> None:
    """Lay ``payload`` out in ``folder`` and make an installer of it.

    Raises:
        click.ClickException: wixl is missing or refuses, or there is no installer for this platform or version.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise click.ClickException(f"{_PROGRAM} is missing: install the Debian package {_PROGRAM}")
    if payload.python.platform not in _ARCHITECTURES:
        raise click.ClickException(f"{payload.python.platform}: {_PROGRAM} makes no installer for it")
    architecture = _ARCHITECTURES[payload.python.platform][0]
    source = folder / "package.wxs"
    source.write_text(wxs(payload), encoding="utf-8")
    for path, data in payload.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (_DATE, _DATE))
    command = [program, "--arch", architecture, "--output", str(target.absolute()), source.name]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise click.ClickException(f"{_PROGRAM}: no end within {_SECONDS:g} s") from error
    if done.returncode or not target.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        raise click.ClickException(f"{_PROGRAM}: {lines[-1][:300]}")


def wxs(payload: Payload) -> str:
    """The installer's source.

    Raises:
        click.ClickException: Windows' installer cannot compare this version with others.
    """
    if not all(part.isdigit() for part in payload.version.split(".")[:4]):
        raise click.ClickException(f"{payload.version}: an installer needs a version of numbers alone")
    version = ".".join([*payload.version.split("."), "0", "0"][:3])
    wide, programs = _ARCHITECTURES[payload.python.platform]
    python = f"versions/{payload.version}/{PYTHON}"
    call = " ".join(MODULE)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
  <Product Id="{_guid(payload, "product")}" Name="Vong Gac agent" Language="1033" Codepage="1252" Version="{version}"
           Manufacturer="Vong Gac" UpgradeCode="{UPGRADE_CODE}">
    <Package InstallerVersion="500" Compressed="yes" InstallScope="perMachine" Description="Vong Gac agent"
             Comments="{payload.version}, Python {"{}.{}".format(*payload.python.version)}"/>
    <Media Id="1" Cabinet="agent.cab" EmbedCab="yes"/>
    <MajorUpgrade DowngradeErrorMessage="A newer version is installed. / Da cai ban moi hon."/>
    <Property Id="ARPNOMODIFY" Value="1"/>
    <Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="{programs}"><Directory Id="ROOT" Name="{NAME}">
{"".join(_directories(payload, python, "yes" if wide == "x64" else "no"))}    </Directory></Directory></Directory>
    <CustomAction Id="InstallService" FileKey="{_id("f", python)}" ExeCommand="{call} service install"
                  Execute="deferred" Impersonate="no" Return="check"/>
    <CustomAction Id="RemoveService" FileKey="{_id("f", python)}" ExeCommand="{call} service remove"
                  Execute="deferred" Impersonate="no" Return="ignore"/>
    <InstallExecuteSequence>
      <RemoveExistingProducts Sequence="1501"/>
      <Custom Action="RemoveService" Sequence="3450">REMOVE="ALL" AND NOT UPGRADINGPRODUCTCODE</Custom>
      <Custom Action="InstallService" Sequence="5950">NOT REMOVE</Custom>
    </InstallExecuteSequence>
    <Feature Id="Agent" Level="1">
{"".join(f'      <ComponentRef Id="{_id("c", path)}"/>{chr(10)}' for path in payload.files)}    </Feature>
  </Product>
</Wix>
"""


def _directories(payload: Payload, python: str, wide: str) -> Iterator[str]:
    """Folders and files; the service is stopped before files of it are replaced or removed."""

    def inside(folder: PurePosixPath, paths: Iterable[PurePosixPath], indent: str) -> Iterator[str]:
        depth = len(folder.parts)
        below: dict[str, list[PurePosixPath]] = {}
        for path in paths:
            if len(path.parts) > depth + 1:
                below.setdefault(path.parts[depth], []).append(path)
                continue
            text = str(path)
            stop = (
                f'<ServiceControl Id="Stop" Name="{NAME}" Stop="both" Wait="yes"/>' if text == python else ""
            )
            yield (
                f'{indent}<Component Id="{_id("c", text)}" Guid="{_guid(payload, text)}" Win64="{wide}">'
                f'<File Id="{_id("f", text)}" Name={quoteattr(path.name)} Source={quoteattr(text)} KeyPath="yes"/>'
                f"{stop}</Component>\n"
            )
        for name, further in sorted(below.items()):
            yield f'{indent}<Directory Id="{_id("d", str(folder / name))}" Name={quoteattr(name)}>\n'
            yield from inside(folder / name, further, indent + " ")
            yield f"{indent}</Directory>\n"

    yield from inside(PurePosixPath(), map(PurePosixPath, payload.files), "      ")


def _id(kind: str, path: str) -> str:
    return f"{kind}{hashlib.sha256(path.encode()).hexdigest()[:24]}"


def _guid(payload: Payload, path: str) -> str:
    """Of the same file in the same version always the same."""
    return str(uuid.uuid5(UPGRADE_CODE, f"{payload.version} {payload.python.platform} {path}"))
