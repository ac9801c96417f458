"""Work on the event store of this machine: by its owner where that runs, else by opening it here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from collector import locks
from collector.store.client import StoreClient
from collector.store.engine import Engine
from collector.store.place import Embedded

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.settings import DataDirectory

T = TypeVar("T")


def with_events(data: DataDirectory, by_owner: Callable[[StoreClient], T], here: Callable[[Engine], T]) -> T:
    """The result of ``by_owner`` where the owner answers, else of ``here`` on the store itself.

    Raises:
        AlreadyRunningError: the owner runs but does not answer.
        StoreError: the work failed.
    """
    if data.store_socket.exists():
        with StoreClient(data.store_socket) as client:
            if client.healthy():
                return by_owner(client)
    data.run.mkdir(mode=0o700, exist_ok=True)
    with (
        locks.hold(data.run / "store.lock", f"store on {data.root}"),
        tempfile.TemporaryDirectory(prefix=".spill-", dir=data.root) as spill,
    ):
        engine = Engine(Embedded(data.events, Path(spill) / "spill"), data.archive)
        try:
            return here(engine)
        finally:
            engine.close()
