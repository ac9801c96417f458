"""The service as Windows keeps it: how it is started, what happens when it fails, and waiting for it.

:mod:`agent.windows.scm_api` asks Windows; what is decided here needs none. Numbers are of winsvc.h.
"""

from __future__ import annotations

import re
import subprocess  # only its rules of quoting
import time
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from agent.windows.service import RUNNING, START_PENDING, STOP_PENDING, STOPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME: Final = "vonggac-agent"
DISPLAY_NAME: Final = "Vọng Gác – tác tử giám sát"
DESCRIPTION: Final = (
    "Quan sát máy này và báo về trung tâm giám sát an toàn thông tin của tỉnh. "
    "Observes this machine and reports to the province's security operations centre."
)
#: What Python is given: neither the environment nor the user's own packages nor the working directory; and UTF-8, for a
#: file that output is sent to knows no Vietnamese else.
MODULE: Final = ("-I", "-X", "utf8", "-m", "agent.cli")

_QUOTED: Final = re.compile(r'"([^"]+)"(?: (.*))?', re.DOTALL)
#: What has a meaning of its own in a service's command: quotes, variables (it is a REG_EXPAND_SZ), control characters.
_UNUSABLE: Final = re.compile(r'["%\x00-\x1f]')
_WAIT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2

#: SC_ACTION_TYPE.
RESTART: Final = 1
RUN_COMMAND: Final = 3
FAILURES_FORGOTTEN_SECONDS: Final = 86_400
PRESHUTDOWN_MS: Final = 30_000


class Commands(Struct, frozen=True):
    """``run`` is what the service is; ``rescue`` what Windows runs when it has failed three times in a row, empty:
    nothing."""

    run: str
    rescue: str = ""

    @property
    def failure_actions(self) -> list[tuple[int, int]]:
        """SC_ACTIONs, each a kind and milliseconds; the last holds for every failure that follows."""
        rescue = [(RUN_COMMAND, 30_000)] if self.rescue else []
        return [(RESTART, 5_000), (RESTART, 30_000), *rescue, (RESTART, 300_000)]


class Manager(Protocol):
    """The service :data:`NAME`. Everything raises ``OSError`` where Windows refuses."""

    def command(self) -> str:
        """What it runs; empty where there is no such service."""

    def define(self, commands: Commands) -> None:
        """Make it, or make it this."""

    def state(self) -> int:
        """As :mod:`agent.windows.service` numbers them; ``STOPPED``, too, where there is no such service."""

    def start(self) -> None:
        """Ask for it; nothing where it runs already."""

    def stop(self) -> None:
        """Ask for it; nothing where it does not run."""

    def delete(self) -> None:
        """Nothing where there is no such service."""


def command_line(program: str, arguments: Sequence[str]) -> str:
    """A service's command, its program always quoted: Windows would else try ``C:\\Program.exe`` first.

    Raises:
        ValueError: a word has what cannot stand in one.
    """
    for word in (program, *arguments):
        if not word or _UNUSABLE.search(word):
            raise ValueError(
                f"{word!r}: no quotation marks, percent signs or control characters can stand here"
            )
    return " ".join([f'"{program}"', *(subprocess.list2cmdline([each]) for each in arguments)])


def program_of(command: str) -> tuple[str, str]:
    """The program of a command as :func:`command_line` makes it, and the rest; two empty texts of any other."""
    match = _QUOTED.fullmatch(command)
    return ("", "") if match is None else (match[1], match[2] or "")


def restart(manager: Manager, clock: Callable[[], float] = time.monotonic) -> None:
    """Stop, wait, start, wait.

    Raises:
        OSError: Windows refuses, or it takes longer than a minute.
    """
    stop(manager, clock)
    start(manager, clock)


def stop(manager: Manager, clock: Callable[[], float] = time.monotonic) -> None:
    """Stop and wait; raises as :func:`restart`."""
    if manager.state() == START_PENDING:
        _wait(manager, lambda state: state != START_PENDING, clock)
    manager.stop()
    _wait(manager, lambda state: state == STOPPED, clock)


def start(manager: Manager, clock: Callable[[], float] = time.monotonic) -> None:
    """Start and wait; raises as :func:`restart`, also where the service ends at once."""
    if manager.state() == STOP_PENDING:
        _wait(manager, lambda state: state == STOPPED, clock)
    manager.start()
    if _wait(manager, lambda state: state in (RUNNING, STOPPED), clock) == STOPPED:
        raise OSError(f"service {NAME}: it ended as soon as it was started")


def _wait(manager: Manager, reached: Callable[[int], bool], clock: Callable[[], float]) -> int:
    patience = clock() + _WAIT_SECONDS
    while not reached(state := manager.state()):
        if clock() >= patience:
            raise OSError(f"service {NAME}: still in state {state} after {_WAIT_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)
    return state
