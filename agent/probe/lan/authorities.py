"""DHCP servers and IPv6 routers: whom the LAN believes, which of them are known, and what each says.

Known are those of the settings; where none are given, those that spoke in the first while after the first start.
An address of the settings stands for the first card that spoke as it: anybody can name an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

#: One that is not known is told of again after this.
REPEAT_SECONDS: Final = 3_600.0
_MOST: Final = 64


class Authorities:
    """Of one kind. ``learnt``: keys (``ip mac``) that count as known since an earlier run; ``learn_until``: wall clock.

    ``tell``: an event's fields.
    """

    def __init__(
        self,
        tell: Callable[[dict[str, Any]], None],
        *,
        allowed: Collection[str],
        learnt: Collection[str],
        learn_until: float,
    ) -> None:
        self._tell = tell
        self._allowed = {each.lower() for each in allowed}
        self._learn_until = learn_until
        self.learnt = set(learnt)
        self._said: dict[str, dict[str, Any]] = {}
        self._told_at: dict[str, float] = {}

    def spoke(
        self, ip: str, mac: str, says: dict[str, Any], now: float, also: dict[str, Any] | None = None
    ) -> None:
        """One of them spoke. ``says``: what it wants others to believe; ``also``: what else is told with it."""
        key = f"{ip} {mac}"
        before = self._said.get(key)
        if before is None and len(self._said) >= _MOST:
            return
        baseline = False
        if not self._allowed and key not in self.learnt and now < self._learn_until:
            self.learnt.add(key)
            baseline = True
        if ip in self._allowed and not any(each.startswith(f"{ip} ") for each in self.learnt):
            self.learnt.add(key)
        known = mac in self._allowed or (key in self.learnt and (not self._allowed or ip in self._allowed))
        changed = [] if before is None else sorted(name for name in says if says[name] != before[name])
        again = not known and now - self._told_at.get(key, 0.0) >= REPEAT_SECONDS
        self._said[key] = says
        if before is not None and not changed and not again:
            return
        self._told_at[key] = now
        told: dict[str, Any] = {**says, **(also or {}), "known": known, "baseline": baseline}
        told["others_count"] = len(self._said) - 1
        if changed and before is not None:
            told["changed"] = changed
            told["previous"] = {name: before[name] for name in changed}
        self._tell(told)
