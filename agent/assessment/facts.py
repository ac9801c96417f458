"""One test of a fact: what is wanted, what is there, and whether that is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent import reasons
from agent.assessment import form
from agent.assessment.errors import UnknownFactError
from agent.assessment.machine import MAX_FILES, is_there
from agent.assessment.readers import settings, sshd, system
from agent.assessment.values import MAX_FOUND, Outcome, outcome
from agent.collectors.common.files import clean_text, read_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.assessment.machine import Machine

_SHOWN: Final = 6


def judge_fact(test: form.Leaf, machine: Machine) -> Outcome:
    """Never raises for what a machine may hold; what cannot be read is unknown, with the reason."""
    try:
        return _JUDGES[type(test)](test, machine)
    except UnknownFactError as error:
        return Outcome(None, reason=str(error))


def _sshd(test: form.Sshd, machine: Machine) -> Outcome:
    name = test.option.lower()
    value = sshd.read_sshd(machine).get(name)
    return outcome(test, name, sshd.in_seconds(value) if value and name in sshd.TIMES else value)


def _sysctl(test: form.Sysctl, machine: Machine) -> Outcome:
    path = machine.proc / "sys" / test.key.replace(".", "/")
    value = read_text(path, 4096)
    if value is None and (is_there(path, str(path)) or not is_there(machine.proc / "sys", "/proc/sys")):
        raise UnknownFactError(reasons.FILE_UNREADABLE(path=path))
    return outcome(test, test.key, None if value is None else value.strip())


def _setting(test: form.Setting, machine: Machine) -> Outcome:
    value = settings.read_setting(machine, test)
    return outcome(test, test.key, value)


def _sudo(test: form.Sudo, machine: Machine) -> Outcome:
    defaults = settings.read_sudo(machine)
    if defaults is None:
        raise UnknownFactError(reasons.FILE_UNREADABLE(path=settings.SUDOERS))
    return outcome(test, f"Defaults {test.option}", defaults.get(test.option))


def _file(test: form.File, machine: Machine) -> Outcome:
    wanted = _wanted_of_file(test)
    found, whole = system.read_files(machine, test.path)
    wrong = [each for each in found if not _is_kept(test, each)]
    # What was not looked at can make it worse, and not undo what was seen.
    if not whole and not wrong and (test.exists is None or not found):
        raise UnknownFactError(reasons.TOO_MANY_FIT(number=MAX_FILES, pattern=test.path))
    if test.exists is not None:
        return Outcome(
            bool(found) == test.exists, _listed([f.path for f in found]) or f"∄ {test.path}", wanted
        )
    if not found:
        return Outcome(test.missing == "passed", f"∄ {test.path}", wanted)
    shown = [f"{each.path} {each.mode:04o} {each.owner}:{each.group}" for each in wrong or found[:1]]
    return Outcome(not wrong, _listed(shown), wanted)


def _is_kept(test: form.File, facts: system.FileFacts) -> bool:
    return (
        (test.mode is None or not facts.mode & ~int(test.mode, 8))
        and (not test.owners or facts.owner in test.owners)
        and (not test.groups or facts.group in test.groups)
    )


def _wanted_of_file(test: form.File) -> str:
    if test.exists is not None:
        return f"{'∃' if test.exists else '∄'} {test.path}"
    owners = "|".join(test.owners) + (f":{'|'.join(test.groups)}" if test.groups else "")
    return " ".join(part for part in (test.path, f"≤ {test.mode}" if test.mode else "", owners) if part)


def _pam(test: form.Pam, machine: Machine) -> Outcome:
    from agent.assessment.readers import pam

    wanted = f"{test.type}: {' | '.join([*test.modules])} {' '.join(test.arguments)}".rstrip()
    stack = pam.read_stack(machine, test.services, test.type)
    if stack is None:
        raise UnknownFactError(reasons.FILE_UNREADABLE(path=f"/etc/pam.d/{test.services[0]}"))
    service, entries = stack
    fit = any(e.module in test.modules and set(test.arguments) <= set(e.arguments) for e in entries)
    modules = dict.fromkeys(e.module for e in entries)
    return Outcome(
        fit, clean_text(f"{service} {test.type}: {', '.join(modules)}", MAX_FOUND), wanted[:MAX_FOUND]
    )


def _mount(test: form.Mount, machine: Machine) -> Outcome:
    wanted = f"{test.path} {','.join(test.options)}"
    options = system.read_mount(machine, test.path)
    if options is None:
        return Outcome(passed=False, found=f"{test.path} ∉ mounts", wanted=wanted)
    found = clean_text(f"{test.path} {','.join(sorted(options))}", MAX_FOUND)
    return Outcome(set(test.options) <= options, found, wanted)


def _unit(test: form.Unit, machine: Machine) -> Outcome:
    known = system.read_units(machine)
    # One whose file was masked or taken away may still run.
    states = {
        name: state
        for name in test.names
        if (state := known.get(name)) is not None and (state.there or state.running)
    }
    found = (
        _listed([f"{name} {_words(state)}" for name, state in states.items()]) or f"∄ {_listed(test.names)}"
    )
    if test.state == "off":
        decided = any(state.running or state.enabled for state in states.values())
        wanted = f"{_listed(test.names)} off"
    else:
        decided = any(getattr(state, test.state) for state in states.values())
        wanted = f"{' | '.join(test.names)} {test.state}"[:MAX_FOUND]
    untold = [name for name in test.names if name not in known]
    if untold and not decided:
        raise UnknownFactError(reasons.NOT_ANSWERED_FOR(program="systemctl", subject=_listed(untold)))
    return Outcome(decided != (test.state == "off"), found, wanted)


def _words(state: system.UnitState) -> str:
    return f"{'running' if state.running else 'stopped'}, {'enabled' if state.enabled else 'disabled'}"


def _package(test: form.Package, machine: Machine) -> Outcome:
    here = [name for name in test.names if name in system.read_packages(machine)]
    wanted = f"∃ {' | '.join(test.names)}" if test.present else f"∄ {_listed(test.names)}"
    return Outcome(
        bool(here) == test.present, _listed(here) or f"∄ {_listed(test.names)}", wanted[:MAX_FOUND]
    )


def _module(test: form.Module, machine: Machine) -> Outcome:
    loaded, blocked = system.read_module(machine, test.name)
    found = f"{test.name} {'loaded' if loaded else 'not loaded'}, {'blocked' if blocked else 'not blocked'}"
    return Outcome(blocked and not loaded, found, f"{test.name} not loaded, blocked")


def _accounts(test: form.Accounts, machine: Machine) -> Outcome:
    names = system.read_accounts(machine, test.none)
    return Outcome(not names, _listed(names) or "∅", "∅")


def _firewall(_test: form.Firewall, machine: Machine) -> Outcome:
    from agent.collectors.firewall_local import firewall_body

    body = firewall_body(machine.proc) if machine.programs else {"state": "unknown"}
    if body["state"] == "unknown":
        return Outcome(None, reason=str(body.get("reason") or reasons.OTHER_HOST(program="nft")))
    return Outcome(body["state"] == "on", f"input policy {body['input_policy']}, {body['backend']}", "on")


def _registry(test: form.Registry, machine: Machine) -> Outcome:
    from agent.assessment.readers import windows

    folder = test.key.rpartition("\\")[2]
    name = f"{folder}\\{test.value}"
    return outcome(test, name, windows.registry_value(machine, test.key, test.value))


def _audit(test: form.Audit, machine: Machine) -> Outcome:
    from agent.assessment.readers import windows

    recorded = windows.read_audit(machine).get(test.subcategory)
    if recorded is None:
        raise UnknownFactError(reasons.NO_SUBCATEGORY(guid=test.subcategory))
    asked = (windows.SUCCESS if test.success else 0) | (windows.FAILURE if test.failure else 0)
    return Outcome(recorded & asked == asked, _recorded(recorded), _recorded(asked))


def _recorded(bits: int) -> str:
    return {0: "∅", 1: "success", 2: "failure"}.get(bits, "success, failure")


def _security(test: form.Security, machine: Machine) -> Outcome:
    from agent.assessment.readers import windows

    return outcome(test, test.name, windows.read_security(machine).get(test.name.casefold()))


def _listed(texts: list[str]) -> str:
    more = f", +{len(texts) - _SHOWN}" if len(texts) > _SHOWN else ""
    return clean_text(", ".join(texts[:_SHOWN]) + more, MAX_FOUND)


_JUDGES: Final[dict[type[form.Leaf], Callable[..., Outcome]]] = {
    form.Sshd: _sshd,
    form.Sysctl: _sysctl,
    form.Setting: _setting,
    form.Sudo: _sudo,
    form.File: _file,
    form.Pam: _pam,
    form.Mount: _mount,
    form.Unit: _unit,
    form.Package: _package,
    form.Module: _module,
    form.Accounts: _accounts,
    form.Firewall: _firewall,
    form.Registry: _registry,
    form.Audit: _audit,
    form.Security: _security,
}
