"""``vonggac windows sign``: sign what Windows runs inside wheels, before a release or a package is made of them."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from soc_api.cli._place import as_json, echo_json
from soc_api.cli.windows._pe import is_pe, is_signed
from soc_api.cli.windows._signing import Signer, with_signer

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The date of members of a rewritten wheel: equal input gives equal bytes but for the signatures.
_ZIP_DATE: Final = (2026, 1, 1, 0, 0, 0)


@click.command(name="sign", short_help="sign what Windows runs inside wheels")
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A folder of wheels, as `vonggac bundle` makes it; those for Windows are replaced by signed ones.",
)
@with_signer(required=True)
@as_json
def sign_command(wheels: Path, signer: Signer, as_json: bool) -> None:
    """Sign the libraries in the Windows wheels of a folder that have no signature yet, so that a machine whose policy
    demands signatures runs them from a package and from updates alike.

    \b
    Example:
      vonggac windows sign --wheels var/bundle --certificate code.pem --key code.key
    """
    signed = {
        path.name: sign_wheel(path, signer)
        for path in sorted(wheels.glob("*.whl"))
        if path.stem.rpartition("-")[2].startswith("win")
    }
    if as_json:
        echo_json({"wheels": signed})
        return
    for name, members in signed.items():
        click.echo(f"{name}: {', '.join(members) or 'nothing to sign'}")
    if not signed:
        raise click.ClickException(f"{wheels}: holds no wheels for Windows")


def sign_wheel(path: Path, signer: Signer) -> list[str]:
    """Sign what is not signed in the wheel ``path`` and replace it; what was signed. Raises as :meth:`Signer.sign`."""
    with zipfile.ZipFile(path) as wheel:
        members = {info.filename: wheel.read(info) for info in wheel.infolist() if not info.is_dir()}
    unsigned = sorted(name for name, data in members.items() if is_pe(data) and not is_signed(data))
    if not unsigned:
        return []
    for name in unsigned:
        members[name] = signer.signed(members[name])
    record = next((name for name in members if name.endswith(".dist-info/RECORD")), None)
    if record is None:
        raise click.ClickException(f"{path.name}: not a wheel: it has no RECORD")
    members[record] = _recorded(members[record], {name: members[name] for name in unsigned})
    made = path.with_name(path.name + ".tmp")
    try:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as wheel:
            for name in sorted(members):
                info = zipfile.ZipInfo(name, _ZIP_DATE)
                info.compress_type = zipfile.ZIP_DEFLATED
                wheel.writestr(info, members[name])
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return unsigned


def _recorded(record: bytes, changed: Mapping[str, bytes]) -> bytes:
    """A RECORD with digests and sizes of what was changed (PEP 376)."""
    lines = []
    for line in record.decode("utf-8").splitlines():
        data = changed.get(line.rsplit(",", 2)[0])
        if data is not None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            line = f"{line.rsplit(',', 2)[0]},sha256={digest},{len(data)}"
        lines.append(line)
    return "".join(f"{line}\n" for line in lines).encode()
