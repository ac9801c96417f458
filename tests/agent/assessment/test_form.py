"""A file of checks can do nothing but be read: the form is closed."""

from __future__ import annotations

import msgspec
import pytest

from agent.assessment import form
from agent.assessment.facts import judge_fact
from agent.assessment.machine import Machine
from agent.assessment.shipped import load
from tests.agent.assessment.support import test_of


@pytest.mark.parametrize("name", ["linux", "windows"])
def test_the_shipped_sets_are_sound_and_of_their_platform(name: str) -> None:
    checks = load(name)
    assert checks.set == checks.platform == name
    assert len(checks.checks) >= 30
    assert len({check.id for check in checks.checks}) == len(checks.checks)
    assert {form.fault_of(check, checks.platform) for check in checks.checks} == {""}
    assert {level for check in checks.checks for level in check.levels} == {1, 2}


def test_every_kind_of_test_has_a_judge() -> None:
    machine = Machine.__new__(Machine)  # a kind without a judge fails before it looks at the machine
    for kind in form.Leaf.__args__:
        with pytest.raises((AttributeError, TypeError)) as caught:
            judge_fact(kind.__new__(kind), machine)
        assert not isinstance(caught.value, KeyError)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "command", "run": "id"},
        {"kind": "sshd", "option": "Port", "one_of": ["22"], "command": "id"},
        {"kind": "sshd", "option": "Port; id", "one_of": ["22"]},
        {"kind": "sshd", "option": "Port"},
        {"kind": "sysctl", "key": "../../etc/passwd", "one_of": ["1"]},
        {"kind": "sysctl", "key": "net.ipv4.ip_forward"},
        {"kind": "setting", "paths": ["/etc/../root/.ssh/id"], "key": "a", "one_of": ["1"]},
        {"kind": "setting", "paths": ["etc/login.defs"], "key": "a", "one_of": ["1"]},
        {"kind": "file", "path": "/etc/shadow"},
        {"kind": "file", "path": "/etc/shadow", "mode": "640"},
        {"kind": "unit", "names": ["--help"], "state": "running", "extra": 1},
        {"kind": "unit", "names": ["a b"], "state": "running"},
        {"kind": "package", "names": ["-e"], "present": True},
        {"kind": "audit", "subcategory": "0cce9215-69ae-11d9-bed3-505054503030"},
        {"kind": "audit", "subcategory": "Logon", "success": True},
        {"kind": "registry", "key": "SOFTWARE/x", "value": "y", "one_of": ["1"]},
        {"kind": "all", "of": []},
        {"kind": "not", "of": {"kind": "command"}},
        {"kind": "sudo", "option": "use_pty", "one_of": [True]},
    ],
)
def test_what_the_form_does_not_know_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        test_of(**fields)


def test_a_check_of_another_platform_or_too_deep_is_a_fault() -> None:
    registry = test_of(kind="registry", key=r"SOFTWARE\a", value="b", one_of=["1"])
    check = form.Check(id="some_check", importance="low", levels=[1], test=form.Not(registry))
    assert form.fault_of(check, "windows") == ""
    assert form.fault_of(check, "linux") == "linux has no test 'registry'"
    test: form.Test = registry
    for _ in range(5):
        test = form.Not(test)
    deep = form.Check(id="some_check", importance="low", levels=[1], test=test)
    assert form.fault_of(deep, "windows") == "more than 4 tests inside each other"
