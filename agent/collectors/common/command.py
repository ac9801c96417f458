"""Runs a program of the host for its output: no shell, no input, fixed environment, bounded time and size."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from agent import reasons

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Where programs of the administrator lie; a service's PATH often lacks the ``sbin`` folders.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTPUT_BYTES = 8 << 20


#: By thread: what programs have taken of a processor.
_spent = threading.local()


class Ran(Struct, frozen=True):
    """How a program ended: its exit status and what it wrote (cut to ``OUTPUT_BYTES``)."""

    status: int
    output: bytes
    errors: str


class ProgramTooSlowError(TimeoutError):
    """It did not end in time; ``str()`` is a reason."""


def failed(program: str, ran: Ran) -> str:
    """The reason for a program that ended with an error, with the beginning of what it said."""
    said = " ".join(ran.errors[:200].split())
    return reasons.PROGRAM_FAILED(program=program, status=ran.status, detail=said or "-")


def find_program(name: str) -> str | None:
    """The absolute path of a program, or ``None``."""
    from shutil import which

    return which(name, path=SEARCH_PATH)


def program_seconds() -> float:
    """CPU seconds of all programs that this thread has run by :func:`run_program`."""
    return float(getattr(_spent, "seconds", 0.0))


def _children_seconds() -> float:
    if sys.platform == "win32":
        return 0.0
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_program(arguments: Sequence[str], timeout_seconds: float) -> Ran:
    """Run ``arguments`` to the end.

    Raises:
        ProgramTooSlowError: it did not end in time; it has been killed.
        OSError: it could not be started.
    """
    import subprocess

    before = _children_seconds()
    environment = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            env=environment,
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        slow = reasons.PROGRAM_SLOW(program=arguments[0], seconds=f"{timeout_seconds:g}")
        raise ProgramTooSlowError(slow) from error
    finally:
        _spent.seconds = program_seconds() + _children_seconds() - before
    errors = done.stderr[:2000].decode("utf-8", "replace").strip()
    return Ran(status=done.returncode, output=done.stdout[:OUTPUT_BYTES], errors=errors)
