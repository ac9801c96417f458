"""Which wheels of a release are for this machine; and the short process that looks at a release that was fetched.

``python -m agent.update.choosing FOLDER KEY`` verifies ``FOLDER/manifest.json`` and answers on standard output with a
:class:`~agent.update.choice.Choice`: so the running agent carries neither the cryptography nor pip's knowledge of tags.
What it says only saves a machine from fetching in vain: root's command trusts nothing of it.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import agent
from agent.update.choice import Choice
from agent.update.errors import ReleaseError
from agent.update.manifest import Manifest, Wheel, version_key
from agent.update.place import own_installation
from agent.update.signing import load_public, verified
from agent.update.sources import Folder

if TYPE_CHECKING:
    from collections.abc import Iterable


def own_tags() -> list[str]:
    """The tags of wheels that this Python accepts on this machine, the best first (PEP 425), as pip knows them."""
    if sys.platform == "win32":
        from agent.update.windows_tags import tags_of_python

        return tags_of_python(sys.version_info[:2], sysconfig.get_platform())
    tags: Any = importlib.import_module("pip._vendor.packaging.tags")
    return [str(each) for each in tags.sys_tags()]


def tags_of(name: str) -> tuple[str, set[str]]:
    """The distribution and the tags of a wheel's file name (PEP 427).

    Raises:
        ReleaseError: it is not such a name.
    """
    parts = name.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):
        raise ReleaseError("form", f"{name}: not the name of a wheel")
    pythons, abis, platforms = (part.split(".") for part in parts[-3:])
    expanded = {f"{p}-{a}-{m}" for p in pythons for a in abis for m in platforms}
    return parts[0].lower().replace("-", "_").replace(".", "_"), expanded


def choose(wheels: Iterable[Wheel], tags: Iterable[str]) -> list[Wheel]:
    """Of every distribution the wheel that fits best; by name.

    Raises:
        ReleaseError: of some there is none that fits.
    """
    ranks = {tag: rank for rank, tag in enumerate(tags)}
    best: dict[str, tuple[int, Wheel] | None] = {}
    for wheel in wheels:
        distribution, expanded = tags_of(wheel.name)
        rank = min((ranks[each] for each in expanded if each in ranks), default=None)
        before = best.setdefault(distribution, None)
        if rank is not None and (before is None or rank < before[0]):
            best[distribution] = (rank, wheel)
    missing = sorted(name for name, found in best.items() if found is None)
    if missing:
        python = "{}.{}".format(*sys.version_info)
        raise ReleaseError(
            "platform", f"no wheel for this machine and Python {python}: {', '.join(missing)}"[:300]
        )
    return [best[name][1] for name in sorted(best)]  # type: ignore[index] # none is missing


def check_version(manifest: Manifest, current: str) -> None:
    """Raise :class:`ReleaseError` where ``manifest`` must not replace ``current``."""
    if not manifest.step_back and version_key(manifest.version) < version_key(current):
        raise ReleaseError(
            "older", f"{manifest.version} is older than {current} and not signed as a step back"
        )


def check_date(manifest: Manifest, newest: float) -> None:
    """Raise :class:`ReleaseError` where ``manifest`` was signed before the ``newest`` release that was taken here: what
    once was signed as a step back is not one for ever."""
    if manifest.made_at < newest:
        raise ReleaseError(
            "older",
            f"{manifest.version} was signed at {_moment(manifest.made_at)}, before a release that was taken here"
            f" ({_moment(newest)}): sign it anew",
        )


def _moment(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{at:g}"


def look(folder: Path, key: Path) -> Choice:
    source = Folder(folder)
    try:
        manifest = verified(load_public(key), source.manifest(), source.signature())
        if manifest.version != folder.name:
            return Choice(code="form", detail=f"the collector sent {manifest.version} for {folder.name}")
        check_version(manifest, agent.__version__)
        place = own_installation()
        if place is not None:
            check_date(manifest, place.read_record().newest)
        return Choice(wheels=choose(manifest.wheels, own_tags()))
    except ReleaseError as error:
        return Choice(code=error.code, detail=error.detail)


def main() -> int:
    folder, key = sys.argv[1:3]
    sys.stdout.write(msgspec.json.encode(look(Path(folder), Path(key))).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
