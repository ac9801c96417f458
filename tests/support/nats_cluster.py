"""Three real NATS servers, each in a network namespace of its own, on a bridge that a test can unplug them from.

A fourth namespace is for the clients. Nothing of it touches the machine's own network.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tests.support.nats import PASSWORD, USER, program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NODES: Final = (1, 2, 3)
_CLIENT: Final = 9


def possible() -> bool:
    """Whether namespaces can be made here."""
    return os.geteuid() == 0 and shutil.which("ip") is not None and program() is not None


def address(node: int) -> str:
    return f"10.77.0.{node}"


class Network:
    """Machines as network namespaces on one bridge, by number; :meth:`remove` it in any case."""

    def __init__(self, machines: Iterable[int]) -> None:
        self._tag = f"vg{os.getpid()}"
        self._machines = tuple(machines)

    def make(self) -> None:
        self._ip("netns", "add", self._tag)
        self._in(self._tag, "link", "add", "bridge", "type", "bridge")
        self._in(self._tag, "link", "set", "bridge", "up")
        for number in self._machines:
            name = self._name(number)
            self._ip("netns", "add", name)
            self._in(self._tag, "link", "add", f"to{number}", "type", "veth", "peer", "eth0", "netns", name)
            self._in(self._tag, "link", "set", f"to{number}", "master", "bridge", "up")
            self._in(name, "link", "set", "lo", "up")
            self._in(name, "address", "add", f"{address(number)}/24", "dev", "eth0")
            self._in(name, "link", "set", "eth0", "up")

    def on(self, machine: int, *command: str) -> list[str]:
        """The command as it is run on that machine."""
        return ["ip", "netns", "exec", self._name(machine), *command]

    def unplug(self, machine: int) -> None:
        """Take the machine off the network; it runs on."""
        self._in(self._tag, "link", "set", f"to{machine}", "down")

    def plug_in(self, machine: int) -> None:
        self._in(self._tag, "link", "set", f"to{machine}", "up")

    def remove(self) -> None:
        for name in (*map(self._name, self._machines), self._tag):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _name(self, machine: int) -> str:
        return f"{self._tag}-{machine}"

    def _in(self, namespace: str, *arguments: str) -> None:
        self._ip("-n", namespace, *arguments)

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


class NatsCluster:
    """Call :meth:`start`, and :meth:`remove` in any case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network((*NODES, _CLIENT))
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._clients: list[subprocess.Popen[str]] = []

    @property
    def url(self) -> str:
        return ",".join(f"nats://{USER}:{PASSWORD}@{address(node)}:4222" for node in NODES)

    def start(self) -> None:
        """Make the network and the servers, and wait until they have a leader."""
        self.network.make()
        for node in NODES:
            self.start_node(node)
        wait_until(self.meta_leader, seconds=30, what="a leader of the cluster", every=0.2)

    def start_node(self, node: int) -> None:
        folder = self.folder / f"node{node}"
        folder.mkdir(parents=True, exist_ok=True)
        routes = ", ".join(f'"nats://{address(other)}:6222"' for other in NODES if other != node)
        config = folder / "nats.conf"
        config.write_text(
            f"server_name: node{node}\n"
            f'listen: "{address(node)}:4222"\nhttp: "{address(node)}:8222"\nmax_payload: 2MB\n'
            f'jetstream {{ store_dir: "{folder / "store"}", max_file_store: 4GB }}\n'
            f'cluster {{ name: test, listen: "{address(node)}:6222", routes: [{routes}] }}\n'
            f"authorization {{ user: {USER}, password: {PASSWORD} }}\n"
        )
        with (folder / "nats.log").open("ab") as output:
            self._running[node] = subprocess.Popen(
                self.network.on(node, program() or "nats-server", "-c", str(config)),
                stdout=output,
                stderr=output,
            )

    def client(self, *arguments: str) -> subprocess.Popen[str]:
        """Run a Python program with a network of only these servers; what it says can be read."""
        process = subprocess.Popen(
            self.network.on(_CLIENT, sys.executable, *arguments),
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        self._clients.append(process)
        return process

    def meta_leader(self) -> int | None:
        """The node that leads the cluster, by the first that says so."""
        for node in self._running:
            found = self._ask(node, "jsz").get("meta_cluster", {}).get("leader", "")
            if found:
                return int(found.removeprefix("node"))
        return None

    def stream_leader(self) -> int | None:
        """The node that leads the log's stream, as a majority of the servers sees it."""
        said = [
            stream.get("cluster", {}).get("leader", "")
            for node in self._running
            for account in self._ask(node, "jsz?streams=true").get("account_details") or ()
            for stream in account.get("stream_detail") or ()
        ]
        for leader in set(said) - {""}:
            if said.count(leader) >= 2:
                return int(leader.removeprefix("node"))
        return None

    def kill(self, node: int) -> None:
        """SIGKILL."""
        process = self._running.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def remove(self) -> None:
        for client in self._clients:
            client.kill()
            client.wait(10)
            for pipe in (client.stdout, client.stdin):
                if pipe is not None:
                    pipe.close()
        for node in tuple(self._running):
            self.kill(node)
        self.network.remove()

    def _ask(self, node: int, what: str) -> dict[str, Any]:
        """Of a node's monitoring, asked from inside its own namespace, so also while it is unplugged."""
        script = (
            "import sys,urllib.request;"
            f"sys.stdout.buffer.write(urllib.request.urlopen('http://{address(node)}:8222/{what}',timeout=2).read())"
        )
        done = subprocess.run(
            self.network.on(node, sys.executable, "-S", "-c", script),
            capture_output=True,
            check=False,
        )
        answer: dict[str, Any] = msgspec.json.decode(done.stdout) if done.returncode == 0 else {}
        return answer
