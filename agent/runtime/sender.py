"""Sends what the spool holds, the important first, and says once a minute that the endpoint lives.

One step does what is due and says when it wants to be called again, so that tests drive it with a clock of
their own. A batch leaves the spool only when the collector has answered 202.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from agent.messages import (
    BATCH_HEADER,
    BATCH_PATH,
    HEARTBEAT_PATH,
    IMPORTANCE_HEADER,
    PROBLEM_REVOKED,
    BatchHeader,
    Importance,
)
from agent.runtime.errors import SpoolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.messages import Wanted
    from agent.runtime.log import Log
    from agent.runtime.models import Outgoing
    from agent.runtime.spool import Spool
    from agent.runtime.status import Link
    from agent.runtime.transport import Reply

FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 300.0
#: A revoked or rejected endpoint asks this seldom whether that is still so.
REVOKED_WAIT_SECONDS: Final = 900.0
#: Statuses that mean: this very batch will never be taken.
_NEVER_TAKEN: Final = (400, 413, 422)


class Requester(Protocol):
    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply: ...

    def close(self) -> None: ...


class Sender:
    """``random()`` gives floats in [0, 1). One thread calls :meth:`step`; ``link`` is its to write."""

    def __init__(
        self,
        spool: Spool,
        connection: Requester,
        link: Link,
        log: Log,
        *,
        time: Callable[[], float],
        monotonic: Callable[[], float],
        random: Callable[[], float],
        heartbeat_seconds: float = 60.0,
        first_wait_seconds: float = 0.0,
    ) -> None:
        self._spool = spool
        self._connection = connection
        self._link = link
        self._log = log
        self._time = time
        self._monotonic = monotonic
        self._random = random
        self.heartbeat_seconds = heartbeat_seconds
        self._failures = 0
        self._not_before = monotonic() + first_wait_seconds
        self._heartbeat_due = monotonic()
        #: Until then the collector takes only what is at least that important.
        self._short_until = monotonic()
        self._least = Importance.CHATTER
        #: What the collector last said this endpoint shall have; ``None`` before its first word.
        self.wanted: Wanted | None = None
        #: How often it has answered so that something was settled.
        self.answers = 0

    @property
    def offline(self) -> bool:
        return self._link.code not in ("ok", "starting")

    def use(self, connection: Requester) -> None:
        """Go on over another connection (after a renewal), at once."""
        self._connection.close()
        self._connection = connection
        self._not_before = self._monotonic()

    def hurry(self) -> None:
        """Say with the next step that the endpoint lives, though it is not time, and whatever is waited for."""
        self._heartbeat_due = self._not_before = self._monotonic()

    def step(self) -> float:
        """Send one batch, a heartbeat, or nothing. Return in how many seconds to call again; 0: at once."""
        now = self._monotonic()
        if now < self._not_before:
            return self._not_before - now
        short = now < self._short_until
        outgoing = self._spool.next(self._least if short else Importance.CHATTER)
        if outgoing is None:
            if now < self._heartbeat_due:
                return (min(self._heartbeat_due, self._short_until) if short else self._heartbeat_due) - now
            if self._spool.refusing:
                # A heartbeat says that nothing is new. Where news cannot be kept, silence is the truth: otherwise
                # a machine whose disk is full would stay as protected as it was.
                return self.heartbeat_seconds
            return self._send(None)
        return self._send(outgoing)

    def _send(self, outgoing: Outgoing | None) -> float:
        saved = self._spool.saved
        header = BatchHeader(
            stream=outgoing.stream if outgoing else saved.stream,
            seq=outgoing.seq if outgoing else saved.last_seq,
            sent_at=self._time(),
        )
        headers = {BATCH_HEADER: header.encode()}
        if outgoing is not None and outgoing.importance is not Importance.EVENTS:
            headers[IMPORTANCE_HEADER] = outgoing.importance.word
        path = BATCH_PATH if outgoing else HEARTBEAT_PATH
        try:
            reply = self._connection.request("POST", path, headers, outgoing.body if outgoing else b"")
        except TransportError as error:
            return self._lost(error.code, error.detail)
        if reply.collector_time is not None:
            self._link.clock_skew_seconds = round(reply.collector_time - self._time(), 3)
        return self._answered(outgoing, reply)

    def _answered(self, outgoing: Outgoing | None, reply: Reply) -> float:
        if reply.status in (200, 202, 204):
            self.wanted = reply.wanted
            if outgoing is not None:
                self._try(lambda: self._spool.acknowledge(outgoing))
            return self._fine()
        problem = reply.problem
        words = f"{reply.status} {problem.detail or problem.title}"
        if reply.status in (401, 403):
            code = "revoked" if problem.type == PROBLEM_REVOKED else "rejected"
            return self._lost(code, words)
        if outgoing is not None and reply.status in _NEVER_TAKEN:
            self._log.say("batch_refused", seq=outgoing.seq, reason=words)
            self._try(lambda: self._spool.refuse(outgoing, words))
            return self._fine()
        if reply.takes is not None and outgoing is not None and reply.takes > outgoing.importance:
            return self._short(words, reply.takes, reply.retry_after_seconds)
        return self._lost("busy", words, reply.retry_after_seconds)

    def _short(self, words: str, takes: Importance, retry_after_seconds: float) -> float:
        """Keep back what is less important than ``takes``, and go on with the rest at once."""
        if self._link.code != "busy":
            self._link.since = self._time()
        self._link.code, self._link.detail = "busy", words
        self._log.lost("link", "busy", detail=words)
        self._least = takes
        self._short_until = self._monotonic() + max(1.0, retry_after_seconds) * (1 + 0.1 * self._random())
        return 0.0

    def _try(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except (SpoolError, OSError) as error:
            self._log.lost("spool", str(error))

    def _fine(self) -> float:
        self._failures = 0
        self.answers += 1
        self._heartbeat_due = self._monotonic() + self.heartbeat_seconds
        self._link.last_contact = self._time()
        if self._monotonic() < self._short_until:
            return 0.0
        if self._link.code != "ok":
            self._link.code, self._link.detail, self._link.since = "ok", "", self._time()
        self._log.found("link")
        return 0.0

    def _lost(self, code: str, detail: str, retry_after_seconds: float = 0.0) -> float:
        """Wait: full jitter over a doubling span, never less than the collector asked for."""
        if self._link.code != code:
            self._link.since = self._time()
        self._link.code, self._link.detail = code, detail
        self._log.lost("link", code, detail=detail)
        if code in ("revoked", "rejected"):
            wait = REVOKED_WAIT_SECONDS * (0.5 + self._random())
        else:
            span = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self._failures, 16))
            wait = max(0.1, span * self._random())
        if retry_after_seconds:
            wait = max(wait, retry_after_seconds * (1 + 0.1 * self._random()))
        self._failures += 1
        if code != "busy":  # who is busy has answered; the next try need not begin with a handshake
            self._connection.close()
        self._not_before = self._monotonic() + wait
        return wait
