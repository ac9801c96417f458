"""Building the environment of a version beside the one that runs, without any network."""

from __future__ import annotations

import os
import shutil
import subprocess  # pip and the new version itself, by argument lists
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent import settings
from agent.settings_file import SettingsError
from agent.update.errors import ReleaseError
from agent.update.manifest import PRODUCT

if TYPE_CHECKING:
    from collections.abc import Sequence

_BUILD_SECONDS: Final = 900.0
_ASK_SECONDS: Final = 120.0
#: Everything that the programs started here see of the caller: nothing. They run as root, he may stand anywhere.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "PIP_CONFIG_FILE": os.devnull,
}
if sys.platform == "win32":  # without it no program finds the system's libraries
    _ENVIRONMENT = {name: os.environ[name] for name in ("SystemRoot", "SystemDrive") if name in os.environ}
PYTHON_OPTION: Final = "-I"  # neither the working directory nor PYTHON* nor the user's own packages


def program(environment: Path, name: str) -> Path:
    if sys.platform == "win32":
        return environment / "Scripts" / f"{name}.exe"
    return environment / "bin" / name


def base_python() -> str:
    """The Python that environments are made of."""
    return getattr(sys, "_base_executable", None) or sys.executable


def build(environment: Path, wheels: Path, version: str, extra: str = "") -> None:
    """Make ``environment`` with the agent ``version`` out of the folder ``wheels`` alone; ``extra`` is one of the
    product's (``probe``), whose packages are needed too. pip is copied from the
    environment that this runs in: one of its own would need the network or the distribution's package for it.

    Raises:
        ReleaseError: it could not be built; what is there is to be removed.
    """
    _run([base_python(), PYTHON_OPTION, "-m", "venv", "--without-pip", str(environment)])
    python = str(program(environment, "python"))
    command = [sys.executable, PYTHON_OPTION, "-m", "pip", "--python", python, "install"]
    command += [
        "--no-index",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--quiet",
        "--find-links",
        str(wheels),
        f"{PRODUCT}[{extra}]=={version}" if extra else f"{PRODUCT}=={version}",
    ]
    _run(command)
    packages = Path(
        _ask([python, PYTHON_OPTION, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    )
    for each in Path(sysconfig.get_path("purelib")).glob("pip*"):
        if each.name == "pip" or (each.name.startswith("pip-") and each.name.endswith(".dist-info")):
            shutil.copytree(each, packages / each.name)


def make(environment: Path, wheels: Path, version: str, config: Path | None) -> None:
    """:func:`build`, :func:`check`, and see that a power cut leaves all of it; raises as they do."""
    build(environment, wheels, version, _extra(config))
    check(str(program(environment, "vonggac-agent")), (), version, config)
    os.sync()  # an environment is thousands of files; the link must not outlive them


def _extra(config: Path | None) -> str:
    """What this machine needs beyond the agent's own packages: those of a probe's parts, where it is one."""
    try:
        return "probe" if settings.load(config).probe.parts else ""
    except SettingsError:
        return ""  # the new version is asked whether it understands these settings, and says what is wrong


def check(command: str, leading: Sequence[str], version: str, config: Path | None) -> None:
    """Let the new version, which is ``command`` with ``leading`` arguments, say who it is, and whether it understands
    this machine's settings.

    Raises:
        ReleaseError: it does not run here, is another, or refuses the settings.
    """
    told = _ask([command, *leading, "--version"])
    if told != version:
        raise ReleaseError("build", f"what was installed calls itself {told[:40]!r}, not {version}")
    if config is not None:
        _ask([command, *leading, "check-config", "--config", str(config.absolute())])


def _ask(command: Sequence[str]) -> str:
    return _run(command, _ASK_SECONDS).strip()


def _run(command: Sequence[str], seconds: float = _BUILD_SECONDS) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=_ENVIRONMENT,
            cwd=Path(sys.base_prefix).anchor,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReleaseError("build", f"{Path(command[0]).name}: {error}"[:300]) from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["no word"]
        raise ReleaseError("build", f"{Path(command[0]).name}: {lines[-1]}"[:300])
    return done.stdout
