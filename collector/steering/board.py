"""What each endpoint shall have, kept at hand for the agents' port, which says it with every batch it takes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

from agent.messages import Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

#: How long what was decided in the console takes to reach an agent at most, beside its own heartbeat.
LOOK_SECONDS: Final = 10.0

log = logging.getLogger("vonggac.steering")


class Source(Protocol):
    """Where one field of :class:`agent.messages.Wanted` is decided."""

    name: str

    def stamp(self, session: Session) -> object:
        """Cheap; differs from the last one where :meth:`wanted` may."""

    def wanted(self, session: Session) -> Mapping[str, Any]:
        """The field's value by endpoint id, only of those that shall have something."""


@dataclass
class _Read:
    stamp: object = None
    values: Mapping[str, Any] = field(default_factory=dict)


class Board:
    """Read anew when a source's stamp changes. :meth:`look_around` must run beside, on the loop that asks."""

    def __init__(self, state: StateStore, sources: Sequence[Source]) -> None:
        self._state = state
        self._sources = sources
        self._read = {source.name: _Read() for source in sources}
        self._headers: dict[str, bytes] = {}

    def header(self, endpoint_id: str) -> bytes | None:
        """The ``Vonggac-Wanted`` header's value; None where nothing is wanted of the endpoint."""
        return self._headers.get(endpoint_id)

    def look(self) -> None:
        """Read what changed. What cannot be read now, or of one source, stays as it was."""
        changed: dict[str, _Read] = {}
        try:
            with self._state.read() as session:
                for source in self._sources:
                    read = self._read_anew(source, session)
                    if read is not None:
                        changed[source.name] = read
        except SQLAlchemyError as error:
            log.warning("what is wanted of the endpoints cannot be read", extra={"reason": str(error)[:500]})
            return
        if changed:
            self._read.update(changed)
            self._headers = self._encoded()

    def _read_anew(self, source: Source, session: Session) -> _Read | None:
        """None where nothing changed, and where the source fails otherwise than by the state store."""
        try:
            stamp = source.stamp(session)
            return None if stamp == self._read[source.name].stamp else _Read(stamp, source.wanted(session))
        except SQLAlchemyError:
            raise
        except Exception:
            log.exception("what is wanted of the endpoints is not known", extra={"source": source.name})
            return None

    def _encoded(self) -> dict[str, bytes]:
        ids = {each for read in self._read.values() for each in read.values}
        return {
            each: Wanted(
                **{name: read.values[each] for name, read in self._read.items() if each in read.values}
            )
            .encode()
            .encode("ascii")
            for each in ids
        }

    async def look_around(self) -> None:
        """See to it every :data:`LOOK_SECONDS`, until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_SECONDS)
