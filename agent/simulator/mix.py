"""What happens in a province and how often, as data: ``mixes/*.toml``, and the events in ``mixes/events.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from agent.messages import Event, LogSource

if TYPE_CHECKING:
    import random

    from agent.simulator.machines import Machine

_FOLDER: Final = Path(__file__).with_name("mixes")
_EVENTS: Final = "events"
#: The mix of ``make run SIMULATE=…``.
DEFAULT: Final = "quiet"

Share = Annotated[float, Meta(gt=0, le=1)]
Rate = Annotated[float, Meta(ge=0)]

_USERS: Final = ("lan", "minh", "hoa", "tuan", "huong", "dung", "thao", "quang", "admin", "ketoan", "vanthu")
_PROGRAMS: Final = (
    r"C:\Program Files\Microsoft Office\root\Office16\WINWORD.EXE",
    r"C:\Program Files\Microsoft Office\root\Office16\EXCEL.EXE",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files\CocCoc\Browser\Application\browser.exe",
    r"C:\Program Files (x86)\UniKey\UniKeyNT.exe",
    r"C:\Windows\System32\notepad.exe",
    r"C:\Windows\System32\backgroundTaskHost.exe",
    r"C:\Windows\System32\RuntimeBroker.exe",
)


class Kind(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that can happen. ``times``: at least and at most so many events, ``gap_seconds`` apart."""

    logsource: LogSource = LogSource()
    places: Literal["windows", "unix", "anywhere"] = "anywhere"
    times: tuple[int, int] = (1, 1)
    gap_seconds: float = 0.0
    antivirus_off_seconds: float = 0.0
    fields: dict[str, Any] = {}

    def suits(self, machine: Machine) -> bool:
        return self.places == "anywhere" or (self.places == "windows") == (machine.system.family == "windows")


class Incident(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that befalls many, ``after_minutes`` of the simulation's beginning and for ``minutes``.

    ``outage``: a share of the agencies is away all that time. ``patches``: each Windows machine installs updates once,
    tells ``events`` and is away for between ``away_seconds``. ``worm``: a share of the Windows machines, twice as many
    every ``double_minutes``, tells ``events``. ``clones``: a share of the machines becomes the same as another one.
    """

    kind: Literal["outage", "patches", "worm", "clones"]
    after_minutes: Rate
    minutes: Annotated[float, Meta(gt=0)]
    share: Share = 1.0
    double_minutes: Annotated[float, Meta(gt=0)] = 1.0
    away_seconds: tuple[float, float] = (0.0, 0.0)
    events: list[str] = []


class Mix(Struct, frozen=True, forbid_unknown_fields=True):
    """``province_per_hour`` is how often something happens in all of it, whatever its size (an analyst is to follow
    it); ``machine_per_hour`` grows with it. ``hours`` is how busy each hour of the day is (UTC+7), 1 the busiest."""

    summary: str
    province_per_hour: dict[str, Rate] = {}
    machine_per_hour: dict[str, Rate] = {}
    hours: Annotated[tuple[Rate, ...], Meta(min_length=24, max_length=24)] = (1.0,) * 24
    incident: list[Incident] = []


def names() -> list[str]:
    """The mixes there are."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml") if path.stem != _EVENTS)


def load_mix(name: str) -> Mix:
    """Raise ``ValueError`` where there is none of that name, or it cannot be read."""
    if name not in names():
        raise ValueError(f"no mix is called {name!r}; there are: {', '.join(names())}")
    mix = msgspec.convert(tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8")), Mix)
    known = kinds()
    used = {*mix.province_per_hour, *mix.machine_per_hour, *(e for i in mix.incident for e in i.events)}
    if unknown := used - set(known):
        raise ValueError(f"{name}.toml: nothing in {_EVENTS}.toml is called {', '.join(sorted(unknown))}")
    return mix


def kinds() -> dict[str, Kind]:
    """Everything that can happen, by name."""
    found = tomllib.loads((_FOLDER / f"{_EVENTS}.toml").read_text(encoding="utf-8"))
    return {name: msgspec.convert(kind, Kind) for name, kind in found.items()}


def make_events(kind: Kind, machine: Machine, rng: random.Random, at: float) -> list[Event]:
    """The events of one happening of ``kind``, the first at ``at``."""
    if not kind.fields:
        return []
    words = _words(machine, rng)
    made = []
    for number in range(rng.randint(*kind.times)):
        own = words | {
            "port": rng.randint(30000, 60999),
            "pid": rng.randint(700, 30000),
            "peer": rng.choice(machine.neighbours).ip,
            "target": rng.choice(("root", "admin", words["user"])),
        }
        fields = {name: _filled(value, own) for name, value in kind.fields.items()}
        time = round(at + number * kind.gap_seconds, 3)
        made.append(Event(time=time, logsource=kind.logsource, fields=fields))
    return made


def _words(machine: Machine, rng: random.Random) -> dict[str, Any]:
    user = rng.choice(_USERS)
    windows = machine.system.family == "windows"
    return {
        "user": user,
        "machine": machine.name,
        "address": machine.ip,
        "antivirus": machine.product,
        "foreign": f"203.0.113.{rng.randint(1, 254)}",
        "number": rng.randint(100, 999),
        "program": rng.choice(_PROGRAMS),
        "argument": f"/n bao-cao-{rng.randint(1, 400)}",
        "downloads": f"C:\\Users\\{user}\\Downloads\\" if windows else f"/home/{user}/Downloads/",
    }


def _filled(value: Any, words: dict[str, Any]) -> Any:
    """A value that is one word in braces is that word as it is (a number stays one)."""
    if not isinstance(value, str) or "{" not in value:
        return value
    return words[value[1:-1]] if value[1:-1] in words else value.format_map(words)
