from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from agent.messages import SCHEMA_VERSION, Batch, decode_batch, encode_batch
from agent.simulator.happenings import SLICE_SECONDS, Happening, Happenings
from agent.simulator.machines import draw, make_machines
from agent.simulator.mix import kinds, load_mix, make_events, names
from tests.agent.simulator.test_province import BEGAN, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.simulator.machines import Machine

#: A Tuesday, ten in the morning in Vietnam.
TEN = 1_790_045_000.0 // 86400 * 86400 + 3 * 3600


def simulated(mix: str, machines: list[Machine], began: float = TEN, seed: int = 1) -> Happenings:
    return Happenings(machines, seed, load_mix(mix), began)


def over(happenings: Happenings, seconds: float, start: float = TEN) -> Iterator[Happening]:
    first = int(start // SLICE_SECONDS)
    for number in range(first, first + int(seconds // SLICE_SECONDS)):
        yield from happenings.slice(number)


def test_the_mixes_that_the_plan_names_are_there() -> None:
    assert set(names()) >= {"working_day", "patch_tuesday", "worm_outbreak", "lan_outage", "clone_storm"}


@pytest.mark.parametrize("mix", names())
def test_what_happens_is_reproducible_by_seed(mix: str) -> None:
    machines = make_machines(tokens(60), 1)
    first = list(over(simulated(mix, machines), 300))
    assert first
    assert list(over(simulated(mix, machines), 300)) == first
    assert list(over(simulated(mix, machines, seed=2), 300)) != first


@pytest.mark.parametrize("name", sorted(kinds()))
def test_every_event_keeps_the_contract_and_leaves_no_word_open(name: str) -> None:
    kind = kinds()[name]
    for machine in make_machines(tokens(60), 3):
        if not kind.suits(machine):
            continue
        events = make_events(kind, machine, draw(1, machine.index), BEGAN)
        assert kind.times[0] <= len(events) <= kind.times[1]
        batch = Batch(schema=SCHEMA_VERSION, created_at=BEGAN, events=events)
        assert decode_batch(encode_batch(batch)) == batch
        texts = [value for event in events for value in event.fields.values() if isinstance(value, str)]
        assert not [text for text in texts if "{" in text.replace("{9482f4b4", "")]


def test_things_happen_as_often_as_stated() -> None:
    machines = make_machines(tokens(100), 1)
    counted = Counter(h.kind for h in over(simulated("quiet", machines), 3600 * 30))
    for kind, rate in load_mix("quiet").province_per_hour.items():
        assert counted[kind] / 30 == pytest.approx(rate, rel=0.4), kind


def test_a_working_day_grows_with_the_province_and_sleeps_at_night() -> None:
    small, large = make_machines(tokens(20), 1), make_machines(tokens(80), 1)
    day = [len(list(over(simulated("working_day", machines), 600))) for machines in (small, large)]
    night = len(list(over(simulated("working_day", large), 600, start=TEN - 8 * 3600)))
    assert day[1] > 2 * day[0]
    assert night < 0.2 * day[1]


def test_nothing_happens_on_machines_that_are_silent() -> None:
    machines = make_machines(tokens(200), 1)
    silent = {m.index for m in machines if m.silent}
    assert silent
    for mix in names():
        assert not silent & {h.machine for h in over(simulated(mix, machines), 900)}


def test_a_cut_line_takes_whole_agencies_away_once() -> None:
    machines = make_machines(tokens(140), 1)
    struck = [h for h in over(simulated("lan_outage", machines), 1200) if h.kind == "outage"]
    agencies = {machines[h.machine].token.agency_code for h in struck}
    assert len(agencies) == 2
    assert Counter(h.machine for h in struck).most_common(1)[0][1] == 1
    awake = {m.index for m in machines if m.token.agency_code in agencies and not m.silent}
    assert {h.machine for h in struck} == awake
    assert {h.away_seconds for h in struck} == {600.0}


def test_a_worm_doubles_goes_lan_by_lan_and_stops_at_its_share() -> None:
    machines = make_machines(tokens(210), 1)
    first = int(TEN // SLICE_SECONDS)
    happenings = simulated("worm_outbreak", machines)
    by_minute = [
        sum(h.kind == "worm" for n in range(12) for h in happenings.slice(first + minute * 12 + n))
        for minute in range(45)
    ]
    total = [sum(by_minute[: at + 1]) for at in range(len(by_minute))]
    assert (total[1], total[2], total[4], total[7], total[10]) == (0, 1, 2, 4, 8)
    windows = [m for m in machines if m.system.family == "windows" and not m.silent]
    assert total[-1] == round(0.4 * len(windows))
    early = [h for h in over(simulated("worm_outbreak", machines), 12 * 60) if h.kind == "worm"]
    assert len({machines[h.machine].token.agency_code for h in early}) == 1
    assert all(h.events for h in early)


def test_patched_machines_restart_once_and_stay_patched() -> None:
    machines = make_machines(tokens(120), 1)
    happenings = simulated("patch_tuesday", machines)
    struck = [h for h in over(happenings, 40 * 60) if h.kind == "patches"]
    windows = {m.index for m in machines if m.system.family == "windows" and not m.silent}
    assert Counter(h.machine for h in struck) == dict.fromkeys(windows, 1)
    assert all(60 <= h.away_seconds <= 300 for h in struck)
    became = {h.machine: h.machine_now for h in struck}
    assert not any(now.updates_pending for now in became.values() if now)
    assert happenings.changed_before(TEN + 3600) == became
    assert happenings.changed_before(TEN + 60) == {}


def test_clones_say_that_they_are_the_same_computer() -> None:
    machines = make_machines(tokens(200), 1)
    clones = [h.machine_now for h in over(simulated("clone_storm", machines), 600) if h.machine_now]
    assert len(clones) == round(0.1 * sum(not m.silent for m in machines))
    assert len({clone.uuid for clone in clones}) <= 7
    assert len({clone.token.token for clone in clones}) == len(clones)


def test_the_program_lists_the_mixes_and_refuses_others() -> None:
    command = [sys.executable, "-m", "agent.simulator"]
    listed = subprocess.run([*command, "--mixes"], capture_output=True, text=True, check=True)
    assert set(json.loads(listed.stdout)) == set(names())
    with pytest.raises(ValueError, match="no mix is called 'calm'; there are: clone_storm"):
        load_mix("calm")
