"""How a release goes from ring to ring, as functions of what is known and of the time. Touches nothing.

Ring 0 is the trial. In a ring every machine has its turn at a moment of its own within the spread. The next follows
when the stated time is over and the stated share of those machines that were heard runs the release. A rollout halts by
itself where too many of a ring failed, or fell silent after they had taken it: more of them than of the machines that
have not taken it, for many are switched off every evening.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from agent.update.manifest import version_key
from collector.steering.releases.standing import NOTHING, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RUNNING: Final = "running"
PAUSED: Final = "paused"
HALTED: Final = "halted"
STOPPED: Final = "stopped"
FINISHED: Final = "finished"
#: States in which endpoints are told of the release.
TELLING: Final = frozenset({RUNNING, FINISHED})
#: The last ring: where machines are that nobody put elsewhere.
LAST_RING: Final = 3
RINGS: Final = range(LAST_RING + 1)
#: The newest release and the two before it are supported.
SUPPORTED_LINES: Final = 3

#: Why root's command or the agent did not take a release, where that passes by itself.
_PASSING: Final = frozenset({"interrupted", "disk", "busy", "not_served", "no_key", "unreachable"})
#: What the agent says of a version that it does not try again, also one that went back for what often passes.
_GIVEN_UP: Final = "failed_before"
#: A release that started so often within a day on a machine comes up, and does not stay up.
_RESTARTING: Final = 10


@dataclass(frozen=True)
class Pace:
    """Seconds and shares. ``wait``: how long a ring is watched before the next; ``spread``: within which all machines
    of a ring get their turn; ``silent``: from when on a machine counts as silent."""

    wait_seconds: float = 86_400.0
    spread_seconds: float = 14_400.0
    silent_seconds: float = 7_200.0
    healthy_ratio: float = 0.9
    failure_ratio: float = 0.05

    def fault(self) -> str:
        """What is wrong with it; empty where nothing is."""
        if not 0 <= self.spread_seconds <= self.wait_seconds <= 90 * 86_400:
            return "the spread must not be longer than the wait, and that not longer than 90 days"
        if not 60 <= self.silent_seconds <= 90 * 86_400:
            return "a machine counts as silent after a minute to 90 days"
        if not (0 < self.healthy_ratio <= 1 and 0 <= self.failure_ratio < 1):
            return "the share of healthy machines is above 0 and at most 1, that of failed ones below 1"
        return ""


@dataclass(frozen=True)
class Course:
    """A rollout. Times are seconds since the epoch. ``excused``: how many failed and silent machines of a ring (as
    text) the person knew who resumed it."""

    version: str
    state: str
    ring: int
    ring_since: float
    pace: Pace = field(default_factory=Pace)
    excused: Mapping[str, float] = field(default_factory=dict)

    def due_at(self, endpoint_id: str) -> float:
        """When an endpoint of the present ring has its turn."""
        digest = hashlib.sha256(f"{self.version}/{endpoint_id}".encode()).digest()
        return self.ring_since + int.from_bytes(digest[:6]) / 2**48 * self.pace.spread_seconds


@dataclass(frozen=True)
class Machine:
    """An endpoint as it is known: its ``version`` as it last said, and what its document ``told`` of its update."""

    endpoint_id: str
    ring: int
    version: str
    last_seen: float | None
    told: Told = NOTHING

    def runs(self, version: str) -> bool:
        return self.version == version

    def trouble(self, version: str) -> tuple[str, str]:
        """Why it does not run ``version`` well although it tried, as a code and in words; empty where it does, has not
        tried (yet), or tries again by itself."""
        if self.version == version:
            again = self.told.starts
            return ("restarts", f"{again} / 24 h") if again >= _RESTARTING else ("", "")
        last, wanted = self.told.last, self.told.wanted
        if last.version == version:
            given_up = wanted.version == version and wanted.code == _GIVEN_UP
            if last.state == "rolled_back" and (given_up or last.code not in _PASSING):
                return last.code or "rolled_back", last.detail
            if last.state == "refused" and last.code not in _PASSING:
                return last.code or "refused", last.detail
        if wanted.version == version and wanted.state == "refused" and wanted.code not in _PASSING:
            return wanted.code or "refused", wanted.detail
        return "", ""

    def has_taken(self, version: str) -> bool:
        """Whether the release has had its chance to harm: it runs, or root's command has been called."""
        wanted, last = self.told.wanted, self.told.last
        ready = wanted.version == version and wanted.state == "ready"
        went_back = last.version == version and last.state == "rolled_back"
        return self.version == version or ready or went_back or self.trouble(version)[0] != ""


@dataclass(frozen=True)
class Count:
    """Of one ring: ``heard`` are those that spoke since their turn came, ``due`` those whose turn has come."""

    ring: int
    machines: int = 0
    due: int = 0
    heard: int = 0
    healthy: int = 0
    failed: int = 0
    silent: float = 0.0

    def numbers(self) -> dict[str, Any]:
        return {
            name: round(getattr(self, name), 1)
            for name in ("ring", "machines", "due", "heard", "healthy", "failed", "silent")
        }


@dataclass(frozen=True)
class Judgement:
    """What is to happen now, by which numbers. ``ring``: the one that has its turn then."""

    action: Literal["stay", "advance", "finish", "halt"]
    ring: int
    why: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


def is_due(course: Course, machine: Machine, now: float) -> bool:
    """Whether the machine is to be told of the release."""
    if course.state not in TELLING or machine.ring > course.ring:
        return False
    return machine.ring < course.ring or now >= course.due_at(machine.endpoint_id)


def count(course: Course, ring: int, machines: Sequence[Machine], now: float) -> Count:
    """``machines``: all that there are, for those of other rings say how many are silent anyway."""
    members = [each for each in machines if each.ring == ring]
    past = ring < course.ring
    due = [each for each in members if past or now >= course.due_at(each.endpoint_id)]
    heard = [
        each
        for each in due
        if each.last_seen is not None
        and each.last_seen >= (course.ring_since if past else course.due_at(each.endpoint_id))
    ]
    taken = [each for each in members if each.has_taken(course.version)]
    usual = _usual_silence(course, machines, now)
    silent = 0.0
    if usual is not None:
        quiet = sum(_is_silent(course, each, now) for each in taken)
        silent = max(0.0, quiet - usual * len(taken))
    return Count(
        ring=ring,
        machines=len(members),
        due=len(due),
        heard=len(heard),
        healthy=sum(each.runs(course.version) and not each.trouble(course.version)[0] for each in heard),
        failed=sum(each.trouble(course.version)[0] != "" for each in members),
        silent=silent,
    )


def judge(course: Course, machines: Sequence[Machine], now: float) -> Judgement:
    """What a running rollout is to do."""
    for ring in range(course.ring + 1):
        each = count(course, ring, machines, now)
        bad = each.failed + each.silent - course.excused.get(str(ring), 0)
        if bad > course.pace.failure_ratio * max(each.due, 1):
            why = "failed" if each.failed >= each.silent else "silent"
            return Judgement("halt", course.ring, why, each.numbers())
    present = count(course, course.ring, machines, now)
    following = min((each.ring for each in machines if each.ring > course.ring), default=None)
    done = (
        present.machines == 0
        or (
            now - course.ring_since >= course.pace.wait_seconds
            and present.heard > 0
            and present.healthy >= course.pace.healthy_ratio * present.heard
        )
    )  # fmt: skip
    if not done:
        return Judgement("stay", course.ring)
    if following is None:
        return Judgement("finish", course.ring, "", present.numbers())
    return Judgement("advance", following, "", present.numbers())


def unsupported(version: str, known: Iterable[str]) -> bool:
    """Whether ``version`` is of an older line (its first two numbers) than the newest three of ``known``."""
    lines = sorted({_line(each) for each in known})
    return len(lines) >= SUPPORTED_LINES and _line(version) < lines[-SUPPORTED_LINES]


def _line(version: str) -> tuple[int, ...]:
    numbers = version_key(version)[0]
    return (*numbers, 0, 0)[:2]


def _is_silent(course: Course, machine: Machine, now: float) -> bool:
    return machine.last_seen is not None and now - machine.last_seen > course.pace.silent_seconds


def _usual_silence(course: Course, machines: Sequence[Machine], now: float) -> float | None:
    """The share of silent ones among the machines that have not taken the release and were heard around the time that
    the ring began; None where there are none to compare with."""
    others = [
        each
        for each in machines
        if not each.has_taken(course.version)
        and each.last_seen is not None
        and each.last_seen >= course.ring_since - course.pace.silent_seconds
    ]
    return sum(_is_silent(course, each, now) for each in others) / len(others) if others else None
