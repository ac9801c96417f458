"""Hunts for people: who may look where, one at a time, and written down. API, page and command come through here."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool

from collector.detect.logsources import pipelines
from collector.state.scope import EVERYTHING
from collector.store.errors import StoreUnavailableError
from soc_api.accounts import audit
from soc_api.errors import Fault, InvalidError
from soc_api.hunting.models import LONGEST, MOST_FOUND, USUAL, Question
from soc_api.hunting.service import Hunt
from soc_api.hunting.subject import Subjects
from soc_api.hunting.when import parse_when
from soc_api.i18n import N_

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from fastapi import Request

    from collector.rulebook.live import LiveBook
    from collector.state.database import StateStore
    from collector.state.scope import Scope
    from rules.logsources import Pipeline
    from soc_api.accounts.principal import Principal
    from soc_api.hunting.models import Answer
    from soc_api.hunting.queries import Asks
    from soc_api.services import Services

#: A hunt takes one of the event store's two readers; the other is for everybody else.
_HUNTING: Final = threading.BoundedSemaphore(1)
BUSY: Final = N_("another hunt is running; try again when it has ended")
_WAIT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5


class HuntDesk:
    """``who`` and ``address`` go to the audit log; ``scope`` is what they reach."""

    def __init__(
        self,
        state: StateStore,
        store: Asks,
        live: LiveBook,
        clock: Callable[[], datetime],
        who: str,
        *,
        pipelines: Sequence[Pipeline] | None = None,
        address: str = "",
        scope: Scope = EVERYTHING,
    ) -> None:
        self._pipelines = pipelines
        self._state = state
        self._store = store
        self._live = live
        self._clock = clock
        self._who = who
        self._address = address
        self._scope = scope

    @classmethod
    def of(cls, services: Services, principal: Principal) -> HuntDesk:
        return cls(
            services.state,
            services.store,
            services.rules,
            services.clock,
            principal.username,
            pipelines=pipelines(services.settings.detect.pipelines),
            address=principal.address,
            scope=principal.scope,
        )

    def question(
        self, since: str, until: str, *, limit: int, simulated: bool, seconds: float = 60.0
    ) -> Question:
        """From what people write (``""``: the usual). Raises :class:`InvalidError`."""
        now = self._clock()
        times = []
        for name, text, usual in (("since", since, now - USUAL), ("until", until, now)):
            try:
                times.append(parse_when(text, now) if text.strip() else usual)
            except ValueError as error:
                raise InvalidError(Fault(f"body.{name}", str(error))) from None
        if times[0] >= times[1]:
            raise InvalidError(Fault("body.since", "must be before until"))
        if times[1] - times[0] > LONGEST:
            raise InvalidError(Fault("body.since", f"at most {LONGEST.days} days in one hunt"))
        if not 0 <= limit <= MOST_FOUND:
            raise InvalidError(Fault("body.limit", f"from 0 to {MOST_FOUND}"))
        last = min(times[1], now + timedelta(days=1))
        return Question(times[0], last, limit, simulated, self._scope, seconds)

    def run(
        self,
        question: Question,
        *,
        rule_id: str = "",
        text: str = "",
        tell: Callable[[float, int], None] = lambda _done, _hits: None,
        stop: Callable[[], bool] = lambda: False,
        patience: float | None = None,
    ) -> Answer:
        """Hunt with a known rule, or with a text. Written down before it begins.

        ``patience``: seconds to wait for another hunt to end.

        Raises:
            NotFoundError: there is no such rule.
            HuntError: it cannot be run.
            StoreUnavailableError: another hunt runs, or the store does not answer.
        """
        with self._state.read() as session:
            subjects = Subjects(self._live.book, self._live.rulebook, session, self._pipelines)
            subject = subjects.by_id(rule_id) if rule_id else subjects.by_text(text)
        if not _HUNTING.acquire(timeout=_WAIT_SECONDS if patience is None else patience):
            raise StoreUnavailableError(BUSY)
        try:
            self._write_down(question, subject.key, text if not rule_id else "")
            return Hunt(self._store, subject, question, tell=tell, stop=stop).run()
        finally:
            _HUNTING.release()

    async def answer(
        self, request: Request, question: Question, *, rule_id: str = "", text: str = ""
    ) -> Answer:
        """The same for a web request: ends early when the client goes away or the server stops."""
        gone = threading.Event()

        async def watch() -> None:
            while not request.app.state.closing and not await request.is_disconnected():
                await asyncio.sleep(_LOOK_SECONDS)
            gone.set()

        watching = asyncio.create_task(watch())
        try:
            return await run_in_threadpool(self.run, question, rule_id=rule_id, text=text, stop=gone.is_set)
        finally:
            watching.cancel()

    def _write_down(self, question: Question, key: str, text: str) -> None:
        digest = {"text": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()} if text else {}
        with self._state.write() as session:
            audit.record(
                session,
                self._clock(),
                self._who,
                "rule.hunt",
                f"rule:{key}",
                address=self._address,
                since=question.since.isoformat(),
                until=question.until.isoformat(),
                limit=question.limit,
                simulated=question.simulated,
                **digest,
            )
