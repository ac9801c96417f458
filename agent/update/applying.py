"""Root's part: verify a release, build it beside the running version, switch, and go back where it does not work.

Nothing of what the agent's user may write is used before it has been copied to a place of root's and its signature or
digest has been checked there. At any time the link ``current`` leads to a version that was built completely; a switch
and the way back are written down before they are made, so that the next run goes on where a power cut interrupted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

import agent
from agent.runtime.files import read_own, sync_directory, write_atomically
from agent.runtime.locking import OPEN_FLAGS, hold
from agent.update import environment, launcher
from agent.update.choosing import check_date, check_version, choose, own_tags
from agent.update.errors import ReleaseError
from agent.update.health import UNREACHABLE
from agent.update.manifest import is_version
from agent.update.place import DONE, GOING_BACK, REFUSED, ROLLED_BACK, SWITCHING, Installation, Record
from agent.update.signing import load_public, verified

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.update.health import Health
    from agent.update.manifest import Manifest, Wheel
    from agent.update.sources import Source

#: How much larger an environment is than its wheels, and what is left free beside it.
_GROWTH: Final = 6
_KEPT_FREE_BYTES: Final = 64 << 20
#: A version that does not reach the collector, where the one before it then does, is to blame when that happened so
#: often: the collector may have been away for just that while.
_MOST_UNREACHABLE: Final = 3
_LOCK_LOOK_SECONDS: Final = 0.2
#: The kernel reads no more of the line that names an interpreter; older ones no more than half of it.
_MOST_SHEBANG: Final = 127


class Apply:
    """One attempt after the other; one process at a time (:meth:`hold`).

    Args:
        key: the public keys that count on this machine.
        health: looks at the running agent's ``status.json``.
        config: the settings that a new version must understand; None: its defaults.
        restart: ends the running agent and starts the one that ``current`` leads to; raises ``OSError``.
        make: builds the environment of a version (:func:`agent.update.environment.make`).
    """

    def __init__(
        self,
        place: Installation,
        key: Path,
        health: Health,
        *,
        config: Path | None,
        restart: Callable[[], None],
        say: Callable[[str], None],
        make: Callable[[Path, Path, str, Path | None], None] = environment.make,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._key = key
        self._health = health
        self._config = config
        self._restart = restart
        self._say = say
        self._make = make
        self._now = now

    def hold(self, seconds: float) -> None:
        """Be the only one until this process ends; wait for another that long.

        Raises:
            ReleaseError: another is still at work.
        """
        descriptor = os.open(self._place.lock, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o600)
        patience = time.monotonic() + seconds
        while not hold(descriptor):
            if time.monotonic() >= patience:
                os.close(descriptor)
                raise ReleaseError("busy", f"{self._place.root}: another update is at work")
            time.sleep(_LOCK_LOOK_SECONDS)

    def finish(self) -> Record | None:
        """Finish or undo what was interrupted; None where nothing was. The record says so until that is done."""
        record, current = self._place.read_record(), self._place.current_version
        if record.state == GOING_BACK:
            self._say(f"going on with the way back to {record.before} that was interrupted")
            return self._go_back(record)
        if record.state != SWITCHING:
            return None
        if current == record.version:
            self._say(f"going on with the switch to {record.version} that was interrupted")
            return self._prove(record)
        self._remove(record.version)
        return self._note(
            record, REFUSED, "interrupted", "interrupted before the switch; nothing has changed"
        )

    def keep_launcher(self) -> None:
        """Put this version's launcher in place, where this version is the one that runs; what is in its way is said."""
        if self._place.current_version == agent.__version__:
            try:
                put_launcher(self._place)
            except (OSError, ReleaseError) as error:
                self._say(f"{self._place.launcher}: {error}")

    def apply(self, source: Source, *, again: bool = False) -> Record:
        """Take the release that ``source`` holds. ``again``: also one that was rolled back before.

        What goes wrong before the switch is a record, too (``refused``), and changes nothing else.
        """
        before, last = self._place.current_version, self._place.read_record()
        record = _with(last, version="", before=before, had_link=False, made_at=0.0)
        try:
            manifest = verified(load_public(self._key), source.manifest(), source.signature())
            record = _with(record, version=manifest.version, made_at=manifest.made_at)
            if manifest.version == before:
                return self._done(record)
            check_version(manifest, before)
            check_date(manifest, last.newest)
            if not again:
                _check_failed(record, manifest.version)
            self._build(manifest, source)
        except ReleaseError as error:
            self._clear()
            return self._note(record, REFUSED, error.code, error.detail)
        except OSError as error:
            self._clear()
            return self._note(record, REFUSED, "disk", f"{error.filename or ''}: {error.strerror}"[:300])
        record = _with(record, had_link=self._health.reaches_collector())
        record = self._note(record, SWITCHING, "", "")
        self._place.switch(record.version)
        return self._prove(record)

    def _build(self, manifest: Manifest, source: Source) -> None:
        wheels = choose(manifest.wheels, own_tags())
        total = sum(each.size for each in wheels)
        self._clear()
        self._keep_only(self._place.current_version, self._place.read_record().previous)
        self._check_room(total * (1 + _GROWTH) + _KEPT_FREE_BYTES)
        self._place.incoming.mkdir(mode=0o700)
        for each in wheels:
            _copy(source, each, self._place.incoming / each.name)
        self._say(f"building {manifest.version} out of {len(wheels)} wheels")
        self._remove(manifest.version)
        self._place.of_version(manifest.version).mkdir(mode=0o755)
        try:
            made = self._place.environment(manifest.version)
            self._make(made, self._place.incoming, manifest.version, self._config)
        except BaseException:
            self._remove(manifest.version)
            raise
        finally:
            self._clear()

    def _prove(self, record: Record) -> Record:
        """Restart, and see the new version work; else go back."""
        code, detail = self._health.after(self._restart, record.version, need_link=record.had_link)
        if not code:
            self._keep_only(record.version, record.before)
            return self._done(_with(record, previous=record.before))
        self._say(f"{record.version} does not work ({detail}): back to {record.before}")
        try:
            record = self._note(record, GOING_BACK, code, detail)
        except OSError as error:  # the machine needs the version before all the more
            self._say(f"{self._place.record}: {error.strerror}")
            record = _with(record, code=code, detail=detail)
        return self._go_back(record)

    def _go_back(self, record: Record) -> Record:
        """Let the version before run again, and enter the new one as failed unless it is not to blame for ``code``."""
        self._place.switch(record.before)
        again, words = self._health.after(self._restart, record.before, need_link=record.had_link)
        detail = f"{record.detail}; after going back: {words}"[:300] if again else record.detail
        if record.code == UNREACHABLE and again != UNREACHABLE:
            record = record.with_unreachable(record.version)
        excused = record.code == UNREACHABLE and record.unreachable.get(record.version, 0) < _MOST_UNREACHABLE
        if not excused:
            record = record.with_failed(record.version, record.code)
        self._remove(record.version)
        return self._note(record, ROLLED_BACK, record.code, detail)

    def _done(self, record: Record) -> Record:
        newest = max(record.newest, record.made_at)
        return self._note(_with(record, newest=newest), DONE, "", "")

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._place.root).free
        if free < needed:
            raise ReleaseError(
                "disk", f"{needed >> 20} MB needed, {free >> 20} MB free in {self._place.root}"
            )

    def _keep_only(self, *versions: str) -> None:
        for path in list(self._place.versions.iterdir()):
            if path.name not in versions:
                self._remove(path.name)

    def _remove(self, version: str) -> None:
        if version and version != self._place.current_version:
            shutil.rmtree(self._place.of_version(version), ignore_errors=True)

    def _clear(self) -> None:
        shutil.rmtree(self._place.incoming, ignore_errors=True)

    def _note(self, record: Record, state: str, code: str, detail: str) -> Record:
        noted = _with(record, state=state, code=code, detail=detail, at=self._now())
        self._place.write_record(noted)
        sync_directory(self._place.root)
        return noted


def _check_failed(record: Record, version: str) -> None:
    if version in record.failed:
        raise ReleaseError("failed_before", f"{version} was rolled back on this machine before")


def _with(record: Record, **values: object) -> Record:
    return msgspec.structs.replace(record, **values)


def _copy(source: Source, wheel: Wheel, target: Path) -> None:
    """Raise :class:`ReleaseError` where it is not what the manifest says."""
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        for piece in source.wheel(wheel.name):
            size += len(piece)
            if size > wheel.size:
                break
            digest.update(piece)
            file.write(piece)
    if size != wheel.size or digest.hexdigest() != wheel.sha256:
        raise ReleaseError("digest", f"{wheel.name}: not the file that was signed")


def put_launcher(place: Installation) -> bool:
    """Make :mod:`agent.update.launcher` the ``launch`` of an installation; whether that was another before.

    Raises:
        ReleaseError: no file can name this Python as what runs it.
        OSError: it cannot be written.
    """
    python = environment.base_python()
    first = f"#!{python} {environment.PYTHON_OPTION}\n"
    if len(first) > _MOST_SHEBANG or " " in python:
        raise ReleaseError("place", f"{python}: too long, or with a space in it")
    wanted = first.encode() + Path(launcher.__file__).read_bytes()
    with contextlib.suppress(OSError):
        if read_own(place.launcher, len(wanted)) == wanted:
            return False
    write_atomically(place.launcher, wanted, mode=0o755)
    return True


def is_sound(place: Installation) -> bool:
    """Whether ``place`` is an installation whose version this program can replace."""
    return is_version(place.current_version) and place.versions.is_dir()
