"""Who may work on what, among processes that know each other through the state store only.

A lease is a row: its owner counts ``renewals`` up every few seconds. Whoever sees the same number for
:data:`DEAD_SECONDS` of its own monotonic clock may take the lease over, and that raises its ``epoch``. No wall clock
has a say: neither a jump of one nor two machines that differ can move a lease. An owner that was paused may believe
for a while that a lease is still its own; so whatever is written under a lease is written with its epoch, and
:meth:`Leases.check` in the same transaction refuses an old one.

All changes are made in transactions that take the state store's one write lock, so that no two processes can take
one lease at once.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from collector.errors import CollectorError
from collector.state.tables import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

log = logging.getLogger("vonggac.leases")

#: An owner renews this often, and looks at the others' leases as often.
RENEW_SECONDS: Final = 1.5
#: A lease that nobody renewed for so long is free.
DEAD_SECONDS: Final = 10.0
#: Whoever did not look for so long (it was paused, or the state store was away) has seen nothing, and begins anew.
_BLIND_SECONDS: Final = 3 * RENEW_SECONDS
#: The name of a member that did not renew for so long is forgotten.
_GONE: Final = timedelta(days=7)
#: Members of a group have leases of their own, by which they know of each other.
_MEMBER: Final = "member/"


class LeaseLostError(CollectorError):
    """Another process has taken over what this one was working on; nothing was written."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease of another process as it was last seen to change, and when (monotonic clock)."""

    epoch: int
    renewals: int
    since: float


class Leases:
    """The leases of one process. Call :meth:`tick` between steps; it does nothing where nothing is due.

    Args:
        owner: names this process; the same after a restart, so that it goes on with what was its own at once. No two
            processes that run at a time may have one name.
        names: what there is to hold. Every process with the same ``group`` holds an even share of it.
        now: for ``renewed_at``, which only people read.
        monotonic: what leases are judged by.
    """

    def __init__(
        self,
        state: StateStore,
        owner: str,
        names: Iterable[str],
        *,
        group: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.owner: Final = owner
        self._state = state
        self._names = tuple(names)
        self._prefix = f"{_MEMBER}{group}/"
        self._member = self._prefix + owner
        self._now = now
        self._monotonic = monotonic
        self._seen: dict[str, Held] = {}
        self._next = 0.0
        self._looked: float | None = None
        #: What this process holds, and under which epoch.
        self.epochs: dict[str, int] = {}

    def tick(self, *, at_once: bool = False) -> bool:
        """Renew what is held, give up what is more than the share, take what is free; whether :attr:`epochs` changed.

        Raises:
            sqlalchemy.exc.OperationalError: the state store is away; nothing has changed.
        """
        moment = self._monotonic()
        if moment < self._next and not at_once:
            return False
        with self._state.write() as session:
            epochs = self._settle(session, moment)
        self._next = moment + RENEW_SECONDS
        self._looked = moment
        changed = epochs != self.epochs
        if changed:
            self._say(epochs)
        self.epochs = epochs
        return changed

    def keep(self) -> None:
        """In the middle of a step that takes long: renew what is held, if that is due, and drop what is another's.

        Raises:
            sqlalchemy.exc.OperationalError: the state store is away; nothing has changed.
        """
        moment = self._monotonic()
        if moment < self._next:
            return
        with self._state.write() as session:
            mine = select(Lease).where(
                Lease.name.in_([*self.epochs, self._member]), Lease.owner == self.owner
            )
            rows = {row.name: row for row in session.scalars(mine)}
            for row in rows.values():
                self._renew(row)
            kept = {
                name: epoch
                for name, epoch in self.epochs.items()
                if name in rows and rows[name].epoch == epoch
            }
        self._next = moment + RENEW_SECONDS
        self.epochs = kept

    def check(self, session: Session, names: Iterable[str]) -> None:
        """In the transaction that writes on the strength of these leases.

        Raises:
            LeaseLostError: one of them is not this process's any more; roll back.
        """
        wanted = {name: self.epochs.get(name) for name in names}
        query = select(Lease.name, Lease.epoch).where(Lease.name.in_(wanted), Lease.owner == self.owner)
        found = {row.name: row.epoch for row in session.execute(query)}
        lost = sorted(name for name, epoch in wanted.items() if epoch is None or found.get(name) != epoch)
        if lost:
            raise LeaseLostError(f"taken over by another process: {', '.join(lost)}")

    def lose(self) -> None:
        """What is held may be another's: hold nothing, until the next :meth:`tick` has looked."""
        self.epochs = {}
        self._next = 0.0

    def release(self) -> None:
        """Give everything back, so that others need not wait; for a process that ends."""
        with self._state.write() as session:
            session.execute(
                update(Lease)
                .where(Lease.owner == self.owner, Lease.name.in_([*self._names, self._member]))
                .values(owner="", renewed_at=self._now())
            )
        self.epochs = {}

    def _settle(self, session: Session, moment: float) -> dict[str, int]:
        rows = {
            row.name: row
            for row in session.scalars(
                select(Lease).where(
                    Lease.name.in_(self._names) | Lease.name.startswith(self._prefix, autoescape=True)
                )
            )
        }
        for name in (*self._names, self._member):
            if name not in rows:
                rows[name] = self._make(session, name)
        self._watch(rows, moment)
        rows[self._member].owner = self.owner
        self._renew(rows[self._member])
        self._bury(session, rows, moment)
        members = sorted(
            name
            for name, row in rows.items()
            if name.startswith(self._prefix) and not self._is_free(row, moment)
        )
        share = _share(len(self._names), members, self._member)
        own = [name for name in self._names if rows[name].owner == self.owner]
        for name in own[share:]:
            self._give_back(rows[name])
        for name in own[:share]:
            # What was held before a restart, or was lost to nobody, is held anew: under an epoch of its own.
            self._renew(rows[name]) if self.epochs.get(name) == rows[name].epoch else self._take(rows[name])
        free = [name for name in self._names if name not in own and self._is_free(rows[name], moment)]
        for name in free[: max(0, share - len(own))]:
            self._take(rows[name])
        return {name: rows[name].epoch for name in self._names if rows[name].owner == self.owner}

    def _make(self, session: Session, name: str) -> Lease:
        values = {"name": name, "owner": "", "epoch": 0, "renewals": 0, "renewed_at": self._now()}
        session.execute(insert(Lease), [values])
        return session.get_one(Lease, name)

    def _watch(self, rows: Mapping[str, Lease], moment: float) -> None:
        """Note which of the others' leases have moved since the last look."""
        blind = self._looked is None or moment - self._looked > _BLIND_SECONDS
        before, self._seen = ({} if blind else self._seen), {}
        for name, row in rows.items():
            seen = before.get(name)
            if seen is None or (seen.epoch, seen.renewals) != (row.epoch, row.renewals):
                seen = Held(row.epoch, row.renewals, moment)
            self._seen[name] = seen

    def _bury(self, session: Session, rows: dict[str, Lease], moment: float) -> None:
        """Say of members that are dead that they are, for those who have not watched for long enough; and forget those
        that are long gone (a machine that was renamed, a container that never comes back)."""
        oldest = self._now() - _GONE
        for name, row in list(rows.items()):
            if name.startswith(self._prefix) and self._is_free(row, moment):
                if row.renewed_at < oldest:
                    session.delete(rows.pop(name))
                else:
                    row.owner = ""

    def _is_free(self, row: Lease, moment: float) -> bool:
        return not row.owner or (
            row.owner != self.owner and moment - self._seen[row.name].since >= DEAD_SECONDS
        )

    def _take(self, row: Lease) -> None:
        now = self._now()
        row.owner = self.owner
        # By the clock too: a state store brought back from a backup must not give an epoch that was known before.
        row.epoch = max(row.epoch + 1, int(now.timestamp()))
        self._renew(row)

    def _renew(self, row: Lease) -> None:
        row.renewals += 1
        row.renewed_at = self._now()

    def _give_back(self, row: Lease) -> None:
        row.owner = ""
        row.renewed_at = self._now()

    def _say(self, epochs: Mapping[str, int]) -> None:
        log.info(
            "leases changed",
            extra={
                "taken": sorted(epochs.keys() - self.epochs.keys()),
                "given_up": sorted(self.epochs.keys() - epochs.keys()),
                "held": len(epochs),
            },
        )


def _share(count: int, members: list[str], member: str) -> int:
    """How many of ``count`` this member is to hold; all members together hold all."""
    each, left = divmod(count, len(members))
    return each + (1 if members.index(member) < left else 0)
