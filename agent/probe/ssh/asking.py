"""One look at one device: what it says, as a document and, where its configuration changed, an event."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agent import reasons
from agent.collectors.registry import Output
from agent.messages import Event, LogSource, StatusDocument
from agent.probe.ssh.configuration import cleaned, difference, digest_of
from agent.probe.ssh.platforms import facts_in, platform_named
from agent.probe.ssh.session import (
    CONFIGURATION_CHARACTERS,
    FACTS_CHARACTERS,
    Session,
    SessionError,
    is_pinned,
    pinned_key,
    shown_key,
)
from agent.runtime.files import read_own

if TYPE_CHECKING:
    from agent.probe.ssh.keeping import Shelf, State
    from agent.probe.ssh.platforms import Platform
    from agent.probe.ssh.settings import Device

KIND: Final = "device_configuration"
_CHANGE: Final = LogSource(product="probe", category="configuration_change")
_HOST_KEY: Final = LogSource(product="probe", category="ssh_host_key")
_LONGEST_SECRET: Final = 4096


class Read(Struct):
    """What a device said. ``state`` is ``answering`` or a :class:`SessionError`'s code."""

    state: str
    reason: str = ""
    shown: str = ""
    facts: dict[str, list[str]] = {}
    configuration: str | None = None


async def read(device: Device, command_seconds: float) -> Read:
    """Sign in and ask. Never raises what the device or its settings are to blame for."""
    try:
        platform = platform_named(device.platform)
    except KeyError:
        return Read("unreadable", reasons.NO_PLATFORM(detail=device.platform))
    found = Read("answering")
    try:
        if platform.mode == "key" or not device.host_key:
            key = await shown_key(device)
            found.shown = key.get_fingerprint()
            if not device.host_key:
                return Read("host_key_unknown", reasons.HOST_KEY_UNKNOWN(shown=found.shown), found.shown)
            if not is_pinned(key, device.host_key):
                other = await pinned_key(device)
                if other is not None:
                    found.shown = other[0].get_fingerprint()
                    return found
                return Read("host_key_changed", reasons.HOST_KEY_CHANGED(shown=found.shown), found.shown)
            return found
        await _ask(device, platform, command_seconds, found)
    except SessionError as error:
        found.state, found.reason = error.code, str(error)
        found.shown = error.shown or found.shown
    except Exception as error:
        # The last resort: what a device makes the library stumble over must not end the looks at all others.
        found.state, found.reason = "unreadable", reasons.NO_SSH(detail=type(error).__name__)
    return found


async def _ask(device: Device, platform: Platform, command_seconds: float, found: Read) -> None:
    try:
        await _ask_as(device, platform, command_seconds, found, ())
    except SessionError as error:
        other = await pinned_key(device) if error.code == "host_key_changed" else None
        if other is None:
            raise
        await _ask_as(device, platform, command_seconds, found, other[1])


async def _ask_as(
    device: Device, platform: Platform, command_seconds: float, found: Read, kind: tuple[str, ...]
) -> None:
    async with Session(device, platform, _secret(device), command_seconds, kind) as session:
        found.shown = session.shown_key
        for facts in platform.facts:
            said = facts_in(facts, await session.ask(facts.command, FACTS_CHARACTERS))
            for name, values in said.items():
                found.facts.setdefault(name, values)
        found.configuration = await session.ask(platform.configuration, CONFIGURATION_CHARACTERS)


def _secret(device: Device) -> str | None:
    """Raise :class:`SessionError` where the file is missing, or others may read it."""
    if device.key_file:
        _guard(Path(device.key_file))
        return None
    path = Path(device.password_file or "-")
    _guard(path)
    try:
        return read_own(path, _LONGEST_SECRET).decode("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SessionError("unreadable", reasons.NO_SECRET(detail=path)) from error


def _guard(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SessionError("unreadable", reasons.NO_SECRET(detail=path)) from error
    if stat.S_IMODE(mode) & 0o007:
        raise SessionError("unreadable", reasons.NO_SECRET(detail=path))


def told(
    device: Device, found: Read, state: State, shelf: Shelf, key: bytes, now: float
) -> tuple[Output, str | None]:
    """What to tell of it, ``state`` made what it is then; and the configuration to keep where it is a new one."""
    platform = _platform(device)
    observer = _observer(device, platform, found)
    body = dict(state.body) if found.state != "answering" else {}
    body.update(
        {
            "name": device.name,
            "role": device.role,
            "address": device.host,
            "platform": device.platform,
            "vendor": platform.vendor if platform else "",
            "product": platform.product if platform else "",
            "state": found.state,
            "reason": found.reason,
        }
    )
    for name, values in found.facts.items():
        body[name] = values if name == "log_servers" else values[0]
    if found.shown and found.state == "answering":
        body["host_key"] = found.shown
    events, new = [], None
    if found.configuration is not None and platform is not None:
        new = cleaned(found.configuration, platform, key)
        digest = digest_of(new)
        if digest != state.digest:
            if state.digest:
                events.append(_changed(device, observer, state.digest, digest, shelf, new, now))
            state.digest, state.changed_at = digest, now
        else:
            new = None
        state.asked_at = now
    if state.digest:
        body["configuration"] = {
            "sha256": state.digest,
            "changed_time": round(state.changed_at, 3),
            "read_day": time.strftime("%Y-%m-%d", time.gmtime(state.asked_at)),
        }
    if found.state == "host_key_changed" and found.shown != state.told_key:
        events.append(
            Event(
                now,
                _HOST_KEY,
                {
                    "probe": {"part": "ssh"},
                    "observer": observer,
                    "ssh_host_key": {
                        "device": device.name,
                        "expected": device.host_key[:200],
                        "shown": found.shown,
                    },
                },
            )
        )
        state.told_key = found.shown
    elif found.state == "answering":
        state.told_key = ""
    state.body = body
    document = StatusDocument(KIND, now, body, device.name)
    return Output(documents=[document], events=events), new


def _changed(
    device: Device, observer: dict[str, Any], before: str, after: str, shelf: Shelf, new: str, now: float
) -> Event:
    old = shelf.get(before)
    change: dict[str, Any] = {"device": device.name, "role": device.role, "before": before, "after": after}
    if old is not None:
        found = difference(old, new)
        change |= {
            "lines_added": found.added,
            "lines_removed": found.removed,
            "diff": found.text,
            "diff_cut": found.cut,
        }
    return Event(
        now, _CHANGE, {"probe": {"part": "ssh"}, "observer": observer, "configuration_change": change}
    )


def _observer(device: Device, platform: Platform | None, found: Read) -> dict[str, Any]:
    named = found.facts.get("hostname", [device.name])[0]
    return {
        "name": named,
        "ip": device.host,
        "type": device.role,
        "vendor": platform.vendor if platform else "",
        "product": platform.product if platform else "",
    }


def _platform(device: Device) -> Platform | None:
    try:
        return platform_named(device.platform)
    except KeyError:
        return None
