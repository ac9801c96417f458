"""Root's part: verify a release, build it beside the running version, switch, and go back where it does not work.

Nothing of what the agent's user may write is used before it has been copied to a place of root's and its signature or
digest has been checked there. At any time the link ``current`` leads to a version that was built completely; a switch
is written down before it is made, so that the next run finishes or undoes what a power cut interrupted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from typing import TYPE_CHECKING, Final

import msgspec

from agent.runtime.files import sync_directory
from agent.runtime.locking import OPEN_FLAGS, hold
from agent.runtime.status import Status
from agent.update import environment
from agent.update.choosing import check_version, choose, own_tags
from agent.update.errors import ReleaseError
from agent.update.manifest import is_version
from agent.update.place import DONE, REFUSED, ROLLED_BACK, SWITCHING, Installation, Record
from agent.update.signing import load_public, verified
from agent.update.sources import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.update.manifest import Manifest, Wheel
    from agent.update.sources import Source

#: How much larger an environment is than its wheels, and what is left free beside it.
_GROWTH: Final = 6
_KEPT_FREE_BYTES: Final = 64 << 20
_LOOK_SECONDS: Final = 0.5
_MOST_STATUS_BYTES: Final = 1 << 20
#: A version that cannot reach the collector, where the one before it could not either, is not to blame.
UNREACHABLE: Final = "unreachable"


class Apply:
    """One attempt after the other; one process at a time (:meth:`hold`).

    Args:
        key: the public keys that count on this machine.
        status: the running agent's ``status.json``.
        config: the settings that a new version must understand; None: its defaults.
        restart: ends the running agent and starts the one that ``current`` leads to; raises ``OSError``.
        health_seconds: how long a version has to show that it works.
    """

    def __init__(
        self,
        place: Installation,
        key: Path,
        status: Path,
        *,
        config: Path | None,
        restart: Callable[[], None],
        health_seconds: float,
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._key = key
        self._status = status
        self._config = config
        self._restart = restart
        self._health_seconds = health_seconds
        self._say = say
        self._now = now

    def hold(self) -> None:
        """Be the only one until this process ends.

        Raises:
            ReleaseError: another is at work.
        """
        descriptor = os.open(self._place.lock, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o600)
        if not hold(descriptor):
            os.close(descriptor)
            raise ReleaseError("busy", f"{self._place.root}: another update is at work")

    def finish(self) -> Record | None:
        """Finish or undo what was interrupted; None where nothing was."""
        record, current = self._place.read_record(), self._place.current_version
        if record.state != SWITCHING:
            return None
        if current == record.version:
            self._say(f"going on with the switch to {record.version} that was interrupted")
            return self._prove(record, had_link=False)
        self._remove(record.version)
        return self._note(
            record, REFUSED, "interrupted", "interrupted before the switch; nothing has changed"
        )

    def apply(self, source: Source, *, again: bool = False) -> Record:
        """Take the release that ``source`` holds. ``again``: also one that was rolled back before.

        What goes wrong before the switch is a record, too (``refused``), and changes nothing else.
        """
        before, last = self._place.current_version, self._place.read_record()
        record = Record(before=before, failed=last.failed, previous=last.previous)
        try:
            manifest = verified(load_public(self._key), source.manifest(), source.signature())
            record = _with(record, version=manifest.version)
            if manifest.version == before:
                return self._note(record, DONE, "", "")
            check_version(manifest, before)
            if not again:
                _check_failed(record, manifest.version)
            self._build(manifest, source)
        except ReleaseError as error:
            self._clear()
            return self._note(record, REFUSED, error.code, error.detail)
        except OSError as error:
            self._clear()
            return self._note(record, REFUSED, "disk", f"{error.filename or ''}: {error.strerror}"[:300])
        link = _link(self._read_status())
        record = self._note(record, SWITCHING, "", "")
        self._place.switch(record.version)
        return self._prove(record, had_link=link == "ok")

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
            environment.build(made, self._place.incoming, manifest.version)
            environment.check(made, manifest.version, self._config)
            os.sync()  # an environment is thousands of files; the link must not outlive them
        except BaseException:
            self._remove(manifest.version)
            raise
        finally:
            self._clear()

    def _prove(self, record: Record, *, had_link: bool) -> Record:
        """Restart, and see the new version work; else go back."""
        code, detail = self._restart_and_wait(record.version, need_link=had_link)
        if not code:
            self._keep_only(record.version, record.before)
            return self._note(_with(record, previous=record.before), DONE, "", "")
        self._say(f"{record.version} does not work ({detail}): back to {record.before}")
        self._place.switch(record.before)
        again, words = self._restart_and_wait(record.before, need_link=had_link)
        if again:
            detail = f"{detail}; after going back: {words}"[:300]
        failed = record.failed
        if not (code == again == UNREACHABLE):
            failed = record.with_failed(record.version, code)
        self._remove(record.version)
        return self._note(_with(record, failed=failed), ROLLED_BACK, code, detail)

    def _restart_and_wait(self, version: str, *, need_link: bool) -> tuple[str, str]:
        """Why ``version`` does not work, as a code and in words; empty where it does: it runs, has written its status
        since, and reaches the collector where that was to be reached before."""
        before = self._read_status()
        since = self._now()
        try:
            self._restart()
        except OSError as error:
            return "restart", f"the service could not be restarted: {error}"[:300]
        patience = time.monotonic() + self._health_seconds
        code, detail = "silent", f"{version} has not said a word within {self._health_seconds:g} s"
        while time.monotonic() < patience:
            status = self._read_status()
            if status is not None and status.version == version and _is_new(status, before, since):
                link = _link(status)
                if link == "ok" or (not need_link and link not in ("starting", "stopped")):
                    return "", ""
                code, detail = UNREACHABLE, f"{version} runs and does not reach the collector: {link}"
            time.sleep(_LOOK_SECONDS)
        return code, detail

    def _read_status(self) -> Status | None:
        """Read as what it is: a file of a user who is not root."""
        try:
            data = Folder(self._status.parent).read(self._status.name, _MOST_STATUS_BYTES)
            return msgspec.json.decode(data, type=Status)
        except (ReleaseError, OSError, msgspec.MsgspecError):
            return None

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


def _link(status: Status | None) -> str:
    return "" if status is None else status.link.code


def _is_new(status: Status, before: Status | None, since: float) -> bool:
    """Whether this was written by another process than ``before`` was. By more than the clock, which may be set."""
    if before is not None and (status.pid, status.started_at) == (before.pid, before.started_at):
        return False
    return before is not None or status.started_at >= since - 1


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


def is_sound(place: Installation) -> bool:
    """Whether ``place`` is an installation whose version this program can replace."""
    return is_version(place.current_version) and place.versions.is_dir()
