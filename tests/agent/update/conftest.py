"""The wheels of the project, built once, and an installed agent at a real agents' port."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.releases import Signer, repack, vonggac

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``vonggac bundle`` makes it. It needs the package index, or a cache of it."""
    folder = tmp_path_factory.mktemp("bundle")
    vonggac("bundle", "--data", str(folder))
    return folder / "bundle"


class Wheels:
    """Folders of wheels of other versions than the project's."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self._bundle = bundle
        self._folder = folder

    def of(self, version: str, **changes: str) -> Path:
        """``changes``: lines appended to modules, ``agent__cli="…"`` to ``agent/cli.py``."""
        folder = self._folder / f"{version}-{len(changes)}"
        named = {f"{name.replace('__', '/')}.py": lines for name, lines in changes.items()}
        repack(next(self._bundle.glob("vonggac-*.whl")), folder, version, named)
        for each in self._bundle.glob("*.whl"):
            if not each.name.startswith("vonggac-"):
                shutil.copy(each, folder)
        return folder


@pytest.fixture(scope="session")
def wheels(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    return Wheels(bundle, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("signer"))
