"""What happens in a simulated province: sign-ins all day, and now and then something that an analyst should see.

The rates are for the whole province, so that its size does not flood the console.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agent.messages import Event, LogSource
from agent.simulator.machines import draw

if TYPE_CHECKING:
    import random

    from agent.simulator.machines import Machine

_AUTH: Final = LogSource(product="linux", service="auth")
_ANTIVIRUS: Final = LogSource(product="linux", category="antivirus")

#: How often each happens, in the whole province, per hour.
PER_HOUR: Final[dict[str, float]] = {
    "sign_in": 120.0,
    "ssh_stray_failure": 6.0,
    "ssh_brute_force": 2.0,
    "malware_found": 1.0,
    "antivirus_off": 1.0,
    "sudo_failed": 1.5,
}
#: How long an antivirus that somebody turned off stays off.
OFF_SECONDS: Final = 1200.0

_USERS: Final = ("lan", "minh", "hoa", "tuan", "huong", "dung", "thao", "quang", "admin", "ketoan", "vanthu")


class Happening(Struct, frozen=True):
    """``events`` to send at once, and for how long (seconds) the antivirus is off."""

    machine: int
    kind: str
    events: list[Event]
    antivirus_off_seconds: float = 0.0


def happenings(machines: list[Machine], seed: int, minute: int) -> list[Happening]:
    """What happens in that minute (since the Unix epoch): the same whenever it is asked for."""
    rng = draw(seed, "minute", minute)
    awake = [machine for machine in machines if not machine.silent]
    found: list[Happening] = []
    if not awake:
        return found
    unix = [machine for machine in awake if machine.system.family != "windows"] or awake
    for kind, rate in PER_HOUR.items():
        share = rate / 60
        times = int(share) + (rng.random() < share % 1)
        places = unix if kind.startswith(("sign_in", "ssh", "sudo")) else awake
        found += [_make(kind, rng.choice(places), rng, minute * 60.0) for _ in range(times)]
    return found


def _make(kind: str, machine: Machine, rng: random.Random, start: float) -> Happening:
    user = rng.choice(_USERS)
    foreign = f"203.0.113.{rng.randint(1, 254)}"
    at = start + rng.uniform(0, 40)
    if kind == "sign_in":
        peer = rng.choice(machine.neighbours).ip
        return Happening(machine.index, kind, [_ssh("ssh_login_succeeded", user, peer, rng, at)])
    if kind == "ssh_stray_failure":
        peer = rng.choice(machine.neighbours).ip
        return Happening(machine.index, kind, [_ssh("ssh_login_failed", user, peer, rng, at)])
    if kind == "ssh_brute_force":
        number = rng.randint(8, 25)
        burst = [
            _ssh("ssh_login_failed", rng.choice(("root", "admin", user)), foreign, rng, at + n * 0.7)
            for n in range(number)
        ]
        return Happening(machine.index, kind, burst)
    if kind == "malware_found":
        name = f"hoa-don-{rng.randint(100, 999)}.com"
        windows = machine.system.family == "windows"
        folder = f"C:\\Users\\{user}\\Downloads\\" if windows else f"/home/{user}/Downloads/"
        fields: dict[str, Any] = {
            "event.action": "malware_found",
            "Signature": "Eicar-Test-Signature",
            "Filename": folder + name,
            "Action": "detected",
            "Product": machine.product,
        }
        return Happening(machine.index, kind, [Event(time=at, logsource=_ANTIVIRUS, fields=fields)])
    if kind == "sudo_failed":
        fields = {
            "event.action": "sudo_failed",
            "User": user,
            "TargetUser": "root",
            "Command": "/usr/bin/cat /etc/shadow",
            "Reason": "3 incorrect password attempts",
            "Process": "sudo",
            "Message": f"{user} : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/home/{user} ; USER=root ; "
            "COMMAND=/usr/bin/cat /etc/shadow",
        }
        return Happening(machine.index, kind, [Event(time=at, logsource=_AUTH, fields=fields)])
    return Happening(machine.index, kind, [], antivirus_off_seconds=OFF_SECONDS)


def _ssh(action: str, user: str, source: str, rng: random.Random, at: float) -> Event:
    port = rng.randint(30000, 60999)
    word = "Accepted" if action == "ssh_login_succeeded" else "Failed"
    return Event(
        time=round(at, 3),
        logsource=_AUTH,
        fields={
            "event.action": action,
            "User": user,
            "SourceIP": source,
            "SourcePort": port,
            "Method": "password",
            "Process": "sshd",
            "Pid": rng.randint(700, 30000),
            "Message": f"{word} password for {user} from {source} port {port} ssh2",
        },
    )
