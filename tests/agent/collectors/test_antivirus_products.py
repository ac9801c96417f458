"""Products' answers in the shapes they are known to have, asked of programs that stand in for the products' own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agent import reasons
from agent.collectors import antivirus_products
from agent.collectors.antivirus_products import PRODUCTS, facts_of
from agent.collectors.common.antivirus_answers import (
    Answer,
    UnreadableAnswerError,
    parse_eset,
    parse_kesl,
    parse_mdatp,
)
from tests.agent.collectors.support import CAPTURED, FIXTURES, FakeClock, context, fixture_bytes, fixture_text
from tests.support.debian import root
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPES = FIXTURES / "antivirus"
DAY = 86_400.0


def test_kaspersky_of_two_generations() -> None:
    new = parse_kesl(fixture_text("antivirus/kesl-12.txt"))
    assert (new.loaded, new.version, new.real_time, new.managed) == (True, "12.0.0.6672", "on", True)
    assert new.signature_time == pytest.approx(CAPTURED, abs=DAY)
    assert new.last_scan_time == pytest.approx(CAPTURED - 2 * DAY, abs=DAY)
    old = parse_kesl(fixture_text("antivirus/kesl-10.txt"))
    assert (old.loaded, old.version, old.real_time, old.managed) == (True, "10.1.0.5960", "off", None)
    assert (old.last_scan_time, old.never_scanned) == (None, True)
    empty = fixture_text("antivirus/kesl-12.txt").replace("loaded:               Yes", "loaded: No")
    facts = facts_of(parse_kesl(empty))
    assert (facts["state"], facts["reason"]) == ("off", reasons.NO_SIGNATURES_LOADED.en)


def test_defender_well_and_not() -> None:
    answer = parse_mdatp(fixture_bytes("antivirus/mdatp.json"), CAPTURED)
    assert answer == Answer(
        loaded=True,
        version="101.25032.0005",
        database="1.427.512.0",
        signature_time=CAPTURED - 240 * 60,
        real_time="on",
    )
    ill = fixture_bytes("antivirus/mdatp.json")
    ill = ill.replace(
        b'"healthIssues":[],"healthy":true', b'"healthIssues":["missing license"],"healthy":false'
    )
    facts = facts_of(parse_mdatp(ill, CAPTURED))
    assert (facts["state"], facts["reason"]) == (
        "unknown",
        reasons.PRODUCT_NOT_WELL(detail="missing license"),
    )


def test_eset_tells_its_engines_day_and_not_whether_it_guards() -> None:
    facts = facts_of(parse_eset(fixture_text("antivirus/eset-modules.txt")))
    assert facts["database_version"] == "32245"
    assert facts["signature_time"] == 1_795_132_800.0
    assert (facts["real_time"], facts["real_time_reason"]) == ("unknown", reasons.NOT_TOLD.en)


@pytest.mark.parametrize("parse", [parse_kesl, parse_eset])
def test_another_answer_is_said_to_be_none(parse: Any) -> None:
    with pytest.raises(UnreadableAnswerError):
        parse("Error: the service is not running\n")
    with pytest.raises(UnreadableAnswerError):
        parse_mdatp(b"ATTENTION: No license found.", CAPTURED)


class Installed:
    """A product of the test's own: a folder with a program that runs and one that answers with a fixture."""

    def __init__(self, folder: Path, item: str) -> None:
        self.folder, self.clock, self.state = folder / item, FakeClock(), dict[str, Any]()
        self.folder.mkdir()
        self.program = self.folder / "control"
        real = next(each for each in PRODUCTS if each.item == item)
        commands = ((str(self.program), "--app-info"),) if real.parse else ()
        self.product = structs.replace(real, folders=(str(self.folder),), commands=commands)
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        shutil.copy(shutil.which("sleep") or "/bin/sleep", self.folder / "daemon")
        self._daemon = subprocess.Popen([self.folder / "daemon", "60"])
        exe = Path(f"/proc/{self._daemon.pid}/exe")
        wait_until(lambda: exe.readlink().name == "daemon", seconds=5, what="the daemon's start")

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()

    def answers(self, script: str) -> None:
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)

    def body(self) -> dict[str, Any]:
        ctx = context(Path("/"), proc=Path("/proc"), now=self.clock, state=self.state)
        (document,) = antivirus_products.collect(ctx).documents
        assert document.item == self.product.item
        assert document.body is not None
        return document.body


@pytest.fixture
def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Installed]:
    root("to see every process")
    made = Installed(tmp_path, request.param)
    monkeypatch.setattr(antivirus_products, "PRODUCTS", (made.product,))
    yield made
    made.stop()


@pytest.mark.parametrize("installed", ["kesl"], indirect=True)
def test_a_product_is_off_until_it_runs_and_then_asked(installed: Installed) -> None:
    installed.answers(f"cat {SHAPES}/kesl-12.txt")
    body = installed.body()
    assert (body["state"], body["reason"], body["real_time"]) == ("off", reasons.SERVICE_STOPPED.en, "off")
    installed.start()
    body = installed.body()
    assert (body["state"], body["product"], body["engine_version"]) == (
        "on",
        "Kaspersky Endpoint Security",
        "12.0.0.6672",
    )
    assert (body["real_time"], body["last_scan_state"], body["managed"]) == ("on", "known", True)


@pytest.mark.parametrize("installed", ["kesl"], indirect=True)
@pytest.mark.parametrize(
    ("script", "part"),
    [
        ("echo nothing", "of no known form"),
        ("echo no >&2; exit 3", "status 3"),
        ("head -c 9000000 /dev/zero", "known"),
    ],
)
def test_a_strange_answer_is_unknown_with_its_reason(installed: Installed, script: str, part: str) -> None:
    installed.start()
    installed.answers(script)
    body = installed.body()
    assert body["state"] == "unknown"
    assert part in body["reason"]


@pytest.mark.parametrize("installed", ["mdatp"], indirect=True)
def test_a_time_told_in_minutes_ago_does_not_make_a_change_of_every_look(installed: Installed) -> None:
    installed.start()
    installed.answers(f"cat {SHAPES}/mdatp.json")
    first = installed.body()
    installed.clock.now += 900
    assert installed.body() == first
    installed.clock.now += DAY
    assert installed.body()["signature_time"] == first["signature_time"] + DAY + 900


@pytest.mark.parametrize("installed", ["sophos"], indirect=True)
def test_of_some_only_that_they_run_is_known_and_said(installed: Installed) -> None:
    installed.start()
    body = installed.body()
    assert body["state"] == "unknown"
    assert body["reason"] == reasons.ONLY_RUNNING_KNOWN(product="Sophos Protection")


@pytest.mark.parametrize("installed", ["kesl"], indirect=True)
def test_where_processes_are_hidden_not_seen_is_not_off(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(antivirus_products, "running_programs", lambda _: (set(), True))
    body = installed.body()
    assert (body["state"], body["reason"]) == ("unknown", reasons.PROCESSES_HIDDEN.en)


def test_where_none_is_installed_nothing_is_said_and_a_mounted_host_is_not_asked(tmp_path: Path) -> None:
    assert antivirus_products.collect(context(tmp_path)).documents == []
    folder = tmp_path / "opt/kaspersky/kesl/bin"
    folder.mkdir(parents=True)
    (folder / "kesl-control").touch()
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/exe").symlink_to("/opt/kaspersky/kesl/libexec/kesl")
    (document,) = antivirus_products.collect(context(tmp_path)).documents
    assert document.body is not None
    assert document.body["state"] == "unknown"
    assert "another machine" in document.body["reason"]


@given(st.text(max_size=400))
def test_no_text_breaks_the_readers(text: str) -> None:
    for said in (text, f"Application databases loaded: {text}\nLast release date of databases: {text}"):
        try:
            facts_of(parse_kesl(said))
            facts_of(parse_eset(f"EM002 1 ({text[:8]}) x\n{said}"))
        except UnreadableAnswerError:
            continue


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=8), st.lists, max_leaves=6))
def test_no_json_breaks_the_reader_of_defender(value: object) -> None:
    import json

    names = ("appVersion", "definitionsVersion", "realTimeProtectionEnabled", "definitionsUpdatedMinutesAgo")
    said = {"healthy": False, "healthIssues": value, **dict.fromkeys(names, value)}
    for data in (json.dumps(value), json.dumps(said)):
        try:
            facts_of(parse_mdatp(data.encode(), CAPTURED))
        except UnreadableAnswerError:
            continue
