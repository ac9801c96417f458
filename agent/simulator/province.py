"""Enrols and runs a whole simulated province in one process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from agent.messages import TokenParts
from agent.runtime.enrolment import enrol, renew
from agent.runtime.errors import AgentError, NotEnrolledError
from agent.runtime.files import write_atomically
from agent.runtime.identity import load_identity, own_context
from agent.settings import StateDirectory
from agent.simulator.documents import facts
from agent.simulator.endpoint import GoneError, Pace, SimulatedEndpoint
from agent.simulator.happenings import happenings
from agent.simulator.machines import Machine, Token, make_machines
from agent.simulator.wire import AsyncConnection

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.log import Log
    from agent.runtime.transport import Address

#: Enrolments, and TLS handshakes, under way at once.
_AT_ONCE: Final = 4
_REST_SECONDS: Final = 5.0
_RENEWAL_LOOK_SECONDS: Final = 3600.0


class Founding(Struct, frozen=True):
    """``simulation.json``: what a second start must go on with."""

    seed: int
    began: float


def read_tokens(path: Path) -> list[Token]:
    """JSON lines of :class:`Token`.

    Raises:
        ValueError: a line that is none, with its number.
    """
    tokens: list[Token] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            token = msgspec.json.decode(line, type=Token)
            TokenParts.decode(token.token)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        tokens.append(token)
    if not tokens:
        raise ValueError(f"{path}: holds no token")
    return tokens


def found(folder: Path, seed: int, now: float) -> Founding:
    """What the province in ``folder`` began with; founded now where there is none."""
    path = folder / "simulation.json"
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Founding)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    founding = Founding(seed=seed, began=now)
    write_atomically(path, msgspec.json.encode(founding))
    return founding


class Province:
    def __init__(
        self, address: Address, tokens: list[Token], folder: Path, seed: int, log: Log, pace: Pace
    ) -> None:
        self._address = address
        self._folder = folder
        self._founding = found(folder, seed, time.time())
        self._log = log
        self._pace = pace
        self.machines = make_machines(tokens, self._founding.seed)
        self._endpoints: dict[int, SimulatedEndpoint] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    def _state(self, machine: Machine) -> StateDirectory:
        return StateDirectory(self._folder / TokenParts.decode(machine.token.token).id)

    async def enrol_all(self) -> int:
        """Enrol who has not; return how many can report. One token refused leaves the others alone."""
        gate = asyncio.Semaphore(_AT_ONCE)
        started = time.monotonic()
        ready: set[int] = set()

        async def one(machine: Machine) -> None:
            async with gate:
                if await asyncio.to_thread(self._enrol, machine):
                    ready.add(machine.index)

        await asyncio.gather(*(one(machine) for machine in self.machines))
        self.machines = [machine for machine in self.machines if machine.index in ready]
        self._log.say("enrolled", endpoints=len(ready), seconds=round(time.monotonic() - started, 1))
        return len(ready)

    def _enrol(self, machine: Machine) -> bool:
        state = self._state(machine)
        try:
            try:
                identity = load_identity(state)
            except NotEnrolledError:
                enrol(state, self._address, machine.token.token, facts(machine))
            else:
                if identity.renew_at <= time.time():
                    renew(state, self._address.url)
        except (AgentError, OSError) as error:
            self._log.lost("enrolment", str(error), machine=machine.name)
            return False
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Let everybody live until ``stop``."""
        tasks = [asyncio.create_task(self._live(machine)) for machine in self.machines]
        tasks += [asyncio.create_task(self._time_passes()), asyncio.create_task(self._renew_when_due())]
        self._log.say("running", endpoints=len(self.machines), began=self._founding.began)
        await stop.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REST_SECONDS):
                for endpoint in list(self._endpoints.values()):
                    await endpoint.rest()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, machine: Machine) -> None:
        state = self._state(machine)
        connection = AsyncConnection(self._address, own_context(state), self._gate)
        endpoint = SimulatedEndpoint(
            machine, state.root, connection, self._founding.seed, self._founding.began, self._pace
        )
        self._endpoints[machine.index] = endpoint
        try:
            await endpoint.live()
        except GoneError as gone:
            self._log.lost("endpoint", str(gone), machine=machine.name)
        finally:
            self._endpoints.pop(machine.index, None)
            connection.close()

    async def _time_passes(self) -> None:
        minute = int(time.time() // 60)
        while True:
            await asyncio.sleep(max(0.0, (minute + 1) * 60 - time.time()))
            minute += 1
            for happening in happenings(self.machines, self._founding.seed, minute - 1):
                endpoint = self._endpoints.get(happening.machine)
                if endpoint is not None:
                    endpoint.happen(happening)

    async def _renew_when_due(self) -> None:
        while True:
            await asyncio.sleep(_RENEWAL_LOOK_SECONDS)
            for machine in self.machines:
                state = self._state(machine)
                if load_identity(state).renew_at <= time.time():
                    await asyncio.to_thread(self._enrol, machine)
