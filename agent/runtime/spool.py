"""The disk spool: every batch is a file here until the collector has acknowledged it.

What must survive is in two places. ``cursors.json`` (:class:`Saved`) is the memory as of the last checkpoint;
the heads of the spool files made since then are replayed over it. So the one rename that brings a spool file
into being commits its batch together with the cursors and digests it carries, and a file is only ever removed
after a checkpoint that includes it.

Numbers in the stream are given when a batch is first sent (what is important first), and are written into the
file's name before that: a batch that a full spool had to let go never had one, so numbers are consecutive, and one
that was sent before a crash is sent again under its old number. What was let go is counted per kind (``dropped``).

Behind an outage many small batches wait: they are joined when they are sent. The joined file takes the place of the
first of them, with a number, and names the others (``Head.replaces``): they go behind the next checkpoint, and a crash
before that leaves them to be removed at the next start.

How old a batch is, is told by for how long the agent has run since (``Saved.lived``), never by a clock that somebody
may set.

Thread-safe: one thread appends, another sends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.messages import UNREADABLE, Importance
from agent.runtime.errors import SpoolError, TornFileError
from agent.runtime.files import sync_directory, write_atomically
from agent.runtime.models import Backlog, Mark, Outgoing, Piece, Saved
from agent.runtime.packing import MOST_JOINED_BYTES
from agent.runtime.spool_file import ALARMS, IMPORTANCE, FileName, Head, decode_file, encode_file
from agent.runtime.spool_folder import joined_file, left_over, set_aside
from agent.runtime.spool_index import SpoolIndex

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: So many acknowledged files are removed behind one checkpoint while a backlog is sent.
_ACKNOWLEDGED_AT_ONCE: Final = 32
#: So many small batches at least, and at most, become one when they are sent: each costs the collector a request, and
#: of those an endpoint has a quota.
_JOINED_LEAST: Final = 8
_JOINED_MOST: Final = 400
#: How precisely age is known, in parts of the greatest.
_AGE_STEPS: Final = 72


class Spool:
    """Opens ``folder`` and recovers what a crash left. Nobody else may have it open (``agent.lock``).

    ``notice(event, detail)`` is told of what a person should know of: a torn file, a fresh stream, a drop.
    """

    def __init__(
        self,
        folder: Path,
        cursors: Path,
        limit_bytes: int,
        *,
        limit_seconds: float = float("inf"),
        endpoint_id: str = "",
        notice: Callable[[str, str], None] = lambda _event, _detail: None,
    ) -> None:
        self._folder = folder
        self._cursors = cursors
        self.limit_bytes = limit_bytes
        self.limit_seconds = limit_seconds
        self._notice = notice
        self._lock = threading.Lock()
        self._index = SpoolIndex()
        self._flight: FileName | None = None
        self._settled: list[FileName] = []
        self._replaced: list[FileName] = []
        self._apart: set[int] = set()
        #: Documents were let go: whoever collects them should do so again. Reset by the reader.
        self.documents_lost = False
        #: The disk took nothing when last asked: what was found since waits in memory, and nobody is told of it.
        self.refusing = False
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "refused").mkdir(mode=0o700, exist_ok=True)
        (folder / "torn").mkdir(mode=0o700, exist_ok=True)
        remembered = self._load()
        self.saved = remembered or Saved(stream=os.urandom(16).hex())
        self._recover()
        if remembered is None:
            self._save()
        if endpoint_id and self.saved.endpoint_id != endpoint_id:
            self._begin_stream(endpoint_id)

    # -- what is remembered --------------------------------------------------------------------------------

    def _load(self) -> Saved | None:
        try:
            return msgspec.json.decode(self._cursors.read_bytes(), type=Saved)
        except FileNotFoundError:
            return None
        except (OSError, *UNREADABLE) as error:
            self._notice("memory_lost", f"{self._cursors.name}: {error}; a new stream begins")
        return None

    def _save(self) -> None:
        try:
            write_atomically(self._cursors, msgspec.json.encode(self.saved))
        except OSError as error:
            raise SpoolError(f"{self._cursors}: cannot be written: {error.strerror}") from error

    def _begin_stream(self, endpoint_id: str) -> None:
        for name in self._index.numbered():
            (self._folder / name.encode()).rename(self._folder / FileName(name.id, name.weight).encode())
        self._index.without_numbers()
        self.saved.stream = os.urandom(16).hex()
        self.saved.endpoint_id = endpoint_id
        self.saved.last_seq = 0
        self.saved.digests = {}
        self.saved.dropped = {}
        self._save()

    def _recover(self) -> None:
        names = left_over(self._folder)
        unfinished: list[tuple[FileName, Head, int]] = []
        for name in names:
            path = self._folder / name.encode()
            if name.id <= self.saved.last_id:
                self._index.enter(name, path.stat().st_size)
                continue
            try:
                data = path.read_bytes()
                head, _ = decode_file(data)
            except TornFileError as error:
                self._discard(unfinished)
                unfinished = []
                self._torn(name, error)
                continue
            unfinished.append((name, head, len(data)))
            if not head.more:
                for each, its_head, size in unfinished:
                    self._index.enter(each, size)
                    self._apply(its_head)
                unfinished = []
            self.saved.last_id = name.id
        self._discard(unfinished)
        self.saved.last_seq = max(self.saved.last_seq, *(name.seq for name in names), 0)

    def _discard(self, unfinished: list[tuple[FileName, Head, int]]) -> None:
        """Remove the first files of a commit that was cut off: their cursors never moved, they come again."""
        for name, _, _ in unfinished:
            (self._folder / name.encode()).unlink()

    def _torn(self, name: FileName, error: TornFileError) -> None:
        set_aside(self._folder, name, "torn")
        self._count({"batches": 1})
        self._notice("torn_file", f"{name.encode()}: {error}; kept in spool/torn")

    def _apply(self, head: Head) -> None:
        self.saved.cursors.update(head.cursors)
        for key, digest in head.digests.items():
            if digest is None:
                self.saved.digests.pop(key, None)
            else:
                self.saved.digests[key] = digest

    def _count(self, counts: dict[str, int]) -> None:
        for kind, number in counts.items():
            self.saved.dropped[kind] = self.saved.dropped.get(kind, 0) + number

    # -- adding --------------------------------------------------------------------------------------------

    def append(self, pieces: list[Piece], cursors: dict[str, dict[str, Any]], now: float) -> None:
        """Commit all ``pieces`` and the ``cursors``, or nothing.

        Where they do not fit, less valuable and older content goes: metrics, then documents, then events,
        each oldest first. Content never displaces what is more valuable than itself: it is dropped instead.
        All that is dropped is counted.

        Raises:
            SpoolError: the disk refused; nothing was committed.
        """
        with self._lock:
            heads = [
                Head(
                    made_at=now,
                    counts=piece.counts,
                    cursors=cursors if last else {},
                    digests=piece.digests,
                    more=not last,
                )
                for piece, last in zip(pieces, _last_is_true(len(pieces)), strict=True)
            ]
            files = [encode_file(head, piece.body) for head, piece in zip(heads, pieces, strict=True)]
            weight = max((piece.weight for piece in pieces), default=0)
            victims = self._victims(sum(map(len, files)), weight)
            if victims is None or not files:
                self._give_up(pieces, cursors)
                return
            self._write(pieces, files)
            for head in heads:
                self._apply(head)
            if victims:
                self._let_go(victims)

    def _write(self, pieces: list[Piece], files: list[bytes]) -> None:
        written: list[tuple[FileName, int]] = []
        try:
            for piece, data in zip(pieces, files, strict=True):
                name = FileName(self.saved.last_id + len(written) + 1, piece.weight)
                write_atomically(self._folder / name.encode(), data)
                written.append((name, len(data)))
        except OSError as error:
            for name, _ in written:
                (self._folder / name.encode()).unlink(missing_ok=True)
            self.refusing = True
            raise SpoolError(f"{self._folder}: cannot be written: {error.strerror}") from error
        self.refusing = False
        for name, size in written:
            self._index.enter(name, size)
        self.saved.last_id += len(written)

    def _give_up(self, pieces: list[Piece], cursors: dict[str, dict[str, Any]]) -> None:
        for piece in pieces:
            self._count(piece.counts)
            self.documents_lost |= bool(piece.digests)
        self.saved.cursors.update(cursors)
        with contextlib.suppress(SpoolError):  # counted already; a later checkpoint has it
            self._save()
        if pieces:
            self._notice("dropped", "the spool is full")

    def _victims(self, size: int, weight: int) -> list[FileName] | None:
        """Return whom to let go so that ``size`` fits, or ``None`` where that cannot be."""
        excess = self._index.bytes + size - self.limit_bytes
        victims: list[FileName] = []
        for line_weight in range(weight + 1):
            for name, file_size in self._index.waiting(line_weight):
                if excess <= 0:
                    return victims
                victims.append(name)
                excess -= file_size
        return victims if excess <= 0 else None

    def grow_older(self, seconds: float) -> None:
        """The agent has run for ``seconds`` more: what has waited for too long is let go, and counted. What an
        antivirus found is not, however old."""
        with self._lock:
            saved = self.saved
            saved.lived += seconds
            if not self._index.backlog().files:
                saved.marks = []
                return
            if saved.marks and saved.lived - saved.marks[-1].lived < self.limit_seconds / _AGE_STEPS:
                return
            saved.marks.append(Mark(saved.lived, saved.last_id))
            old = [mark for mark in saved.marks if saved.lived - mark.lived >= self.limit_seconds]
            victims = []
            if old:
                saved.marks = saved.marks[len(old) :]
                victims = [
                    name
                    for weight in range(ALARMS)
                    for name, _ in self._index.waiting(weight)
                    if name.id <= old[-1].last_id
                ]
            if victims:
                self._let_go(victims, f"waited for more than {self.limit_seconds / 3600:g} hours")
            else:
                with contextlib.suppress(SpoolError):  # a later checkpoint has it
                    self._save()

    def _let_go(self, victims: list[FileName], why: str = "the spool is full") -> None:
        for name in victims:
            try:
                head, _ = decode_file((self._folder / name.encode()).read_bytes())
            except (OSError, TornFileError):
                head = Head(made_at=0, counts={"batches": 1})
            self._forget(head)
            self._index.leave(name)
        self._notice("dropped", f"{why}: {len(victims)} batches let go")
        self._settled += victims
        # What displaced them is committed already: their files may go behind a later checkpoint.
        with contextlib.suppress(SpoolError):
            self._sweep()

    def _forget(self, head: Head) -> None:
        """Count what ``head`` says is lost, and owe its documents again."""
        self._count(head.counts)
        for key, digest in head.digests.items():
            if self.saved.digests.get(key) == digest:
                self.saved.digests.pop(key, None)
                self.documents_lost = True

    # -- sending -------------------------------------------------------------------------------------------

    def next(self, least: Importance = Importance.CHATTER) -> Outgoing | None:
        """Return the oldest of the most important batches, with its number, or ``None`` where none is at least as
        important as ``least``. It is offered again, under that number, until :meth:`acknowledge` or :meth:`refuse`,
        also across restarts; a more important one may come between.

        Raises:
            OSError: the disk does not take the number; the batch keeps its place.
            SpoolError: it does not take what was acknowledged either, of which there is much already: sent is no more
                than could be sent again.
        """
        with self._lock:
            if len(self._settled) >= _ACKNOWLEDGED_AT_ONCE:
                self._sweep()
            while (name := self._index.first(least)) is not None:
                if not name.seq:
                    name = self._joined(name) or name
                path = self._folder / name.encode()
                try:
                    _, body = decode_file(path.read_bytes())
                except (OSError, TornFileError) as error:
                    self._index.leave(name)
                    self._flight = None
                    if path.exists():
                        self._torn(name, TornFileError(str(error)))
                    continue
                if not name.seq:
                    name = FileName(name.id, name.weight, self.saved.last_seq + 1)
                    path.rename(self._folder / name.encode())
                    sync_directory(self._folder)  # another content may never get that number
                    self._number(name)
                self._flight = name
                return Outgoing(
                    id=name.id,
                    stream=self.saved.stream,
                    seq=name.seq,
                    body=body,
                    importance=IMPORTANCE[name.weight],
                )
            return None

    def _number(self, name: FileName) -> None:
        self._index.number(name.id, name.seq)
        self.saved.last_seq = name.seq

    def _joined(self, first: FileName) -> FileName | None:
        """Make one batch of ``first`` and those that wait behind it, where there are many and the disk takes it."""
        waiting: list[FileName] = []
        size = 0
        for name, its_size in itertools.islice(self._index.waiting(first.weight), _JOINED_MOST):
            size += its_size
            if name.id in self._apart or size > MOST_JOINED_BYTES:
                break
            waiting.append(name)
        if len(waiting) < _JOINED_LEAST:
            return None
        made = joined_file(self._folder, waiting)
        if made is None:
            return None
        names, data = made
        joined = FileName(first.id, first.weight, self.saved.last_seq + 1)
        try:
            self._sweep()  # what the heads carry is remembered before they are gone
            write_atomically(self._folder / joined.encode(), data)
        except (OSError, SpoolError):
            return None
        for name in names[1:]:
            self._index.leave(name)
        self._index.resize(joined, len(data))
        self._number(joined)
        self._replaced += names
        return joined

    def acknowledge(self, outgoing: Outgoing) -> None:
        """The collector has it, durably. The file goes away behind the next checkpoint."""
        with self._lock:
            self._settle(outgoing)
            if len(self._settled) >= _ACKNOWLEDGED_AT_ONCE or not self._index.backlog().files:
                self._sweep()

    def refuse(self, outgoing: Outgoing, reason: str) -> None:
        """The collector will never take it: keep it in ``spool/refused`` with the reason, and go on. A joined one is
        taken apart instead, for most of what it holds may be taken."""
        with self._lock:
            name = self._settle(outgoing)
            self._settled.pop()
            head, _ = decode_file((self._folder / name.encode()).read_bytes())
            if head.replaces and self._taken_apart(name, head):
                return
            self.saved.refused += 1
            self._count(head.counts)
            self._save()
            set_aside(self._folder, name, "refused", reason)

    def _taken_apart(self, joined: FileName, head: Head) -> bool:
        """Put the files that ``joined`` replaces back in its place, the first under its number, where they are still
        there; they are not joined again."""
        first = FileName(joined.id, joined.weight)
        rest = [FileName(each, joined.weight) for each in head.replaces]
        if not {first, *rest} <= set(self._replaced):
            return False
        self._replaced = [name for name in self._replaced if name not in {first, *rest}]
        (self._folder / first.encode()).rename(self._folder / joined.encode())
        sync_directory(self._folder)
        self._apart |= {name.id for name in (first, *rest)}
        for name in (joined, *rest):
            self._index.enter(name, (self._folder / name.encode()).stat().st_size)
        return True

    def _settle(self, outgoing: Outgoing) -> FileName:
        name = self._flight
        if name is None or name.id != outgoing.id:
            raise SpoolError(f"batch {outgoing.seq} is not the one being sent")
        self._index.leave(name)
        self._flight = None
        self._settled.append(name)
        return name

    def _sweep(self) -> None:
        self._save()
        try:
            for name in self._replaced:
                (self._folder / name.encode()).unlink(missing_ok=True)
            if self._replaced:  # before the one that says that they do not count goes too
                sync_directory(self._folder)
                self._replaced.clear()
            for name in self._settled:
                (self._folder / name.encode()).unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"{self._folder}: cannot be written: {error.strerror}") from error
        self._settled.clear()

    def checkpoint(self, cursors: dict[str, dict[str, Any]] | None = None) -> None:
        """Make all that is remembered durable now, with ``cursors`` that moved over nothing worth sending."""
        with self._lock:
            self.saved.cursors.update(cursors or {})
            self._sweep()
            sync_directory(self._folder)

    def disown(self, key: str) -> None:
        """Another source tells this document now; durable with whatever is saved next."""
        with self._lock:
            self.saved.digests.pop(key, None)

    def count_dropped(self, counts: dict[str, int]) -> None:
        """Add to what the next batch says was dropped."""
        with self._lock:
            self._count(counts)

    def backlog(self) -> Backlog:
        with self._lock:
            return self._index.backlog()


def _last_is_true(length: int) -> list[bool]:
    return [at == length - 1 for at in range(length)]
