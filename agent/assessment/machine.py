"""The machine that is judged: its trees, bounded reads of them, and what was read already in this run."""

from __future__ import annotations

import os
from fnmatch import filter as fitting
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent import reasons
from agent.assessment.errors import UnknownFactError
from agent.collectors.common.command import ProgramTooSlowError, failed, find_program, run_program
from agent.collectors.common.files import SMALL_BYTES, under

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.assessment.form import Leaf
    from agent.windows.registry import Registry

T = TypeVar("T")

#: Nothing that a check asks takes longer on a sane machine.
PROGRAM_SECONDS = 10.0
MAX_FILES = 64
_MAGIC = frozenset("*?[")


class Machine:
    """One run's view of a machine; a fact that two checks ask for is read once, whatever came of it.

    ``programs`` is whether programs started here speak of this machine (not with trees of another host). ``tests``
    are all that will be asked, so that one question may be put for several of them.
    """

    def __init__(
        self,
        root: Path,
        proc: Path,
        sys: Path,
        *,
        programs: bool | None = None,
        registry: Registry | None = None,
        tests: tuple[Leaf, ...] = (),
    ) -> None:
        self.root = root
        self.proc = proc
        self.sys = sys
        self.programs = root == Path("/") if programs is None else programs
        self.registry = registry
        self.tests = tests
        self._known: dict[object, object] = {}

    def once(self, key: object, read: Callable[[], T]) -> T:
        """What ``read`` answers, or raises as unknown, the first time."""
        if key not in self._known:
            try:
                self._known[key] = read()
            except UnknownFactError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, UnknownFactError):
            raise found
        return found  # type: ignore[return-value] # what read() answered, or an earlier read() of the same key

    def text(self, path: str) -> str | None:
        """A file of the machine, at most 256 KB of it; ``None`` where there is none.

        Raises:
            UnknownFactError: there is one that may not be read.
        """
        return self.once(path, lambda: _text(under(self.root, path), path))

    def matching(self, pattern: str) -> list[str]:
        """The paths on the machine that fit ``pattern`` (its last part may be one), in ASCII order; at most 64."""
        folder, _, last = pattern.rpartition("/")
        if not _MAGIC.intersection(last):
            return [pattern] if under(self.root, pattern).exists() else []
        try:
            names = sorted(fitting(os.listdir(under(self.root, folder or "/")), last))  # noqa: PTH208 - names only
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UnknownFactError(reasons.at(folder, error)) from error
        return [f"{folder}/{name}" for name in names if not name.startswith(".")][:MAX_FILES]

    def output(self, program: str, *arguments: str) -> str:
        """What a program of this machine writes.

        Raises:
            UnknownFactError: it is not there, failed, took too long, or would speak of another machine.
        """
        if not self.programs:
            raise UnknownFactError(reasons.OTHER_HOST(program=program))
        path = find_program(program)
        if path is None:
            raise UnknownFactError(reasons.NOT_INSTALLED(program=program))
        try:
            done = run_program([path, *arguments], PROGRAM_SECONDS)
        except ProgramTooSlowError as error:
            raise UnknownFactError(str(error)) from error
        except OSError as error:
            raise UnknownFactError(reasons.at(path, error)) from error
        if done.status != 0:
            raise UnknownFactError(failed(program, done))
        return done.output.decode("utf-8", "replace")


def _text(path: Path, shown: str) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnknownFactError(reasons.at(shown, error)) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            return file.read(SMALL_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise UnknownFactError(reasons.at(shown, error)) from error
