"""``vonggac release``: the key, signing, bringing to the collector, and what is refused there."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from agent.update.signing import load_private, load_public, sign, verified
from collector.settings import DataDirectory
from collector.state.database import StateStore
from collector.state.migrate import upgrade
from collector.state.tables import AuditEntry
from soc_api.cli import main
from tests.support.releases import Signer, vonggac

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "vonggac-0.2.0-py3-none-any.whl").write_bytes(b"agent")
    (folder / "msgspec-0.22.0-cp312-cp312-win_amd64.whl").write_bytes(b"for Windows")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    made = DataDirectory(tmp_path / "data")
    made.create()
    upgrade(made.state)
    return made


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1, done.output
    return done.output


def test_a_key_is_made_once_and_opens_with_its_password_alone(tmp_path: Path) -> None:
    key, public, password = tmp_path / "release.key", tmp_path / "release.pub", tmp_path / "password"
    command = [
        "release",
        "keygen",
        "--key",
        str(key),
        "--public",
        str(public),
        "--password-file",
        str(password),
    ]
    password.write_text("short\n")
    assert "12 characters" in refused(*command)
    password.write_text("a long enough password\n")
    vonggac(*command)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in key.read_bytes()
    assert "exists" in refused(*command)
    with pytest.raises(Exception, match="cannot be opened"):
        load_private(key.read_bytes(), b"another password")
    manifest = (
        b'{"format":1,"product":"vonggac","version":"0.2.0","schema":1,"made_at":0,"wheels":'
        b'[{"name":"vonggac-0.2.0-py3-none-any.whl","size":1,"sha256":"' + b"0" * 64 + b'"}]}'
    )
    signature = sign(load_private(key.read_bytes(), b"a long enough password"), manifest)
    assert verified(load_public(public), manifest, signature).version == "0.2.0"


def test_a_release_is_brought_shown_and_written_down_once(
    wheels: Path, data: DataDirectory, tmp_path: Path
) -> None:
    signer = Signer(tmp_path / "signer")
    data.release_key.write_bytes(signer.public.read_bytes())
    release = signer.make(wheels, "--notes", "mới")
    assert "no endpoint is told" in vonggac("release", "add", str(release), "--data", str(data.root))
    assert (
        json.loads(vonggac("release", "add", str(release), "--json", "--data", str(data.root)))["new"]
        is False
    )
    names = {each.name for each in (data.releases / "0.2.0").iterdir()}
    assert names == {"manifest.json", "manifest.sig", *(each.name for each in wheels.iterdir())}
    assert [each.name for each in data.releases.iterdir()] == ["0.2.0"]
    [shown] = json.loads(vonggac("release", "list", "--json", "--data", str(data.root)))["releases"]
    assert (shown["version"], shown["notes"]) == ("0.2.0", "mới")
    store = StateStore(data.state)
    with store.read() as session:
        assert list(session.scalars(select(AuditEntry.action))) == ["release.add"]
    store.close()


def test_a_foreign_release_is_refused_and_leaves_nothing(
    wheels: Path, data: DataDirectory, tmp_path: Path
) -> None:
    data.release_key.write_bytes(Signer(tmp_path / "own").public.read_bytes())
    release = Signer(tmp_path / "stranger").make(wheels)
    assert "signature" in refused("release", "add", str(release), "--data", str(data.root))
    assert not data.releases.exists()


def test_a_folder_without_the_agent_is_no_release(wheels: Path, tmp_path: Path) -> None:
    next(wheels.glob("vonggac-*")).unlink()
    signer = Signer(tmp_path / "signer")
    command = ["release", "make", "--wheels", str(wheels), "--key", str(signer.key), "--out", str(tmp_path)]
    assert "0 wheels of the agent" in refused(*command, "--password-file", str(signer.password))
