"""Waits for the stores: what is to be written is tried until it is, whatever they do meanwhile."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import OperationalError

from collector.leases import LeaseLostError
from collector.store.errors import FencedError, QueryError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.detect.ports import Pause
    from collector.leases import Leases

T = TypeVar("T")

log = logging.getLogger("vonggac.detect")

_RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


class StoppedError(Exception):
    """The process was told to stop while it waited for a store; the step it was at will be done again."""


class Patience:
    """One a process. ``beat`` is called while it waits, ``on_retry`` whenever a store has to be asked again."""

    def __init__(
        self,
        stop: Pause,
        leases: Leases,
        beat: Callable[[], None] = lambda: None,
        on_retry: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop = stop
        self._leases = leases
        self._beat = beat
        self._on_retry = on_retry
        self._failing = False

    def __call__(self, write: Callable[[], T]) -> T:
        """What ``write`` gives once it raises nothing; its leases are renewed while it waits.

        Raises:
            StoppedError: told to stop meanwhile.
            LeaseLostError: what it was to write is another process's now; nothing was written.
            QueryError: asking again would not help.
        """
        attempt = 0
        while True:
            try:
                result = write()
            except FencedError as error:
                raise LeaseLostError(str(error)) from error
            except QueryError:
                raise
            except (StoreError, OperationalError) as error:
                if not self._failing:
                    log.warning(
                        "a store does not take the step; trying again", extra={"error": str(error)[:300]}
                    )
                    self._failing = True
                self._on_retry()
            else:
                if self._failing:
                    log.info("the stores take steps again")
                    self._failing = False
                return result
            delay = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
            attempt += 1
            if self._stop.wait(delay):
                raise StoppedError
            self._beat()
            self._renew()

    def _renew(self) -> None:
        held = dict(self._leases.epochs)
        try:
            self._leases.keep()
        except OperationalError:
            return  # it is away for the others too: nobody can take anything
        if held != self._leases.epochs:
            raise LeaseLostError("a lease went while a store was away")
