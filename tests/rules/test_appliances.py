"""Lines as devices write them over syslog: by the probe's header parser and the pipelines to fields and log sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from agent.probe.syslog.message import read_message
from agent.probe.syslog.stamps import Clock
from rules.engine import Engine
from rules.logsources import LogSources, shipped
from rules.logsources.texts import Pairs
from tests.rules.helpers import SHARED

if TYPE_CHECKING:
    from rules.engine.routing import Sources

LOGSOURCES = LogSources(shipped())
NOW = 1_795_316_400.0


def read(line: str) -> tuple[dict[str, Any], Sources]:
    _, fields = read_message(line, NOW, Clock())
    fields["observer.ip"] = "192.0.2.1"
    return LOGSOURCES.read("", "syslog", "", fields)


LINES = {
    each["name"]: each
    for each in yaml.safe_load(Path(__file__).with_name("appliances.yml").read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", LINES)
def test_lines_of_devices(name: str) -> None:
    known = LINES[name]
    fields, sources = read(known["line"])
    assert sources.product == known["product"]
    assert sources.services == set(known["services"])
    assert {category for category, _ in sources.categories} == {*known["categories"], "syslog"}
    assert {key: fields.get(key) for key in known["fields"]} == known["fields"]
    assert fields["observer.ip"] == "192.0.2.1"
    assert "message" in fields
    assert "agency" not in fields
    assert LOGSOURCES.read("", "syslog", "", fields)[0] == fields  # doing it twice does no more


def test_what_a_line_says_cannot_stand_in_for_what_the_collector_knows() -> None:
    names = ("agency", "host", "observer", "log", "probe", "event", "simulated")
    fields, _ = read(f'<190>devid="FG1" {" ".join(f"{name}=x" for name in names)} observer.ip="9.9.9.9"')
    assert fields.keys().isdisjoint(names)
    assert fields["observer.ip"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("form", "sign", "value"), [("quoted", "=", "v"), ("quoted", "=", '"v"'), ("colons", ":", '"v"')]
)
def test_a_name_is_a_whole_word_so_that_each_is_tried_once(form: str, sign: str, value: str) -> None:
    longest = "a" * 64
    wrong = ["a" * 65, "1abc", "-abc", "ab-" * 30]
    text = " ".join(f"{name}{sign}{value}" for name in (*wrong, longest, "src_ip-1"))
    fields: dict[str, Any] = {"message": text}
    Pairs((), "message", form).apply(fields)
    assert fields == {"message": text, longest: "v", "src_ip-1": "v"}


def test_no_line_makes_more_fields_than_there_may_be() -> None:
    many = " ".join(f"k{number}=v" for number in range(5_000))
    fields, _ = read(f'<190>devid="FG1" {many}')
    assert len(fields) < 300


@pytest.mark.skipif(not (SHARED / "sigmahq").exists(), reason="the shared test data are not on this machine")
def test_sigmahqs_rules_fire_on_what_devices_log() -> None:
    folder = SHARED / "sigmahq" / "rules" / "network"
    engine = Engine([folder / each for each in ("fortinet", "cisco", "firewall", "huawei")])
    wanted = {
        "FortiGate event": "cd0a4943-0edd-42cf-b50c-06f77a10d4c1",  # a new administrator
        "FortiGate traffic": "d7fb8f0e-bd5f-45c2-b467-19571c490d7e",  # a protocol in clear text
        "Cisco IOS command": "6d844f0f-1c18-41af-8f19-33e7654edfc3",  # local accounts
        "Cisco LDP": "50e606bf-04ce-4ca7-9d54-3449494bbd4b",
        "Huawei": "a557ffe6-ac54-43d2-ae69-158027082350",
    }
    for name, rule in wanted.items():
        fields, sources = read(LINES[name]["line"])
        assert rule in {each.key for each in engine.match(fields, sources)}, name
