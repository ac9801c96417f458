"""A real clamd on a database of one signature that the test makes itself: nothing is downloaded.

The database is an unsigned container (``daily.cud``): a 512-byte header, then a tar.gz whose ``daily.info``
repeats the header. clamd takes version and build date from it, as from the official one, so a test can also
make it old.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import socket
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

from tests.support.debian import program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

#: The harmless file that every antivirus program calls malware; in halves, so that this file is none itself.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURE = "Eicar-Test-Signature"


def write_database(folder: Path, *, built_at: float) -> None:
    """Write ``daily.cud`` into ``folder``: version 26961, built at ``built_at`` (seconds since the epoch)."""
    signatures = f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:{SIGNATURE}\n".encode()
    date = time.strftime("%d %b %Y %H-%M +0000", time.gmtime(built_at))
    digest = hashlib.sha256(signatures).hexdigest()
    info = f"ClamAV-VDB:{date}:26961:1:90:X:X:tests:{int(built_at)}\ndaily.hdb:{len(signatures)}:{digest}\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (
            ("COPYING", b"tests\n"),
            ("daily.info", info.encode()),
            ("daily.hdb", signatures),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    body = packed.getvalue()
    header = f"ClamAV-VDB:{date}:26961:1:90:{hashlib.md5(body).hexdigest()}:X:tests:{int(built_at)}"
    (folder / "daily.cud").write_bytes(header.encode().ljust(512) + body)


class Clamd:
    """One daemon under ``folder``. ``stop()`` and ``start()`` may alternate; the owner stops it at the end.

    ``configuration`` is the ``clamd.conf``; socket, log and database lie in ``folder``.
    """

    def __init__(self, folder: Path, *, built_at: float | None = None) -> None:
        self._program = program("clamd", "clamav-daemon")
        self.folder = folder
        self.socket = folder / "clamd.sock"
        self.log = folder / "clamd.log"
        self.configuration = folder / "clamd.conf"
        database = folder / "database"
        database.mkdir(parents=True)
        write_database(database, built_at=time.time() - 3600 if built_at is None else built_at)
        self.configuration.write_text(
            f"LocalSocket {self.socket}\nLogFile {self.log}\nLogTime yes\nDatabaseDirectory {database}\n"
            "Foreground yes\nFixStaleSocket yes\nUser root\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "--config-file", str(self.configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, seconds=30, what="clamd to answer PING")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self.socket.unlink(missing_ok=True)

    def ask(self, command: str) -> str:
        """Send one command of clamd's protocol (clamd(8)) and return the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(f"z{command}\0".encode())
            answer = bytearray()
            while chunk := connection.recv(4096):
                answer += chunk
            return answer.rstrip(b"\0").decode()

    def scan(self, path: Path) -> str:
        return self.ask(f"SCAN {path}")

    def remove(self) -> None:
        """Stop it and take every trace of it away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return False
