"""``vonggac release``: releases of the agent: made and signed where the key is, brought to the collector."""

from __future__ import annotations

import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Final

import click
import msgspec

from agent.messages import SCHEMA_VERSION
from agent.update.choosing import tags_of
from agent.update.errors import ReleaseError
from agent.update.manifest import (
    FORMAT,
    MANIFEST,
    MOST_MANIFEST_BYTES,
    PRODUCT,
    SIGNATURE,
    SUFFIX,
    Manifest,
    Wheel,
    is_version,
    read_manifest,
)
from agent.update.signing import load_private, load_public, make_key, sign, verified
from agent.update.sources import WHEELS, ReleaseFile
from collector.state.base import utcnow
from collector.steering.releases import files, service
from soc_api.accounts import audit
from soc_api.cli._place import Place, actor, as_json, echo_json, shown_time, table, with_place
from soc_api.cli.bundle import digests

#: The date of members of a release's zip: equal input gives equal bytes.
_ZIP_DATE: Final = (2026, 1, 1, 0, 0, 0)
_password = click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with the key's password; without it, it is asked for.",
)


@click.group(name="release", short_help="releases of the agent")
def group() -> None:
    """Make releases of the agent, and bring them to the collector. Rollouts are started in the console.

    \b
    Examples:
      vonggac release keygen --key release.key --public release.pub     (once, on a machine without network)
      vonggac release make --wheels bundle --key release.key            (there, for every release)
      vonggac release add vonggac-0.3.0.vgrelease --data var            (on the collector)
    """


@group.command()
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Where the private half goes.")
@click.option("--public", type=click.Path(path_type=Path), required=True, help="Where the public half goes.")
@_password
def keygen(key: Path, public: Path, password_file: Path | None) -> None:
    """Make the key that releases are signed with. Whoever has it and its password can run programs as root on every
    machine: make it on a machine without network, keep it there, and a copy in a safe.

    \b
    Example:
      vonggac release keygen --key release.key --public release.pub
    """
    for path in (key, public):
        if path.exists():
            raise click.ClickException(f"{path} exists: a key is never replaced by accident")
    private, open_half = make_key(_password_of(password_file, confirm=True))
    key.touch(mode=0o600)
    key.write_bytes(private)
    public.write_bytes(open_half)
    click.echo(f"{key}: keep it offline, and a copy in a safe")
    click.echo(f"{public}: put it into the collector's data directory, and name it in agent_release_key_file")


@group.command()
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A folder of wheels, as `vonggac bundle` makes it.",
)
@click.option("--key", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@_password
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default=True)
@click.option("--notes", default="", help="What is new, in a few words for those who roll it out.")
@click.option(
    "--step-back", is_flag=True, help="It may replace newer versions, too: for going back on purpose."
)
@as_json
def make(
    wheels: Path,
    key: Path,
    password_file: Path | None,
    out: Path,
    notes: str,
    step_back: bool,
    as_json: bool,
) -> None:
    """Sign the wheels of a folder as one release: the agent and everything it needs, for as many platforms and Pythons
    as there are wheels.

    \b
    Examples:
      vonggac release make --wheels var/bundle --key release.key
      vonggac release make --wheels old --key release.key --step-back --notes "back to 0.2.0"
    """
    found = [
        Wheel(name=name, size=(wheels / name).stat().st_size, sha256=digest)
        for name, digest in digests(wheels).items()
    ]
    own = [each.name for each in found if each.name.startswith(f"{PRODUCT}-")]
    if len(own) != 1:
        raise click.ClickException(f"{wheels}: holds {len(own)} wheels of the agent, not one")
    version = own[0].split("-")[1]
    if not is_version(version):
        raise click.ClickException(f"{own[0]}: {version!r} is no version of a release")
    manifest = Manifest(
        format=FORMAT,
        product=PRODUCT,
        version=version,
        schema=SCHEMA_VERSION,
        made_at=float(int(time.time())),
        wheels=found,
        step_back=step_back,
        notes=notes,
    )
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    if len(encoded) > MOST_MANIFEST_BYTES:
        raise click.ClickException(f"{wheels}: too many wheels for one release")
    try:
        read_manifest(encoded)
        for each in found:
            tags_of(each.name)
        signature = sign(load_private(key.read_bytes(), _password_of(password_file)), encoded)
    except ReleaseError as error:
        raise click.ClickException(str(error)) from error
    path = out / f"{PRODUCT}-{version}{'-back' if step_back else ''}{SUFFIX}"
    _write(path, wheels, manifest, encoded, signature)
    if as_json:
        echo_json({"file": str(path), "version": version, "wheels": [each.name for each in found]})
    else:
        click.echo(f"{path}: {version}, {len(found)} wheels, {path.stat().st_size:,} bytes")


@group.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The public keys that count (release.pub in the data directory).",
)
@as_json
@with_place
def add(place: Place, file: Path, key: Path | None, as_json: bool) -> None:
    """Check a release and put it where enrolled endpoints fetch it from; on every machine with the agents' port. No
    endpoint is told of it before a rollout is started.

    \b
    Example:
      vonggac release add vonggac-0.3.0.vgrelease --data var
    """
    try:
        keys = load_public(key or place.data.release_key)
        with closing(ReleaseFile(file)) as source:
            manifest_bytes = source.manifest()
            manifest = verified(keys, manifest_bytes, source.signature())
            with place.state() as state:
                with state.read() as session:
                    service.check_addable(session, manifest.version, manifest_bytes)
                files.place(source, manifest, place.data.releases)
                with state.write() as session:
                    release, new = service.add_release(session, manifest, manifest_bytes, actor(), utcnow())
                    if new:
                        digest = release.manifest_sha256
                        audit.record(
                            session, utcnow(), actor(), "release.add", release.version, manifest_sha256=digest
                        )
    except ReleaseError as error:
        raise click.ClickException(f"{file.name}: {error}") from error
    if as_json:
        echo_json({"version": manifest.version, "new": new, "step_back": manifest.step_back})
    else:
        click.echo(
            f"{manifest.version} is here{'' if new else ' (it was known)'}; no endpoint is told of it yet"
        )


@group.command(name="list")
@as_json
@with_place
def list_command(place: Place, as_json: bool) -> None:
    """The releases that were brought, the newest first, and how the rollout stands.

    \b
    Example:
      vonggac release list --data var
    """
    with place.state() as state, state.read() as session:
        releases = service.list_releases(session)
        rollout = service.current(session)
    if as_json:
        shown = [
            {
                "version": r.version,
                "size": r.size,
                "step_back": r.step_back,
                "added_at": r.added_at,
                "notes": r.notes,
            }
            for r in releases
        ]
        going = rollout and {"version": rollout.version, "state": rollout.state, "ring": rollout.ring}
        echo_json({"releases": shown, "rollout": going})
        return
    rows = [
        [r.version, "step back" if r.step_back else "", r.size, r.added_at, r.added_by, r.notes]
        for r in releases
    ]
    table(
        ("VERSION", "", "BYTES", "ADDED", "BY", "NOTES"),
        rows,
        "none: bring one with `vonggac release add FILE`",
    )
    if rollout is not None:
        click.echo(
            f"rollout of {rollout.version}: {rollout.state}, ring {rollout.ring} since {shown_time(rollout.ring_since)}"
        )


def _password_of(file: Path | None, *, confirm: bool = False) -> bytes:
    if file is not None:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    else:
        text = click.prompt("Password of the key", hide_input=True, confirmation_prompt=confirm)
    if confirm and len(text) < 12:
        raise click.ClickException("the password must have 12 characters at least")
    return str(text).encode()


def _write(path: Path, wheels: Path, manifest: Manifest, encoded: bytes, signature: bytes) -> None:
    made = path.with_name(path.name + ".tmp")
    try:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as release:
            release.writestr(zipfile.ZipInfo(MANIFEST, _ZIP_DATE), encoded)
            release.writestr(zipfile.ZipInfo(SIGNATURE, _ZIP_DATE), signature)
            for each in manifest.wheels:
                info = zipfile.ZipInfo(f"{WHEELS}/{each.name}", _ZIP_DATE)
                release.writestr(info, (wheels / each.name).read_bytes())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
