"""The cache of compiled rules: whatever is in it, the engine has the rules that the files hold."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from rules.engine import Engine
from tests.rules.helpers import SHARED, event, rule, rule_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rules.engine.ruleset import CompiledFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "rules"
    made.mkdir()
    for number, item in enumerate(
        ["a: x", "a|re: '^x'", "a|cidr: 10.0.0.0/8", "a|gt: 5", "a: [null, y]", "a|fieldref: b"], 1
    ):
        text = rule(f"s:\n  {item}\ncondition: s", number=number, name=f"r{number}")
        (made / f"{number}.yml").write_text(text, encoding="utf-8")
    (made / "broken.yml").write_text("title: [", encoding="utf-8")
    (made / "count.yml").write_text(
        f"title: Count\nid: {rule_id(50)}\ncorrelation: {{type: event_count, rules: [r1], group-by: [a],"
        " timespan: 1h, condition: {gte: 2}}\n",
        encoding="utf-8",
    )
    return made


def told(engine: Engine) -> object:
    """All that can be seen of an engine's rules."""
    values = ["x", "y", "10.1.1.1", 6, None, "z"]
    fired = [
        [finding.rule_id for finding in engine.process(event({"a": value, "b": "z"}, time=float(time)))]
        for time, value in enumerate([*values, *values])
    ]
    return engine.rules_loaded, [(each.id, each.line) for each in engine.unsupported], fired


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    place = content.index(b"^x") if b"^x" in content else len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flipped,
        lambda _: b"",
        lambda _: b"\x80",
        lambda _: b"\xc1" * 100,
        lambda c: c + b"x",
        lambda c: b"\x91" * len(c),
    ],
)
def test_a_damaged_cache_is_made_anew(
    folder: Path, tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    expected = told(Engine([folder]))
    assert told(Engine([folder], cache=cache)) == expected
    assert told(Engine([folder], cache=cache)) == expected
    (file,) = cache.iterdir()
    sound = file.read_bytes()
    file.write_bytes(damage(sound))
    assert told(Engine([folder], cache=cache)) == expected
    assert "made anew" in caplog.text
    assert file.read_bytes() == sound


def test_any_flipped_bit_is_noticed(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    expected = told(Engine([folder], cache=cache))
    (file,) = cache.iterdir()
    sound = file.read_bytes()
    luck = random.Random(5)
    for _ in range(12):
        place = luck.randrange(len(sound))
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 1 << luck.randrange(8)]) + sound[place + 1 :])
        assert told(Engine([folder], cache=cache)) == expected


def test_a_full_cache_needs_no_parser(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    expected = told(Engine([folder], cache=cache))

    def parse(*_: object) -> CompiledFile:
        raise AssertionError("parsed again")

    monkeypatch.setattr("rules.engine.compiling.compile_text", parse)
    assert told(Engine([folder], cache=cache)) == expected


def test_changed_rules_are_compiled_and_all_others_taken_from_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rules.engine import compiling

    cache = tmp_path / "cache"
    Engine([folder], cache=cache)
    parsed: list[str] = []
    compile_text = compiling.compile_text

    def parse(text: str, name: str, *more: object) -> CompiledFile:
        parsed.append(name)
        return compile_text(text, name)

    monkeypatch.setattr(compiling, "compile_text", parse)
    (folder / "1.yml").write_text(rule("s: {a: z}\ncondition: s", number=1, name="r1"), encoding="utf-8")
    (folder / "2.yml").unlink()
    engine = Engine([folder], cache=cache)
    assert parsed == ["1.yml"]
    monkeypatch.undo()
    assert told(engine) == told(Engine([folder]))


def test_another_version_has_another_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    expected = told(Engine([folder], cache=cache))
    monkeypatch.setattr("rules.engine.loading._engine_digest", lambda: b"another")
    assert told(Engine([folder], cache=cache)) == expected
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("kind", ["a file", "below a file", "no permission", "a folder in its place"])
def test_a_cache_that_cannot_be_kept_is_no_reason_not_to_start(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    cache = tmp_path / "cache"
    expected = told(Engine([folder], cache=cache))
    if kind == "a file":
        cache = tmp_path / "file"
        cache.write_bytes(b"x")
    elif kind == "below a file":
        (tmp_path / "file").write_bytes(b"x")
        cache = tmp_path / "file" / "cache"
    elif kind == "no permission":
        if os.geteuid() == 0:
            pytest.skip("root may read all")
        cache.chmod(0)
    else:
        (file,) = cache.iterdir()
        file.unlink()
        file.mkdir()
    try:
        assert told(Engine([folder], cache=cache)) == expected
    finally:
        if kind == "no permission":
            cache.chmod(0o700)


def _load_often(folder: Path, cache: Path, seed: int) -> None:
    for number in range(8):
        text = rule(f"s: {{a: v{seed}{number}}}\ncondition: s", number=100 + seed)
        engine = Engine([folder, text], cache=cache)
        if engine.rules_loaded != 8:
            os._exit(1)
    os._exit(0)


def test_processes_that_write_it_at_once_do_not_disturb_each_other(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_load_often, args=(folder, cache, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert told(Engine([folder], cache=cache)) == told(Engine([folder]))
    assert len(list(cache.iterdir())) == 1, "nothing half written stays"


@pytest.mark.skipif(not (SHARED / "sigmahq").is_dir(), reason="the rules are not here")
def test_real_rules_are_the_same_from_the_cache(tmp_path: Path) -> None:
    folder = SHARED / "sigmahq" / "rules-compliance"
    first = Engine([folder], cache=tmp_path)
    second = Engine([folder], cache=tmp_path)
    assert second._effective == first._effective
    assert first.rules_loaded > 0


def test_aliases_of_aliases_cost_no_time() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    text = "\n".join(
        [*lines, "title: x", "logsource: {category: test}", "detection: {s: *a11, condition: s}"]
    )
    started = time.process_time()
    engine = Engine([text])
    assert time.process_time() - started < 2
    assert "aliases" in engine.unsupported[0].reason
