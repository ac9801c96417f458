"""What is asked of each kind of device, as data: ``profiles/*.toml``. The interfaces, the neighbours and the tables of
addresses are the same with all and stand in :mod:`agent.probe.snmp.tables`."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

_FOLDER: Final = Path(__file__).parent / "profiles"
GENERIC: Final = "generic"

Oid = Annotated[str, Meta(pattern=r"^[0-2](\.[0-9]{1,10}){2,63}$")]
MetricName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.]*_(ratio|celsius|seconds|count|bytes)$")]
Kind = Literal["switch", "router", "firewall", "ups", "server", "wireless", "other"]


class State(Struct, frozen=True, forbid_unknown_fields=True):
    """A number that stands for a word. ``field``: where the word goes in the document, at most one dot deep."""

    field: Annotated[str, Meta(pattern=r"^[a-z_]+(\.[a-z_]+)?$")]
    oid: Oid
    words: dict[int, str]


class Gauge(Struct, frozen=True, forbid_unknown_fields=True):
    """A number over time: one ``scalar``, or all of a ``column``, taken together. A temperature of 0 is a
    sensor that is not fitted, and left out."""

    metric: MetricName
    scalar: Oid = ""
    column: Oid = ""
    combine: Literal["max", "mean"] = "max"
    factor: float = 1.0


class Ratio(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a whole: ``used`` (or ``total`` less ``free`` and ``also_free``) of ``total`` (or of ``used`` and
    ``free``)."""

    metric: MetricName
    used: Oid = ""
    free: Oid = ""
    total: Oid = ""
    also_free: tuple[Oid, ...] = ()


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """``match``: beginnings of sysObjectID, the longest of all profiles counts. ``version``: where in sysDescr the
    firmware stands (the first group)."""

    vendor: str
    product: str
    match: tuple[Oid, ...]
    kind: Kind | Literal[""] = ""
    version: str = ""
    scalars: dict[str, Oid] = {}
    states: tuple[State, ...] = ()
    gauges: tuple[Gauge, ...] = ()
    ratio: tuple[Ratio, ...] = ()

    def oids(self) -> list[str]:
        """All single values that are asked for, each once."""
        wanted = [*self.scalars.values(), *(each.oid for each in self.states)]
        wanted += [each.scalar for each in self.gauges if each.scalar]
        for each in self.ratio:
            wanted += [oid for oid in (each.used, each.free, each.total, *each.also_free) if oid]
        return list(dict.fromkeys(wanted))


@cache
def profile_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def profile_named(name: str) -> Profile:
    """With what is asked of every device. Raise ``KeyError`` where there is none of that name."""
    if name not in profile_names():
        raise KeyError(name)
    own = _read(name)
    if name == GENERIC:
        return own
    base = _read(GENERIC)
    metrics = {each.metric for each in own.gauges} | {each.metric for each in own.ratio}
    return msgspec.structs.replace(
        own,
        scalars={**base.scalars, **own.scalars},
        gauges=(*own.gauges, *(each for each in base.gauges if each.metric not in metrics)),
    )


def profile_of(object_id: str) -> str:
    """The name of the profile whose ``match`` is the longest beginning of a sysObjectID."""
    object_id = object_id.lstrip(".")
    best, length = GENERIC, 0
    for name in profile_names():
        for each in _read(name).match:
            if len(each) > length and (object_id == each or object_id.startswith(each + ".")):
                best, length = name, len(each)
    return best


def version_in(profile: Profile, description: str) -> str:
    """The firmware in a sysDescr; empty where it is not to be found."""
    found = re.search(profile.version, description[:1_024]) if profile.version else None
    return found[1][:64] if found else ""


@cache
def _read(name: str) -> Profile:
    content = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    # TOML knows no numbers as keys.
    for state in content.get("states", []):
        state["words"] = {int(key): word for key, word in state["words"].items()}
    return msgspec.convert(content, Profile, strict=True)
