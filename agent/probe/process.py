"""``python -m agent.probe.process PART``: the process of one part, started by the agent."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Final

from agent.runtime import memory

memory.spare()

import msgspec  # noqa: E402 - only behind what spares memory

from agent.probe.contract import (  # noqa: E402
    Hello,
    Kept,
    PartContext,
    PartEndsError,
    Said,
    read_frame,
    write_frame,
)
from agent.probe.parts import part_named  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

#: What only the start needs is given back after so long.
_SETTLED_SECONDS: Final = 30.0
#: A part ends within five seconds of being told; so long behind that the system ends it (alarm(2)).
_LATEST_SECONDS: Final = 10


class Line:
    """The part's end of the two streams. One thread reads, any may say."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source, self._sink = source, sink
        self._answers: SimpleQueue[Kept | None] = SimpleQueue()
        self.ended = threading.Event()

    def listen(self, ends: Callable[[], None]) -> None:
        """Pass answers on until the agent's end is closed, then call ``ends``."""
        try:
            while (kept := read_frame(self._source, Kept)) is not None:
                self._answers.put(kept)
        except (ValueError, OSError):
            pass
        self.ended.set()
        self._answers.put(None)
        ends()

    def say(self, said: Said) -> str:
        """Send, wait for the answer, return its failure. One call at a time.

        Raises:
            PartEndsError: the agent is gone.
            ValueError: too much for one frame.
        """
        if self.ended.is_set():
            raise PartEndsError
        try:
            write_frame(self._sink, msgspec.structs.replace(said, seconds=round(time.process_time(), 3)))
        except OSError as error:
            raise PartEndsError from error
        while True:
            try:
                kept = self._answers.get(timeout=1.0)
            except Empty:
                if self.ended.is_set():
                    raise PartEndsError from None
                continue
            if kept is None:
                self._answers.put(None)
                raise PartEndsError
            if kept.number == said.number:
                return kept.failure


def run(name: str, source: IO[bytes], sink: IO[bytes]) -> int:
    """Exit status: 0 told to stop, 1 it failed."""
    part = part_named(name)
    hello = read_frame(source, Hello)
    if hello is None:
        return 0
    line = Line(source, sink)
    context: PartContext[Any] = PartContext(
        msgspec.convert(hello.settings, part.settings), hello, say=line.say, now=time.time
    )

    def ends() -> None:
        # The agent may be gone, so nobody else ends what does not heed this.
        signal.alarm(_LATEST_SECONDS)
        context.stopping.set()

    threading.Thread(target=line.listen, args=(ends,), name="answers", daemon=True).start()
    # The agent tells when to stop; a signal to the whole group (Ctrl-C) is the agent's to understand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: context.stopping.set())
    settled = threading.Timer(_SETTLED_SECONDS, memory.give_back)
    settled.daemon = True
    settled.start()
    try:
        import_module(part.module).run(context)
    except PartEndsError:
        return 0
    return 0 if context.stopping.is_set() else 1


def main() -> None:
    # What a library prints, or a program of its reads, must not get between the frames.
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    try:
        status = run(sys.argv[1], source, sink)
    except Exception:
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    os._exit(status)  # whatever threads a library left


if __name__ == "__main__":
    main()
