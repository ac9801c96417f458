"""The packages that are installed, by dpkg and rpm."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.common.command import failed, find_program, run_program
from agent.collectors.common.files import under
from agent.collectors.registry import (
    CollectorError,
    Context,
    NothingToReport,
    Output,
    StatusDocument,
    collector,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DPKG_STATUS = "/var/lib/dpkg/status"
RPM_DATABASES = (
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/Packages.db",
)
RPM_FORMAT = r"%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\n"
MAX_PACKAGES = 20_000

Package = dict[str, str]


def parse_dpkg_status(lines: Iterable[bytes]) -> Iterator[Package]:
    """Installed packages of a dpkg status file (deb822 paragraphs), read line by line: the file has megabytes.

    Installed is what ``dpkg -l`` marks ``ii`` or ``hi``; left-over configuration is not.
    """
    name = version = architecture = source = ""
    installed = False
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if installed and name:
                yield _package(name, version, architecture, "dpkg", source)
            name = version = architecture = source = ""
            installed = False
        elif line.startswith(b"Package: "):
            name = _text(line[9:])
        elif line.startswith(b"Status: "):
            installed = line.endswith(b" ok installed")
        elif line.startswith(b"Version: "):
            version = _text(line[9:])
        elif line.startswith(b"Architecture: "):
            architecture = _text(line[14:])
        elif line.startswith(b"Source: "):
            source = _text(line[8:])
    if installed and name:
        yield _package(name, version, architecture, "dpkg", source)


def parse_rpm_list(output: bytes) -> Iterator[Package]:
    """``rpm -qa`` in ``RPM_FORMAT``. An epoch of 0 is left away, as rpm itself does; public keys are no software."""
    for line in output.split(b"\n"):
        parts = line.split(b"\t")
        if len(parts) != 4 or not parts[0] or parts[0] == b"gpg-pubkey":
            continue
        # name-version-release.src.rpm; "(none)" has too few parts.
        source = _text(parts[3]).rsplit("-", 2)
        yield _package(
            _text(parts[0]),
            _text(parts[1]).removeprefix("0:"),
            _text(parts[2]),
            "rpm",
            source[0] if len(source) == 3 else "",
        )


def _text(raw: bytes) -> str:
    return raw[:255].decode("utf-8", "replace").strip()


def _package(name: str, version: str, architecture: str, manager: str, source: str) -> Package:
    """``source`` is the package it was built from, as ``name`` or ``name (version)``: said only where it differs, for
    distributions count their fixes by it."""
    package = {"name": name, "version": version, "architecture": intern(architecture), "manager": manager}
    source, _, built_from = source.partition(" (")
    if source and source != name:
        package["source"] = intern(source)
    if built_from and built_from.rstrip(")") != version:
        package["source_version"] = built_from.rstrip(")")
    return package


def _read_rpm() -> list[Package]:
    program = find_program("rpm")
    if program is None:
        raise CollectorError(reasons.NO_RPM())
    done = run_program([program, "-qa", "--queryformat", RPM_FORMAT], 45)
    if done.status != 0:
        raise CollectorError(failed("rpm -qa", done))
    return list(parse_rpm_list(done.output))


@collector(
    "software",
    interval_seconds=3600,
    timeout_seconds=60,
    platforms={"linux"},
    privileges="none",
    description="Installed packages with version and architecture (dpkg, rpm)",
)
def collect(ctx: Context) -> Output:
    packages: list[Package] = []
    status = under(ctx.root, DPKG_STATUS)
    managers = 0
    if status.exists():
        managers += 1
        with status.open("rb") as lines:
            packages.extend(parse_dpkg_status(lines))
    if any(under(ctx.root, name).exists() for name in RPM_DATABASES):
        managers += 1
        packages.extend(_read_rpm())
    if not managers:
        raise NothingToReport(reasons.NO_PACKAGES())
    packages.sort(key=lambda p: (p["name"], p["architecture"], p["version"]))
    body: dict[str, Any] = {"packages": packages[:MAX_PACKAGES], "count": len(packages)}
    return Output(documents=[StatusDocument(kind="software", observed_at=ctx.now(), body=body)])
