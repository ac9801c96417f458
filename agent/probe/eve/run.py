"""The part's process: follows Suricata's logs, or lets Suricata connect, and tells what they say."""

from __future__ import annotations

import os
import selectors
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.collectors.common.follow import follow
from agent.collectors.registry import Output
from agent.messages import Metric
from agent.probe.contract import PartEndsError
from agent.probe.eve.lines import LINE_BYTES, parse_eve_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.messages import Event
    from agent.probe.contract import PartContext
    from agent.probe.eve.settings import EveSettings

SOURCE: Final = "eve"
_PAUSE_SECONDS: Final = 0.5
#: So many events go together.
_TOGETHER: Final = 500
#: After what cannot be listened at.
_RETRY_SECONDS: Final = 60.0
_CONNECTIONS: Final = 16
_READ_BYTES: Final = 1 << 18


def run(context: PartContext[EveSettings]) -> None:
    """Until the part is to stop."""
    intake = context.settings.input
    try:
        listening = Listening(context) if intake.socket else None
    except OSError as error:
        with suppress(PartEndsError):
            context.fails(SOURCE, reasons.NO_SOCKET(path=intake.socket, detail=error.strerror or str(error)))
        context.stopping.wait(_RETRY_SECONDS)
        return  # and begun anew by the agent
    files = Files(context)
    with suppress(PartEndsError):
        while not context.stopping.is_set():
            more = files.look() if intake.paths else False
            if listening is not None:
                listening.look(0.0 if more else _PAUSE_SECONDS)
            elif not more:
                context.stopping.wait(_PAUSE_SECONDS)
    if listening is not None:
        listening.close()


class Reader:
    """Lines as events; those that are no EVE are counted, and their number told as a metric."""

    def __init__(self, types: Iterable[str]) -> None:
        self._types = frozenset(types)

    def output(self, lines: Iterable[bytes], now: float) -> Output:
        events: list[Event] = []
        unread = 0
        for line in lines:
            try:
                event = parse_eve_line(line, self._types, now)
            except ValueError:
                unread += 1
                continue
            if event is not None:
                events.append(event)
        metrics = [Metric(name="eve.unread_count", time=now, value=unread, unit="count")] if unread else []
        return Output(events=events, metrics=metrics)


class Files:
    """The logs. How far each was read is the source's memory, which becomes durable together with the events."""

    def __init__(self, context: PartContext[EveSettings]) -> None:
        self._context = context
        self._paths = [Path(each) for each in context.settings.input.paths]
        self._reader = Reader(context.settings.input.types)
        self._cursors: dict[str, Any] = context.memory(SOURCE).get("files", {})
        self._absent: set[Path] = set()
        self._said = ""

    def look(self) -> bool:
        """Tell what is new; whether there is more at once."""
        more, problem, there = False, "", 0
        now = self._context.now()
        for path in self._paths:
            before = self._cursors.get(str(path), {})
            cursor = dict(before)
            if not cursor and not path.exists():
                self._absent.add(path)
                continue
            try:
                found = follow(path, cursor, now, from_start=path in self._absent)
            except OSError as error:
                problem = reasons.FILE_UNREADABLE(path=f"{path}: {error.strerror}"[:200])
                continue
            there += 1
            more = more or found.more
            if cursor != before:
                self._cursors[str(path)] = cursor
                output = self._reader.output(found.lines, now)
                self._context.tell(SOURCE, output, partial=True, memory={"files": self._cursors})
                self._said = ""
        self._fares(problem, there)
        return more

    def _fares(self, problem: str, there: int) -> None:
        nothing = not there and not problem and not self._context.settings.input.socket
        said = problem or (reasons.NO_EVE(path=", ".join(map(str, self._paths))[:150]) if nothing else "")
        if said == self._said:
            return
        before, self._said = self._said, said
        if before and not said:
            self._context.tell(SOURCE, Output(), partial=True)
        if problem:
            self._context.fails(SOURCE, said)
        elif nothing:
            self._context.finds_nothing(SOURCE, said)


class Listening:
    """A socket that Suricata connects to. What has come is told before more is read, so Suricata waits where the disk
    is slow; what it says while nobody listens, it drops and counts itself."""

    def __init__(self, context: PartContext[EveSettings]) -> None:
        self._context = context
        self._reader = Reader(context.settings.input.types)
        self._path = Path(context.settings.input.socket)
        self._rests: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._remove()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o117)  # Suricata's user reaches it by its group
        try:
            self._server.bind(str(self._path))
        except OSError:
            self._server.close()
            raise
        finally:
            os.umask(before)
        self._server.listen(_CONNECTIONS)
        self._server.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)

    def look(self, seconds: float) -> None:
        """Wait for so long at most; tell what has come."""
        lines: list[bytes] = []
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._server:
                self._accept()
            elif isinstance(key.fileobj, socket.socket):
                lines += self._read(key.fileobj)
        for first in range(0, len(lines), _TOGETHER):
            output = self._reader.output(lines[first : first + _TOGETHER], self._context.now())
            if output.events or output.metrics:
                self._context.tell(SOURCE, output, partial=True)

    def close(self) -> None:
        """End what is open; the socket's file goes."""
        for connection in self._rests:
            connection.close()
        self._server.close()
        self._selector.close()
        self._remove()

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:
            return
        if len(self._rests) >= _CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._rests[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> list[bytes]:
        try:
            data = connection.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        rest = self._rests[connection] + data
        if not data:
            self._selector.unregister(connection)
            del self._rests[connection]
            connection.close()
            rest += b"\n"
        *lines, rest = rest.split(b"\n")
        if data:
            self._rests[connection] = rest if len(rest) <= LINE_BYTES else rest[: LINE_BYTES + 1]
        return [line for line in lines if line]

    def _remove(self) -> None:
        """Only a socket: another file of that name stays, and binding fails."""
        try:
            if stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
        except OSError:
            return
