"""Releases of the agent for tests: the project's own wheel under other versions, signed with a key of the test's."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

from agent.update.environment import build
from agent.update.signing import make_key
from soc_api.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD = "correct horse battery"


def vonggac(*arguments: str) -> str:
    """The command's output; fails on any exit status but 0."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def repack(wheel: Path, folder: Path, version: str, changes: Mapping[str, str] | None = None) -> Path:
    """The agent's part of the project's ``wheel`` as ``version``, in ``folder``, ``changes`` appended to modules."""
    old = wheel.name.split("-")[1]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"vonggac-{version}-py3-none-any.whl"
    info = f"vonggac-{version}.dist-info"
    names = []
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w") as made:
        for name in source.namelist():
            if not name.startswith(("agent/", "vonggac-")) or name.endswith("RECORD"):
                continue
            data = source.read(name)
            name = name.replace(f"vonggac-{old}.dist-info", info)
            if name == "agent/__init__.py":
                data = data.replace(old.encode(), version.encode())
            if name == f"{info}/METADATA":
                data = data.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode())
            data += (changes or {}).get(name, "").encode()
            made.writestr(name, data)
            names.append(name)
        made.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*names, f"{info}/RECORD"]))
    return target


class Signer:
    """A key in ``folder``, and releases made with it by the command."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.key, self.public, self.password = (
            folder / "release.key",
            folder / "release.pub",
            folder / "password",
        )
        private, public = make_key(PASSWORD.encode())
        self.key.write_bytes(private)
        self.public.write_bytes(public)
        self.password.write_text(PASSWORD + "\n")

    def make(self, wheels: Path, *further: str) -> Path:
        """The release of a folder of wheels."""
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        before = {each: each.stat().st_mtime_ns for each in out.iterdir()}
        command = ["release", "make", "--wheels", str(wheels), "--key", str(self.key), "--out", str(out)]
        vonggac(*command, "--password-file", str(self.password), *further)
        return next(each for each in out.iterdir() if before.get(each) != each.stat().st_mtime_ns)


def install(root: Path, wheels: Path, version: str) -> None:
    """An installation as the Ansible role leaves it."""
    folder = root / "versions" / version
    folder.mkdir(parents=True)
    build(folder / "venv", wheels, version)
    (root / "current").symlink_to(Path("versions") / version)
