"""What a package for Windows installs: one version of the agent, as an update lays it out, too."""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from agent.update.choosing import choose
from agent.update.errors import ReleaseError
from agent.update.manifest import PRODUCT, Wheel, is_version
from agent.update.windows_environment import PACKAGES, members, search_path
from agent.update.windows_place import PYTHON
from agent.update.windows_tags import tags_of_python
from soc_api.cli.bundle import digests
from soc_api.cli.windows._pe import platform_of

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARY: Final = re.compile(r"python3([0-9]{1,2})\.dll", re.IGNORECASE)
_FLAT_NAME: Final = re.compile(r"[A-Za-z0-9_.+-]{1,80}")
_MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class EmbeddedPython:
    """python.org's embeddable package. ``version``: of the language, (3, 11); ``platform``: ``win-amd64``."""

    name: str
    sha256: str
    version: tuple[int, int]
    platform: str
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Payload:
    """``files``: content by path below the installation's folder, with ``/``, sorted."""

    version: str
    python: EmbeddedPython
    wheels: list[Wheel]
    files: dict[str, bytes]


def read_python(path: Path, sha256: str) -> EmbeddedPython:
    """The embeddable Python in the zip ``path``.

    Raises:
        click.ClickException: it is not the file of that digest, or not such a package.
    """
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise click.ClickException(
            f"{path.name}: its SHA-256 is {found}, not {sha256}: not the file that is meant"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if any(not _FLAT_NAME.fullmatch(info.filename) for info in infos) or (
                sum(info.file_size for info in infos) > _MOST_BYTES
            ):
                raise click.ClickException(
                    f"{path.name}: not python.org's embeddable package: it is a flat folder"
                )
            files = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise click.ClickException(f"{path.name}: {error}") from error
    minors = [int(match[1]) for name in files if (match := _LIBRARY.fullmatch(name))]
    platform = platform_of(files.get(PYTHON, b""))
    if len(minors) != 1 or not platform or f"python3{minors[0]}.zip" not in files:
        raise click.ClickException(
            f"{path.name}: not python.org's embeddable package: it has no {PYTHON}, python3x.dll and python3x.zip"
        )
    return EmbeddedPython(path.name, found, (3, minors[0]), platform, files)


def lay_out(python: EmbeddedPython, wheels: Path, release_key: bytes | None) -> Payload:
    """The agent in ``wheels`` with those of its dependencies that fit ``python``, and the public keys of releases.

    Raises:
        click.ClickException: something is missing, or is no wheel.
    """
    found = [Wheel(name, (wheels / name).stat().st_size, digest) for name, digest in digests(wheels).items()]
    own = [each.name.split("-")[1] for each in found if each.name.startswith(f"{PRODUCT}-")]
    if len(own) != 1 or not is_version(own[0]):
        raise click.ClickException(f"{wheels}: holds {len(own)} wheels of the agent, not one of a release")
    root = f"versions/{own[0]}"
    name, content = search_path(python.version)
    files = {f"{root}/{each}": data for each, data in python.files.items() if not each.endswith("._pth")}
    files[f"{root}/{name}"] = content
    try:
        chosen = choose(found, tags_of_python(python.version, python.platform))
        for wheel in chosen:
            for path, data in members(wheels / wheel.name):
                if files.setdefault(f"{root}/{PACKAGES}/{path}", data) is not data:
                    raise click.ClickException(f"{wheel.name}: {path}: another wheel has it, too")
    except ReleaseError as error:
        raise click.ClickException(
            f"{wheels}: {error}: vonggac bundle --python-version {'{}.{}'.format(*python.version)}"
            f" --platform {python.platform.replace('-', '_')}"
        ) from error
    if release_key is not None:
        files["release.pub"] = release_key
    return Payload(own[0], python, chosen, dict(sorted(files.items())))
