"""Keeps the agent's key and certificate: renewed in time, changed where the collector asks, its own where the disk was
copied to another machine.

The work is done by a process of its own (:mod:`agent.runtime.enrolment`). One thread, the sender's.
"""

from __future__ import annotations

import subprocess  # our own interpreter and module
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.runtime.errors import NotEnrolledError
from agent.runtime.evidence import is_other_machine
from agent.runtime.identity import load_identity, remember_machine
from agent.runtime.sealing import UNSEALED, is_sealed
from agent.runtime.steering import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.messages import HostFacts, Wanted
    from agent.reasons import Sentence
    from agent.runtime.identity import Identity
    from agent.runtime.log import Log
    from agent.runtime.proxy import Proxy
    from agent.runtime.sender import Requester
    from agent.settings import StateDirectory, TpmPolicy

_RETRY_SECONDS: Final = 3600.0
#: An agent that may not speak as what it was asks this often for a name of its own.
_MOVED_RETRY_SECONDS: Final = 30.0
#: How often it is looked whether a version has shown by now that it works.
_UNPROVEN_SECONDS: Final = 60.0
_TIMEOUT_SECONDS: Final = 120.0
#: Why an agent starts anew that was given an endpoint of its own; no fault of its own.
ANOTHER_ENDPOINT: Final = "another endpoint"
#: The exit status of the process where the collector has answered, with a refusal that stands.
REFUSED: Final = 2


class KeyPlace:
    """Tells the collector where the key lies, as a :class:`agent.runtime.steering.Follower` that follows nothing.
    ``identity``: the present one."""

    name = "key"
    heavy = False

    def __init__(self, state: StateDirectory, identity: Callable[[], Identity]) -> None:
        self._state = state
        self._identity = identity
        self._of: Identity | None = None
        self._told: dict[str, Any] = {}

    def step(self, _wanted: Wanted, _connection: Requester) -> float:
        return NEVER

    def tell(self) -> dict[str, Any]:
        """``place`` (``tpm``, ``file``), and with the latter ``reason`` where it is known."""
        identity = self._identity()
        if identity is not self._of:
            self._of = identity
            self._told = self._look(UNSEALED.get(identity.unsealed))
        return self._told

    def _look(self, why: Sentence | None) -> dict[str, Any]:
        try:
            if is_sealed(self._state.key):
                return {"place": "tpm"}
        except OSError:
            return {}
        return {"place": "file"} | ({} if why is None else {"reason": why()})


class Keeper:
    """``moved``: this is another machine than the one that the key was given to, and the collector has not been asked
    yet, so that nothing may be sent. ``endpoint_changed``: the certificate is another endpoint's now; start anew.
    ``failure``: why the last renewal did not come about. ``tpm``: where it must have the key and does not yet, the key
    is renewed at once. ``unproven``: whether this version may yet be replaced by the one before it, which may not be
    able to read a sealed key: the first one waits for the verdict."""

    def __init__(
        self,
        state: StateDirectory,
        identity: Identity,
        machine: HostFacts,
        log: Log,
        *,
        root: str,
        tpm: TpmPolicy,
        unproven: Callable[[], bool],
        time: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._state = state
        self._log = log
        self._machine = machine
        self._root = root
        self._tpm = tpm
        self._unproven = unproven
        self._time = time
        self._random = random
        self.identity = identity
        self.endpoint_changed = False
        self.failure = ""
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self.moved = identity.machine is not None and is_other_machine(identity.machine, machine)
        at_once = self.moved or (tpm == "require" and not is_sealed(state.key))
        self._due = 0.0 if at_once else identity.renew_at
        self._rekey_due = 0.0
        if self.moved:
            log.say("other_machine", endpoint_id=identity.endpoint_id)
        elif identity.machine != machine:
            self.identity = self._note_machine()

    @property
    def speaks(self) -> bool:
        """Whether anything may be sent under the present name."""
        return not (self.moved or self.endpoint_changed)

    def step(self, url: str, proxy: Proxy | None, wanted: Wanted | None) -> tuple[bool, float]:
        """Do what is due; return whether there is a new certificate, and in how many seconds to call again."""
        if self.endpoint_changed:
            return False, _RETRY_SECONDS
        now = self._time()
        order = wanted.rekey if wanted is not None else 0
        asked = bool(order) and order != self.identity.rekeyed and not self.moved
        if (now >= self._due or (asked and now >= self._rekey_due)) and self._waits(now):
            return False, _UNPROVEN_SECONDS
        if asked and now >= self._rekey_due:
            self._rekey_due = now + _RETRY_SECONDS * (0.5 + self._random())
        elif now >= self._due:
            asked = False
            retry = _MOVED_RETRY_SECONDS if self.moved else _RETRY_SECONDS
            self._due = now + retry * (0.5 + self._random())
        else:
            return False, (min(self._due, self._rekey_due) if asked else self._due) - now
        return self._ask(url, proxy, order if asked else 0), 0.0

    def _waits(self, now: float) -> bool:
        """Whether to seal the key for the first time now could lock the version before out. Not to the end of the
        certificate, and not where nothing may be sent without a new one."""
        latest = (self.identity.renew_at + self.identity.not_after) / 2
        may_seal = self._tpm != "off" and not self.moved and now < latest
        return may_seal and self._unproven() and not is_sealed(self._state.key)

    def _ask(self, url: str, proxy: Proxy | None, order: int) -> bool:
        request: dict[str, Any] = {
            "state_dir": str(self._state.root),
            "url": url,
            "proxy": proxy,
            "root": self._root,
            "moved": self.moved,
            "rekey": order,
            "tpm": self._tpm,
            "tpm_device": str(self._state.tpm),
        }
        status, said = self._run(msgspec.json.encode(request))
        if status != 0:
            self.failure = said.decode(errors="replace").strip()[:500]
            self._log.lost("renewal", self.failure)
            if self.moved and status == REFUSED:
                # An older collector, or one where too many copies wait: speaking as the other is better than silence,
                # and the collector notices that two do.
                self.moved = False
                self._due = self.identity.renew_at
            return False
        before, self.identity = self.identity, load_identity(self._state)
        self._due, self.moved = self.identity.renew_at, False
        self.endpoint_changed = self.identity.endpoint_id != before.endpoint_id
        self.failure = ""
        self._log.found("renewal")
        self._log.say("renewed", not_after=self.identity.not_after, endpoint_id=self.identity.endpoint_id)
        return True

    def _run(self, request: bytes) -> tuple[int, bytes]:
        """The process's exit status and what it said."""
        with self._starting:
            if self._ended:
                return 1, b"the agent ends"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "agent.runtime.enrolment", "renew"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/" if sys.platform != "win32" else None,
            )
        with self._process as process:
            try:
                said, _ = process.communicate(request, timeout=_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                said = b"no answer in time"
        return process.returncode, said

    def end(self) -> None:
        """Let no process go on that changes the key, from any thread: who starts next would find it half done."""
        with self._starting:
            self._ended = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _note_machine(self) -> Identity:
        try:
            return remember_machine(self._state, self.identity, self._machine)
        except (OSError, NotEnrolledError) as error:
            self._log.say("machine_not_noted", reason=str(error))
            return self.identity
