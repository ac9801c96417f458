"""Enrols and runs a whole simulated province in one process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, structs

from agent.messages import TokenParts
from agent.runtime.enrolment import renew
from agent.runtime.errors import AgentError, NotEnrolledError
from agent.runtime.files import write_atomically
from agent.runtime.identity import load_identity
from agent.settings import StateDirectory
from agent.simulator.documents import facts
from agent.simulator.endpoint import GoneError, Pace, SimulatedEndpoint
from agent.simulator.enrolling import Enroller
from agent.simulator.figures import Figures
from agent.simulator.happenings import SLICE_SECONDS, Happenings
from agent.simulator.machines import Machine, Token, draw, make_machines
from agent.simulator.mix import DEFAULT, load_mix
from agent.simulator.wire import AsyncConnection, Wire

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.log import Log
    from agent.runtime.transport import Address

#: Enrolments under way at once.
_AT_ONCE: Final = 8
_FIGURES_SECONDS: Final = 10.0
_TOLD_AT_ONCE: Final = 20
_REST_SECONDS: Final = 5.0
_RENEWAL_LOOK_SECONDS: Final = 3600.0


class Founding(Struct, frozen=True):
    """``simulation.json``: what a second start must go on with. Another mix begins when it is first asked for."""

    seed: int
    began: float
    mix: str = DEFAULT
    mix_began: float = 0.0


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


def found(folder: Path, seed: int, now: float, mix: str = DEFAULT) -> Founding:
    """What the province in ``folder`` began with, and when ``mix`` did; founded now where there is none."""
    path = folder / "simulation.json"
    try:
        before = msgspec.json.decode(path.read_bytes(), type=Founding)
    except (OSError, msgspec.MsgspecError):
        before = Founding(seed=seed, began=now, mix="")
    if before.mix == mix:
        return before
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    founding = structs.replace(before, mix=mix, mix_began=now)
    write_atomically(path, msgspec.json.encode(founding))
    return founding


class Province:
    """``mix`` is the name of what happens in it.

    Raises:
        ValueError: no such mix.
    """

    def __init__(
        self,
        address: Address,
        tokens: list[Token],
        folder: Path,
        seed: int,
        log: Log,
        pace: Pace,
        mix: str = DEFAULT,
    ) -> None:
        self._address = address
        self._folder = folder
        self._mix = load_mix(mix)
        self._founding = found(folder, seed, time.time(), mix)
        self._log = log
        self._pace = pace
        self.figures = Figures()
        self._wire = Wire(address, self.figures)
        self._chance = draw(self._founding.seed, "chance")
        self.machines = make_machines(tokens, self._founding.seed)
        self._endpoints: dict[int, SimulatedEndpoint] = {}

    def _state(self, machine: Machine) -> StateDirectory:
        return StateDirectory(self._folder / TokenParts.decode(machine.token.token).id)

    async def enrol_all(self) -> int:
        """Enrol who has not; return how many can report. One token refused leaves the others alone."""
        started = time.monotonic()
        enroller = Enroller(self._address)
        left = iter(self.machines)
        ready: set[int] = set()

        async def some() -> None:
            for machine in left:
                if await asyncio.to_thread(self._enrol, machine, enroller):
                    ready.add(machine.index)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        enroller.close()
        self.machines = [machine for machine in self.machines if machine.index in ready]
        self._log.say("enrolled", endpoints=len(ready), seconds=round(time.monotonic() - started, 1))
        return len(ready)

    def _enrol(self, machine: Machine, enroller: Enroller) -> bool:
        state = self._state(machine)
        try:
            try:
                identity = load_identity(state)
            except NotEnrolledError:
                enroller.enrol(state, machine.token.token, facts(machine))
            else:
                if identity.renew_at <= time.time():
                    renew(state, self._address.url)
        except (AgentError, OSError) as error:
            self._log.lost("enrolment", str(error), machine=machine.name)
            return False
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Let everybody live until ``stop``."""
        founding = self._founding
        happenings = Happenings(self.machines, founding.seed, self._mix, founding.mix_began)
        changed = happenings.changed_before(time.time())
        tasks = [asyncio.create_task(self._live(changed.get(m.index, m))) for m in self.machines]
        tasks += [
            asyncio.create_task(work)
            for work in (self._time_passes(happenings), self._renew_when_due(), self._tell_figures())
        ]
        self._log.say("running", endpoints=len(self.machines), began=founding.began, mix=founding.mix)
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
        endpoint = SimulatedEndpoint(
            machine,
            state.root,
            AsyncConnection(self._wire, state),
            self._founding.seed,
            self._founding.began,
            self._pace,
            self._chance,
            self.figures,
        )
        self._endpoints[machine.index] = endpoint
        try:
            await endpoint.live()
        except GoneError as gone:
            self._log.lost("endpoint", str(gone), machine=machine.name)
        finally:
            self._endpoints.pop(machine.index, None)

    async def _time_passes(self, happenings: Happenings) -> None:
        number = int(time.time() // SLICE_SECONDS)
        while True:
            number += 1
            await asyncio.sleep(max(0.0, number * SLICE_SECONDS - time.time()))
            found = happenings.slice(number - 1)
            for at, happening in enumerate(found):
                if at % _TOLD_AT_ONCE == 0:  # over the slice, not all in its first moment
                    await asyncio.sleep(
                        max(0.0, (number + 0.8 * at / len(found)) * SLICE_SECONDS - time.time())
                    )
                endpoint = self._endpoints.get(happening.machine)
                if endpoint is not None:
                    endpoint.happen(happening)

    async def _tell_figures(self) -> None:
        while True:
            await asyncio.sleep(_FIGURES_SECONDS)
            self._log.say("figures", **structs.asdict(self.figures))

    async def _renew_when_due(self) -> None:
        enroller = Enroller(self._address)
        while True:
            await asyncio.sleep(_RENEWAL_LOOK_SECONDS)
            for machine in self.machines:
                if load_identity(self._state(machine)).renew_at <= time.time():
                    await asyncio.to_thread(self._enrol, machine, enroller)
