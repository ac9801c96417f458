"""``vonggac bundle``: the wheels that machines install the agent from, put where the collector serves
them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from soc_api.cli._place import Place, as_json, with_place

#: The source tree that this program runs from, where it runs from one.
_PROJECT: Final = Path(__file__).resolve().parents[2]
#: What machines need; where the LAN's probe can run, its packages too.
_AGENT: Final = "agent.txt"
_PROBE: Final = "probe.txt"


@click.command(name="bundle", short_help="the wheels that machines install the agent from")
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=_PROJECT,
    help="Vọng Gác's source tree; by default the one this program runs from.",
)
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Take the dependencies from this folder, not from a package index (a server without internet).",
)
@click.option(
    "--python-version",
    "versions",
    multiple=True,
    metavar="3.x",
    help="A Python that machines have; may be repeated. By default this server's.",
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="TAG",
    help="A platform tag of machines (manylinux_2_28_x86_64, win_amd64); may be repeated. By default this server's.",
)
@as_json
@with_place
def command(
    place: Place,
    project: Path,
    wheels: Path | None,
    versions: tuple[str, ...],
    platforms: tuple[str, ...],
    as_json: bool,
) -> None:
    """Build the project's wheel, fetch those of its few dependencies (locked, hashes checked), and put all of
    them where the collector serves them to machines that install the agent. What was there before is replaced
    whole.

    \b
    Examples:
      vonggac bundle --data var
      vonggac bundle --data var --python-version 3.11 --python-version 3.13 --platform manylinux_2_28_x86_64
    """
    requirements = project / "requirements"
    for each in (_AGENT, _PROBE):
        if not (requirements / each).is_file():
            raise click.ClickException(
                f"{requirements / each} is missing: name Vọng Gác's source tree with --project"
            )
    directory = place.data
    directory.create()
    with tempfile.TemporaryDirectory(dir=directory.root, prefix=".bundle-") as made:
        folder = Path(made) / "bundle"
        folder.mkdir(mode=0o700)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(project))
        for version in versions or ("",):
            for group in _groups(platforms):
                _pip(*_download(folder, requirements, wheels, version, group))
        found, before = digests(folder), digests(directory.bundle)
        if found != before:
            shutil.rmtree(directory.bundle, ignore_errors=True)
            folder.rename(directory.bundle)
    if as_json:
        files = [{"name": name, "sha256": digest} for name, digest in found.items()]
        click.echo(json.dumps({"changed": found != before, "folder": str(directory.bundle), "files": files}))
        return
    for name in found:
        click.echo(name)
    click.echo(f"{len(found)} wheels in {directory.bundle}" + ("" if found != before else ", unchanged"))


def _groups(platforms: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Platforms of one system together: pip takes one wheel of each distribution for all that it is given at once."""
    groups: dict[bool, list[str]] = {}
    for each in platforms:
        groups.setdefault(each.startswith("win"), []).append(each)
    return [tuple(group) for group in groups.values()] or [()]


def _download(
    folder: Path, requirements: Path, wheels: Path | None, version: str, platforms: tuple[str, ...]
) -> list[str]:
    arguments = ["download", "--dest", str(folder), "--only-binary", ":all:", "--no-deps"]
    locked = _AGENT if any(each.startswith("win") for each in platforms) else _PROBE
    arguments += ["--require-hashes", "--requirement", str(requirements / locked)]
    if wheels is not None:
        arguments += ["--no-index", "--find-links", str(wheels)]
    if version:
        arguments += ["--python-version", version]
    for platform in platforms:
        arguments += ["--platform", platform]
    return arguments


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next(
            (line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else ""
        )
        raise click.ClickException(f"pip {arguments[0]}: {reason}")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 by name of every wheel in ``folder``; empty where there is no such folder."""
    found = {}
    for path in sorted(folder.glob("*.whl")):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
