"""Programs from Debian's packages that a test needs for real."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

_SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def program(name: str, package: str) -> str:
    """The path of ``name``. Without it the test is skipped with the reason; under ``CI=true`` it fails."""
    path = shutil.which(name, path=_SBIN)
    if path is None:
        missing(f"{name} is missing", package)
    return path


def missing(what: str, package: str) -> NoReturn:
    """Skip because ``what`` of Debian's ``package`` is not there; under ``CI=true`` fail."""
    reason = f"{what} (Debian package {package}; `make test` as root installs it)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def root(why: str) -> None:
    """Skip without root; under ``CI=true`` fail."""
    if os.geteuid() == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"root is needed: {why}")
    pytest.skip(f"root is needed: {why}")
