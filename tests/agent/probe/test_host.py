"""The agent's side of the probe, with parts that behave and parts that do not: real processes over real pipes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from agent.collectors.registry import Output, load_collectors
from agent.messages import Event, LogSource, StatusDocument
from agent.probe.contract import Hello, Kept, Part, PartContext, PartEndsError, Said, read_frame, write_frame
from agent.probe.host import ProbeHost
from agent.probe.parts import Chosen, chosen_parts, part_named, part_names
from agent.probe.process import Line
from agent.runtime.errors import SpoolError
from agent.runtime.log import Log
from agent.settings import ProbeSection, Settings
from agent.settings_file import SettingsError
from rules.catalogue import OWN_RULES
from tests.agent.runtime.test_outbox import Bench
from tests.support.netns import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN = """
import os, sys, time, msgspec
from agent.collectors.registry import Output
from agent.messages import Event, LogSource, StatusDocument
from agent.probe.contract import Hello, Kept, Said, read_frame, write_frame
hello = read_frame(sys.stdin.buffer, Hello)
numbers = iter(range(1, 1000))
def say(source="first", output=None, **more):
    if output is not None: more["output"] = msgspec.Raw(msgspec.json.encode(output))
    said = Said(next(numbers), source, **more)
    write_frame(sys.stdout.buffer, said)
    kept = read_frame(sys.stdin.buffer, Kept)
    assert kept is None or kept.number == said.number
    return kept
def event(**fields):
    return Event(1.0, LogSource(product="probe", category="arp"), fields)
def document(item, **body):
    return StatusDocument("link", 1.0, body, item)
"""
#: Told to stop.
END = "\nread_frame(sys.stdin.buffer, Kept)\n"


class Own(Struct, frozen=True):
    word: str = "hello"


class Site:
    """A host with one part, whose process runs ``script``."""

    def __init__(self, folder: Path, script: str, *, memory_bytes: int = 1 << 30) -> None:
        self.bench = Bench(folder)
        self.notes: list[tuple[str, str, str]] = []
        self.refusing = False
        self._events: list[dict[str, Any]] = []
        part = Part(
            name="trial",
            settings=Own,
            sources=("first", "second"),
            module="none",
            privileges=(),
            description="",
            memory_bytes=memory_bytes,
        )
        self.log = StringIO()
        self.host = ProbeHost(
            [Chosen(part, Own(word="xin chào"))],
            folder / "probe",
            self.bench.outbox,
            Log(self.log),
            flush=self.flush,
            note=self.note,
            where={},
            command=(sys.executable, "-c", BEGIN + script),
        )

    def flush(self) -> bool:
        if self.refusing:
            return False
        try:
            self.bench.outbox.flush()
        except SpoolError:
            return False
        return True

    def note(self, source: str, *, failure: str, nothing: str, seconds: float) -> None:
        assert seconds >= 0
        self.notes.append((source, failure, nothing))

    def events(self) -> list[dict[str, Any]]:
        """The fields of all that were told so far."""
        self._events += [event.fields for batch in self.bench.sent() for event in batch.events]
        return self._events


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Any]:
    made: list[Site] = []

    def make(script: str, **more: Any) -> Site:
        made.append(Site(tmp_path, script, **more))
        made[-1].host.start()
        return made[-1]

    yield make
    for site in made:
        site.host.stop()


def test_no_source_of_a_part_is_called_as_another_or_as_a_collector() -> None:
    """Each name's documents, memory and health are its own: two of one name would take each other's away."""
    collectors = {each.name for platform in ("linux", "win32") for each in load_collectors(platform)}
    sources = [source for name in part_names() for source in part_named(name).sources]
    assert len(collectors) > 15
    assert len(sources) == len(set(sources))
    assert not collectors & set(sources)


def test_the_rule_of_new_probes_names_every_part_that_is_believed_what_it_says_of_others() -> None:
    rule = yaml.safe_load((OWN_RULES / "network/initial_access_new_probe.yml").read_text(encoding="utf-8"))
    sources = {source for name in part_names() for source in part_named(name).sources}
    # A machine where backups are kept looks at its own files.
    assert set(rule["detection"]["selection"]["health.name"]) == sources - {"backups"}


def test_a_part_gets_its_settings_and_what_it_says_is_on_disk_before_it_is_answered(sites: Any) -> None:
    site = sites(
        "say(output=Output(events=[event(word=hello.settings['word'], folder=hello.folder)]))\n"
        "open(hello.folder + '/answered', 'w').close()" + END
    )
    folder = wait_for(lambda: next(iter(site.host._runs))._folder)
    wait_for((folder / "answered").exists, what="the answer")
    assert site.events() == [{"word": "xin chào", "folder": str(folder)}]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert site.notes == [("first", "", "")]


def test_a_disk_that_refuses_holds_the_part_back(sites: Any) -> None:
    site = sites("input = sys.stdin\nsay(output=Output(events=[event(n=1)]))\nsay(nothing='done')" + END)
    site.refusing = True
    time.sleep(1.5)
    refused = list(site.notes)
    site.refusing = False
    wait_for(lambda: ("first", "", "done") in site.notes, what="the second word")
    # Whether the first word came before the disk refused is left to the moment; it is never lost, and never doubled.
    assert site.events() == [{"n": 1}]
    assert ("first", "", "done") not in refused or refused[0] == ("first", "", "")


def test_documents_of_a_source_are_gone_when_it_tells_without_them_unless_it_tells_a_part_only(
    sites: Any,
) -> None:
    site = sites(
        "say(output=Output(documents=[document('a', up=True), document('b', up=True)]))\n"
        "say('second', output=Output(documents=[document('c', up=True)]))\n"
        "say(output=Output(documents=[document('a', up=False)]), partial=True)\n"
        "say(nothing='waits')\n"
        "say(output=Output(documents=[document('a', up=False)]))\n"
        "say(nothing='done')" + END
    )
    wait_for(lambda: ("first", "", "done") in site.notes)
    [batch] = site.bench.flushed()
    assert {(each.item, each.body and each.body["up"]) for each in batch.documents} == {
        ("a", False),
        ("b", None),
        ("c", True),
    }


def test_memory_moves_with_output_and_comes_back_to_the_next_process(sites: Any) -> None:
    site = sites(
        "n = hello.memories['first'].get('n', 0)\n"
        "say(output=Output(events=[event(n=n)]), memory={'n': n + 1})\n"
        "sys.exit(0 if n < 1 else None) if n < 1 else None" + END
    )
    wait_for(lambda: len(site.events()) >= 2, what="the second process")
    assert site.events() == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit(3)", "status 3"),
        ("say('nobody')", "no source 'nobody'"),
        ("sys.stdout.buffer.write(b'what is this' * 9); sys.stdout.flush(); time.sleep(60)", "not a frame"),
        ("sys.stdout.buffer.write(b'\\0\\0\\0\\4[[[['); sys.stdout.flush(); time.sleep(60)", "not a frame"),
        ("sys.stdout.buffer.write(b'\\0\\0\\1\\0half'); sys.stdout.flush(); os._exit(0)", "ends early"),
    ],
)
def test_a_part_that_ends_or_talks_nonsense_is_told_of_and_started_again(
    sites: Any, script: str, reason: str
) -> None:
    site = sites(f"say(output=Output(events=[event(pid=os.getpid())]))\n{script}")
    wait_for(lambda: len(site.events()) >= 2, what="a second start")
    pids = [event["pid"] for event in site.events()]
    assert pids[0] != pids[1]
    failures = {source: failure for source, failure, _ in site.notes if failure}
    assert failures.keys() == {"first", "second"}
    assert all(reason in failure for failure in failures.values())


def test_a_part_that_holds_too_much_memory_is_ended_and_started_again(sites: Any) -> None:
    site = sites(
        "held = b'x' * (64 << 20)\nsay(output=Output(events=[event(n=1)]))" + END, memory_bytes=48 << 20
    )
    wait_for(site.events, what="the first word")
    site.host.watch()
    wait_for(lambda: [why for _, why, _ in site.notes if "MB of memory" in why], what="the reason")


def test_what_breaks_the_contract_is_refused_and_the_part_goes_on(sites: Any) -> None:
    site = sites(
        "kept = say(output=Output(documents=[document('x' * 300, up=True)]))\n"
        "say(output=Output(events=[event(failure=kept.failure)]))" + END
    )
    wait_for(site.events)
    assert "255" in site.events()[0]["failure"]
    assert site.notes[0][1]
    assert site.notes[1] == ("first", "", "")


def test_a_part_that_will_not_stop_is_killed(sites: Any) -> None:
    site = sites("import signal\nsay(nothing='here')\nwhile True: time.sleep(1)")
    wait_for(lambda: site.notes)
    [run] = site.host._runs
    process = run._process
    began = time.monotonic()
    site.host.stop()
    assert process is not None
    assert process.poll() == -9
    assert time.monotonic() - began < 30


def test_a_part_that_closes_its_line_and_lives_on_is_ended_and_started_again(
    sites: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.probe.host._STOP_SECONDS", 0.2)
    site = sites("say(nothing=str(os.getpid()))\nos.close(1)\ntime.sleep(600)")
    wait_for(lambda: [why for _, why, _ in site.notes if "status -9" in why], what="the end")


def test_what_a_part_started_ends_with_it_where_it_is_killed(
    sites: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.probe.host._STOP_SECONDS", 0.2)
    site = sites(
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)\n"
        "say(nothing=str(child.pid))\nwhile True: time.sleep(1)"
    )
    wait_for(lambda: site.notes)
    stat = Path(f"/proc/{site.notes[0][2]}/stat")
    assert "(sleep)" in stat.read_text()
    site.host.stop()
    wait_for(lambda: not stat.exists() or ") Z " in stat.read_text(), what="its end")


def test_no_fault_of_the_agents_own_leaves_a_part_unheard(
    sites: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumbles(*_: object, **__: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr("agent.runtime.outbox.Outbox.take", stumbles)
    site = sites("say(output=Output(events=[event(n=1)]))" + END)
    wait_for(lambda: [why for _, why, _ in site.notes if "unforeseen" in why], what="the reason")


def test_a_part_that_hangs_ends_by_itself_when_the_agent_is_gone(tmp_path: Path) -> None:
    script = (
        "import os, sys, threading\n"
        "from agent.probe import process\n"
        "from agent.probe.contract import Part\n"
        "from tests.agent.probe.test_host import Own\n"
        "process._LATEST_SECONDS = 1\n"
        "process.part_named = lambda name: Part(name, Own, ('first',), 'hangs', (), '')\n"
        "class Hangs:\n"
        "    def run(self, context):\n"
        "        assert sys.stdin.read() == ''\n"  # the frames are not there
        "        print('noise')\n"
        "        threading.Event().wait()\n"
        "process.import_module = lambda name: Hangs()\n"
        "sys.argv[1:] = ['trial']\n"
        "process.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as part:
        assert part.stdin is not None
        assert part.stdout is not None
        write_frame(part.stdin, Hello("trial", {"word": "x"}, str(tmp_path)))
        part.stdin.close()
        assert part.wait(60) == -signal.SIGALRM
        assert part.stdout.read() == b""


@given(st.binary(max_size=64))
def test_no_bytes_are_a_frame_by_accident_or_raise_anything_else(data: bytes) -> None:
    try:
        found = read_frame(BytesIO(data), Kept)
    except ValueError:
        return
    assert found is None or isinstance(found, Kept)


def test_a_context_says_what_a_part_finds_and_ends_when_the_agent_is_gone() -> None:
    sent = BytesIO()
    answers = BytesIO()
    write_frame(answers, Kept(1))
    write_frame(answers, Kept(2, "too much"))
    answers.seek(0)
    line = Line(answers, sent)
    context = PartContext(Own(), Hello("trial", {}, "."), say=line.say, now=lambda: 5.0)
    line.listen(context.stopping.set)
    assert context.stopping.is_set()
    with pytest.raises(PartEndsError):
        context.tell("first", Output(events=[Event(1.0, LogSource(), {})]))
    assert sent.getvalue() == b""


def test_a_refusal_is_an_error_of_the_part_and_leaves_its_memory() -> None:
    said: list[Said] = []

    def say(what: Said) -> str:
        said.append(what)
        return "too much" if len(said) > 1 else ""

    context = PartContext(Own(), Hello("trial", {}, "."), say=say, now=lambda: 5.0)
    document = StatusDocument("link", 1.0, {}, "a")
    context.tell("first", Output(documents=[document]), memory={"n": 1})
    with pytest.raises(ValueError, match="too much"):
        context.tell("first", Output(), memory={"n": 2})
    assert context.memory("first") == {"n": 1}
    assert [each.number for each in said] == [1, 2]


def test_an_unknown_part_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no part 'wifi'; known: "):
        chosen_parts(Settings(probe=ProbeSection(parts=("wifi",))))
