"""Writes the durable log on JetStream: one message a row, acknowledged once a majority of the replicas has it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec
import nats.errors

from collector.log.errors import LogError, LogFull
from collector.log.interface import WriterStatistics
from collector.log.jetstream.link import Link, nobody_there
from collector.log.jetstream.stream import FULL, look, message_id, subject_of, to_wire
from collector.log.waiting import Intake, Waiting, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from collector.log.interface import LogRow
    from collector.settings import Log

#: So many bytes are sent ahead of their acknowledgements.
_WINDOW_BYTES: Final = 8 << 20
#: A row that is not acknowledged by then counts as failed; the agent sends it again, and JetStream knows it.
_ANSWER_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5


class _Refused(msgspec.Struct):
    err_code: int = 0
    description: str = "refused"


class _Acknowledged(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _Refused | None = None


_read_answer = msgspec.json.Decoder(_Acknowledged).decode


class NatsWriter:
    """See :class:`collector.log.interface.LogWriter`; any number of them may write, on any machines.

    Args:
        settings: where the servers are. The stream must be there (:func:`collector.log.opening.prepare_log`).
        queue_bytes: bodies that are not yet acknowledged beyond this are refused with :class:`LogBusy`.
        on_commit: called in the writer's thread with the seconds since the first of some rows was given to the
            writer and how many were acknowledged.

    Raises:
        LogError: the servers cannot be reached.
        LogDamagedError: the stream is not there.
    """

    def __init__(
        self,
        settings: Log,
        *,
        queue_bytes: int = 64 << 20,
        on_commit: Callable[[float, int], None] | None = None,
    ) -> None:
        self._link = Link(settings, "writer")
        try:
            stream = self._link.wait(look(self._link))
        except BaseException:
            self._link.close()
            raise
        self._base = stream.base
        self.statistics = WriterStatistics(last_offset=stream.last_offset)
        self._intake = Intake(queue_bytes, "the log's servers", self.statistics)
        self._on_commit = on_commit
        self._queue: deque[tuple[Waiting, float]] = deque()
        self._lock = threading.Lock()
        self._woken = False
        # All below is the link's loop's.
        self._sent: dict[str, tuple[Waiting, float]] = {}
        self._sent_bytes = 0
        self._number = 0
        self._inbox = ""
        self._answers: list[tuple[Waiting, int | LogError]] = []
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._link.wait(self._begin())

    async def append(self, row: LogRow) -> int:
        return await self._intake.admit(row, self._line_up).future

    def alive(self) -> bool:
        return not self._intake.closed and self._link.connected()

    def close(self) -> None:
        if not self._intake.close():
            return
        self._link.wait(self._finish())
        self._link.close()

    def _line_up(self, waiting: Waiting) -> None:
        self._queue.append((waiting, monotonic()))
        with self._lock:
            asleep, self._woken = not self._woken, True
        if asleep:
            self._link.loop.call_soon_threadsafe(self._wake.set)

    async def _begin(self) -> None:
        self._inbox = f"{self._link.client.new_inbox()}."
        await self._link.client.subscribe(f"{self._inbox}*", cb=self._acknowledge)
        self._tasks = [asyncio.create_task(self._send_all()), asyncio.create_task(self._give_up())]

    async def _finish(self) -> None:
        while self._sent or self._queue or self._answers:  # bounded by _ANSWER_SECONDS
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._lock:
                self._woken = False
            while self._queue:
                while self._sent_bytes >= _WINDOW_BYTES:
                    self._room.clear()
                    await self._room.wait()
                await self._send(*self._queue.popleft())

    async def _send(self, waiting: Waiting, since: float) -> None:
        row = waiting.row
        self._number += 1
        token = str(self._number)
        self._sent[token] = waiting, since
        self._sent_bytes += len(row.body)
        if not self._link.connected():
            self._answer(token, LogError("the log's servers cannot be reached"))
            return
        known_by = message_id(row)
        try:
            await self._link.client.publish(
                subject_of(row.partition),
                to_wire(row),
                reply=self._inbox + token,
                headers=None if known_by is None else {"Nats-Msg-Id": known_by},
            )
        except (nats.errors.Error, OSError, ValueError) as error:
            self._answer(token, LogError(f"the log could not write: {error}"))

    async def _acknowledge(self, message: Msg) -> None:
        token = message.subject[len(self._inbox) :]
        result: int | LogError
        if nobody_there(message.headers):
            result = LogError("JetStream has no leader for the log, or no such stream")
        else:
            try:
                said = _read_answer(message.data)
            except msgspec.MsgspecError as error:
                result = LogError(f"JetStream's answer cannot be read: {error}")
            else:
                result = _result(said, self._base)
                if said.duplicate:
                    self.statistics.repeats += 1
                elif isinstance(result, int):
                    self.statistics.rows += 1
                    self.statistics.last_offset = max(self.statistics.last_offset, result)
        self._answer(token, result)

    def _answer(self, token: str, result: int | LogError) -> None:
        """Answers of one turn of the loop go out together."""
        found = self._sent.pop(token, None)
        if found is None:
            return  # given up already
        waiting, since = found
        self._sent_bytes -= len(waiting.row.body)
        if self._sent_bytes < _WINDOW_BYTES:
            self._room.set()
        self.statistics.commit_seconds = monotonic() - since
        if not self._answers:
            self._link.loop.call_soon(self._hand_out, since)
        self._answers.append((waiting, result))

    def _hand_out(self, since: float) -> None:
        answers, self._answers = self._answers, []
        self._intake.leave(sum(len(waiting.row.body) for waiting, _ in answers))
        done = sum(isinstance(result, int) for _, result in answers)
        if done:
            seconds = monotonic() - since
            self.statistics.commits += 1
            self.statistics.commit_seconds_total += seconds
            if self._on_commit is not None:
                self._on_commit(seconds, done)
        answer(answers)

    async def _give_up(self) -> None:
        """Rows that nobody acknowledges fail; a server that is cut off from the others is left for another."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            before = monotonic() - _ANSWER_SECONDS
            late = [token for token, (_, since) in self._sent.items() if since < before]
            for token in late:
                self._answer(token, LogError("the log's servers do not acknowledge"))
            if late and self._link.connected():
                with contextlib.suppress(nats.errors.Error, OSError):
                    await self._link.client.force_reconnect()


def _result(said: _Acknowledged, base: int) -> int | LogError:
    if said.error is None:
        return base + said.seq
    if said.error.err_code in FULL:
        return LogFull(
            f"JetStream has no room for the log ({said.error.description}): raise log.max_bytes, or shorten"
            " detect.log_keep_hours"
        )
    return LogError(f"JetStream refused a row: {said.error.description}")
