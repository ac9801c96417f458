"""From rounds of small questions to the state of a link, with patience both ways."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.probe.links.settings import Links

State = Literal["up", "degraded", "down", "unknown"]

#: Loss and round trips are judged over so many rounds.
ROUNDS: Final = 10


class Round(Struct, frozen=True):
    """One round: the seconds of each answer, ``None`` for each question that stayed without one. ``present``: it is
    there although it answers no such question. ``problem``: why it could not even be asked; then nothing is known."""

    answers: tuple[float | None, ...]
    problem: str = ""
    present: bool = False

    @property
    def answered(self) -> list[float]:
        return [each for each in self.answers if each is not None]


class Figures(Struct, frozen=True):
    """Over the last rounds. ``rtt_seconds`` is the middle, ``jitter_seconds`` the mean difference of one answer to the
    next (RFC 3550 without its smoothing); ``None`` where nothing answered."""

    loss_ratio: float
    rtt_seconds: float | None
    jitter_seconds: float | None


def figures_of(rounds: Sequence[Round]) -> Figures:
    asked = sum(len(each.answers) for each in rounds)
    answered = [seconds for each in rounds for seconds in each.answered]
    steps = [
        abs(b - a)
        for each in rounds
        for a, b in zip(each.answers, each.answers[1:], strict=False)
        if a is not None and b is not None
    ]
    return Figures(
        loss_ratio=1 - len(answered) / asked if asked else 0.0,
        rtt_seconds=median(answered) if answered else None,
        jitter_seconds=sum(steps) / len(steps) if steps else None,
    )


class LinkState:
    """What is known of one link. ``since``: when its state began, seconds since the epoch."""

    def __init__(self, settings: Links, memory: dict[str, Any] | None = None) -> None:
        self._settings = settings
        self._rounds: deque[Round] = deque(maxlen=ROUNDS)
        self._failed = 0
        self._answered = 0
        kept = memory or {}
        state = kept.get("state")
        self.state: State = state if state in ("up", "degraded", "down") else "unknown"
        since = kept.get("since")
        self.since = float(since) if isinstance(since, int | float) else 0.0
        self.reason = str(kept.get("reason", ""))[:200]
        self.then = Figures(0.0, None, None)

    def memory(self) -> dict[str, Any]:
        return {"state": self.state, "since": self.since, "reason": self.reason}

    @property
    def figures(self) -> Figures:
        return figures_of(self._rounds)

    def take(self, found: Round, now: float, reason_of: dict[State, str]) -> bool:
        """Note a round; whether the state has changed. ``reason_of`` each state but ``unknown``, whose reason is the
        round's problem."""
        if found.problem:
            self._rounds.clear()
            self._failed = self._answered = 0
            return self._turn("unknown", found.problem, now)
        self._rounds.append(found)
        if found.answered or found.present:
            self._answered, self._failed = self._answered + 1, 0
        else:
            self._failed, self._answered = self._failed + 1, 0
        wanted = self._judge()
        return wanted is not None and self._turn(wanted, reason_of.get(wanted, ""), now)

    def _judge(self) -> State | None:
        """``None``: as it is, or not known yet."""
        if not self._answered:
            return "down" if self._failed >= self._settings.down_after else None
        if self.state == "down" and self._answered < self._settings.up_after:
            return None
        # What lay in ruins before it came back says nothing of how it is now.
        recent = list(self._rounds)[-self._answered :] if self.state in ("down", "unknown") else self._rounds
        figures = figures_of(recent)
        slow = figures.rtt_seconds is not None and figures.rtt_seconds >= self._settings.degraded_rtt_seconds
        return "degraded" if slow or figures.loss_ratio >= self._settings.degraded_loss_ratio else "up"

    def _turn(self, state: State, reason: str, now: float) -> bool:
        if state == self.state and (state != "unknown" or reason == self.reason):
            return False
        self.state, self.reason, self.since = state, reason, now
        self.then = self.figures
        return True
