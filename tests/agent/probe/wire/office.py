"""An hour of an agency's ordinary traffic, made, not captured: what passes the kernel's filter of it.

Forty workstations, a router with thirty more behind it, DNS, NTP, file, print, mail, web and database servers, network
monitoring, a scanner that may scan, administrators at work, an hour of updates. Always the same hour.
"""

from __future__ import annotations

from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Final

from tests.agent.probe.wire.frames import ACK, FIN, RST, SYN, Timed, echo, refused, tcp, udp

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR: Final = 3600.0
LAN: Final = "10.20.0"
DNS, FILES, PRINT, MAIL, WEB, ROUTER, MONITOR, SCANNER, DATABASE, BACKUP, ADMIN = (
    f"{LAN}.{number}" for number in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
)
WORKSTATIONS: Final = [f"{LAN}.{number}" for number in range(20, 60)]
#: One in so many of a stream's frames passes the filter, as the part's settings are by default.
BULK: Final = 8


class Hour:
    """One actor's frames are pushed in any order; they come out in the order of time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.frames: list[Timed] = []
        self._ports: dict[str, int] = {}

    def put(self, at: float, frame: bytes) -> None:
        if at < HOUR:
            self.frames.append((at, frame))

    def port_of(self, ip: str) -> int:
        port = self._ports[ip] = (self._ports.get(ip, 0) + 1) % 16_000
        return 49_152 + port

    def connection(
        self,
        at: float,
        source: str,
        to: str,
        port: int,
        *,
        lasts: float = 1.0,
        said: int = 20_000,
        answer: str = "",
    ) -> None:
        """``answer``: accepted, or ``refused``, or ``none``."""
        mine, first, theirs = self.port_of(source), self.random.getrandbits(32), self.random.getrandbits(32)
        trip = self.random.uniform(0.001, 0.005) if to.startswith(LAN) else self.random.uniform(0.02, 0.25)
        self.put(at, tcp(source, mine, to, port, SYN, number=first))
        if answer == "none":
            for again in (1.0, 3.0):
                self.put(at + again, tcp(source, mine, to, port, SYN, number=first))
            return
        if answer == "refused":
            self.put(at + trip, tcp(to, port, source, mine, RST | ACK, reached=first + 1 & 0xFFFFFFFF))
            return
        self.put(
            at + trip, tcp(to, port, source, mine, SYN | ACK, number=theirs, reached=first + 1 & 0xFFFFFFFF)
        )
        end, reached = at + trip + lasts, theirs + 1 + said & 0xFFFFFFFF
        sent = first + 700 & 0xFFFFFFFF
        if self.random.random() < 0.1:  # cut off, as browsers do
            self.put(end, tcp(source, mine, to, port, RST | ACK, number=sent, reached=reached))
            return
        self.put(end, tcp(source, mine, to, port, FIN | ACK, number=sent, reached=reached))
        self.put(
            end + trip, tcp(to, port, source, mine, FIN | ACK, number=reached, reached=sent + 1 & 0xFFFFFFFF)
        )

    def question(
        self, at: float, source: str, to: str, port: int, *, answered: bool = True, size: int = 120
    ) -> None:
        mine = self.port_of(source)
        asked = udp(source, mine, to, port, 50)
        self.put(at, asked)
        if answered:
            self.put(at + 0.01, udp(to, port, source, mine, size))
        elif to == PRINT:
            self.put(at + 0.01, refused(to, asked))

    def stream(
        self, at: float, source: str, to: str, port: int, *, seconds: float, down: int, up: int
    ) -> None:
        """UDP content: packets a second down and up, of which one in :data:`BULK` is seen."""
        mine = self.port_of(source)
        for rate, frame in ((down, udp(to, port, source, mine, 1200)), (up, udp(source, mine, to, port, 80))):
            for number in range(int(seconds * rate / BULK)):
                self.put(at + number * BULK / rate, frame)

    def every(self, seconds: float, *, first: float | None = None) -> Iterator[float]:
        """Moments about so far apart."""
        at = self.random.uniform(0, seconds) if first is None else first
        while at < HOUR:
            yield at
            at += self.random.uniform(0.7, 1.3) * seconds

    def far(self) -> str:
        return f"203.0.113.{self.random.randrange(1, 255)}" if self.random.random() < 0.3 else self._far()

    def _far(self) -> str:
        return f"198.51.{self.random.randrange(100, 104)}.{self.random.randrange(1, 255)}"


def browses(hour: Hour, source: str, pause: float) -> None:
    """Pages, each with names asked for and content of up to thirty hosts at once; some of them gone."""
    for at in hour.every(pause):
        for _ in range(hour.random.randrange(3, 30)):
            moment = at + hour.random.uniform(0, 1.5)
            hour.question(moment, source, DNS, 53, answered=hour.random.random() < 0.98)
            fate = hour.random.random()
            answer = "none" if fate < 0.02 else "refused" if fate < 0.03 else ""
            hour.connection(
                moment + 0.03, source, hour.far(), 443, lasts=hour.random.expovariate(1 / 20), answer=answer
            )
        if hour.random.random() < 0.3:
            hour.connection(at, source, hour.far(), 80, lasts=0.3)


def works(hour: Hour, source: str) -> None:
    """A workstation's day beside browsing: files, printing, time, mail, updates of neighbours, calls."""
    for at in hour.every(600):
        hour.connection(at, source, FILES, 445, lasts=400, said=4_000_000)
    for at in hour.every(900):
        hour.connection(at, source, PRINT, 9100, lasts=8)
        hour.question(at, source, PRINT, 161)
        hour.question(at + 1, source, PRINT, 3702, answered=False)
    for at in hour.every(300):
        hour.connection(at, source, MAIL, 993, lasts=2, said=3_000)
    for at in hour.every(1024):
        hour.question(at, source, DNS, 123)
    for at in hour.every(1800):  # Windows looks for neighbours that have its updates
        for neighbour in hour.random.sample(WORKSTATIONS, 6):
            hour.connection(at + hour.random.uniform(0, 30), source, neighbour, 7680, answer="none")
    for at in hour.every(240):
        hour.put(at, udp(source, 5353, "224.0.0.251", 5353))
        hour.put(at, udp(source, 137, f"{LAN}.255", 137))
    hour.connection(600 + hour.random.uniform(0, 120), source, hour.far(), 443, lasts=60, said=200_000_000)
    if hour.random.random() < 0.3:
        hour.stream(hour.random.uniform(0, 3000), source, hour.far(), 443, seconds=8, down=3000, up=500)
    if hour.random.random() < 0.2:
        hour.stream(hour.random.uniform(0, 3000), source, hour.far(), 19_302, seconds=120, down=100, up=100)
    if hour.random.random() < 0.1:
        hour.put(hour.random.uniform(0, HOUR), echo(source, DNS))


def serves(hour: Hour) -> None:
    """Servers: mail with its lists and a mailing, a portal at rush hour, a web application with its database."""
    for at in hour.every(0.7):
        hour.connection(at, hour.far(), MAIL, 25, lasts=2, said=900)
        for _ in range(6):
            hour.question(at, MAIL, DNS, 53, answered=hour.random.random() < 0.95)
    for number in range(200):
        fate = hour.random.random()
        answer = "none" if fate < 0.12 else "refused" if fate < 0.15 else ""
        hour.connection(1500 + number * 0.05, MAIL, hour.far(), 25, lasts=3, answer=answer)
    for at in hour.every(0.5):
        hour.connection(at, hour.far(), WEB, 443, lasts=hour.random.uniform(0.5, 15))
        hour.connection(at + 0.05, WEB, DATABASE, 3306, lasts=0.05, said=hour.random.randrange(900, 6000))
    for number in range(40 * 150):
        hour.connection(2400 + number / 150, hour.far(), WEB, 443, lasts=hour.random.uniform(0.2, 4))


def watches(hour: Hour) -> None:
    """Network monitoring of a hundred known devices, eight of them off, and a name server that asks on."""
    for at in hour.every(60):
        for number in range(100, 200):
            there, device = number % 12 != 0, f"{LAN}.{number}"
            moment = at + (number - 100) * 0.2
            hour.put(moment, echo(MONITOR, device))
            if there:
                hour.put(moment + 0.001, echo(device, MONITOR, reply=True))
            hour.question(moment, MONITOR, device, 161, answered=there)
    for at in hour.every(0.2):
        hour.question(at, DNS, hour.far(), 53, answered=hour.random.random() < 0.93, size=400)


def administers(hour: Hour) -> None:
    """A playbook over ten servers, backups by rsync, a scanner by order, a path looked up."""
    for number in range(10):
        for step in range(6):
            hour.connection(1000 + step * 9 + number, ADMIN, f"{LAN}.{number + 2}", 22, lasts=3, said=9_000)
    for at in hour.every(20):
        hour.connection(at, BACKUP, FILES, 22, lasts=4, said=60_000)
    hour.connection(100, ADMIN, FILES, 3389, lasts=2000, said=30_000_000)
    for host in range(2, 8):
        for port in range(1, 400):
            hour.connection(2000 + host * 5 + port / 100, SCANNER, f"{LAN}.{host}", port, answer="refused")
    far, mine = hour.far(), hour.port_of(ADMIN)
    for hop in range(0, 90, BULK):
        hour.put(3000 + hop * 0.05, udp(ADMIN, mine, far, 33_434 + hop))


def office_hour() -> list[Timed]:
    """All of it in the order of time."""
    hour = Hour(1)
    for source in WORKSTATIONS:
        browses(hour, source, 90)
        works(hour, source)
    for _ in range(30):
        browses(hour, ROUTER, 90)
    serves(hour)
    watches(hour)
    administers(hour)
    return sorted(hour.frames, key=itemgetter(0))
