"""Compares the watched files with what they were, folder by folder, where the kernel says that something happened.

What is told comes from the comparison, the kernel's notices only say where to look. So nothing hangs on their being
complete: after an overflow, a restart or an hour of being off, everything is compared.
"""

from __future__ import annotations

import os
import zlib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, structs

from agent import reasons
from agent.collectors.common import inotify
from agent.collectors.common.file_facts import (
    DIGEST_BYTES,
    NOTHING,
    USER_DIGEST_BYTES,
    Facts,
    look_at,
    recalled,
)
from agent.collectors.common.files import under
from agent.collectors.common.inotify import Inotify, Notice
from agent.collectors.common.watched_places import (
    EVERY,
    PLACES,
    Place,
    Plan,
    crowd_of,
    make_plan,
    reached,
    read_far,
)

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping
    from pathlib import Path

#: How often everything is compared although the kernel was silent: a hard link elsewhere, a folder of another system.
COMPARE_SECONDS: Final = 300.0
MAX_FILES_A_FOLDER: Final = 400
#: Units in one home. Keys do not count: their names are fixed.
MAX_FILES_A_HOME: Final = 100
#: What one look reads for digests of root's own places; files beyond it wait for the next look.
READ_BYTES_A_LOOK: Final = 4 << 20
#: The first look of all reads so much; files beyond it have no digest until they change.
READ_BYTES_FIRST: Final = 64 << 20
#: The same of each home, and of the spool that every user fills: at least every file in ``.ssh``.
USER_READ_BYTES_A_LOOK: Final = 256 << 10
USER_READ_BYTES_FIRST: Final = 1 << 20
#: Changes when the list does: files that only a longer list names are not new.
LIST: Final = zlib.crc32(repr(PLACES).encode())
_SECRET: Final = frozenset({"/etc/shadow", "/etc/gshadow"})
#: Names that editors and package managers use for a moment.
_FLEETING: Final = (
    "*~",
    ".*.sw?",
    ".*.sw?x",
    "4913",
    "*.dpkg-*",
    "*.rpmnew",
    "*.rpmsave",
    "*;????????",
    ".#*",
    "sed??????",
)

_WATCHED: Final = (
    inotify.ATTRIB
    | inotify.CLOSE_WRITE
    | inotify.MOVED_FROM
    | inotify.MOVED_TO
    | inotify.CREATE
    | inotify.DELETE
    | inotify.DELETE_SELF
    | inotify.MOVE_SELF
)
_AWAITED: Final = inotify.CREATE | inotify.MOVED_TO | inotify.DELETE_SELF | inotify.MOVE_SELF
_FOLDER_GONE: Final = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT | inotify.IGNORED
_COME: Final = inotify.CREATE | inotify.MOVED_TO

Action = Literal["created", "modified", "deleted", "attributes", "moved"]


class Change(Struct, frozen=True):
    """What happened to ``path``. ``now`` is ``None`` where it is gone, ``before`` where it was not there; a file that
    came and went between two looks has neither. ``source``: where it was moved from. ``seen``: the kernel told of it
    as it happened; else a comparison found it later. ``crowd``: see :func:`~.watched_places.crowd_of`."""

    action: Action
    path: str
    before: Facts | None
    now: Facts | None
    seen: bool
    crowd: str = ""
    source: str = ""


def action_of(before: Facts, now: Facts) -> Action | None:
    """What became of a file that was there before and is there now; ``None``: nothing that matters."""
    if before.kind != now.kind:
        return "modified"
    if before.digest and now.digest:
        written = before.digest != now.digest
    else:  # no digest to compare: the time and the size have to do
        written = (before.size, before.written_ns) != (now.size, now.written_ns)
    if written:
        return "modified"
    if (before.mode, before.uid, before.gid) != (now.mode, now.uid, now.gid):
        return "attributes"
    # The time of writing anybody can set back, that of the last change (ctime) nobody.
    compared = before.digest and now.digest
    return None if compared or before.changed_ns == now.changed_ns else "modified"


def text_of(name: bytes) -> str:
    """A file's name as text that JSON can hold: bytes that are not UTF-8 are shown as ``\\xNN``."""
    return name.decode("utf-8", "backslashreplace")


class FileWatch:
    """The kernel's watches for one host's tree. ``reason`` says why there are none or not all, else empty."""

    def __init__(self, root: Path, proc: Path) -> None:
        self._root, self._proc = root, proc
        self._queue: Inotify | None = None
        self._folder_of: dict[int, str] = {}
        self._watch_of: dict[str, int] = {}
        self._plan = Plan(folders={}, awaited={}, left_out=0)
        self._compared = float("-inf")
        self._dirty: set[str] = set()
        self._serial: int | None = None
        self.reason = ""
        self.files = self.left_out = 0
        try:
            self._queue = Inotify()
        except OSError as error:
            self.reason = reasons.NO_INOTIFY(system_error=error.strerror)

    @property
    def folders(self) -> int:
        return len(self._plan.folders)

    def close(self) -> None:
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def look(self, state: MutableMapping[str, Any], now: float) -> list[Change]:
        """What changed since the last look, of which ``state`` remembers what was; it is brought up to date.

        The first look of all finds how things are, and no change.
        """
        notices, lost = self._queue.read() if self._queue is not None else ([], False)
        come: dict[str, set[str]] = {}
        folders_changed = self._sort(notices, come)
        first = not isinstance(state.get("folders"), dict)
        # Another serial: what the last look found was not kept, and has to be found again.
        unseen = lost or first or self._serial is None or state.get("serial") != self._serial
        moved = folders_changed or not self._still_there()
        whole = unseen or moved or not 0 <= now - self._compared < COMPARE_SECONDS
        if whole:
            self._compared = now
            self._replan(() if first else state["folders"])
        elif not self._dirty:
            return []
        changes = self._compare(state, come, whole=whole, live=moved and not unseen)
        if changes or first:
            state["serial"] = int(state.get("serial", 0)) + 1
        self._serial = state["serial"]
        return changes

    def _sort(self, notices: list[Notice], come: dict[str, set[str]]) -> bool:
        """Note the folders to look at and the names that came; ``True``: there are other folders to watch now."""
        again = False
        for notice in notices:
            folder = self._folder_of.get(notice.watch)
            if folder is None:
                continue
            if notice.mask & _FOLDER_GONE:
                if notice.mask & inotify.IGNORED:
                    del self._folder_of[notice.watch]
                    self._watch_of.pop(folder, None)
                again = True
                continue
            name = text_of(notice.name)
            place = self._plan.folders.get(folder)
            if notice.mask & inotify.IS_FOLDER:
                new_place = place is not None and place.deep
                again = again or new_place or name in self._plan.awaited.get(folder, ())
            elif place is not None and place.wants(name):
                self._dirty.add(folder)
                if notice.mask & _COME:
                    come.setdefault(folder, set()).add(name)
                # Users come and go with this file, and their homes with them.
                again = again or (folder, name) == ("/etc", "passwd")
        return again

    def _still_there(self) -> bool:
        """Whether the users' folders that are to be looked at are still theirs: the kernel does not tell when one
        above them is replaced by a link, or covered by another file system."""
        places = [self._plan.folders[folder] for folder in self._dirty & self._plan.folders.keys()]
        homes = [place for place in places if place.home]
        far = read_far(self._proc) if homes else []
        return all(reached(self._root, place, far) == place.folder for place in homes)

    def _replan(self, known: Collection[str]) -> None:
        """Watch what is there now. A folder replaced by another of its name gets a new watch."""
        self._plan = make_plan(self._root, self._proc, known)
        if self._queue is None:
            return
        self.reason = ""
        # Root's own come first: where the kernel gives no more watches, homes are those without.
        own = [folder for folder, place in self._plan.folders.items() if not place.of_user]
        wanted = dict.fromkeys([*own, *self._plan.awaited], _AWAITED)
        wanted |= dict.fromkeys(self._plan.folders, _WATCHED)
        for folder, watch in list(self._watch_of.items()):
            if folder not in wanted:
                self._queue.remove(watch)
                del self._watch_of[folder]
        for folder, mask in wanted.items():
            try:
                watch = self._queue.add(under(self._root, folder), mask)
            except OSError as error:
                denied = isinstance(error, PermissionError)
                why = reasons.FOLDER_HIDDEN if denied else reasons.FOLDER_NOT_WATCHED
                self.reason = why(where=folder, system_error=error.strerror)
                continue
            old = self._watch_of.get(folder)
            if old is not None and old != watch:
                self._queue.remove(old)
            self._watch_of[folder] = watch
        self._folder_of = {watch: folder for folder, watch in self._watch_of.items()}

    def _compare(
        self, state: MutableMapping[str, Any], come: dict[str, set[str]], *, whole: bool, live: bool
    ) -> list[Change]:
        """``live``: folders that came or went did so just now."""
        first = not isinstance(state.get("folders"), dict)
        kept: dict[str, dict[str, str]] = {} if first else state["folders"]
        plan = self._plan.folders
        seen, self._dirty = self._dirty, set()
        folders = {folder: place for folder, place in plan.items() if whole or folder in seen}
        changes: list[Change] = []
        budgets: dict[str, int] = {}
        if whole:
            self.left_out = self._plan.left_out
        for folder, place in folders.items():
            before, crowd = kept.get(folder) or {}, crowd_of(folder)
            found = _Folder(place, under(self._root, folder), before, _room(place, kept))
            budget = budgets.get(crowd, _budget(crowd, first=first))
            budgets[crowd] = found.look(budget, defer=not first)
            if found.unfinished:
                self._dirty.add(folder)
            if whole:
                self.left_out += len(found.left_out)
            changes += found.changes(folder in seen or (live and folder not in kept))
            changes += found.fleeting(come.get(folder, set())) if folder in seen else []
            kept[folder] = found.after
        for folder in kept.keys() - plan.keys() if whole else ():  # the folder itself is gone
            for name, facts in kept.pop(folder).items():
                if (old := recalled(facts)) is not None:
                    path, crowd = f"{folder}/{name}", crowd_of(folder)
                    changes.append(Change("deleted", path, old, None, seen=live, crowd=crowd))
        if first or state.get("list") != LIST:  # what a longer list brings was there before
            changes = [change for change in changes if change.action != "created" and not first]
        state["folders"], state["list"] = kept, LIST
        self.files = sum(map(len, kept.values()))
        return paired(changes)


def _budget(crowd: str, *, first: bool) -> int:
    """How many bytes one look reads for digests."""
    if crowd:
        return USER_READ_BYTES_FIRST if first else USER_READ_BYTES_A_LOOK
    return READ_BYTES_FIRST if first else READ_BYTES_A_LOOK


def _room(place: Place, kept: dict[str, dict[str, str]]) -> int:
    """How many files of a folder are looked at: of units in a home so many as its other folders leave."""
    if not place.of_user or place.names != EVERY:
        return MAX_FILES_A_FOLDER
    units = f"{place.home}/.config/"
    others = sum(len(kept[each]) for each in kept if each != place.folder and each.startswith(units))
    return max(0, MAX_FILES_A_HOME - others)


class _Folder:
    """One folder as it was and as it is."""

    def __init__(self, place: Place, where: Path, before: dict[str, str], room: int) -> None:
        self._place, self._where, self._room = place, where, room
        self._before = {name: facts for name, kept in before.items() if (facts := recalled(kept)) is not None}
        self._now: dict[str, Facts] = {}
        #: As the memory keeps it.
        self.after: dict[str, str] = {}
        self.unfinished = False
        #: Names beyond the room.
        self.left_out: set[str] = set()

    def look(self, budget: int, *, defer: bool) -> int:
        """Look at every file, and return what is left of ``budget``, the bytes that may be read. Files for which
        nothing is left wait (with ``defer``) as they were, or go without a digest."""
        limit = USER_DIGEST_BYTES if self._place.of_user else DIGEST_BYTES
        for name, path in self._names():
            old = self._before.get(name)
            if budget <= 0 and defer:
                self.unfinished = True
                if old is not None:
                    self._now[name] = old
                continue
            secret = f"{self._place.folder}/{name}" in _SECRET
            facts, read = look_at(path, old, limit if budget > 0 else NOTHING, secret=secret)
            budget -= read
            if facts is not None:
                self._now[name] = facts
        self.after = {name: facts.remembered() for name, facts in self._now.items()}
        return budget

    def _names(self) -> list[tuple[str, Path]]:
        try:
            with os.scandir(self._where) as entries:
                names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:  # it is there, only not readable now: nothing is known to have changed
            return [(name, self._where / name) for name in self._before]
        wanted = sorted((text_of(os.fsencode(name)), name) for name in names)
        found = [(text, self._where / name) for text, name in wanted if self._place.wants(text)]
        if (
            len(found) > self._room
        ):  # one that is known stays, so that none is taken for gone because of a new one
            found.sort(key=lambda each: each[0] not in self._before)
            self.left_out = {text for text, _ in found[self._room :]}
        return found[: self._room]

    def changes(self, seen: bool) -> list[Change]:
        found = []
        for name, now in self._now.items():
            old = self._before.get(name)
            action = "created" if old is None else action_of(old, now)
            if action is not None:
                found.append(self._change(action, name, old, now, seen))
        gone = self._before.keys() - self._now.keys()
        return [*found, *(self._change("deleted", name, self._before[name], None, seen) for name in gone)]

    def fleeting(self, come: set[str]) -> list[Change]:
        """Files that came and went since the last look, but for what editors and package managers do all the time."""
        return [
            self._change("deleted", name, None, None, seen=True)
            for name in sorted(come - self._before.keys() - self._now.keys() - self.left_out)
            if not self.unfinished and not any(fnmatchcase(name, pattern) for pattern in _FLEETING)
        ]

    def _change(self, action: Action, name: str, old: Facts | None, now: Facts | None, seen: bool) -> Change:
        return Change(action, f"{self._place.folder}/{name}", old, now, seen, crowd_of(self._place.folder))


def paired(changes: list[Change]) -> list[Change]:
    """The same with a file that is gone here and new there as one that was moved; in the order of their paths."""
    gone = {
        (change.before.inode, change.before.written_ns): change
        for change in changes
        if change.now is None and change.before is not None
    }
    found: list[Change] = []
    sources: set[str] = set()
    for change in changes:
        old = None
        if change.before is None and change.now is not None:
            old = gone.pop((change.now.inode, change.now.written_ns), None)
        if old is not None:
            sources.add(old.path)
            change = structs.replace(change, action="moved", before=old.before, source=old.path)
        found.append(change)
    kept = [change for change in found if change.now is not None or change.path not in sources]
    return sorted(kept, key=lambda change: change.path)
