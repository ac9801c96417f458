"""``vonggac-agent service run``: what Windows starts as the service. The agent itself is the same as everywhere.

The main thread does the work; one thread talks to Windows, and one looks whether a release is to be applied.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from agent.runtime import process  # first: it keeps out what nobody here uses
from agent.runtime.loading import load
from agent.settings import DEFAULT_CONFIG
from agent.settings_file import SettingsError
from agent.update.place import own_installation
from agent.windows.service_log import LogFile
from agent.windows.service_update import Updater

if TYPE_CHECKING:
    from agent.runtime.process import Order
    from agent.settings import StateDirectory
    from agent.windows.service import Lifecycle

LOG_FOLDER: Final = DEFAULT_CONFIG.parent / "log"
_LOOK_SECONDS: Final = 5.0
_END_SECONDS: Final = 10.0
#: Exit status where something happened that should not.
_FAILED: Final = 1


class Dispatching(Protocol):
    """:class:`agent.windows.service_api.Dispatcher`."""

    life: Lifecycle

    def run(self) -> None: ...


def serve(order: Order, dispatcher: Dispatching, log: Path = LOG_FOLDER) -> int:
    """Be the service until Windows stops it, or the agent ends; return the exit status.

    Raises:
        OSError: this process was not started as a service.
    """
    life, refused = dispatcher.life, []

    def dispatch() -> None:
        try:
            dispatcher.run()
        except OSError as error:
            refused.append(error)
        finally:
            life.begun.set()

    talking = threading.Thread(target=dispatch, name="service", daemon=True)
    talking.start()
    life.begun.wait()
    if refused:
        raise refused[0]
    with contextlib.suppress(OSError):
        log.mkdir(parents=True, exist_ok=True)
    sys.stdout = sys.stderr = LogFile(log / "agent.log")
    threading.Thread(target=_end_with, args=(talking,), name="service-end", daemon=True).start()
    status = _FAILED
    try:
        status = _work(order, life, log)
    finally:
        life.end(status)
        talking.join(_END_SECONDS)
    return status


def _end_with(talking: threading.Thread) -> None:
    """A service that was said to have ended must not go on, whatever its main thread waits for."""
    talking.join()
    threading.Event().wait(_END_SECONDS)
    os._exit(_FAILED)


def _work(order: Order, life: Lifecycle, log: Path) -> int:
    life.running()
    try:
        config = None if order.config is None else Path(order.config)
        state = load(config, None if order.state is None else Path(order.state))[1]
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"vonggac-agent: {error}\n")
        return 2
    if not state.identity.exists():
        sys.stderr.write(f"{state.root}: not enrolled yet: waiting for vonggac-agent enroll\n")
        while not state.identity.exists():
            if life.stopping.wait(_LOOK_SECONDS):
                return 0
    threading.Thread(target=_update, args=(order, state, life, log), name="update", daemon=True).start()
    return process.run(order, begun=life.stop_by)


def _update(order: Order, state: StateDirectory, life: Lifecycle, log: Path) -> None:
    place = own_installation()
    if place is None:
        return
    given = (("--config", order.config), ("--state", order.state))
    options = [word for name, value in given if value is not None for word in (name, value)]
    updater = Updater(place, state.root, options, log / "update.log")
    while not life.stopping.wait(_LOOK_SECONDS):
        try:
            updater.look()
        except OSError as error:
            sys.stderr.write(f"update apply cannot be started: {error}\n")
