"""The running agent's part of an update: bring the wanted release near, piece by piece, and say that it is there.

One step is one request of at most :data:`PIECE_BYTES`, so that batches never wait; how far it came stands in the sizes
of the files, so that a restart or a lost link costs one piece. What was fetched is only an offer: root's command
(:mod:`agent.update.applying`) looks at it anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess  # our own interpreter and module
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

import agent
from agent.messages import RELEASES_PATH
from agent.runtime.files import write_atomically
from agent.runtime.steering import NEVER
from agent.update.choice import Choice
from agent.update.manifest import MANIFEST, MOST_MANIFEST_BYTES, SIGNATURE, SIGNATURE_BYTES, is_version
from agent.update.place import ROLLED_BACK, Record
from agent.update.starts import MANY, count_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.messages import Wanted
    from agent.runtime.log import Log
    from agent.runtime.sender import Requester
    from agent.runtime.transport import Reply
    from agent.update.manifest import Wheel
    from agent.update.place import Installation

#: Under the agent's state directory: a folder of each release that is fetched, and what says that one is complete.
FOLDER: Final = "update"
READY: Final = "ready"
TOLD: Final = "told.json"
#: When the running version started, the last few times.
STARTS: Final = "starts.json"

PIECE_BYTES: Final = 1 << 16
_RETRY_SECONDS: Final = 600.0
_DAY: Final = 86_400.0
#: Why root did not take a release, where that may be otherwise in a while.
_PASSING: Final = ("interrupted", "disk", "busy")
_LOOK_SECONDS: Final = 10.0
_CHOOSE_SECONDS: Final = 60.0
_CHOSEN_SECONDS: Final = 1.0
#: A wheel that does not come as it was signed is fetched so often, then it is said.
_MOST_DIGEST_FAULTS: Final = 3
_KEPT_FREE_BYTES: Final = 256 << 20


class _Stop(Exception):  # noqa: N818 - not an error: this step ends here
    """``again``: seconds until the next try; ``code`` and ``detail``: what stands in the way, where something does."""

    def __init__(self, again: float, state: str = "", code: str = "", detail: str = "") -> None:
        super().__init__(detail)
        self.again, self.state, self.code, self.detail = again, state, code, detail


class Updates:
    """Follows ``release``. One thread only.

    Args:
        place: the installation this program runs from; None: it is not one that can be updated.
        key: the public keys of releases; where there is none, no release is fetched.
        bytes_per_second: what fetching may take of the link, on average.
    """

    name: str = "update"
    heavy: bool = True

    def __init__(
        self,
        state: Path,
        place: Installation | None,
        key: Path,
        log: Log,
        *,
        bytes_per_second: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = state / FOLDER
        self._place = place
        self._key = key
        self._log = log
        self._pause = PIECE_BYTES / bytes_per_second
        self._now = now
        self._target = ""
        self._wheels: list[Wheel] | None = None
        self._done: set[str] = set()
        self._faults = 0
        self._state: dict[str, str] = {}
        self._record = Record()
        self._record_stamp: object = None
        #: The ``at`` of that record after which the release was fetched anew.
        self._answered = 0.0
        self._offered = False
        #: Root's command took the offer away without a word about it: not offered again before.
        self._again_at = 0.0
        self._told: dict[str, Any] | None = None
        self._starts = [] if place is None else count_start(self._folder / STARTS, now())

    # -- what the collector is told --------------------------------------------------------------------------

    def tell(self) -> dict[str, Any]:
        """``wanted`` and ``state`` (``fetching``, ``ready``, ``refused``, ``waiting``) with ``code`` and ``detail``
        where a release is wanted; ``last``: how the last attempt to apply one ended; ``starts``, where this version
        started ten times within a day."""
        self._look_at_record()
        body: dict[str, Any] = dict(self._state)
        if len(self._starts) >= MANY and all(self._within(at, _DAY) for at in self._starts):
            body["starts"] = len(self._starts)
        record = self._record
        if record.state:
            body["last"] = {
                name: value
                for name in ("version", "before", "state", "code", "detail", "at")
                if (value := getattr(record, name))
            }
        if body != self._told:
            self._told = body
            if body or (self._folder / TOLD).exists():
                with contextlib.suppress(OSError):
                    self._folder.mkdir(mode=0o700, exist_ok=True)
                    write_atomically(self._folder / TOLD, msgspec.json.encode(body), durable=False)
        return body

    # -- following -------------------------------------------------------------------------------------------

    def step(self, wanted: Wanted, connection: Requester) -> float:
        target = wanted.release if wanted.release != agent.__version__ else ""
        if target != self._target:
            self._begin(target)
        if not target:
            return NEVER
        try:
            return self._step(connection)
        except _Stop as stop:
            self._stand(stop.state, stop.code, stop.detail)
            return stop.again
        except (OSError, subprocess.SubprocessError) as error:
            self._stand("waiting", "disk", str(error)[:200])
            return _RETRY_SECONDS

    def _begin(self, target: str) -> None:
        if target != self._target:
            self._answered = self._again_at = 0.0
        self._target, self._wheels, self._faults, self._offered = target, None, 0, False
        self._done.clear()
        self._state = {}
        with contextlib.suppress(OSError):
            self._tidy(keep=target)

    def _step(self, connection: Requester) -> float:
        if self._place is None or not is_version(self._target):
            raise _Stop(NEVER, "refused", "place", "this agent was not installed in a way that it can update")
        if not self._key.exists():
            raise _Stop(_RETRY_SECONDS, "waiting", "no_key", str(self._key))
        self._look_at_record()
        if self._record.version == self._target and self._record.state == ROLLED_BACK:
            if self._target in self._record.failed:
                raise _Stop(NEVER, "refused", "failed_before", "")
            if self._within(self._record.at, _DAY):
                raise _Stop(_RETRY_SECONDS, "waiting", self._record.code, self._record.detail)
        folder = self._folder / self._target
        if self._is_ready():
            self._offered = True
            self._stand("ready")
            return _LOOK_SECONDS
        said = self._record.version == self._target and self._record.at != self._answered
        if self._offered:  # root's command has been here
            self._begin(self._target)
            self._again_at = 0.0 if said else self._now()
        if said:
            pause = _RETRY_SECONDS if self._record.code in _PASSING else _DAY
            if self._within(self._record.at, pause):
                raise _Stop(_RETRY_SECONDS, "refused", self._record.code, self._record.detail)
            self._answered = self._record.at
        if self._within(self._again_at, _RETRY_SECONDS):
            raise _Stop(_RETRY_SECONDS, "waiting", "interrupted")
        self._stand("fetching")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, most in ((MANIFEST, MOST_MANIFEST_BYTES), (SIGNATURE, SIGNATURE_BYTES)):
            if not (folder / name).exists():
                self._fetch_small(connection, folder / name, most)
                return self._pause
        if self._wheels is None:
            self._wheels = self._choose(folder)
            return max(self._pause, _CHOSEN_SECONDS)
        for wheel in self._wheels:
            if wheel.name not in self._done:
                return self._fetch(connection, folder / wheel.name, wheel)
        write_atomically(self._folder / READY, self._target.encode("ascii"))
        self._offered = True
        self._log.say("release_fetched", version=self._target)
        self._stand("ready")
        return _LOOK_SECONDS

    def _fetch_small(self, connection: Requester, path: Path, most: int) -> None:
        reply = connection.request("GET", f"{RELEASES_PATH}/{self._target}/{path.name}", {})
        self._mind(reply)
        if reply.status != 200 or len(reply.body) > most:
            raise _Stop(_RETRY_SECONDS, "waiting", "not_served", f"{path.name}: {reply.status}")
        write_atomically(path, reply.body)

    def _mind(self, reply: Reply) -> None:
        """Come again when a collector that is busy says so."""
        if reply.status in (429, 503):
            raise _Stop(max(self._pause, reply.retry_after_seconds or 60.0), "fetching")

    def _choose(self, folder: Path) -> list[Wheel]:
        done = subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "agent.update.choosing",
                str(folder.absolute()),
                str(self._key.absolute()),
            ],
            cwd="/" if sys.platform != "win32" else None,
            capture_output=True,
            timeout=_CHOOSE_SECONDS,
            check=False,
        )
        try:
            choice = msgspec.json.decode(done.stdout, type=Choice)
        except msgspec.MsgspecError as error:
            words = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise _Stop(_RETRY_SECONDS, "waiting", "form", words[:200]) from error
        if choice.code:
            for name in (MANIFEST, SIGNATURE):  # the next look is at what the collector then has
                (folder / name).unlink(missing_ok=True)
            raise _Stop(_RETRY_SECONDS, "refused", choice.code, choice.detail)
        missing = sum(each.size for each in choice.wheels)
        status = os.statvfs(folder) if sys.platform != "win32" else None
        if status is not None and status.f_bavail * status.f_frsize < missing + _KEPT_FREE_BYTES:
            raise _Stop(_RETRY_SECONDS, "waiting", "disk", f"{missing >> 20} MB")
        return choice.wheels

    def _fetch(self, connection: Requester, path: Path, wheel: Wheel) -> float:
        have = path.stat().st_size if path.exists() else 0
        if have > wheel.size:
            path.unlink()
            have = 0
        if have == wheel.size:
            self._check(path, wheel)
            return 0.0
        last = min(have + PIECE_BYTES, wheel.size) - 1
        reply = connection.request(
            "GET",
            f"{RELEASES_PATH}/{self._target}/{wheel.name}",
            {"Range": f"bytes={have}-{last}"},
        )
        self._mind(reply)
        if reply.status != 206 or len(reply.body) != last + 1 - have:
            raise _Stop(_RETRY_SECONDS, "waiting", "not_served", f"{wheel.name}: {reply.status}"[:200])
        with path.open("ab") as file:
            file.write(reply.body)
        return self._pause

    def _check(self, path: Path, wheel: Wheel) -> None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
        if digest.hexdigest() == wheel.sha256:
            self._done.add(wheel.name)
            return
        path.unlink()
        self._faults += 1
        if self._faults >= _MOST_DIGEST_FAULTS:
            self._faults = 0
            raise _Stop(_DAY, "refused", "digest", wheel.name)

    # -- small things ----------------------------------------------------------------------------------------

    def _stand(self, state: str, code: str = "", detail: str = "") -> None:
        said = {"wanted": self._target, "state": state, "code": code, "detail": detail}
        self._state = {name: value for name, value in said.items() if value}

    def _is_ready(self) -> bool:
        try:
            return (self._folder / READY).read_text(encoding="ascii", errors="replace") == self._target
        except OSError:
            return False

    def _within(self, at: float, seconds: float) -> bool:
        """Whether ``at`` is so near; a time far ahead is of a clock that was wrong, and long ago."""
        return abs(self._now() - at) < seconds

    def _look_at_record(self) -> None:
        if self._place is None:
            return
        stamp = _stamp(self._place.record)
        if stamp != self._record_stamp:
            self._record_stamp = stamp
            self._record = self._place.read_record()

    def _tidy(self, keep: str) -> None:
        """Take away what was fetched of other versions. Where none is wanted (it was reached, or the rollout is
        paused), what would go on from there stays, and is only not offered any more."""
        for path in _inside(self._folder):
            if path.name == READY and not (keep and self._is_ready()):
                path.unlink()
            elif path.name not in (keep, READY, TOLD, STARTS) and (keep or path.name == agent.__version__):
                for each in _inside(path):
                    each.unlink()
                path.rmdir()


def _inside(folder: Path) -> Iterator[Path]:
    try:
        yield from list(folder.iterdir())
    except FileNotFoundError:
        return


def _stamp(path: Path) -> object:
    """Differs where the file was replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
