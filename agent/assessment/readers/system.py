"""Units, packages, kernel modules, mounts, files and accounts of a Linux machine."""

from __future__ import annotations

import mmap
import os
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent import reasons
from agent.assessment.errors import UnknownFactError
from agent.assessment.form import Package, Unit
from agent.assessment.machine import is_there, whole_bytes
from agent.collectors.common.command import failed
from agent.collectors.common.files import SMALL_BYTES, clean_text, under
from agent.collectors.software import DPKG_STATUS, RPM_DATABASES

if TYPE_CHECKING:
    from agent.assessment.machine import Machine

_MODPROBE: Final = ("/etc/modprobe.d/*.conf", "/run/modprobe.d/*.conf", "/usr/lib/modprobe.d/*.conf")
_INSTALL: Final = re.compile(r"install\s+(\S{1,100})\s+(?:/usr)?/bin/(?:false|true)\b.*")
_ENABLED: Final = frozenset({"enabled", "enabled-runtime", "alias", "static", "indirect", "generated"})
_MAX_NAMES: Final = 8
#: The kernel's tables of modules and mounts.
_TABLE_BYTES: Final = 1 << 20
#: The package that every rpm database has.
_RPM: Final = "rpm"
#: rpm's exit status is the number of names that it did not find, at most so many.
_RPM_STATUS: Final = 254


class UnitState(Struct, frozen=True):
    """``running``: active, or about to be; ``enabled``: starts by itself; ``there``: systemd knows it."""

    there: bool
    running: bool
    enabled: bool


class FileFacts(Struct, frozen=True):
    path: str
    mode: int
    owner: str
    group: str


def parse_units(text: str) -> dict[str, UnitState]:
    """``systemctl show -p Id,Names,LoadState,ActiveState,UnitFileState``: paragraphs of ``Name=value``. A unit is told
    under all of its names: what is asked for by an alias is answered with the ``Id`` that it stands for."""
    found = {}
    for paragraph in text.split("\n\n"):
        facts = dict(line.partition("=")[::2] for line in paragraph.splitlines())
        if names := {facts.get("Id", ""), *facts.get("Names", "").split()} - {""}:
            running = facts.get("ActiveState") in ("active", "activating", "reloading")
            enabled = facts.get("UnitFileState") in _ENABLED
            there = facts.get("LoadState") == "loaded"
            found.update(dict.fromkeys(names, UnitState(there, running, there and enabled)))
    return found


def read_units(machine: Machine) -> dict[str, UnitState]:
    """All units that any check of this run asks for, by one question."""
    return machine.once("units", lambda: _read_units(machine))


def _read_units(machine: Machine) -> dict[str, UnitState]:
    if not is_there(under(machine.root, "/run/systemd/system"), "/run/systemd/system"):
        raise UnknownFactError(reasons.NO_SYSTEMD())
    names = sorted({name for test in machine.tests if isinstance(test, Unit) for name in test.names})
    properties = "Id,Names,LoadState,ActiveState,UnitFileState"
    return parse_units(machine.output("systemctl", "show", "--property", properties, "--", *names))


def read_packages(machine: Machine) -> set[str]:
    """Which of the packages that any check of this run asks for are installed."""
    return machine.once("packages", lambda: _read_packages(machine))


def _read_packages(machine: Machine) -> set[str]:
    names = sorted({name for test in machine.tests if isinstance(test, Package) for name in test.names})
    found: set[str] = set()
    status = under(machine.root, DPKG_STATUS)
    known = False
    try:
        with status.open("rb") as file:
            known = True
            if os.fstat(file.fileno()).st_size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    found |= installed(content, names)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UnknownFactError(reasons.at(DPKG_STATUS, error)) from error
    if any(is_there(under(machine.root, path), path) for path in RPM_DATABASES):
        known = True
        found |= _ask_rpm(machine, names)
    if not known:
        raise UnknownFactError(reasons.NO_PACKAGES())
    return found


def installed(status: mmap.mmap | bytes, names: list[str]) -> set[str]:
    """Which of ``names`` are there by a dpkg status file (dpkg(1)): in every state, half-configured too, but those in
    which nothing of them is, or their configuration alone. Other fields may stand before ``Status``."""
    pattern = (
        rb"Package: (?<![^\n]Package: )(%s)\n(?:(?!Status: )[^\n]+\n){0,8}"
        rb"Status: \S+ \S+ (?!(?:not-installed|config-files)\n)"
    ) % b"|".join(re.escape(n).encode() for n in names)
    return {match[1].decode() for match in re.finditer(pattern, status)} if names else set()


def _ask_rpm(machine: Machine, names: list[str]) -> set[str]:
    """Which of ``names`` rpm has. A database that it cannot read looks like one in which nothing is installed, so it
    is asked for itself too."""
    asked = {*names, _RPM}
    done = machine.ran("rpm", "-q", "--queryformat", "%{NAME}\\n", "--", *sorted(asked))
    found = set(done.output.decode("utf-8", "replace").split("\n")) & asked
    if done.status != min(len(asked - found), _RPM_STATUS):
        raise UnknownFactError(failed("rpm", done))
    if _RPM not in found:
        raise UnknownFactError(reasons.NO_RPM_IN_RPM())
    return found & set(names)


def read_module(machine: Machine, name: str) -> tuple[bool, bool]:
    """``(loaded, blocked)``; to the kernel ``-`` and ``_`` are one."""
    return _plain(name) in _loaded(machine), _plain(name) in machine.once(
        "modprobe", lambda: _blocked(machine)
    )


def _loaded(machine: Machine) -> set[str]:
    listed = whole_bytes(machine.proc / "modules", f"{machine.proc}/modules", _TABLE_BYTES)
    if listed is None:
        raise UnknownFactError(reasons.FILE_UNREADABLE(path=f"{machine.proc}/modules"))
    return {_plain(line.partition(" ")[0]) for line in listed.decode("ascii", "replace").splitlines()}


def _blocked(machine: Machine) -> set[str]:
    found: set[str] = set()
    for pattern in _MODPROBE:
        for path in machine.matching(pattern):
            lines = (machine.text(path) or "").splitlines()
            found.update(_plain(match[1]) for line in lines if (match := _INSTALL.fullmatch(line.strip())))
    return found


def _plain(name: str) -> str:
    return name.replace("-", "_")


def parse_mount_options(text: bytes, path: str) -> set[str] | None:
    """The options of what is mounted last on ``path`` (proc(5)); ``None`` where nothing is."""
    wanted = path.replace(" ", "\\040").encode()
    found: set[str] | None = None
    for line in text.split(b"\n"):
        parts = line.split(b" ")
        if len(parts) >= 4 and parts[1] == wanted:
            found = set(parts[3].decode("ascii", "replace").split(","))
    return found


def read_mount(machine: Machine, path: str) -> set[str] | None:
    """As the first process sees it: the agent itself may have a ``/tmp`` of its own."""
    for place in ("1/mounts", "self/mounts"):
        table = whole_bytes(machine.proc / place, f"{machine.proc}/{place}", _TABLE_BYTES)
        if table is not None:
            return parse_mount_options(table, path)
    raise UnknownFactError(reasons.FILE_UNREADABLE(path=f"{machine.proc}/1/mounts"))


def read_files(machine: Machine, pattern: str) -> tuple[list[FileFacts], bool]:
    """``(those that exist, whether these are all that fit)``; owners by name where the machine's tables know one."""
    found = []
    paths, whole = machine.first_matching(pattern)
    for path in paths:
        try:
            facts = under(machine.root, path).stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UnknownFactError(reasons.at(path, error)) from error
        owner, group = _name(machine, "/etc/passwd", facts.st_uid), _name(machine, "/etc/group", facts.st_gid)
        found.append(FileFacts(path, facts.st_mode & 0o7777, owner, group))
    return found, whole


def _name(machine: Machine, table: str, number: int) -> str:
    if number == 0:
        return "root"
    for line in (machine.text(table) or "").splitlines():
        parts = line.split(":")
        if len(parts) >= 3 and parts[2] == str(number):
            return clean_text(parts[0], 32)
    return str(number)


def accounts_with_number_zero(passwd: str) -> list[str]:
    """Other names than root's with the number 0 (passwd(5))."""
    lines = (line.split(":") for line in passwd.splitlines())
    return [
        clean_text(p[0], 32)
        for p in lines
        if len(p) >= 4 and p[2].strip("0") == "" != p[2] and p[0] != "root"
    ]


def accounts_without_password(passwd: str, shadow: str) -> list[str]:
    """Names whose password is empty (passwd(5), shadow(5)); nothing of any other password is kept."""
    empty = [line.split(":")[0] for line in shadow.splitlines() if line.split(":")[1:2] == [""]]
    open_ = [line.split(":")[0] for line in passwd.splitlines() if line.split(":")[1:2] == [""]]
    return [clean_text(name, 32) for name in dict.fromkeys(empty + open_) if name]


def read_accounts(machine: Machine, fact: str) -> list[str]:
    """At most eight names of accounts as should not be."""
    passwd = machine.text("/etc/passwd")
    if passwd is None:
        raise UnknownFactError(reasons.FILE_UNREADABLE(path="/etc/passwd"))
    if fact == "uid_zero":
        return accounts_with_number_zero(passwd)[:_MAX_NAMES]
    # Not through text(): what it keeps for the rest of the run would hold the hashes.
    shadow = whole_bytes(under(machine.root, "/etc/shadow"), "/etc/shadow", SMALL_BYTES)
    if shadow is None:
        raise UnknownFactError(reasons.FILE_UNREADABLE(path="/etc/shadow"))
    return accounts_without_password(passwd, shadow.decode("utf-8", "replace"))[:_MAX_NAMES]
