"""``vonggac windows``: an installer out of the real wheels for Windows, and signatures that can be verified."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pip
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import agent
from agent.update.windows_environment import search_path
from soc_api.cli import main
from soc_api.cli.windows._pe import is_pe, is_signed, platform_of
from tests.support.debian import program
from tests.support.releases import Signer, vonggac

_ROOT = f"vonggac-agent/versions/{agent.__version__}"
#: Real programs for Windows, which pip has with it, one an architecture.
_LAUNCHERS = Path(pip.__file__).parent / "_vendor" / "distlib"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `vonggac bundle` fetches for Windows, from the package index or pip's cache."""
    folder = tmp_path_factory.mktemp("windows")
    arguments = ["bundle", "--data", str(folder), "--python-version", "3.11", "--platform", "win_amd64"]
    done = CliRunner().invoke(main, arguments)
    if done.exit_code and os.environ.get("CI") != "true":
        pytest.skip(f"no package index has the wheels for Windows: {done.output.strip()[-200:]}")
    assert done.exit_code == 0, done.output
    return folder / "bundle"


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of the embeddable Python's form. Its programs are real ones, and not Python."""
    path = tmp_path_factory.mktemp("python") / "python-3.11.9-embed-amd64.zip"
    launcher = (_LAUNCHERS / "t64.exe").read_bytes()
    with zipfile.ZipFile(path, "w") as made:
        for name in ("python.exe", "python311.dll"):
            made.writestr(name, launcher)
        made.writestr("python311.zip", b"the standard library")
        made.writestr("python311._pth", "python311.zip\n.\nimport site\n")
    return path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``code.pem``, ``code.key`` and its ``password`` in a folder: a throw-away certificate for code."""
    folder = tmp_path_factory.mktemp("certificate")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vong Gac test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "code.pem").write_bytes(made.public_bytes(pem))
    encryption = serialization.BestAvailableEncryption(b"open sesame")
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption)
    (folder / "code.key").write_bytes(private)
    (folder / "password").write_text("open sesame")
    return folder


def signing(folder: Path) -> list[str]:
    program("osslsigncode", "osslsigncode")
    named = (("certificate", "code.pem"), ("key", "code.key"), ("key-password-file", "password"))
    return [word for option, file in named for word in (f"--{option}", str(folder / file))]


def package(wheels: Path, python: Path, out: Path, *further: str) -> dict[str, Any]:
    program("wixl", "wixl")
    digest = hashlib.sha256(python.read_bytes()).hexdigest()
    said = vonggac(
        *("windows", "package", "--wheels", str(wheels), "--python", str(python)),
        *("--python-sha256", digest, "--out", str(out), "--json", *further),
    )
    told: dict[str, Any] = json.loads(said)
    return told


def extracted(msi: Path, folder: Path) -> dict[str, bytes]:
    subprocess.run(
        [program("msiextract", "msitools"), "-C", str(folder), str(msi)], check=True, capture_output=True
    )
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def table(msi: Path, name: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [program("msiinfo", "msitools"), "export", str(msi), name], check=True, capture_output=True, text=True
    )
    rows = [line.split("\t") for line in done.stdout.replace("\r", "").splitlines()[3:]]
    return {row[0]: row[1:] for row in rows}


def test_the_installer_holds_a_version_as_an_update_lays_it_out(
    wheels: Path, python: Path, tmp_path: Path
) -> None:
    key = Signer(tmp_path / "signer").public
    told = package(wheels, python, tmp_path / "out", "--release-key", str(key))
    msi = Path(told["file"])
    assert msi.name == f"vonggac-agent-{agent.__version__}-win_amd64.msi"
    assert hashlib.sha256(msi.read_bytes()).hexdigest() == told["sha256"]
    files = extracted(msi, tmp_path / "extracted")

    name, content = search_path((3, 11))
    assert files[f"{_ROOT}/{name}"] == content  # and not the one that Python came with
    assert files["vonggac-agent/release.pub"] == key.read_bytes()
    packages = f"{_ROOT}/Lib/site-packages"
    for module in ("agent/cli.py", "msgspec/_core.cp311-win_amd64.pyd", "cryptography/__init__.py"):
        assert f"{packages}/{module}" in files
    assert not [each for each in files if each.startswith((f"{packages}/soc_api", f"{packages}/collector"))]
    assert not [each for each in files if each.endswith(".so")]

    contents = json.loads(Path(told["contents"]).read_text())
    listed = {f"vonggac-agent/{each['path']}": each["sha256"] for each in contents["files"]}
    assert listed == {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    programs = {path for path, data in files.items() if is_pe(data)}
    assert {f"vonggac-agent/{each['path']}" for each in contents["files"] if "signed" in each} == programs
    assert all(platform_of(files[each]) == "win-amd64" for each in programs)
    assert contents["python"]["sha256"] == hashlib.sha256(python.read_bytes()).hexdigest()
    assert f"{_ROOT}/python.exe".removeprefix("vonggac-agent/") in told["unsigned"]

    # The same again: the installer has its own number and date, what is inside is the same to the byte.
    again = package(wheels, python, tmp_path / "again", "--release-key", str(key))
    assert extracted(Path(again["file"]), tmp_path / "extracted-again") == files
    second = json.loads(Path(again["contents"]).read_text())
    assert {**second, "sha256": ""} == {**contents, "sha256": ""}
    for name in ("File", "Component", "Directory", "CustomAction", "InstallExecuteSequence", "Property"):
        assert table(msi, name) == table(Path(again["file"]), name)


def test_the_installer_lets_the_agent_make_its_service(wheels: Path, python: Path, tmp_path: Path) -> None:
    msi = Path(package(wheels, python, tmp_path)["file"])
    actions, sequence = table(msi, "CustomAction"), table(msi, "InstallExecuteSequence")
    deferred_as_system, ignored = 0xC00, 0x40
    exe_of_a_file = 0x12
    assert actions["InstallService"][0] == str(deferred_as_system | exe_of_a_file)
    assert actions["RemoveService"][0] == str(deferred_as_system | exe_of_a_file | ignored)
    assert actions["InstallService"][2] == "-I -X utf8 -m agent.cli service install"
    assert table(msi, "File")[actions["InstallService"][1]][1] == "python.exe"

    def at(action: str) -> int:
        return int(sequence[action][1])

    # An older version goes first, while its service is stopped; its folder of data and the service stay for the new.
    assert at("InstallInitialize") < at("RemoveExistingProducts") < at("StopServices") < at("RemoveService")
    assert (
        at("RemoveService")
        < at("RemoveFiles")
        < at("InstallFiles")
        < at("InstallService")
        < at("InstallFinalize")
    )
    assert sequence["RemoveService"][0] == 'REMOVE="ALL" AND NOT UPGRADINGPRODUCTCODE'
    assert sequence["InstallService"][0] == "NOT REMOVE"
    assert table(msi, "ServiceControl")["Stop"][0] == "vonggac-agent"
    properties = {name: row[0] for name, row in table(msi, "Property").items()}
    assert properties["ProductVersion"] == agent.__version__
    assert properties["UpgradeCode"].strip("{}").lower() == "5d1d7e6c-6f0c-4f6e-9a55-1c0f4b7d2a61"


def test_everything_that_windows_runs_is_signed(
    wheels: Path, python: Path, certificate: Path, tmp_path: Path
) -> None:
    told = package(wheels, python, tmp_path / "out", *signing(certificate))
    assert told["unsigned"] == []
    verify(Path(told["file"]), certificate)
    files = extracted(Path(told["file"]), tmp_path / "extracted")
    programs = [path for path, data in files.items() if is_pe(data)]
    assert len(programs) > 5
    assert all(is_signed(files[each]) for each in programs)
    verify(tmp_path / "extracted" / f"{_ROOT}/python.exe", certificate)


def test_wheels_are_signed_for_updates_and_stay_wheels(
    wheels: Path, certificate: Path, tmp_path: Path
) -> None:
    source = next(wheels.glob("msgspec-*.whl"))
    wheel = tmp_path / source.name
    wheel.write_bytes(source.read_bytes())
    (tmp_path / "pycparser-3.12-py3-none-any.whl").write_bytes(b"not looked at")
    command = ["windows", "sign", "--wheels", str(tmp_path), *signing(certificate), "--json"]
    signed = json.loads(vonggac(*command))["wheels"]
    (member,) = signed[wheel.name]
    with zipfile.ZipFile(wheel) as made, zipfile.ZipFile(source) as before:
        assert sorted(made.namelist()) == sorted(before.namelist())
        data = made.read(member)
        record = made.read(next(name for name in made.namelist() if name.endswith("RECORD"))).decode()
        (tmp_path / "library.pyd").write_bytes(data)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    assert f"{member},sha256={digest},{len(data)}\n" in record
    verify(tmp_path / "library.pyd", certificate)
    assert json.loads(vonggac(*command))["wheels"] == {wheel.name: []}  # what is signed stays


def verify(path: Path, certificate: Path) -> None:
    command = [program("osslsigncode", "osslsigncode"), "verify", "-CAfile", str(certificate / "code.pem")]
    done = subprocess.run([*command, "-in", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Signature verification: ok" in done.stdout


def refusal(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["windows", *arguments])
    assert done.exit_code == 1, done.output
    return done.output


def test_another_python_than_was_meant_is_refused(wheels: Path, python: Path, tmp_path: Path) -> None:
    given = ["package", "--wheels", str(wheels), "--out", str(tmp_path), "--python"]
    assert "not the file that is meant" in refusal(*given, str(python), "--python-sha256", "0" * 64)
    for name, members in {
        "installer.zip": {"python.exe": (_LAUNCHERS / "t64.exe").read_bytes()},
        "nested.zip": {"../python.exe": b"", "python311.dll": b"", "python311.zip": b""},
        "other.zip": {"python.exe": b"\x7fELF", "python311.dll": b"", "python311.zip": b""},
    }.items():
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as made:
            for member, content in members.items():
                made.writestr(member, content)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert "embeddable package" in refusal(*given, str(path), "--python-sha256", digest)
    assert not list(tmp_path.glob("*.msi"))


def test_wheels_of_another_python_are_refused(wheels: Path, python: Path, tmp_path: Path) -> None:
    path = tmp_path / "python-3.13.1-embed-win32.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in ("python.exe", "python313.dll"):
            made.writestr(name, (_LAUNCHERS / "t32.exe").read_bytes())
        made.writestr("python313.zip", b"")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    said = refusal(
        *("package", "--wheels", str(wheels), "--python", str(path), "--python-sha256", digest),
        *("--out", str(tmp_path)),
    )
    assert "vonggac bundle --python-version 3.13 --platform win32" in said


def test_a_wrong_key_says_what_is_wrong(certificate: Path, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong")
    options = signing(certificate)
    options[options.index("--key-password-file") + 1] = str(tmp_path / "password")
    source = next(wheels.glob("zstandard-*.whl"))
    wheel = tmp_path / source.name
    wheel.write_bytes(source.read_bytes())
    assert "osslsigncode" in refusal("sign", "--wheels", str(tmp_path), *options)
    assert wheel.read_bytes() == source.read_bytes()
