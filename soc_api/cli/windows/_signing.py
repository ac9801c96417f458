"""Authenticode by ``osslsigncode``, with the key that the operator names."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from soc_api.cli.windows._pe import is_pe, is_signed

if TYPE_CHECKING:
    from collections.abc import Callable

_PROGRAM: Final = "osslsigncode"
_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Signer:
    """``certificate``: PEM, with the chain; ``key``: PEM, opened by the password in ``password``, where it has one.
    ``timestamp``: the URL of an RFC 3161 service; without one, signatures end with the certificate."""

    certificate: Path
    key: Path
    password: Path | None
    timestamp: str

    def sign(self, path: Path) -> None:
        """Sign a PE or MSI file in place.

        Raises:
            click.ClickException: it cannot be; the file is as it was.
        """
        program = shutil.which(_PROGRAM)
        if program is None:
            raise click.ClickException(f"{_PROGRAM} is missing: install the Debian package {_PROGRAM}")
        signed = path.with_name(path.name + ".signed")
        command = [program, "sign", "-certs", str(self.certificate), "-key", str(self.key), "-h", "sha256"]
        command += ["-readpass", str(self.password)] if self.password is not None else []
        command += ["-ts", self.timestamp] if self.timestamp else []
        command += ["-n", "Vong Gac", "-in", str(path), "-out", str(signed)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            if done.returncode or not signed.is_file():
                lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
                raise click.ClickException(f"{_PROGRAM}: {path.name}: {'; '.join(lines[-3:])[:300]}")
            signed.replace(path)
        except subprocess.TimeoutExpired as error:
            raise click.ClickException(f"{_PROGRAM}: {path.name}: no end within {_SECONDS:g} s") from error
        finally:
            signed.unlink(missing_ok=True)

    def signed(self, data: bytes) -> bytes:
        """The PE file ``data`` with a signature; as it was where it has one of its maker's already. Raises as
        :meth:`sign`."""
        if not is_pe(data) or is_signed(data):
            return data
        descriptor, name = tempfile.mkstemp(suffix=".dll")
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            self.sign(path)
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)


def with_signer(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a signature; the command gets a :class:`Signer` as ``signer``, None where none is named."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(
            certificate: Path | None,
            key: Path | None,
            password: Path | None,
            timestamp: str,
            **arguments: Any,
        ) -> Any:
            if (certificate is None) != (key is None):
                raise click.UsageError("--certificate and --key go together")
            signer = None
            if certificate is not None and key is not None:
                signer = Signer(
                    certificate.absolute(), key.absolute(), password and password.absolute(), timestamp
                )
            return function(signer=signer, **arguments)

        call.__name__, call.__doc__ = function.__name__, function.__doc__
        call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]  # click's own
        file = click.Path(path_type=Path, exists=True, dir_okay=False)
        for option in (
            click.option(
                "--timestamp", default="", metavar="URL", help="An RFC 3161 service that dates signatures."
            ),
            click.option(
                "--key-password-file", "password", type=file, help="A file with the key's password."
            ),
            click.option(
                "--key", type=file, required=required, help="The private key of that certificate, PEM."
            ),
            click.option(
                "--certificate",
                type=file,
                required=required,
                help="A code signing certificate and its chain, PEM.",
            ),
        ):
            call = option(call)
        return call

    return decorate
