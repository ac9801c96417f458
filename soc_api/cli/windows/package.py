"""``vonggac windows package``: an installer (.msi) of the agent with a Python of its own, for machines without one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.update.errors import ReleaseError
from agent.update.signing import load_public
from soc_api.cli._place import as_json, echo_json
from soc_api.cli.windows._msi import make_msi
from soc_api.cli.windows._payload import lay_out, read_python
from soc_api.cli.windows._pe import is_pe, is_signed
from soc_api.cli.windows._signing import Signer, with_signer

if TYPE_CHECKING:
    from soc_api.cli.windows._payload import Payload


@click.command(name="package", short_help="an installer of the agent for Windows")
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A folder of wheels, as `vonggac bundle` makes it for Windows.",
)
@click.option(
    "--python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="python.org's “Windows embeddable package”, of a Python that the wheels are for.",
)
@click.option("--python-sha256", required=True, metavar="HEX", help="The SHA-256 that this file must have.")
@click.option(
    "--release-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The public keys of releases (release.pub); without them machines take no updates.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default=True)
@with_signer(required=False)
@as_json
def package_command(
    wheels: Path,
    python: Path,
    python_sha256: str,
    release_key: Path | None,
    out: Path,
    signer: Signer | None,
    as_json: bool,
) -> None:
    """Put the agent, the wheels that it needs and a Python into one .msi, which installs the service; and beside it a
    list of everything inside, with digests, and which of it Windows runs and who is to sign that. With a certificate,
    what is not signed yet is signed, and the installer.

    \b
    Example:
      vonggac windows package --wheels var/bundle --python python-3.11.9-embed-amd64.zip --python-sha256 …
    """
    try:
        if release_key is not None:
            load_public(release_key)
    except ReleaseError as error:
        raise click.ClickException(str(error)) from error
    payload = lay_out(
        read_python(python, python_sha256), wheels, None if release_key is None else release_key.read_bytes()
    )
    if signer is not None:
        signed = {path: signer.signed(data) for path, data in payload.files.items()}
        payload = dataclasses.replace(payload, files=signed)
    out.mkdir(parents=True, exist_ok=True)
    name = f"vonggac-agent-{payload.version}-{payload.python.platform.replace('-', '_')}"
    target, listed = out / f"{name}.msi", out / f"{name}.json"
    with tempfile.TemporaryDirectory(dir=out, prefix=".package-") as made:
        folder = Path(made)
        installer = folder / target.name
        make_msi(payload, folder, installer)
        if signer is not None:
            signer.sign(installer)
        contents = describe(payload)
        digest = hashlib.sha256(installer.read_bytes()).hexdigest()
        told = {"installer": target.name, "sha256": digest, **contents}
        (folder / listed.name).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        installer.replace(target)
        (folder / listed.name).replace(listed)
    unsigned = [each["path"] for each in contents["files"] if each.get("signed") is False]
    if as_json:
        echo_json({"file": str(target), "sha256": digest, "contents": str(listed), "unsigned": unsigned})
        return
    click.echo(f"{target}: {payload.version}, {len(payload.files)} files, {target.stat().st_size:,} bytes")
    click.echo(f"{listed}: what is inside, with digests")
    if unsigned or signer is None:
        click.echo(f"not signed: the installer and {len(unsigned)} of the programs and libraries inside")


def describe(payload: Payload) -> dict[str, Any]:
    """What is inside. ``signed`` stands at programs and libraries alone: whether they carry a signature."""
    files = []
    for path, data in payload.files.items():
        row: dict[str, Any] = {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if is_pe(data):
            row["signed"] = is_signed(data)
        files.append(row)
    python = payload.python
    return {
        "version": payload.version,
        "python": {"file": python.name, "sha256": python.sha256, "version": "{}.{}".format(*python.version)},
        "platform": python.platform,
        "wheels": [{"name": each.name, "sha256": each.sha256} for each in payload.wheels],
        "files": files,
    }
