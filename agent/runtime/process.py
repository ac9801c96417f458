"""``python -m agent.runtime.process ORDER``: the process that observes and reports for months.

``vonggac-agent run`` checks what it was given and becomes this one, which carries nothing that only commands need; by
the same way it starts itself anew.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from agent.runtime import memory

memory.spare()

import msgspec  # noqa: E402 - only behind what spares memory
from msgspec import Struct  # noqa: E402

import agent  # noqa: E402
from agent.runtime.errors import AgentError, SealedKeyError  # noqa: E402
from agent.runtime.identity import load_identity  # noqa: E402
from agent.runtime.keeping import ANOTHER_ENDPOINT  # noqa: E402
from agent.runtime.loading import load  # noqa: E402
from agent.runtime.locking import hold_state  # noqa: E402
from agent.runtime.log import Log  # noqa: E402
from agent.runtime.runner import Runner  # noqa: E402
from agent.runtime.status import Link, Status, write_status  # noqa: E402
from agent.settings import stated  # noqa: E402
from agent.settings_file import SettingsError  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.settings import StateDirectory

#: The exit status of an agent that wants to be started anew, where it cannot do that itself (sysexits.h, EX_TEMPFAIL).
START_ANEW: Final = 75
#: A TPM that does not give the key is asked again after so long, then after twice that, up to the second.
_KEY_RETRY_SECONDS: Final = (1.0, 600.0)
#: Its name in the second process is ``__main__``.
_MODULE: Final = "agent.runtime.process"


class Order(Struct, frozen=True, omit_defaults=True):
    """``ORDER``, as JSON: what ``run`` was given. ``restarted``: why the one before started itself anew."""

    config: str | None = None
    state: str | None = None
    restarted: str = ""


def become(order: Order) -> NoReturn:
    """Run by ``order`` in place of the process that calls (execve(2)); where a system has no such thing, in it."""
    encoded = msgspec.json.encode(order).decode("utf-8", errors="surrogateescape")
    if sys.platform == "win32":
        sys.exit(run(order))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", _MODULE, encoded])  # noqa: S606 - ourselves


def run(order: Order, begun: Callable[[Callable[[], None]], None] | None = None) -> int:
    """Observe and report until stopped; return the exit status, as those of :mod:`agent.cli`, or :data:`START_ANEW`.
    ``begun`` is given what ends it, from any thread.
    """
    try:
        config = None if order.config is None else Path(order.config)
        settings, state, collectors = load(config, None if order.state is None else Path(order.state))
        said = stated(config)
        load_identity(state, finish=False)  # before anything is made on a machine that has not enrolled
        hold_state(state)
        log = Log()

        def make() -> Runner:
            return Runner(settings, state, collectors, log, stated=said, restarted=order.restarted)

        runner = _with_key(make, state, log)
        if begun is not None:
            begun(runner.stop)
        reason = runner.run()
    except (AgentError, OSError) as error:
        sys.stderr.write(f"vonggac-agent: {error}\n")
        return 1
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"vonggac-agent: {error}\n")
        return 2
    if not reason:
        return 0
    if sys.platform == "win32":
        return START_ANEW
    # The lock's descriptor is closed by the system as it puts the new program in this one's place.
    become(msgspec.structs.replace(order, restarted="" if reason == ANOTHER_ENDPOINT else reason))


def _with_key(make: Callable[[], Runner], state: StateDirectory, log: Log) -> Runner:
    """The runner, once the TPM gives the key. Until then the status says what is wrong, so that whoever starts this
    process need not do it again and again; SIGTERM ends it as it ends any program."""
    wait, longest = _KEY_RETRY_SECONDS
    started = time.time()
    while True:
        try:
            return make()
        except SealedKeyError as error:
            log.lost("key", str(error))
            link = Link(code=f"key_{error.code}", detail=str(error), since=started)
            now = time.time()
            status = Status(agent.__version__, os.getpid(), started, written_at=now, link=link)
            write_status(state.status, status)
        time.sleep(wait)
        wait = min(wait * 2, longest)


if __name__ == "__main__":
    sys.exit(run(msgspec.json.decode(sys.argv[1], type=Order)))
