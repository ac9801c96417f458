"""A pin is of a key: whatever else the device has, and whatever that key signs with."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from agent.probe.ssh.asking import Read, read
from agent.probe.ssh.settings import Device
from soc_api.local import free_port
from tests.support.debian import program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("ed25519", "rsa", "ecdsa")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[int]:
    """The port of a real sshd with three host keys, whose RSA key signs with SHA-2 alone."""
    port = free_port()
    for kind in (*KINDS, "user"):
        of = "ed25519" if kind == "user" else kind
        made = ["ssh-keygen", "-q", "-t", of, "-N", "", "-f", str(tmp_path / kind)]
        subprocess.run(made, check=True)
    keys = "".join(f"HostKey {tmp_path / kind}\n" for kind in KINDS)
    (tmp_path / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\n{keys}PidFile none\nUsePAM no\nMaxStartups 100\n"
        "HostKeyAlgorithms ssh-ed25519,rsa-sha2-512,ecdsa-sha2-nistp256\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen(
        [program("sshd", "openssh-server"), "-D", "-e", "-f", str(tmp_path / "config")],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: look(port, "", tmp_path).shown, seconds=60, what="sshd to answer")
        yield port
    finally:
        server.terminate()
        server.wait(30)


def look(port: int, pin: str, folder: Path, platform: str = "linux", *, old: bool = False) -> Read:
    asked = Device(
        name="may-chu", host="127.0.0.1", port=port, platform=platform, user="nobody-here",
        key_file=str(folder / "user"), host_key=pin, old_algorithms=old,
    )  # fmt: skip
    return asyncio.run(read(asked, 30))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_pin_holds_whichever_key_the_device_would_show_unasked(sshd: int, tmp_path: Path) -> None:
    for kind in KINDS:
        public = (tmp_path / f"{kind}.pub").read_text().strip()
        fingerprint = asyncssh.import_public_key(public).get_fingerprint()
        for pin in (public, fingerprint):
            # The account is nobody's: that it was asked for says that the key was the pinned one.
            found = look(sshd, pin.rpartition(" ")[0] if " " in pin else pin, tmp_path)
            assert (kind, found.state, found.shown) == (kind, "refused", fingerprint)
        assert look(sshd, fingerprint, tmp_path, "sfos").shown == fingerprint
    public = (tmp_path / "rsa.pub").read_text().split()[1]
    assert look(sshd, f"rsa-sha2-512 {public}", tmp_path).state == "refused"
    assert look(sshd, fingerprint, tmp_path, "sfos", old=True).state == "answering"
    found = look(sshd, "SHA256:" + "A" * 43, tmp_path)
    assert found.state == "host_key_changed"
    assert look(sshd, "SHA256:" + "A" * 43, tmp_path, "sfos").state == "host_key_changed"


def test_who_shows_another_key_and_hangs_up_from_then_on_is_told(tmp_path: Path) -> None:
    """As one may who sits in between and does not want to be noticed."""
    pin = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()

    async def between() -> Read:
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")]
        )
        connections = 0

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            if connections == 1:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.get_port())
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            writer.close()

        relay = await asyncio.start_server(carry, "127.0.0.1", 0)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "user")], check=True
        )
        device = Device(
            name="may-chu", host="127.0.0.1", port=relay.sockets[0].getsockname()[1], platform="linux",
            user="nobody-here", key_file=str(tmp_path / "user"), host_key=pin,
        )  # fmt: skip
        try:
            return await read(device, 30)
        finally:
            relay.close()
            server.close()

    assert asyncio.run(between()).state == "host_key_changed"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    writer.close()
