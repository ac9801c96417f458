"""Enrolments and renewals, several in one transaction: a commit costs more than a signature, and a room full of new
machines enrols at once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from collector.errors import CollectorError
from collector.ingest.problems import busy
from collector.state.base import utcnow

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from agent.messages import EnrolReply
    from collector.state.database import StateStore

    Work = Callable[[Session, datetime], EnrolReply]

#: No more in one transaction: the workers wait for its end with theirs.
_AT_ONCE: Final = 16
#: No more wait: who comes then is told to come again.
_WAITING: Final = 512

log = logging.getLogger("vonggac.ingest")


class Signing:
    """For one event loop. The works of one transaction succeed or fail each for itself."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._waiting: list[tuple[Work, asyncio.Future[EnrolReply]]] = []
        self._running: asyncio.Task[None] | None = None

    async def do(self, work: Work) -> EnrolReply:
        """What ``work`` returns, once that is committed.

        Raises:
            CollectorError: what ``work`` raised; nothing of it was kept.
            RefusalError: 503; the state store does not take it, or too many wait.
        """
        if len(self._waiting) >= _WAITING:
            raise busy("signing", "many endpoints enrol at once", 10)
        future: asyncio.Future[EnrolReply] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                results = await asyncio.to_thread(self._together, [work for work, _ in group])
                for (_, future), result in zip(group, results, strict=True):
                    if future.done():
                        continue  # the client went away
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._running = None

    def _together(self, works: list[Work]) -> list[EnrolReply | Exception]:
        results: list[EnrolReply | Exception] = []
        try:
            with self._state.write() as session:
                for work in works:
                    try:
                        with session.begin_nested():
                            results.append(work(session, utcnow()))
                    except CollectorError as error:
                        results.append(error)
                    except IntegrityError:
                        log.exception("an enrolment does not fit what is stored")
                        results.append(busy("signing", "this does not fit what is stored: come again", 10))
        except Exception as error:
            log.exception("enrolments could not be written")
            refusal = (
                busy("state", "the collector cannot write now", 10)
                if isinstance(error, SQLAlchemyError)
                else busy("signing", "the collector cannot sign now", 30)
            )
            return [refusal for _ in works]
        return results
