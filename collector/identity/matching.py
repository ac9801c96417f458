"""What two endpoints' evidence comes to: a score, a kind, and the reasons. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.identity.evidence import CASE, KINDS, is_other_machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.identity.evidence import Evidence

#: What a kind says for one machine where both have the same, and against it where both have others. A card or a disk
#: may have been changed; a system that was set up anew has another number, which says nothing.
_FOR: Final = {
    "uuid": 50,
    "serial": 40,
    "board_serial": 30,
    "chassis_serial": 25,
    "disk_serial": 30,
    "mac": 25,
    "machine_id": 30,
}
_AGAINST: Final = {"uuid": 45, "serial": 45, "board_serial": 20, "chassis_serial": 10}
_HOSTNAME: Final = 10
#: From this on two records are shown to people as perhaps one machine.
PROPOSED: Final = 40
#: From this on they are linked without anybody, if the older one has been silent.
AUTOMATIC: Final = 80

#: By kind: what happened, in one sentence of English (the console has it in both languages).
MATCHES: Final[Mapping[str, str]] = {
    "reimaged": "the same hardware with a system that was set up anew",
    "reenrolled": "the same hardware and system, enrolled again",
    "renamed": "the same hardware and system under another name, enrolled again",
    "disk_moved": "the same system on other hardware: a disk that was moved, a copy, or a new mainboard",
    "replaced": "the same name on other hardware: perhaps a new machine in the old one's place",
    "parts_shared": "some parts are the same",
}


@dataclass(frozen=True)
class Match:
    """``same`` and ``other``: kinds on which both agree and differ; ``shared`` the values that they have in common."""

    kind: str
    score: int
    same: tuple[str, ...]
    other: tuple[str, ...]
    shared: Mapping[str, list[str]]
    same_name: bool

    @property
    def automatic(self) -> bool:
        return self.score >= AUTOMATIC and self.kind in ("reimaged", "reenrolled", "renamed")

    def as_json(self) -> dict[str, Any]:
        return {
            "same": list(self.same),
            "other": list(self.other),
            "shared": dict(self.shared),
            "same_name": self.same_name,
        }


def match(older: Evidence, newer: Evidence, *, same_name: bool) -> Match | None:
    """``None`` where nothing speaks for one machine that people should be shown."""
    both = [kind for kind in KINDS if kind in older and kind in newer]
    same = tuple(kind for kind in both if not older[kind].isdisjoint(newer[kind]))
    other = tuple(kind for kind in both if kind not in same)
    score = sum(_FOR[kind] for kind in same) - sum(_AGAINST.get(kind, 0) for kind in other)
    score += _HOSTNAME * same_name
    kind = _kind(older, newer, same, other, same_name)
    if not kind or (score < PROPOSED and kind == "parts_shared"):
        return None
    shared = {each: sorted(older[each] & newer[each])[:4] for each in same}
    return Match(kind, max(0, min(100, score)), same, other, shared, same_name)


def _kind(
    older: Evidence, newer: Evidence, same: tuple[str, ...], other: tuple[str, ...], same_name: bool
) -> str:
    if is_other_machine(older, newer):
        return "disk_moved" if "machine_id" in same else "replaced" if same_name else ""
    if any(each in CASE for each in same) and not any(each in ("uuid", "serial") for each in other):
        if "machine_id" not in same:
            return "reimaged"
        return "reenrolled" if same_name else "renamed"
    if "machine_id" in same and not any(each in ("mac", "disk_serial") for each in same):
        return "disk_moved"
    return "parts_shared" if same else "replaced" if same_name else ""
