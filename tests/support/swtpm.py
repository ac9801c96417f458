"""A TPM 2.0 in software, as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.support.debian import program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Swtpm:
    """Under ``folder``, started; ``stop()`` ends it. What it keeps is in ``folder``: started there anew it is the same
    TPM, elsewhere it is another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.device = self._folder / "tpm"
        self._control = self._folder / "tpm.ctrl"  # where the tools look for it
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        keeps = self._folder / "state"
        keeps.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                program("swtpm", "swtpm"),
                "socket",
                "--tpm2",
                "--tpmstate",
                f"dir={keeps}",
                "--server",
                f"type=unixio,path={self.device}",
                "--ctrl",
                f"type=unixio,path={self._control}",
                "--flags",
                "not-need-init,startup-clear",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._listens, seconds=10, what="the TPM", every=0.01)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return self.device.exists() and probe.connect_ex(str(self.device)) == 0

    def stop(self) -> None:
        """As when the power goes off: newer ones would shut the TPM down in order, if they were asked to end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
        for left in (self.device, self._control):
            left.unlink(missing_ok=True)

    def do(self, *command: str) -> None:
        """One of the tpm2-tools, as ``do("clear")``."""
        done = subprocess.run(
            [program(f"tpm2_{command[0]}", "tpm2-tools"), *command[1:]],
            env={**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={self.device}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
