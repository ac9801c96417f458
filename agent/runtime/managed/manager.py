"""Follows the settings that the collector wants: fetches, checks, tries, keeps them or takes them back.

New settings are tried for the time they state. In its second half the collector must answer at least once, asked anew
at its beginning, else those from before come back by themselves. So they do where the agent is killed or crashes three
times on trial. A number that failed is never tried again: whoever wants it publishes it under a new one.

Only the sender's thread calls, but for the making and :meth:`Managed.stopped`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from agent import reasons
from agent.messages import SETTINGS_PATH
from agent.runtime.errors import NotEnrolledError
from agent.runtime.identity import load_identity
from agent.runtime.log import Log
from agent.runtime.managed.checking import RefusedError, UncheckedError, fits, verified
from agent.runtime.managed.effective import effective, origins, stated_here
from agent.runtime.managed.record import Failure, Record, Trial, read_record, write_record
from agent.runtime.status import SettingsState
from agent.runtime.steering import NEVER
from agent.steered import MAX_SETTINGS_BYTES, TRIAL_SECONDS, SettingsDocument, SignedSettings, Steered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.collectors.registry import Collector
    from agent.messages import Wanted
    from agent.runtime.managed.record import Kind
    from agent.runtime.sender import Requester
    from agent.settings import Settings, StateDirectory

_ENDED_AT_MOST: Final = 3
_AGAIN_SECONDS: Final = 300.0


class Talk(Protocol):
    """The sender: how often the collector has answered, and to ask it something now."""

    @property
    def answers(self) -> int: ...

    def hurry(self) -> None: ...


class Managed:
    """``settings`` are those in force. ``own`` are the machine's, ``stated`` what of them its file says."""

    name = "settings"
    heavy: bool = False

    def __init__(
        self,
        state: StateDirectory,
        endpoint_id: str,
        own: Settings,
        stated: frozenset[str],
        collectors: Sequence[Collector],
        log: Log,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._endpoint_id = endpoint_id
        self._own = own
        self._stated = stated
        self._collectors = collectors
        self._log = log
        self._monotonic = monotonic
        self._now = now
        self._kept: SettingsDocument | None = None
        self._tried: SettingsDocument | None = None
        self._half = self._end = 0.0
        self._answers_at_half: int | None = None
        #: The number wanted when it was refused: not looked at again; the next start, maybe of a newer agent, does.
        self._refused = 0
        self._use: Callable[[Settings], None] = lambda _settings: None
        self._talk: Talk | None = None
        self._record = self._remembered()
        self.settings = self._effective()

    # -- at the start and the end ----------------------------------------------------------------------------

    def _remembered(self) -> Record:
        record = read_record(self._state.settings)
        trial = record.trial
        signed = [each for each in (record.kept, trial.signed if trial else None) if each is not None]
        if not signed:
            return record
        try:
            answers = verified(self._state, self._endpoint_id, signed)
        except UncheckedError as error:
            # Not used now, and not forgotten either: the next start may be able to look.
            self._log.say("settings_unchecked", reason=str(error))
            return record
        documents = [answer.document for answer in answers]
        if None in documents:
            reason = next(answer.reason for answer in answers if answer.document is None)
            self._log.say("settings_refused", reason=reason)
            return Record()
        if record.kept is not None:
            self._kept = documents[0]
        if trial is not None:
            self._tried = documents[-1]
        return record

    def begin(self, talk: Talk, use: Callable[[Settings], None]) -> None:
        """From now on ``use`` is given the settings that change while the agent runs. Goes on with a trial that was
        under way."""
        self._talk, self._use = talk, use
        trial = self._record.trial
        if trial is None or self._tried is None:
            return
        if trial.running:
            trial.ended += 1
        if trial.ended >= _ENDED_AT_MOST:
            self._back("rolled_back", reasons.SETTINGS_ENDED(times=trial.ended))
            return
        trial.running = True
        if self._save():
            self._start_trial(self._tried)
            return
        # A trial whose ends cannot be counted would never be over: the next start begins it.
        trial.running, self._tried = False, None
        self._apply()

    def stopped(self) -> None:
        """The agent ends as it should: that does not count against settings on trial."""
        if self._record.trial is not None:
            self._record.trial.running = False
            self._save()

    # -- following -------------------------------------------------------------------------------------------

    def step(self, wanted: Wanted, connection: Requester) -> float:
        """As :class:`agent.runtime.steering.Follower`."""
        if wanted.settings <= self._record.taken or wanted.settings == self._refused:
            return NEVER
        reply = connection.request("GET", SETTINGS_PATH, {})
        if reply.status != 200:
            self._log.lost("settings", f"{reply.status} {reply.problem.title}")
            return _AGAIN_SECONDS
        now = reply.collector_time if reply.collector_time is not None else self._now()
        try:
            signed, document = self._checked(reply.body, now)
        except UncheckedError as error:
            self._log.lost("settings", str(error))
            return _AGAIN_SECONDS
        except RefusedError as error:
            self._refused = wanted.settings
            self._failed(wanted.settings, "refused", str(error))
            return NEVER
        before = self._record
        self._record = Record(document.number, before.kept, Trial(signed))
        if not self._save():
            self._record = before
            return _AGAIN_SECONDS
        self._log.found("settings")
        self._log.say("settings_tried", number=document.number)
        self._start_trial(document)
        self._apply()
        return NEVER

    def _checked(self, body: bytes, now: float) -> tuple[SignedSettings, SettingsDocument]:
        if len(body) > MAX_SETTINGS_BYTES:
            raise RefusedError(reasons.SETTINGS_UNREADABLE(detail=f"{len(body)} bytes"))
        try:
            signed = msgspec.json.decode(body, type=SignedSettings)
        except (ValueError, RecursionError) as error:
            raise RefusedError(reasons.SETTINGS_UNREADABLE(detail=error)) from error
        (answer,) = verified(self._state, self._endpoint_id, [signed])
        if answer.document is None:
            raise RefusedError(answer.reason)
        taken = self._record.taken
        return signed, fits(answer.document, taken=taken, now=now, collectors=self._collectors)

    # -- the trial -------------------------------------------------------------------------------------------

    def _start_trial(self, document: SettingsDocument) -> None:
        self._tried = document
        seconds = document.settings.trial_seconds or TRIAL_SECONDS
        now = self._monotonic()
        self._half, self._end, self._answers_at_half = now + seconds / 2, now + seconds, None

    def watch(self) -> float:
        """Whether a trial is over; return in how many seconds to call again. Called whether anybody answers or not."""
        if self._tried is None or self._talk is None:
            return NEVER
        now = self._monotonic()
        if self._answers_at_half is None:
            if now < self._half:
                return self._half - now
            self._answers_at_half = self._talk.answers
            self._end = max(self._end, now + self._end - self._half)
            self._talk.hurry()
            return 0.0
        if now < self._end:
            return self._end - now
        if self._talk.answers > self._answers_at_half:
            self._keep()
        else:
            seconds = self._tried.settings.trial_seconds or TRIAL_SECONDS
            self._back("rolled_back", reasons.SETTINGS_NO_ANSWER(seconds=seconds))
        return NEVER

    def _keep(self) -> None:
        trial, self._kept, self._tried = self._record.trial, self._tried, None
        if trial is not None:
            self._record.kept, self._record.trial = trial.signed, None
        self._save()
        self._log.say("settings_kept", number=self._record.taken)

    def _back(self, kind: Kind, reason: str) -> None:
        number = self._tried.number if self._tried is not None else self._record.taken
        self._tried = None
        self._record.trial = None
        self._failed(number, kind, reason)
        self._apply()

    def _failed(self, number: int, kind: Kind, reason: str) -> None:
        self._record.failed = Failure(number, kind, reason[:255], self._now())
        self._save()
        self._log.say(f"settings_{kind}", number=number, reason=reason)

    # -- what holds ------------------------------------------------------------------------------------------

    @property
    def _document(self) -> SettingsDocument | None:
        return self._tried if self._tried is not None else self._kept

    def _effective(self) -> Settings:
        document = self._document
        steered = Steered() if document is None else document.settings
        return effective(self._own, self._stated, steered)

    def origins(self) -> dict[str, str]:
        """See :func:`agent.runtime.managed.effective.origins`."""
        document = self._document
        return origins(self._own, self._stated, Steered() if document is None else document.settings)

    def _apply(self) -> None:
        self.settings = self._effective()
        self._use(self.settings)

    def _save(self) -> bool:
        try:
            write_record(self._state.settings, self._record)
        except OSError as error:
            self._log.lost("settings", f"{self._state.settings}: {error.strerror}")
            return False
        return True

    def standing(self) -> SettingsState:
        """For ``status.json``."""
        document, failed = self._document, self._record.failed
        return SettingsState(
            number=0 if document is None else document.number,
            state="own" if document is None else "trying" if self._tried is not None else "in_force",
            failed=0 if failed is None else failed.number,
            failure="" if failed is None else failed.kind,
            reason="" if failed is None else failed.reason,
            failed_at=0.0 if failed is None else failed.at,
        )

    def tell(self) -> dict[str, Any]:
        """As :class:`agent.runtime.steering.Follower`; ``docs/agent-settings.md`` describes the fields."""
        said = msgspec.to_builtins(self.standing())
        del said["failed_at"]
        told = {key: value for key, value in said.items() if value or key in ("number", "state")}
        if here := stated_here(self._own, self._stated):
            told["stated"] = here
        return told


def look(
    state: StateDirectory, own: Settings, stated: frozenset[str], collectors: Sequence[Collector]
) -> tuple[Settings, SettingsState, dict[str, str]]:
    """The settings in force, how it stands with those of the collector, and where each is from; changes nothing."""
    try:
        endpoint_id = load_identity(state, finish=False).endpoint_id
    except NotEnrolledError:
        return own, SettingsState(), origins(own, stated, Steered())
    managed = Managed(state, endpoint_id, own, stated, collectors, Log())
    return managed.settings, managed.standing(), managed.origins()
