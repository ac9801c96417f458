"""The part ``links``: judging by rounds, its settings, and a real cut in a test LAN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from agent.probe.links.judging import LinkState, Round, figures_of
from agent.probe.links.settings import Links, LinksSettings, Target
from agent.probe.links.watch import line_of
from tests.support.netns import lan, wait_for
from tests.support.part import part_process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.part import PartProcess

SETTINGS = Links(down_after=2, up_after=2)
WELL, GONE = Round((0.01, 0.012, 0.01)), Round((None, None, None))
REASONS: dict[Any, str] = {"down": "gone", "degraded": "weak"}


def states(rounds: list[Round], memory: dict[str, Any] | None = None) -> list[str]:
    state = LinkState(SETTINGS, memory)
    found: list[str] = []
    for at, each in enumerate(rounds):
        state.take(each, float(at), REASONS)
        found.append(state.state)
    return found


def test_one_lost_round_is_no_loss_of_the_link_and_one_answer_not_its_return() -> None:
    assert states([WELL, GONE, WELL])[-1] == "degraded"
    assert states([WELL, GONE, GONE, WELL, WELL]) == ["up", "up", "down", "down", "up"]


def test_a_link_that_nobody_could_try_is_unknown_and_never_down() -> None:
    assert states([GONE], {"state": "up", "since": 3.0}) == ["up"]
    assert states([WELL, Round((), "no right to ask")]) == ["up", "unknown"]


def test_a_gateway_that_answers_no_echo_but_is_a_neighbour_is_there() -> None:
    assert states([Round((), present=True)]) == ["up"]


def test_since_is_when_the_state_began_and_outlives_the_process() -> None:
    state = LinkState(SETTINGS, {"state": "down", "since": 77.0, "reason": "gone"})
    assert not state.take(GONE, 100.0, REASONS)
    state.take(GONE, 101.0, REASONS)
    assert (state.state, state.since, state.reason) == ("down", 77.0, "gone")


def test_loss_middle_and_jitter_of_rounds() -> None:
    figures = figures_of([Round((0.1, 0.2, None, 0.4))])
    assert figures.loss_ratio == pytest.approx(0.25)
    assert figures.rtt_seconds == pytest.approx(0.2)
    assert figures.jitter_seconds == pytest.approx(0.1)


def test_the_dedicated_network_is_told_from_the_internet_by_the_agencys_networks() -> None:
    links = Links(dedicated_networks=["10.0.0.0/8"], lan_networks=["10.77.0.0/24"])
    roles = [
        links.role_of(Target(name="x", address=each)) for each in ("10.77.0.5", "10.1.1.1", "203.0.113.1")
    ]
    assert roles == ["lan", "dedicated", "internet"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": [{"name": "gateway", "address": "10.0.0.1"}]},
        {"target": [{"name": "dc", "address": "dc.province.test"}]},
        {"target": [{"name": "dc", "address": "10.0.0.1"}, {"name": "dc", "address": "10.0.0.2"}]},
        {"dedicated_networks": ["10.0.0.1/8"]},
        {"target": [{"name": "dc", "address": "10.0.0.1", "device": "rt-1"}]},
        {"target": [{"name": "dc", "address": "10.0.0.1", "device": "rt-1", "interface": "e0"}]},
        {"target": [{"name": "dc", "address": "10.0.0.1", "capacity_bits": 1000}]},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"links": wrong}, LinksSettings, strict=True)


def test_a_link_names_its_leased_line_and_what_that_carries_each_way() -> None:
    one = Target(name="dc", address="10.0.0.1", device="rt-1", interface="Gi0/0", capacity_bits=10**8)
    line = {"device": "rt-1", "interface": "Gi0/0", "received_bits": 10**8, "sent_bits": 10**8}
    assert line_of(one) == line
    assert line_of(replace(one, capacity_sent_bits=10**7)) == {**line, "sent_bits": 10**7}
    assert line_of(Target(name="dc", address="10.0.0.1")) is None


def newest(part: PartProcess, name: str) -> dict[str, Any]:
    found = [each.body for each in part.documents("link") if each.item == name and each.body]
    return found[-1] if found else {}


def test_a_cut_line_is_told_from_a_lost_gateway_and_its_return_is_seen(tmp_path: Path) -> None:
    with lan() as net:
        net.host("gw", 1)
        centre = net.host("dc", 10)
        probe = net.host("pr", 20, gateway=1)
        asked = {
            "links": {
                "interval_seconds": 2,
                "echo_count": 2,
                "timeout_seconds": 0.3,
                "down_after": 1,
                "up_after": 1,
                "dedicated_networks": ["10.77.0.10/32"],
                "target": [
                    {
                        "name": "data-centre",
                        "address": centre.ip,
                        "device": "rt-1",
                        "interface": "Gi0/0",
                        "capacity_bits": 10**8,
                    },
                    # Nothing listens there: a refusal shows the way as well as an answer does.
                    {"name": "vpn", "address": centre.ip, "port": 9, "role": "internet"},
                ],
            }
        }
        with part_process(probe, "links", asked, tmp_path) as part:
            wait_for(lambda: newest(part, "vpn"))
            assert {newest(part, name)["state"] for name in ("gateway", "data-centre", "vpn")} == {"up"}
            assert [newest(part, name)["role"] for name in ("gateway", "data-centre", "vpn")] == [
                "lan",
                "dedicated",
                "internet",
            ]
            assert newest(part, "data-centre")["line"]["received_bits"] == 10**8
            assert "line" not in newest(part, "vpn")
            metrics = {each.name for said in part.said for each in said.found().metrics}
            assert {"link.rtt_seconds", "link.loss_ratio", "link.jitter_seconds"} <= metrics
            centre.run("ip", "link", "set", "eth0", "down")
            wait_for(lambda: newest(part, "data-centre")["state"] == "down", what="the cut")
            assert newest(part, "gateway")["state"] == "up"
            centre.run("ip", "link", "set", "eth0", "up")
            wait_for(lambda: newest(part, "data-centre")["state"] != "down", what="the return")
