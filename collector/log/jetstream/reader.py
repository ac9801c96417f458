"""Reads the durable log on JetStream: one feed a partition, merged by offset."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from heapq import merge
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import nats.errors

from collector.log.errors import LogDamagedError, LogError
from collector.log.jetstream.feed import Feed, consumer_of
from collector.log.jetstream.link import Link
from collector.log.jetstream.stream import NAME, Stream, from_wire, look, next_message, subject_of
from collector.partitions import check_complete

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from nats.aio.msg import Msg

    from collector.log.interface import LogRow
    from collector.settings import Log

T = TypeVar("T")

log = logging.getLogger("vonggac.log")

#: ``read`` stops here even below its row limit (it always returns at least one row).
_READ_BYTES: Final = 32 << 20
#: ``read`` waits so long for rows that the servers say they have.
_ARRIVE_SECONDS: Final = 2.0
_WATCH_SECONDS: Final = 1.0
#: So many watches apart the stream itself is looked at.
_LOOK_EVERY: Final = 5


class NatsReader:
    """See :class:`collector.log.interface.LogReader`. While the servers cannot be reached, or one that is cut off from
    the majority is all there is, calls raise LogError: nobody takes silence of the log for silence of the agents.

    Raises:
        LogError: the servers cannot be reached.
        LogDamagedError: the stream is not there.
    """

    def __init__(self, settings: Log) -> None:
        self._link = Link(settings, "reader")
        try:
            self._stream = self._link.wait(look(self._link))
        except BaseException:
            self._link.close()
            raise
        self._inbox = self._link.client.new_inbox()
        self._feeds: dict[int, Feed] = {}
        self._generations = count(1)
        self._trouble: LogError | LogDamagedError | None = None
        self._arrived = asyncio.Event()
        self._news = True
        self._watching: asyncio.Task[None] | None = None
        self._link.when_connected_again(self._begin_all_anew)
        self._link.wait(self._begin())

    def read(self, positions: Mapping[int, int], limit: int) -> list[LogRow]:
        return self._link.wait(self._read(dict(positions), limit))

    def changed(self) -> bool:
        before, self._news = self._news, False
        return before or self._trouble is not None or not self._link.connected()

    def last_offset(self) -> int:
        return self._link.wait(self._look()).last_offset

    def waiting(self, positions: Mapping[int, int]) -> int:
        return sum(self._link.wait(_all(self._count(*each) for each in positions.items())))

    def first_waiting(self, positions: Mapping[int, int]) -> int | None:
        found = self._link.wait(_all(self._first(*each) for each in positions.items()))
        return min((offset for offset in found if offset is not None), default=None)

    def trim(self, positions: Mapping[int, int], received_before: float) -> int:
        check_complete(positions)
        stream = self._link.wait(self._look())  # looked at first: what is committed later waits
        first = self.first_waiting(positions)
        end = stream.last_seq + 1 if first is None else min(first - stream.base, stream.last_seq + 1)
        end = self._link.wait(self._first_since(stream.first_seq, end, received_before))
        if end <= stream.first_seq:
            return 0
        answer = self._link.wait(self._link.request(f"STREAM.PURGE.{NAME}", {"seq": end}))
        return int(answer["purged"])

    def close(self) -> None:
        if self._link.connected():
            with contextlib.suppress(LogError):
                self._link.wait(self._end())
        self._link.close()

    async def _begin(self) -> None:
        await self._link.client.subscribe(f"{self._inbox}.>", cb=self._take)
        self._watching = asyncio.create_task(self._watch())

    async def _end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(*(feed.end() for feed in self._feeds.values()), return_exceptions=True)

    async def _take(self, message: Msg) -> None:
        # A row comes under its own subject; what the servers say of a request, under the one asked from.
        own = message.subject.startswith(self._inbox)
        partition = message.subject.split(".")[-2 if own else -1]
        feed = self._feeds.get(int(partition))
        if feed is None:
            return
        held = len(feed.rows)
        await (feed.hear(message) if own else feed.take(message))
        if len(feed.rows) > held or feed.broken:
            self._news = True
            self._arrived.set()

    async def _read(self, positions: dict[int, int], limit: int) -> list[LogRow]:
        await self._follow(positions)
        rows = self._gather(limit)
        if not rows:
            self._raise_trouble()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ARRIVE_SECONDS):
                    while not rows and any(feed.pending or feed.broken for feed in self._feeds.values()):
                        self._arrived.clear()
                        await self._arrived.wait()
                        rows = self._gather(limit)
            if not rows:
                self._raise_trouble()
        return rows

    async def _follow(self, positions: dict[int, int]) -> None:
        """Feeds of these partitions, behind these positions, and no others."""
        gone = [self._feeds.pop(partition) for partition in self._feeds.keys() - positions.keys()]
        fresh = []
        for partition, position in positions.items():
            feed = self._feeds.get(partition)
            if feed is not None and feed.move_to(position):
                await feed.ask()
                continue
            if feed is not None:
                gone.append(feed)
            feed = Feed(self._link, self._inbox, partition, position, self._stream.base, self._generations)
            self._feeds[partition] = feed
            fresh.append(feed)
        await asyncio.gather(*(feed.end() for feed in gone), return_exceptions=True)
        if fresh:
            await asyncio.gather(*(feed.begin() for feed in fresh))

    def _gather(self, limit: int) -> list[LogRow]:
        rows: list[LogRow] = []
        size = 0
        for row in merge(*(feed.rows for feed in self._feeds.values()), key=attrgetter("offset")):
            rows.append(row)
            size += len(row.body)
            if len(rows) >= limit or size >= _READ_BYTES:
                break
        return rows

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            kind = LogDamagedError if isinstance(self._trouble, LogDamagedError) else LogError
            raise kind(str(self._trouble))
        if not self._link.connected():
            raise LogError("the log's servers cannot be reached")

    def _begin_all_anew(self) -> None:
        for feed in self._feeds.values():
            feed.broken = True

    async def _watch(self) -> None:
        turn, known = 0, self._stream.last_seq
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            turn += 1
            if not self._link.connected():
                continue
            try:
                stopped = [feed for feed in self._feeds.values() if feed.stopped()]
                if turn % _LOOK_EVERY == 0:
                    stream = await self._look()
                    stopped += await self._deaf(known)
                    known = stream.last_seq
                elif stopped or self._trouble is not None:
                    await self._look()
                await asyncio.gather(*(feed.begin() for feed in stopped))
            except LogDamagedError as error:
                self._trouble = error
            except LogError as error:
                self._trouble = error
                # This server may be the one that is cut off.
                with contextlib.suppress(nats.errors.Error, OSError):
                    await self._link.client.force_reconnect()
            except Exception as error:
                # The last resort: without this watch a feed that stops would stop for good.
                log.exception("the log's feeds cannot be watched")
                self._trouble = LogError(f"the log's servers answer what nobody expects: {error}")
            else:
                self._trouble = None

    async def _deaf(self, known: int) -> list[Feed]:
        """The feeds whose consumers did not send what the stream has had since the last look, up to ``known``."""
        quiet = [feed for feed in self._feeds.values() if feed.quiet(_WATCH_SECONDS * _LOOK_EVERY)]
        passed_over = await asyncio.gather(*(feed.passed_over(known) for feed in quiet))
        deaf = [feed for feed, missed in zip(quiet, passed_over, strict=True) if missed]
        for feed in deaf:
            feed.broken = True
        return deaf

    async def _look(self) -> Stream:
        stream = await look(self._link)
        if (stream.created, stream.base) != (self._stream.created, self._stream.base):
            raise LogDamagedError(
                "the log's stream was made anew while we read it: stop `vonggac serve` and start it again"
            )
        return stream

    async def _count(self, partition: int, position: int) -> int:
        config = consumer_of(partition, max(position - self._stream.base, 0) + 1)
        made = await self._link.request(f"CONSUMER.CREATE.{NAME}", {"stream_name": NAME, "config": config})
        with contextlib.suppress(LogError):
            await self._link.request(f"CONSUMER.DELETE.{NAME}.{made['name']}")
        return int(made["num_pending"])

    async def _first(self, partition: int, position: int) -> int | None:
        seq = max(position - self._stream.base, 0) + 1
        found = await next_message(self._link, seq, subject_of(partition))
        return None if found is None else found[0] + self._stream.base

    async def _first_since(self, low: int, high: int, moment: float) -> int:
        """The number below which every row was received before ``moment``, by halving."""
        while low < high:
            middle = (low + high) // 2
            found = await next_message(self._link, middle)
            if found is not None and found[0] < high and _received_at(found[1]) < moment:
                low = found[0] + 1
            else:
                high = middle
        return low


def _received_at(data: bytes) -> float:
    """A message that is no row of ours may go."""
    try:
        return from_wire(data, 0).received_at
    except msgspec.MsgspecError:
        return 0.0


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    return list(await asyncio.gather(*work))
