"""One simulated endpoint: it reports what changed, says once in a while that it lives, and tells what happened."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from typing import TYPE_CHECKING, Final

import msgspec
import zstandard
from msgspec import Struct

import agent
from agent.messages import (
    AGENT_HEADER,
    BATCH_HEADER,
    BATCH_PATH,
    HEARTBEAT_PATH,
    SCHEMA_VERSION,
    Batch,
    BatchHeader,
    CollectorHealth,
    Event,
    encode_batch,
)
from agent.runtime.errors import TransportError
from agent.runtime.files import write_atomically
from agent.simulator.documents import documents, metrics
from agent.simulator.machines import draw

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.transport import Reply
    from agent.simulator.happenings import Happening
    from agent.simulator.machines import Machine
    from agent.simulator.wire import AsyncConnection

_EVENTS_HELD: Final = 200
_LONGEST_WAIT_SECONDS: Final = 300.0
_COLLECTORS: Final = ("host", "software", "antivirus", "firewall", "updates", "lan", "neighbours", "storage")


class Pace(Struct, frozen=True):
    """How often a simulated endpoint speaks, in seconds. ``spread`` is over how long the first words are."""

    heartbeat: float = 120.0
    metrics: float = 900.0
    spread: float = 45.0


class Remembered(Struct):
    """``stream.json``: written before each batch, so that a number is never used for two contents."""

    stream: str
    seq: int = 0
    digests: dict[str, str] = {}


class GoneError(Exception):
    """The collector does not know this endpoint any more: it was removed or revoked."""


class SimulatedEndpoint:
    """``folder`` holds its identity; ``began`` is when its province began."""

    def __init__(
        self, machine: Machine, folder: Path, connection: AsyncConnection, seed: int, began: float, pace: Pace
    ) -> None:
        self.machine = machine
        self._connection = connection
        self._seed = seed
        self._began = began
        self._pace = pace
        self._rng = draw(seed, "pace", machine.index)
        self._memory_path = folder / "stream.json"
        self._memory = self._remember()
        self._told_health = bool(self._memory.digests)
        self._events: list[Event] = []
        self._off_until = 0.0
        self._woken = asyncio.Event()
        self._voice = asyncio.Lock()
        self._metrics_due = time.time() + self._rng.uniform(0, pace.metrics)

    def _remember(self) -> Remembered:
        try:
            return msgspec.json.decode(self._memory_path.read_bytes(), type=Remembered)
        except (OSError, msgspec.MsgspecError):
            return Remembered(stream=os.urandom(16).hex())

    def happen(self, happening: Happening) -> None:
        """Something happened to this machine: it is told at once."""
        self._events = (self._events + happening.events)[-_EVENTS_HELD:]
        if happening.antivirus_off_seconds and self.machine.antivirus == "on":
            self._off_until = time.time() + happening.antivirus_off_seconds
        self._woken.set()

    async def live(self) -> None:
        """Report until cancelled. A silent machine reports once, the first time it runs, and never again.

        Raises:
            GoneError: the collector will not have it any more.
        """
        if self.machine.silent and self._memory.digests:
            return
        await asyncio.sleep(self._rng.uniform(0, self._pace.spread))
        failures = 0
        while True:
            try:
                async with self._voice:
                    wait = await self.speak()
            except TransportError:
                wait = -1.0
            if wait < 0:
                span = min(_LONGEST_WAIT_SECONDS, 2.0 * 2 ** min(failures, 10))
                failures += 1
                await asyncio.sleep(self._rng.uniform(0.5, 1.0) * span)
                continue
            failures = 0
            if self.machine.silent:
                self._connection.close()
                return
            await asyncio.sleep(wait)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._quiet_seconds()):
                    await self._woken.wait()
            self._woken.clear()

    async def rest(self) -> None:
        """Wait until nothing is being said, and say nothing any more: then it may be cancelled."""
        await self._voice.acquire()

    def _quiet_seconds(self) -> float:
        heartbeat = self._pace.heartbeat * self._rng.uniform(0.95, 1.0)
        back_on = self._off_until - time.time() + 1.0
        return min(heartbeat, back_on) if back_on > 0 else heartbeat

    async def speak(self) -> float:
        """Send what there is, or a heartbeat. Return how long to be quiet, or -1 to try again later."""
        now = time.time()
        batch, digests = self._batch(now)
        if batch is None:
            header = BatchHeader(stream=self._memory.stream, seq=self._memory.seq, sent_at=now)
            return self._judge(await self._post(HEARTBEAT_PATH, header, b""))
        body = zstandard.ZstdCompressor(level=1).compress(encode_batch(batch))
        self._memory.seq += 1
        write_atomically(self._memory_path, msgspec.json.encode(self._memory), durable=False)
        header = BatchHeader(stream=self._memory.stream, seq=self._memory.seq, sent_at=now)
        told = len(batch.events)
        while True:
            wait = self._judge(await self._post_surely(BATCH_PATH, header, body))
            if wait >= 0:
                break
            await asyncio.sleep(30 * self._rng.uniform(0.5, 1.0))
        self._events = self._events[told:]
        self._told_health = True
        self._memory.digests.update(digests)
        write_atomically(self._memory_path, msgspec.json.encode(self._memory), durable=False)
        return wait

    async def _post_surely(self, path: str, header: BatchHeader, body: bytes) -> Reply:
        """Offer the same batch under the same number until somebody answers."""
        wait = 2.0
        while True:
            try:
                return await self._post(path, header, body)
            except TransportError:
                await asyncio.sleep(wait * self._rng.uniform(0.5, 1.0))
                wait = min(_LONGEST_WAIT_SECONDS, wait * 2)

    async def _post(self, path: str, header: BatchHeader, body: bytes) -> Reply:
        headers = {BATCH_HEADER: header.encode(), AGENT_HEADER: agent.__version__}
        return await self._connection.request("POST", path, headers, body)

    def _judge(self, reply: Reply) -> float:
        if reply.status in (401, 403, 404):
            raise GoneError(reply.problem.detail or reply.problem.title)
        if reply.status in (429, 503):
            return -1.0
        return 0.0

    def _batch(self, now: float) -> tuple[Batch | None, dict[str, str]]:
        antivirus = "off" if now < self._off_until else self.machine.antivirus
        every = documents(self.machine, self._seed, self._began, now, antivirus, self.machine.firewall_on)
        digests = {
            f"{d.kind} {d.item}": hashlib.sha256(msgspec.json.encode(d.body)).hexdigest()[:32] for d in every
        }
        changed = [
            d for d, (key, digest) in zip(every, digests.items(), strict=True)
            if self._memory.digests.get(key) != digest
        ]  # fmt: skip
        measured = []
        if now >= self._metrics_due:
            measured = metrics(self.machine, self._seed, self._began, now)
            self._metrics_due = now + self._pace.metrics
        if not (changed or measured or self._events):
            return None, {}
        health = (
            []
            if self._told_health
            else [CollectorHealth(name=n, ok=True, duration_seconds=0.01) for n in _COLLECTORS]
        )
        batch = Batch(
            schema=SCHEMA_VERSION,
            created_at=now,
            events=list(self._events),
            documents=changed,
            metrics=measured,
            health=health,
        )
        return batch, digests
