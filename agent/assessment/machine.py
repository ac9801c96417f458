"""The machine that is judged: its trees, bounded reads of them, and what was read already in this run."""

from __future__ import annotations

import os
from fnmatch import filter as fitting
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent import reasons
from agent.assessment.errors import UnknownFactError
from agent.collectors.common.command import ProgramTooSlowError, Ran, failed, find_program, run_program
from agent.collectors.common.files import SMALL_BYTES, clean_text, read_bytes, under

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
        """A file of the machine; ``None`` where there is none.

        Raises:
            UnknownFactError: there is one that may not be read, or has more than 256 KB.
        """
        return self.once(path, lambda: _text(under(self.root, path), path))

    def matching(self, pattern: str) -> list[str]:
        """The paths on the machine that fit ``pattern`` (its last part may be one), in ASCII order.

        Raises:
            UnknownFactError: it cannot be told which, or there are more than 64.
        """
        paths, whole = self.first_matching(pattern)
        if not whole:
            raise UnknownFactError(reasons.TOO_MANY_FIT(number=MAX_FILES, pattern=pattern))
        return paths

    def first_matching(self, pattern: str) -> tuple[list[str], bool]:
        """``(the first 64 that fit, whether these are all)``, else like :meth:`matching`."""
        folder, _, last = pattern.rpartition("/")
        if not _MAGIC.intersection(last):
            return [pattern] if is_there(under(self.root, pattern), pattern) else [], True
        try:
            names = sorted(fitting(os.listdir(under(self.root, folder or "/")), last))  # noqa: PTH208 - names only
        except FileNotFoundError:
            return [], True
        except (OSError, ValueError) as error:
            raise unreadable(folder, error) from error
        paths = [f"{folder}/{name}" for name in names if not name.startswith(".")]
        return paths[:MAX_FILES], len(paths) <= MAX_FILES

    def output(self, program: str, *arguments: str) -> str:
        """What a program of this machine writes.

        Raises:
            UnknownFactError: it is not there, failed, took too long, or would speak of another machine.
        """
        done = self.ran(program, *arguments)
        if done.status != 0:
            raise UnknownFactError(failed(program, done))
        return done.output.decode("utf-8", "replace")

    def ran(self, program: str, *arguments: str) -> Ran:
        """How a program of this machine ended, whatever its status; else like :meth:`output`."""
        if not self.programs:
            raise UnknownFactError(reasons.OTHER_HOST(program=program))
        path = find_program(program)
        if path is None:
            raise UnknownFactError(reasons.NOT_INSTALLED(program=program))
        try:
            return run_program([path, *arguments], PROGRAM_SECONDS)
        except ProgramTooSlowError as error:
            raise UnknownFactError(str(error)) from error
        except OSError as error:
            raise UnknownFactError(reasons.at(path, error)) from error


def unreadable(shown: str, error: OSError | ValueError) -> UnknownFactError:
    """What to raise for a path that cannot be asked for; a ValueError is one that the kernel takes no such name of."""
    if isinstance(error, OSError):
        return UnknownFactError(reasons.at(shown, error))
    return UnknownFactError(reasons.FILE_UNREADABLE(path=clean_text(shown)))


def is_there(path: Path, shown: str) -> bool:
    """Whether ``path`` exists, as a link that leads nowhere too. ``shown`` is what it is called on the machine.

    Raises:
        UnknownFactError: it may not be looked at.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise unreadable(shown, error) from error
    return True


def whole_bytes(path: Path, shown: str, limit: int) -> bytes | None:
    """All of a file; ``None`` where it cannot be read.

    Raises:
        UnknownFactError: it has more than ``limit`` bytes.
    """
    data = read_bytes(path, limit + 1)
    if data is not None and len(data) > limit:
        raise UnknownFactError(reasons.TOO_LARGE(path=shown, size=limit >> 10))
    return data


def _text(path: Path, shown: str) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise unreadable(shown, error) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(SMALL_BYTES + 1)
    except OSError as error:
        raise UnknownFactError(reasons.at(shown, error)) from error
    if len(data) > SMALL_BYTES:
        raise UnknownFactError(reasons.TOO_LARGE(path=shown, size=SMALL_BYTES >> 10))
    return data.decode("utf-8", "replace")
