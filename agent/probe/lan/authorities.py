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
#: Servers of one speaker, and values of one list that gathers, that are remembered.
_MOST_SERVERS: Final = 8
_MOST_VALUES: Final = 32


class Authorities:
    """Of one kind. ``learnt``: keys (``ip mac``) that count as known since an earlier run; ``learn_until``: wall clock.

    ``tell``: an event's fields. ``gathers``: lists of which the speaker may say a part at a time: only a value that it
    has not said before is a change.
    """

    def __init__(
        self,
        tell: Callable[[dict[str, Any]], None],
        *,
        allowed: Collection[str],
        learnt: Collection[str],
        learn_until: float,
        gathers: Collection[str] = (),
    ) -> None:
        self._tell = tell
        self._gathers = frozenset(gathers)
        self._allowed = {each.lower() for each in allowed}
        self._learn_until = learn_until
        self.learnt = set(learnt)
        #: By speaker, then by server: a relay speaks for several.
        self._said: OrderedDict[str, OrderedDict[str, dict[str, Any]]] = OrderedDict()
        self._told_at: dict[str, float] = {}

    def spoke(
        self,
        ip: str,
        mac: str,
        says: dict[str, Any],
        now: float,
        also: dict[str, Any] | None = None,
        *,
        server: str = "",
    ) -> None:
        """One of them spoke. ``says``: what it wants others to believe, as far as it said so now; ``also``: what else
        is told with it; ``server``: whose word it is, where the address alone does not say so."""
        # A card of the settings is known whichever address it names.
        key = mac if mac in self._allowed else f"{ip} {mac}"
        servers = self._said.get(key, OrderedDict())
        server = server or ip
        # Another server than those before has changed what they said, once.
        latest = next(reversed(servers.values()), None)
        before = servers.get(server, latest)
        baseline = False
        learns = not self._allowed and now < self._learn_until and len(self.learnt) < _MOST
        if learns and key not in self.learnt:
            self.learnt.add(key)
            baseline = True
        if ip in self._allowed and not any(each.startswith(f"{ip} ") for each in self.learnt):
            self.learnt.add(f"{ip} {mac}")
        known = mac in self._allowed or (key in self.learnt and (not self._allowed or ip in self._allowed))
        earlier = before or {}
        changed = sorted(name for name in says if name in earlier and self._differs(name, says, earlier))
        again = not known and now - self._told_at.get(key, 0.0) >= REPEAT_SECONDS
        self._remember(key, server, self._joined(earlier, says))
        if before is not None and not changed and not again:
            return
        self._told_at[key] = now
        told: dict[str, Any] = {**says, **(also or {}), "known": known, "baseline": baseline}
        told["others_count"] = len(self._said) - 1
        if changed:
            told["changed"] = changed
            told["previous"] = {name: earlier[name] for name in changed}
        self._tell(told)

    def _differs(self, name: str, says: dict[str, Any], earlier: dict[str, Any]) -> bool:
        if name in self._gathers:
            return not set(says[name]) <= set(earlier[name])
        return bool(says[name] != earlier[name])

    def _joined(self, earlier: dict[str, Any], says: dict[str, Any]) -> dict[str, Any]:
        joined = {**earlier, **says}
        for name in self._gathers & says.keys() & earlier.keys():
            joined[name] = list(dict.fromkeys([*says[name], *earlier[name]]))[:_MOST_VALUES]
        return joined

    def _remember(self, key: str, server: str, says: dict[str, Any]) -> None:
        servers = self._said.setdefault(key, OrderedDict())
        servers[server] = says
        servers.move_to_end(server)
        if len(servers) > _MOST_SERVERS:
            servers.popitem(last=False)
        self._said.move_to_end(key)
        while len(self._said) > _MOST:
            # Whom one knows is never forgotten for those that somebody makes up, as long as that is possible.
            kept = {key} | self.learnt | self._allowed
            oldest = next((each for each in self._said if each not in kept), next(iter(self._said)))
            del self._said[oldest]
            self._told_at.pop(oldest, None)
