"""What is wrong with this endpoint's agent, worked out from its state directory alone."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.reasons import translate
from agent.runtime import words
from agent.runtime.errors import NotEnrolledError
from agent.runtime.files import open_own
from agent.runtime.identity import Identity, load_identity
from agent.runtime.locking import hold
from agent.runtime.sealing import UNSEALED, is_sealed
from agent.runtime.status import Status, read_status
from agent.settings import DEFAULT_CONFIG
from agent.update import words as updates

if TYPE_CHECKING:
    from agent.runtime.words import Lang, Words
    from agent.settings import StateDirectory

_SKEW_WORTH_SAYING_SECONDS: Final = 30.0
#: The people who read this live at UTC+7.
_LOCAL_OFFSET_SECONDS: Final = 7 * 3600
#: There where systemd is the one that starts services.
_SYSTEMD: Final = Path("/run/systemd/system")


class Problem(Struct, frozen=True):
    """``code`` is for programs, the rest for people."""

    code: str
    what: str
    to_do: str


class Diagnosis(Struct, frozen=True):
    """``ok`` is true where nothing is wrong. ``key``: ``tpm`` where it is sealed, ``file``, or empty where that is not
    known."""

    ok: bool
    running: bool
    problems: list[Problem]
    identity: Identity | None
    status: Status | None
    key: str = ""


def is_running(state: StateDirectory) -> bool:
    """Whether a process holds the state directory. Touches nothing."""
    try:
        descriptor = open_own(state.lock)
    except OSError:
        return False
    try:
        return not hold(descriptor, shared=True)
    finally:
        os.close(descriptor)


class Asked(Struct, frozen=True):
    """What ``status`` was given on its command line; ``None``: nothing, so the usual places."""

    config: Path | None = None
    state: Path | None = None

    def start_command(self, systemd: Path = _SYSTEMD) -> str:
        """How to start the agent of these settings: the service where systemd runs it, else the program itself."""
        given = [
            (name, path)
            for name, path, usual in (
                ("--config", self.config, DEFAULT_CONFIG),
                ("--state", self.state, None),
            )
            if path is not None and path != usual
        ]
        if not given and sys.platform == "win32":
            return "sc start vonggac-agent"
        if not given and systemd.is_dir():
            return "systemctl start vonggac-agent"
        return " ".join(["vonggac-agent run", *(f"{name} {shlex.quote(str(path))}" for name, path in given)])


def diagnose(
    state: StateDirectory, lang: Lang, now: float | None = None, asked: Asked | None = None
) -> Diagnosis:
    """Read the state directory and say, in ``lang``, what is wrong; most important first."""
    asked = Asked() if asked is None else asked
    now = time.time() if now is None else now
    problems: list[Problem] = []

    def add(code: str, pair: tuple[Words, Words], **values: object) -> None:
        problems.append(Problem(code, pair[0].say(lang, **values), pair[1].say(lang, **values)))

    running = is_running(state)
    status = read_status(state.status)
    try:
        identity = load_identity(state, finish=False)
    except NotEnrolledError as error:
        if state.identity.exists():
            add("unreadable", words.COLLECTOR, name="identity", detail=str(error))
        else:
            add("not_enrolled", words.NOT_ENROLLED)
            if asked.config is None:
                problems[-1] = _with_places(problems[-1], state, lang)
        return Diagnosis(ok=False, running=running, problems=problems, identity=None, status=status)
    if not running:
        add("not_running", words.NOT_RUNNING, start=asked.start_command())
    if identity.not_after <= now:
        add("expired", words.EXPIRED, detail=local_time(identity.not_after))
    if status is not None:
        if running and status.link.code != "ok":
            pair = words.LINK.get(status.link.code, words.LINK["unreachable"])
            start = asked.start_command()
            add(status.link.code, pair, url=status.collector_url, detail=status.link.detail, start=start)
        if running and status.renewal_error:
            when = local_time(identity.not_after)
            add("renewal", words.RENEWAL, detail=status.renewal_error, when=when)
        if status.spool_error:
            add("spool", words.SPOOL, detail=status.spool_error)
        if status.dropped:
            add("dropped", words.DROPPED, detail=", ".join(f"{k} {n}" for k, n in status.dropped.items()))
        if status.refused:
            add("refused", words.REFUSED, detail=status.refused)
        if status.settings.failure in words.SETTINGS_FAILED:
            add(
                f"settings_{status.settings.failure}",
                words.SETTINGS_FAILED[status.settings.failure],
                number=status.settings.failed,
                when=local_time(status.settings.failed_at),
                detail=translate(status.settings.reason, lang),
            )
        if abs(status.link.clock_skew_seconds) > _SKEW_WORTH_SAYING_SECONDS:
            add("clock", words.SKEW, detail=round(status.link.clock_skew_seconds))
        for name, one in sorted(status.collectors.items()):
            if not one.ok:
                add("collector", words.COLLECTOR, name=name, detail=translate(one.reason, lang))
    for code, pair, values in updates.problems(state.root, lang, now):
        add(code, pair, **values)
    return Diagnosis(
        ok=not problems,
        running=running,
        problems=problems,
        identity=identity,
        status=status,
        key=_place_of_key(state),
    )


def _place_of_key(state: StateDirectory) -> str:
    try:
        return "tpm" if is_sealed(state.key) else "file"
    except OSError:
        return ""


def _with_places(problem: Problem, state: StateDirectory, lang: Lang) -> Problem:
    """The problem, and where an identity was looked for: it may stand elsewhere."""
    config, root = (
        str(path) if path.exists() else words.ABSENT.say(lang, path=path)
        for path in (DEFAULT_CONFIG, state.root)
    )
    looked = words.LOOKED_AT.say(lang, config=config, state=root)
    return Problem(problem.code, f"{problem.what} {looked}", problem.to_do)


def local_time(seconds: float) -> str:
    """dd/MM/yyyy HH:mm in Việt Nam's time (UTC+7)."""
    return time.strftime("%d/%m/%Y %H:%M", time.gmtime(seconds + _LOCAL_OFFSET_SECONDS))


def render(diagnosis: Diagnosis, lang: Lang) -> str:
    """The whole as text for a terminal."""
    lines: list[str] = []
    if diagnosis.ok:
        lines.append(words.WELL.say(lang))
    for problem in diagnosis.problems:
        lines.append(f"✗ {problem.what}")
        if problem.to_do:
            lines.append(f"  {words.WHAT_TO_DO.say(lang)}: {problem.to_do}")
    status, identity = diagnosis.status, diagnosis.identity
    if identity is not None:
        lines.append(words.ENDPOINT.say(lang, id=identity.endpoint_id))
        lines.append(words.CERTIFICATE.say(lang, when=local_time(identity.not_after)))
        if diagnosis.key == "tpm":
            lines.append(words.KEY_SEALED.say(lang))
        elif diagnosis.key:
            why = UNSEALED.get(identity.unsealed)
            reason = f" ({translate(why(), lang)})" if why is not None else ""
            lines.append(words.KEY_IN_FILE.say(lang) + reason)
    if status is not None:
        if status.link.code == "ok":
            lines.append(words.LINK["ok"][0].say(lang, url=status.collector_url))
        contact = status.link.last_contact
        when = local_time(contact) if contact else words.NEVER.say(lang)
        lines.append(words.LAST_CONTACT.say(lang, when=when))
        size = -(-status.backlog_bytes // 1024)
        lines.append(words.BACKLOG.say(lang, files=status.backlog_batches, size=size))
        settings = words.SETTINGS.get(status.settings.state, words.SETTINGS["own"])
        lines.append(settings.say(lang, number=status.settings.number))
        failing = sum(not one.ok for one in status.collectors.values())
        fine = len(status.collectors) - failing
        lines.append(words.COLLECTORS.say(lang, ok=fine, failing=failing))
        lines += [
            words.NOTHING_HERE.say(lang, name=name, detail=translate(one.reason, lang))
            for name, one in sorted(status.collectors.items())
            if one.ok and one.reason
        ]
    return "\n".join(lines)
