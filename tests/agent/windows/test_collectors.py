"""House rules of the collectors for Windows, as far as they can be kept elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.collectors.registry import WINDOWS, Collector, load_collectors
from agent.windows.antivirus import Found, documents
from agent.windows.firewall import firewall_body
from tests.agent.collectors.support import context
from tests.agent.windows.reg_file import RegFile
from tests.agent.windows.support import FakeWmi

HERE = load_collectors(WINDOWS)
LINUX = {each.name: each for each in load_collectors("linux")}


@pytest.mark.parametrize("collector", HERE, ids=lambda each: each.name)
def test_every_collector_says_what_it_is(collector: Collector) -> None:
    assert collector.module == f"agent.collectors.windows_{collector.name}"
    assert 20 < len(collector.description) < 220
    assert collector.privileges == "none" or collector.privileges.startswith("root: ")
    assert 0 < collector.interval_seconds <= 3600
    assert collector.timeout_seconds <= 300


def test_each_platform_has_its_own_of_one_name() -> None:
    both = {each.name for each in HERE} & LINUX.keys()
    assert both >= {"host", "software", "firewall_local", "updates", "storage"}
    for each in HERE:
        assert each.platforms == {WINDOWS}
        assert each.name not in LINUX or LINUX[each.name] is not each


def test_neither_platform_loads_the_others_modules_nor_anything_heavy() -> None:
    code = (
        "import sys; from agent.collectors.registry import load_collectors; load_collectors({!r});"
        "print(*sys.modules)"
    )
    root = Path(__file__).parents[3]
    for platform, foreign in ((WINDOWS, "agent.collectors.journal"), ("linux", "agent.windows")):
        command = [sys.executable, "-c", code.format(platform)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split())
        assert foreign not in loaded
        assert not loaded & {"ctypes", "subprocess", "asyncio", "logging", "pyexpat", "psutil"}


@pytest.mark.parametrize("collector", HERE, ids=lambda each: each.name)
def test_elsewhere_than_on_windows_it_fails_with_a_reason(collector: Collector, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not Windows"):
        collector.collect(context(tmp_path))


def test_documents_have_the_fields_that_linux_sends(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    of_linux = LINUX["antivirus_clamav"].collect(context(tmp_path)).documents[0].body or {}
    of_windows = documents(Found(None, None, {"ekrn": True}), RegFile(""), lambda _: True, 1.0)["eset"]
    assert of_linux.keys() <= of_windows.keys()
    fields = {"state", "reason", "backend", "input_policy", "rule_count"}
    assert fields <= firewall_body(RegFile(""), FakeWmi()).keys()
