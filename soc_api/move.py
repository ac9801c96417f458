"""Moves an installation from the files of one machine to the databases that its settings name.

The state goes first, in one transaction, and is compared row by row; the files stay as they are. Nothing of the
installation may run meanwhile.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from collector import locks
from collector.errors import CollectorError
from collector.state import transfer
from collector.state.database import StateStore, open_state, place_of_state
from collector.state.migrate import upgrade
from collector.state.postgres import Database, StateAwayError
from soc_api.accounts import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from collector.settings import DataDirectory, Settings
    from collector.state.transfer import Content

ACTION: Final = "installation.move"


class MoveError(CollectorError):
    """The installation cannot be moved; the files are as they were, and ``str()`` says what to do."""


@dataclass(frozen=True, slots=True)
class StateMoved:
    """``tables``: what each holds, the same on both sides. ``already``: it was there before."""

    where: str
    tables: Mapping[str, Content]
    already: bool


@contextmanager
def at_rest(data: DataDirectory) -> Iterator[None]:
    """Keep the installation in ``data`` from being started for the block.

    Raises:
        AlreadyRunningError: it runs, or a part of it.
    """
    with locks.hold(data.run / "serve.lock", f"the server on {data.root}"):
        for path in sorted(data.run.glob("*.lock")):
            if path.name != "serve.lock" and locks.is_held(path):
                raise locks.AlreadyRunningError(f"{path.stem} on {data.root} runs: stop it first")
        yield


def move_state(data: DataDirectory, settings: Settings, progress: Callable[[str], None]) -> StateMoved | None:
    """Copy the state in ``data`` into the database of ``[state] url``, which must be empty, or hold exactly that state
    already (a move that was cut off later); None where the settings name none, or there is no file any more. Call it
    :func:`at_rest`.

    Raises:
        MoveError: the database holds something else.
        StateAwayError: the database does not answer.
        TransferError: the file is of another version of the program.
    """
    where = place_of_state(settings, data)
    if not isinstance(where, Database) or not data.state.exists():
        return None
    try:
        upgrade(where)
        with closing(StateStore(data.state)) as source, closing(StateStore(where)) as target:
            with target.read() as there:
                empty = transfer.is_empty(there)
                present = {} if empty else transfer.contents(there)
            if empty:
                return StateMoved(str(where), transfer.copy(source, target, progress), already=False)
            with source.read() as here:
                if transfer.contents(here) != present:
                    raise MoveError(
                        f"{where} holds another state already: name an empty database or empty it; or, where it is"
                        f" this installation's and was moved before, delete {data.state}"
                    )
    except DBAPIError as error:
        raise StateAwayError(where, error) from error
    return StateMoved(str(where), present, already=True)


def note(
    data: DataDirectory,
    settings: Settings,
    state: StateMoved | None,
    events: Mapping[str, int],
    actor: str,
    now: datetime,
) -> None:
    """Say in the audit log, once all is done, what was moved (``events``: rows by table). From then on the databases
    are the installation's."""
    rows = 0 if state is None else sum(content.rows for content in state.tables.values())
    with closing(open_state(settings, data)) as store, store.write() as session:
        audit.record(session, now, actor, ACTION, str(data.root), rows=rows, events=dict(events))
