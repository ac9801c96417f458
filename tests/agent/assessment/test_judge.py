from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import reasons
from agent.assessment import form, judge
from agent.assessment.judge import Host, evaluate, last_known, report, verdict
from agent.assessment.values import Outcome
from tests.agent.assessment.support import machine, test_of, write

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"yes": True, "no": False, "untold": None}


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests named ``yes``, ``no`` and ``untold`` come out so."""

    def fact(test: form.Sysctl, _machine: object) -> Outcome:
        word = test.key.removeprefix("is.")
        return Outcome(KEYS[word], word, f"{word} wanted", "" if KEYS[word] is not None else "it hides")

    monkeypatch.setattr(judge, "judge_fact", fact)
    return tmp_path


def is_(word: str) -> dict[str, object]:
    return {"kind": "sysctl", "key": f"is.{word}", "one_of": ["1"]}


@pytest.mark.parametrize(
    ("kind", "words", "passed"),
    [
        ("all", ("yes", "yes"), True),
        ("all", ("yes", "no"), False),
        ("all", ("yes", "untold"), None),
        ("all", ("no", "untold"), False),
        ("any", ("no", "no"), False),
        ("any", ("yes", "no"), True),
        ("any", ("no", "untold"), None),
        ("any", ("untold", "yes"), True),
    ],
)
def test_what_cannot_be_told_leaves_open_only_what_the_others_do_not_decide(
    truth: Path, kind: str, words: tuple[str, ...], passed: bool | None
) -> None:
    test = test_of(kind=kind, of=[is_(word) for word in words])
    assert evaluate(test, machine(truth)).passed is passed
    turned = evaluate(
        test_of(kind="not", of={"kind": kind, "of": [is_(word) for word in words]}), machine(truth)
    )
    assert turned.passed is (None if passed is None else not passed)


def test_the_evidence_of_a_whole_is_that_of_the_part_that_decided(truth: Path) -> None:
    test = test_of(kind="all", of=[is_("yes"), is_("no"), is_("untold")])
    assert evaluate(test, machine(truth)) == Outcome(False, "no", "no wanted")
    test = test_of(kind="any", of=[is_("untold"), is_("no")])
    assert evaluate(test, machine(truth)) == Outcome(None, reason="it hides")


@given(st.recursive(st.sampled_from([*KEYS]).map(is_), lambda inner: st.one_of(
    st.lists(inner, min_size=1, max_size=3).map(lambda of: {"kind": "all", "of": of}),
    st.lists(inner, min_size=1, max_size=3).map(lambda of: {"kind": "any", "of": of}),
    inner.map(lambda of: {"kind": "not", "of": of}),
), max_leaves=8))  # fmt: skip
def test_unknown_never_passes_where_it_could_be_otherwise(tree: dict[str, object]) -> None:
    """Whatever the untold parts turn out to be, a verdict that was given stays."""

    def value(node: dict[str, object], untold: bool) -> bool:
        of = node.get("of")
        if node["kind"] == "sysctl":
            told = KEYS[str(node["key"]).removeprefix("is.")]
            return untold if told is None else told
        if isinstance(of, dict):
            return not value(of, not untold)
        assert isinstance(of, list)
        parts = [value(each, untold) for each in of]
        return all(parts) if node["kind"] == "all" else any(parts)

    def fact(test: form.Sysctl, _machine: object) -> Outcome:
        return Outcome(KEYS[test.key.removeprefix("is.")])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "judge_fact", fact)
        passed = evaluate(test_of(**tree), None).passed  # type: ignore[arg-type] # no fact looks at the machine
    best, worst = value(tree, True), value(tree, False)
    assert passed in (None, best)
    assert passed in (None, worst)


def check(**applies: object) -> form.Check:
    fields = {"id": "some_check", "importance": "high", "levels": [1], "test": is_("yes"), "applies": applies}
    return msgspec.convert(fields, form.Check)


def test_who_is_not_meant_is_not_judged(truth: Path) -> None:
    server, debian = Host("server", frozenset({"debian"})), Host("", frozenset({"ubuntu", "debian"}))
    here = machine(truth)
    assert verdict(check(roles=["workstation"]), here, server).reason == reasons.OTHER_ROLE()
    assert verdict(check(roles=["workstation"]), here, debian).result == "passed"
    assert verdict(check(distributions=["rhel"]), here, server).reason == reasons.OTHER_SYSTEM()
    assert verdict(check(distributions=["ubuntu"]), here, debian).result == "passed"
    assert verdict(check(where=is_("no")), here, server).reason == reasons.NOTHING_TO_CHECK()
    assert verdict(check(where=is_("untold")), here, server) == judge.Verdict("unknown", reason="it hides")


def test_what_is_unknown_carries_what_it_last_was(tmp_path: Path) -> None:
    test = test_of(kind="sysctl", key="kernel.randomize_va_space", one_of=["2"])
    checks = form.CheckSet("linux", 1, "linux", [form.Check("kernel_aslr", "high", [1], test)])
    value = write(tmp_path / "proc/sys/kernel/randomize_va_space", "2\n")
    body = report(checks, machine(tmp_path), Host(), {})
    last = last_known(body, {})
    assert (body["checks"]["kernel_aslr"]["result"], last) == ("passed", {"kernel_aslr": "passed"})
    value.unlink()
    value.mkdir()  # there, but not to be read
    body = report(checks, machine(tmp_path), Host(), last)
    assert body["checks"]["kernel_aslr"] == {
        "result": "unknown",
        "importance": "high",
        "reason": f"{tmp_path}/proc/sys/kernel/randomize_va_space cannot be read",
        "last": "passed",
    }
    assert last_known(body, last) == last
    value.rmdir()
    body = report(checks, machine(tmp_path), Host(), last)
    assert body["checks"]["kernel_aslr"]["found"] == "kernel.randomize_va_space —"
    assert last_known(body, last) == {"kernel_aslr": "failed"}
