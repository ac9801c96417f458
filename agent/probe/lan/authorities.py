"""DHCP servers and IPv6 routers: whom the LAN believes, which of them are known, and what each says.

Known are those of the settings; where none are given, those that spoke in the first while after the first start.
An address of the settings stands for the first card that spoke as it: anybody can name an address.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

#: One that is not known is told of again after this.
REPEAT_SECONDS: Final = 3_600.0
#: So many are remembered and learnt; whom nobody knows and who was silent the longest is forgotten for another one.
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
        self._said: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._told_at: dict[str, float] = {}

    def spoke(
        self, ip: str, mac: str, says: dict[str, Any], now: float, also: dict[str, Any] | None = None
    ) -> None:
        """One of them spoke. ``says``: what it wants others to believe, as far as it said so now; ``also``: what else
        is told with it."""
        # A card of the settings is one server, whichever address it names.
        key = mac if mac in self._allowed else f"{ip} {mac}"
        before = self._said.get(key)
        baseline = False
        learns = not self._allowed and now < self._learn_until and len(self.learnt) < _MOST
        if learns and key not in self.learnt:
            self.learnt.add(key)
            baseline = True
        if ip in self._allowed and not any(each.startswith(f"{ip} ") for each in self.learnt):
            self.learnt.add(f"{ip} {mac}")
        known = mac in self._allowed or (key in self.learnt and (not self._allowed or ip in self._allowed))
        earlier = before or {}
        changed = sorted(name for name in says if name in earlier and says[name] != earlier[name])
        again = not known and now - self._told_at.get(key, 0.0) >= REPEAT_SECONDS
        self._remember(key, {**earlier, **says})
        if before is not None and not changed and not again:
            return
        self._told_at[key] = now
        told: dict[str, Any] = {**says, **(also or {}), "known": known, "baseline": baseline}
        told["others_count"] = len(self._said) - 1
        if changed:
            told["changed"] = changed
            told["previous"] = {name: earlier[name] for name in changed}
        self._tell(told)

    def _remember(self, key: str, says: dict[str, Any]) -> None:
        self._said[key] = says
        self._said.move_to_end(key)
        while len(self._said) > _MOST:
            # Whom one knows is never forgotten for those that somebody makes up, as long as that is possible.
            kept = {key} | self.learnt | self._allowed
            oldest = next((each for each in self._said if each not in kept), next(iter(self._said)))
            del self._said[oldest]
            self._told_at.pop(oldest, None)
