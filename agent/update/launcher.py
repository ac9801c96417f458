"""What starts the agent before any of its versions does: kept as ``<root>/launch``, outside ``versions/``.

A version that was switched to and has not shown that it works may be so broken that nothing of it runs, not even the
part that goes back. After a power cut at that moment nobody else is there to do it. So root runs this before each start
of the agent and of its updates: at the sixth start without a verdict it points ``current`` at the version before, whose
own ``update apply`` then notes what has happened. While an update is at work, which judges by itself, it does nothing.

``launch`` looks; ``launch ARGUMENT…`` also becomes ``current``'s ``vonggac-agent`` with these arguments, whatever the
look came to. It is copied as a file of its own: it uses the standard library alone and imports nothing of the agent. It
reads ``update.json`` (:class:`agent.update.place.Record`), keeps what it does not know of it, and counts in
``launches.json``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

#: The start of an unproven version at which the one before it takes its place. A machine that starts has two: the
#: agent's, and that of the command which goes on with the switch.
STARTS: Final = 6
_NAME: Final = re.compile(r"[0-9][0-9A-Za-z.+!_-]{0,63}")
_MOST_BYTES: Final = 1 << 20
_MODE: Final = 0o644


def guard(root: Path) -> str:
    """Go back where it is time to, and say so; empty: nothing was to be done.

    Raises:
        OSError: something could not be read or written; ``PermissionError``: this is not root.
    """
    if sys.platform == "win32":
        return ""
    import fcntl

    lock = os.open(root / "update.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return ""
        return _look(root)
    finally:
        os.close(lock)


def _look(root: Path) -> str:
    record = _read(root / "update.json")
    version, before, state = (record.get(name, "") for name in ("version", "before", "state"))
    if state not in ("switching", "going_back") or (root / "current").readlink().name != version:
        return ""
    if not isinstance(before, str) or not _NAME.fullmatch(before) or before == version:
        return ""
    if not os.access(_program(root / "versions" / before), os.X_OK):
        return ""
    if state == "switching":
        starts = _count(root / "launches.json", version, record.get("at"))
        if starts < STARTS:
            return ""
        detail = f"{version} was started {starts} times after an interruption and did not show that it works"
        told = {**record, "state": "going_back", "code": "silent", "detail": detail, "at": time.time()}
        try:
            _replace(root / "update.json", told)
        except OSError as error:  # the machine needs the version before all the more
            _say(f"update.json: {error.strerror}")
    waiting = root / "current.new"
    waiting.unlink(missing_ok=True)
    waiting.symlink_to(Path("versions") / before)
    waiting.replace(root / "current")
    _sync(root)
    return f"{version} has not shown that it works: back to {before}"


def _program(version: Path) -> Path:
    return version / "venv" / "bin" / "vonggac-agent"


def _count(path: Path, version: str, at: object) -> int:
    """How often this version was started since the switch of ``at``, this time included."""
    before = _read(path)
    known = before.get("starts")
    same = before.get("version") == version and before.get("at") == at
    starts = known + 1 if same and type(known) is int else 1
    _replace(path, {"version": version, "at": at, "starts": starts})
    return starts


def _read(path: Path) -> dict[str, Any]:
    """Empty where there is none that can be read."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _replace(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor has no path
        os.fchmod(descriptor, _MODE)
        json.dump(value, file)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _say(line: str) -> None:
    sys.stderr.write(f"launch: {line}\n")


def main() -> int:
    root, status = Path(__file__).absolute().parent, 0
    try:
        said = guard(root)
        if said:
            _say(said)
    except PermissionError:
        status = 1  # started by the agent's own user: root's look is another's to take
    except Exception as error:
        _say(str(error))
        status = 1
    if len(sys.argv) > 1:
        path = str(_program(root / "current"))
        os.execv(path, [path, *sys.argv[1:]])  # noqa: S606 - a path of root's, and no shell
    return status


if __name__ == "__main__":
    sys.exit(main())
