"""The rows of one partition as JetStream delivers them: in order, without a gap, a little ahead of the reader.

Each feed has a consumer of its own on the servers, kept in memory there and acknowledging nothing. Its messages are
numbered, so a lost one shows; a consumer whose server died goes silent, because a healthy one sends heartbeats.
A consumer can be well and deaf, too: it lives on one of the stream's servers, and where that server was cut off for a
while and had to catch up, the consumer may not be told of what came meanwhile (seen with server 2.9). So who holds the
feeds asks the stream's leader about those that have been quiet. In all of these cases the feed begins anew behind the
last row that it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec
import nats.errors

from collector.log.jetstream.stream import NAME, from_wire, next_message, subject_of
from collector.partitions import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.msg import Msg

    from collector.log.interface import LogRow
    from collector.log.jetstream.link import Link

log = logging.getLogger("vonggac.log")

_PULL_ROWS: Final = 256
_PULL_BYTES: Final = 2 << 20
#: A feed asks for more while it holds less than this.
_LOW_ROWS: Final = 256
_LOW_BYTES: Final = 2 << 20
_PULL_SECONDS: Final = 30
_HEARTBEAT_SECONDS: Final = 2
#: Nothing heard for so long while something is asked for: the consumer is gone.
_SILENT_SECONDS: Final = 5.0
#: A consumer that nobody asks for so long is removed by the servers.
_FORGET_SECONDS: Final = 300
#: The status of a heartbeat.
_ALIVE: Final = "100"
_NANOSECONDS: Final = 1_000_000_000


class Feed:
    """All of it belongs to the link's event loop.

    Args:
        inbox: where answers are to be sent: this, a dot, the partition, a dot, a number that is never used twice.
        position: the offset behind which it begins.
        base: of the stream.
        generations: such numbers, so that what comes late for an earlier consumer is known.
    """

    def __init__(
        self, link: Link, inbox: str, partition: int, position: int, base: int, generations: Iterator[int]
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._partition = partition
        self._base = base
        self._generations = generations
        self._beginning = asyncio.Lock()
        self._position = position
        self._last_seq = max(position - base, 0)
        self._consumer = ""
        self._next_number = 1
        self._asked = 0
        self._heard = 0.0
        self._moved = 0.0
        self._bytes = 0
        self.rows: deque[LogRow] = deque()
        #: How many rows the consumer had not sent yet when it last spoke.
        self.pending = 0
        self._generation = 0
        self.broken = True

    async def begin(self) -> None:
        """Make a consumer behind the last row that is here, and ask it; nothing where all is well.

        Raises:
            LogError: the servers do not answer, or refuse.
        """
        async with self._beginning:
            if not self.stopped():
                return
            self.broken = True
            self._moved = monotonic()
            self._generation = next(self._generations)
            self._asked = 0
            self._next_number = 1
            answer = await self._link.request(
                f"CONSUMER.CREATE.{NAME}",
                {"stream_name": NAME, "config": consumer_of(self._partition, self._last_seq + 1)},
            )
            self._consumer = str(answer["name"])
            self.pending = int(answer["num_pending"])
            self.broken = False
        await self.ask()

    async def end(self) -> None:
        """The servers may forget the consumer. Raises LogError, which can be ignored: they do so by themselves."""
        self.broken = True
        await self._link.request(f"CONSUMER.DELETE.{NAME}.{self._consumer}")

    def move_to(self, position: int) -> bool:
        """Drop the rows up to there; False where rows would be needed that this feed did not keep."""
        if position < self._position:
            return False
        self._position = position
        while self.rows and self.rows[0].offset <= position:
            self._bytes -= len(self.rows.popleft().body)
        return True

    async def ask(self) -> None:
        """Ask for more rows where there is room and nothing is asked for yet."""
        if self.broken or self._asked or len(self.rows) >= _LOW_ROWS or self._bytes >= _LOW_BYTES:
            return
        self._asked = _PULL_ROWS
        self._heard = monotonic()
        wanted = {
            "batch": _PULL_ROWS,
            "max_bytes": _PULL_BYTES,
            "expires": _PULL_SECONDS * _NANOSECONDS,
            "idle_heartbeat": _HEARTBEAT_SECONDS * _NANOSECONDS,
        }
        try:
            await self._link.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{NAME}.{self._consumer}",
                msgspec.json.encode(wanted),
                reply=f"{self._inbox}.{self._partition}.{self._generation}",
            )
        except (nats.errors.Error, OSError):
            self.broken = True

    async def hear(self, message: Msg) -> None:
        """What the servers say of a request for rows: that they are there, or that the request has ended."""
        if message.subject.rpartition(".")[2] != str(self._generation):
            return  # of an earlier consumer
        self._heard = monotonic()
        headers = message.headers or {}
        if headers.get("Status") == _ALIVE:
            return
        self._asked = 0
        self.broken = "Deleted" in headers.get("Description", "")
        await self.ask()

    async def take(self, message: Msg) -> None:
        """One row of a consumer of this partition."""
        consumer, seq, number, pending = _numbers(message.reply)
        if consumer != self._consumer:
            return  # an earlier one
        self._heard = monotonic()
        if number != self._next_number:
            self.broken = True
            return
        self._next_number += 1
        self._moved = self._heard
        self._last_seq = seq
        self._asked -= 1
        self.pending = pending
        row = self._row(message.data, self._base + seq)
        if row is not None and row.offset > self._position:
            self.rows.append(row)
            self._bytes += len(row.body)
        await self.ask()

    def stopped(self) -> bool:
        """Whether it must begin anew: a message was lost, or the consumer should have spoken and did not."""
        return self.broken or (self._asked > 0 and monotonic() - self._heard > _SILENT_SECONDS)

    def quiet(self, seconds: float) -> bool:
        """Whether it has been waiting for rows for so long."""
        return not self.broken and self._asked > 0 and monotonic() - self._moved > seconds

    async def passed_over(self, until: int) -> bool:
        """Whether the stream's leader has a row of this partition behind the last one that is here, numbered up to
        ``until``. Raises LogError."""
        seq, generation = self._last_seq, self._generation
        found = await next_message(self._link, seq + 1, subject_of(self._partition))
        same = (seq, generation) == (self._last_seq, self._generation)
        return same and found is not None and found[0] <= until

    def _row(self, data: bytes, offset: int) -> LogRow | None:
        try:
            row = from_wire(data, offset)
        except msgspec.MsgspecError as error:
            log.warning(
                "a message in the log is no row of ours", extra={"log_offset": offset, "error": str(error)}
            )
            return None
        if partition_of(row.endpoint_id) != self._partition:
            log.warning("a message in the log is under a wrong subject", extra={"log_offset": offset})
            return None
        return row


def consumer_of(partition: int, first_seq: int) -> dict[str, object]:
    """The configuration of a consumer of a partition's rows from that number on."""
    return {
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": first_seq,
        "ack_policy": "none",
        "filter_subject": subject_of(partition),
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": _FORGET_SECONDS * _NANOSECONDS,
    }


def _numbers(reply: str) -> tuple[str, int, int, int]:
    """Consumer, stream sequence, consumer sequence and pending count, of `$JS.ACK.[domain.account.]stream.consumer.
    deliveries.stream seq.consumer seq.time.pending[.random]`."""
    tokens = reply.split(".")
    at = 5 if len(tokens) == 9 else 7
    return tokens[at - 2], int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 3])
