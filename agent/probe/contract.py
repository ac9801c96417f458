"""A part of the probe, what it is given, and what travels between its process and the agent's.

Between the two go frames over the part's standard input and output: four bytes of length (network order), then JSON.
The agent begins with one :class:`Hello`; the part says :class:`Said`, as often as it has something, and the agent
answers each with one :class:`Kept`, for events when they are on disk, so that a part may acknowledge what it
received, and is held back where the disk is. The end of its standard input tells a part to stop.
"""

from __future__ import annotations

import struct
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from agent.collectors.registry import Output
from agent.messages import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH: Final = struct.Struct("!I")
#: The most that one frame may weigh; a part splits what is more.
MAX_FRAME_BYTES: Final = 16 << 20

_NO_OUTPUT: Final = msgspec.Raw(b"{}")

S = TypeVar("S", bound=Struct)


class PartEndsError(Exception):
    """The agent wants the part to stop, or is gone: nothing more can be told."""


class Part(Struct, frozen=True):
    """What ``part.py`` says as ``PART``. Importing that module must cost nothing.

    ``settings`` is the class of its file (:func:`agent.settings_file.load_settings`), all of it with defaults.
    ``sources`` are the names under which it tells: each is to the server what a collector is, with documents of its
    own and a health of its own. ``module`` has ``run(context)``, which returns when the part is told to stop.
    ``privileges``: ``CAP_…: why`` for each capability that it needs. A process that holds more than ``memory_bytes`` is
    started anew.
    """

    name: str
    settings: type[Struct]
    sources: tuple[str, ...]
    module: str
    privileges: tuple[str, ...]
    description: str
    memory_bytes: int = 256 << 20


class Hello(Struct, frozen=True):
    """What a part's process is told first. ``settings``: its file's content, defaults included; ``memories``: by
    source, what it left when it last told something; ``folder``: where it may keep what is its own alone (0700)."""

    part: str
    settings: dict[str, Any]
    folder: str
    memories: dict[str, dict[str, Any]] = {}
    proc: str = "/proc"
    sys: str = "/sys"
    collector_host: str = ""
    collector_port: int = 8444


class Said(Struct, frozen=True, omit_defaults=True):
    """What one source of a part found, or why it found nothing (``nothing``), or failed (``failure``).

    ``output`` is an :class:`Output` as JSON, looked at apart from the rest: what breaks its contract is refused, and
    the part lives on. ``partial``: documents that are not among ``output``'s stay as they are; otherwise it tells all
    there are. ``memory`` replaces the source's memory, durably together with ``output``; ``None`` leaves it. The part
    has taken ``seconds`` of processor time so far.
    """

    number: int
    source: str
    output: msgspec.Raw = _NO_OUTPUT
    partial: bool = False
    memory: dict[str, Any] | None = None
    failure: str = ""
    nothing: str = ""
    seconds: float = 0.0

    def found(self) -> Output:
        """Raise :class:`ValueError` where ``output`` is not what the wire contract allows."""
        try:
            return msgspec.json.decode(self.output, type=Output)
        except UNREADABLE as error:
            raise ValueError(str(error)) from error


class Kept(Struct, frozen=True):
    """The agent's answer to the :class:`Said` of this number. ``failure``: it could not be taken; what the outbox
    refuses is lost for good, and said so in the log."""

    number: int
    failure: str = ""


def write_frame(stream: IO[bytes], value: Struct) -> None:
    """Raise :class:`ValueError` for a frame that is too large, :class:`OSError` where nobody listens."""
    data = msgspec.json.encode(value)
    if len(data) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(data)} bytes, {MAX_FRAME_BYTES} at most")
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: IO[bytes], kind: type[S]) -> S | None:
    """``None`` at the end of the stream.

    Raises:
        ValueError: what came is no frame of this kind; the stream is of no use any more.
    """
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size or (size := _LENGTH.unpack(head)[0]) > MAX_FRAME_BYTES:
        raise ValueError("not a frame's length")
    data = stream.read(size)
    if len(data) < size:
        raise ValueError("a frame that ends early")
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise ValueError(f"not a frame: {error}") from error


class PartContext(Generic[S]):
    """What a part is given. Every method may be called from any of its threads.

    ``stopping`` is set when the part is to end, within five seconds. ``now()`` is the wall clock.
    """

    def __init__(
        self,
        settings: S,
        hello: Hello,
        *,
        say: Callable[[Said], str],
        now: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.folder = Path(hello.folder)
        self.proc, self.sys = Path(hello.proc), Path(hello.sys)
        self.collector_host, self.collector_port = hello.collector_host, hello.collector_port
        self.stopping = threading.Event()
        self.now = now
        self._memories = dict(hello.memories)
        self._say = say
        self._number = 0
        self._lock = threading.Lock()

    def memory(self, source: str) -> dict[str, Any]:
        """A copy of what ``source`` last left; empty at first."""
        copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self._memories.get(source, {})))
        return copy

    def tell(
        self,
        source: str,
        output: Output,
        *,
        partial: bool = False,
        memory: dict[str, Any] | None = None,
    ) -> None:
        """Hand on what ``source`` found. Events are on disk when it returns; documents and metrics follow within
        a second, or with the next batch.

        Raises:
            PartEndsError: the agent is gone; nothing can be told any more.
            ValueError: the agent refused it as breaking the contract, or it is too large for a frame.
        """
        self._send(source, output=msgspec.Raw(msgspec.json.encode(output)), partial=partial, memory=memory)

    def fails(self, source: str, reason: str) -> None:
        """Say why ``source`` cannot find out what it should; its documents stay as they were. Raises as
        :meth:`tell`."""
        self._send(source, failure=reason[:255] or "?", partial=True)

    def finds_nothing(self, source: str, reason: str) -> None:
        """Say that there is none of it here, and why that is fine. Raises as :meth:`tell`."""
        self._send(source, nothing=reason[:255] or "?", partial=True)

    def _send(self, source: str, **what: Any) -> None:
        with self._lock:
            self._number += 1
            said = Said(self._number, source, **what)
            failure = self._say(said)
            if said.memory is not None and not failure:
                self._memories[source] = said.memory
        if failure:
            raise ValueError(failure)
