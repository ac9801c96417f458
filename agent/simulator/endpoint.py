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

from agent.messages import (
    BATCH_HEADER,
    BATCH_PATH,
    HEARTBEAT_PATH,
    IMPORTANCE_HEADER,
    SCHEMA_VERSION,
    Batch,
    BatchHeader,
    CollectorHealth,
    Event,
    Importance,
    encode_batch,
)
from agent.runtime.errors import TransportError
from agent.runtime.files import write_atomically
from agent.simulator.documents import documents, metrics

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from agent.simulator.figures import Figures
    from agent.simulator.happenings import Happening
    from agent.simulator.machines import Machine
    from agent.simulator.wire import AsyncConnection

_EVENTS_HELD: Final = 200
_LONGEST_WAIT_SECONDS: Final = 300.0
#: A machine whose network is back tries again within this, as an agent that was away for a few minutes does.
_FIND_AGAIN_SECONDS: Final = 20.0
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
    """``folder`` holds its identity; ``began`` is when its province began. ``chance`` spreads waits."""

    def __init__(
        self,
        machine: Machine,
        folder: Path,
        connection: AsyncConnection,
        seed: int,
        began: float,
        pace: Pace,
        chance: random.Random,
        figures: Figures,
    ) -> None:
        self.machine = machine
        self._connection = connection
        self._seed = seed
        self._began = began
        self._pace = pace
        self._chance = chance
        self.figures = figures
        self._memory_path = folder / "stream.json"
        self._memory = self._remember()
        self._told_health = bool(self._memory.digests)
        self._events: list[Event] = []
        self._off_until = 0.0
        self._away_until = 0.0
        self._woken = asyncio.Event()
        self._voice = asyncio.Lock()
        self._metrics_due = time.time() + chance.uniform(0, pace.metrics)

    def _remember(self) -> Remembered:
        try:
            return msgspec.json.decode(self._memory_path.read_bytes(), type=Remembered)
        except (OSError, msgspec.MsgspecError):
            return Remembered(stream=os.urandom(16).hex())

    def happen(self, happening: Happening) -> None:
        """Something happened to this machine: it is told at once, or when the machine is back."""
        self._events = (self._events + happening.events)[-_EVENTS_HELD:]
        now = time.time()
        if happening.antivirus_off_seconds and self.machine.antivirus == "on":
            self._off_until = now + happening.antivirus_off_seconds
        if happening.machine_now is not None:
            self.machine = happening.machine_now
        self._away_until = max(self._away_until, now + happening.away_seconds)
        self._woken.set()

    async def live(self) -> None:
        """Report until cancelled. A silent machine reports once, the first time it runs, and never again.

        Raises:
            GoneError: the collector will not have it any more.
        """
        if self.machine.silent and self._memory.digests:
            return
        await asyncio.sleep(self._chance.uniform(0, self._pace.spread))
        self.figures.speaking += 1
        try:
            while True:
                await self._be_away()
                async with self._voice:
                    await self.speak()
                if self.machine.silent:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._quiet_seconds()):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            self.figures.speaking -= 1
            self._connection.close()

    async def rest(self) -> None:
        """Wait until nothing is being said, and say nothing any more: then it may be cancelled."""
        await self._voice.acquire()

    async def _be_away(self) -> None:
        """Its network is down: its connection ends, and it finds the collector again within seconds of the others."""
        while (left := self._away_until - time.time()) > 0:
            self._connection.close()
            await asyncio.sleep(left + self._chance.uniform(0, _FIND_AGAIN_SECONDS))

    def _quiet_seconds(self) -> float:
        heartbeat = self._pace.heartbeat * self._chance.uniform(0.95, 1.0)
        back_on = self._off_until - time.time() + 1.0
        return min(heartbeat, back_on) if back_on > 0 else heartbeat

    async def speak(self) -> None:
        """Send what there is, or a heartbeat; return when the collector has it.

        Raises:
            GoneError: the collector will not have it any more.
        """
        batch, digests = self._batch(time.time())
        if batch is None:
            await self._offer(HEARTBEAT_PATH, b"", "")
            self.figures.heartbeats += 1
            return
        body = zstandard.ZstdCompressor(level=1).compress(encode_batch(batch))
        self._memory.seq += 1
        write_atomically(self._memory_path, msgspec.json.encode(self._memory), durable=False)
        told = len(batch.events)
        importance = (
            Importance.STATUS if batch.documents else Importance.EVENTS if told else Importance.CHATTER
        )
        await self._offer(BATCH_PATH, body, importance.word)
        self.figures.batches += 1
        self.figures.events += told
        self._events = self._events[told:]
        self._told_health = True
        self._memory.digests.update(digests)
        write_atomically(self._memory_path, msgspec.json.encode(self._memory), durable=False)

    async def _offer(self, path: str, body: bytes, importance: str) -> None:
        """The same under the same number until it is taken: waits as long as the collector asks, else ever longer."""
        wait, held_back = 2.0, False
        while True:
            header = BatchHeader(stream=self._memory.stream, seq=self._memory.seq, sent_at=time.time())
            headers = {BATCH_HEADER: header.encode()}
            if importance:
                headers[IMPORTANCE_HEADER] = importance
            try:
                reply = await self._connection.request("POST", path, headers, body)
            except TransportError:
                await asyncio.sleep(wait * self._chance.uniform(0.5, 1.0))
                wait = min(_LONGEST_WAIT_SECONDS, wait * 2)
                continue
            if reply.status in (401, 403, 404):
                raise GoneError(reply.problem.detail or reply.problem.title)
            if reply.status not in (429, 503):
                return
            self.figures.held_back += 1
            self.figures.held_back_again += held_back
            held_back = True
            asked = reply.retry_after_seconds or wait
            await asyncio.sleep(asked * (1 + 0.1 * self._chance.random()))

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
