"""The agent's key, sealed to a TPM (in software): enrolled, run, renewed, and what is said where it is not opened."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from agent.messages import HostFacts
from agent.runtime import sealing, tpm
from agent.runtime.diagnosis import diagnose, render
from agent.runtime.enrolment import enrol, renew
from agent.runtime.errors import EnrolmentError, SealedKeyError, TpmError
from agent.runtime.identity import load_identity, own_context, waiting_key
from agent.runtime.keeping import Keeper
from agent.runtime.log import Log
from agent.runtime.sealing import is_sealed, open_key
from agent.runtime.status import read_status
from agent.runtime.tpm import Sealed, seal, unseal
from agent.runtime.transport import Address
from agent.settings import StateDirectory
from agent.update.place import DONE, GOING_BACK, SWITCHING, Installation, Record
from tests.agent.runtime.test_process import Program
from tests.support import debian
from tests.support.collector import make_site
from tests.support.swtpm import Swtpm
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.agent.runtime.stub import StubCollector

FACTS = HostFacts(hostname="may-01")


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[Swtpm]:
    made = Swtpm(tmp_path / "chip")
    yield made
    made.stop()


@pytest.fixture
def sealed(tmp_path: Path, chip: Swtpm, stub: StubCollector) -> StateDirectory:
    """A state directory that has enrolled, with its key in ``chip``."""
    state = StateDirectory(tmp_path / "state", chip.device)
    enrol(state, Address.of(stub.url), stub.token(), FACTS, tpm="require")
    return state


@pytest.fixture
def program(tmp_path: Path, sealed: StateDirectory) -> Iterator[Program]:
    made = Program(tmp_path, sealed)
    set_tpm(made, sealed.tpm)
    yield made
    made.close()


def set_tpm(program: Program, device: Path, policy: str = "auto") -> None:
    lines = f'[agent]\ntpm = "{policy}"\ntpm_device = "{device}"\n'
    program.config.write_text(program.config.read_text().replace("[agent]\n", lines, 1))


def says(program: Program, lang: str = "vi") -> str:
    return program.command("status", "--config", str(program.config), "--lang", lang).stdout


def reason(device: Path, kept: Sealed) -> str:
    with pytest.raises(TpmError) as refused:
        unseal(device, kept)
    return refused.value.code


def private_numbers(state: StateDirectory, path: Path) -> list[bytes]:
    """The key as it would lie on a disk in any of the usual forms."""
    key = serialization.load_pem_private_key(open_key(state.tpm, path), password=None)
    forms = [
        key.private_bytes(encoding, form, serialization.NoEncryption())
        for encoding in (serialization.Encoding.DER, serialization.Encoding.PEM)
        for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)
    ]
    numbers = key.private_numbers().private_value.to_bytes(32)  # type: ignore[union-attr]
    lines = [each for form in forms[2:] for each in form.splitlines()[1:-1]]
    return [numbers, *lines]


# -- the TPM itself --------------------------------------------------------------------------------------------


def test_a_secret_comes_back_from_the_tpm_that_sealed_it_also_after_a_restart(chip: Swtpm) -> None:
    kept = [seal(chip.device, bytes([n]) * size) for n, size in ((1, 1), (2, 121), (3, tpm.MOST_SEALED))]
    chip.stop()
    chip.start()
    assert [unseal(chip.device, each) for each in kept] == [b"\1", b"\2" * 121, b"\3" * tpm.MOST_SEALED]


def test_nothing_stays_in_the_tpm_however_often_it_is_asked(chip: Swtpm) -> None:
    # This one has no resource manager, and room for three objects.
    kept = seal(chip.device, b"secret")
    for _ in range(8):
        assert unseal(chip.device, kept) == b"secret"
        with pytest.raises(TpmError):
            unseal(chip.device, Sealed(public=kept.public, private=kept.private[:-1] + b"\0"))


def test_another_tpm_and_one_that_was_cleared_do_not_open_it(chip: Swtpm, tmp_path: Path) -> None:
    kept = seal(chip.device, b"secret")
    other = Swtpm(tmp_path / "other")
    try:
        assert reason(other.device, kept) == "other"
    finally:
        other.stop()
    chip.do("clear", "-c", "platform")
    assert reason(chip.device, kept) == "other"


def test_a_tpm_that_is_locked_out_by_guessed_passwords_unseals(
    chip: Swtpm, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = seal(chip.device, b"secret")
    with monkeypatch.context() as patch:
        patch.setattr(tpm, "_DATA", struct.pack(">HHIHHH", 0x0008, 0x000B, 0x00000052, 0, 0x0010, 0))
        subject_to_it = seal(chip.device, b"secret")
    chip.do("dictionarylockout", "-s", "-n", "1", "-t", "1000", "-l", "1000")
    # What is subject to it was used, and the power went off: that counts as a wrong password.
    assert unseal(chip.device, subject_to_it) == b"secret"
    chip.stop()
    chip.start()
    assert reason(chip.device, subject_to_it) == "locked"
    assert unseal(chip.device, kept) == b"secret"


def test_a_password_of_the_owner_locks(chip: Swtpm) -> None:
    kept = seal(chip.device, b"secret")
    chip.do("changeauth", "-c", "owner", "password")
    assert reason(chip.device, kept) == "locked"
    chip.do("changeauth", "-c", "owner", "-p", "password")
    assert unseal(chip.device, kept) == b"secret"


def test_no_tpm_and_one_that_this_user_may_not_use_are_two_things(tmp_path: Path) -> None:
    kept = Sealed(public=b"\0\0", private=b"\0\0")
    assert reason(tmp_path / "none", kept) == "absent"
    assert reason(tmp_path, kept) == "failed"  # a folder
    if os.geteuid() != 0:
        (tmp_path / "denied").touch(mode=0o000)
        assert reason(tmp_path / "denied", kept) == "denied"


@pytest.mark.parametrize(
    "answer", [b"", b"\x80\x02", b"\x80\x02" + b"\0" * 4 + b"\0\0\0\0", b"\x80\x02\0\0\0\x0e\0\0\0\0\0\0\0\0"]
)
def test_what_answers_like_no_tpm_is_an_error(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "odd"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                while answer and peer.recv(4096):
                    peer.sendall(answer)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        with pytest.raises(TpmError):
            unseal(path, Sealed(public=b"\0\0", private=b"\0\0"))
        serving.join(10)


# -- enrolment and renewal -------------------------------------------------------------------------------------


def test_a_key_that_is_sealed_lies_nowhere_in_the_clear(sealed: StateDirectory) -> None:
    assert is_sealed(sealed.key)
    assert stat.S_IMODE(sealed.key.stat().st_mode) == 0o600
    assert load_identity(sealed).unsealed == ""
    assert own_context(sealed).get_ca_certs()
    secrets = private_numbers(sealed, sealed.key)
    for path in sealed.root.rglob("*"):
        if path.is_file():
            assert not [each for each in secrets if each in path.read_bytes()], path


def test_what_ssl_is_given_goes_through_memory_alone(sealed: StateDirectory, tmp_path: Path) -> None:
    """By the system calls themselves: no file is opened for writing, and none is made, while the key is unsealed."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom agent.settings import StateDirectory\n"
        "from agent.runtime.identity import own_context\n"
        "state = StateDirectory(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "Path('/proc/self/comm').read_bytes()\nprint(len(own_context(state).get_ca_certs()))\n"
    )
    trace = tmp_path / "trace"
    done = subprocess.run(
        [
            debian.program("strace", "strace"),
            *("-f", "-e", "trace=open,openat,creat,memfd_create,execve,rename,renameat2", "-o", str(trace)),
            *(sys.executable, "-B", "-c", program, str(sealed.root), str(sealed.tpm)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1\n", done.stderr
    lines = trace.read_text().splitlines()
    assert [each for each in lines if "memfd_create(" in each]
    assert [each for each in lines if 'agent.key", O_RDONLY' in each]
    wrote = [each for each in lines if re.search(r"O_WRONLY|O_RDWR|O_CREAT|creat\(|rename", each)]
    assert [
        each for each in wrote if "ENOENT" not in each and "/dev/null" not in each and "memfd" not in each
    ] == []
    assert len([each for each in lines if "execve(" in each]) == 1


def test_a_renewal_seals_the_new_key_and_asks_again_with_the_same(
    stub: StubCollector, chip: Swtpm, sealed: StateDirectory
) -> None:
    before = sealed.key.read_bytes()
    stub.answers.append((503, {}, b""))
    with pytest.raises(EnrolmentError, match="503"):
        renew(sealed, tpm="require")
    asking = sealed.key.with_name("agent.key.asking")
    assert sealed.key.read_bytes() == before
    assert is_sealed(asking)
    asked = open_key(sealed.tpm, asking)
    chip.stop()
    with pytest.raises(SealedKeyError):
        renew(sealed)
    chip.start()
    renew(sealed, tpm="require")
    assert open_key(sealed.tpm, sealed.key) == asked
    assert is_sealed(sealed.key)
    assert own_context(sealed).get_ca_certs()
    assert sorted(each.name for each in sealed.root.glob("agent.key*")) == ["agent.key"]


def test_a_renewal_that_was_cut_off_is_finished_when_the_tpm_is_there_again(
    stub: StubCollector, chip: Swtpm, sealed: StateDirectory
) -> None:
    old_key = sealed.key.read_bytes()
    renew(sealed, tpm="require")
    new_key = sealed.key.read_bytes()
    sealed.key.write_bytes(old_key)
    waiting_key(sealed).write_bytes(new_key)
    chip.stop()
    with pytest.raises(SealedKeyError) as refused:
        load_identity(sealed)
    assert refused.value.code == "absent"
    assert waiting_key(sealed).read_bytes() == new_key
    chip.start()
    load_identity(sealed)
    assert sealed.key.read_bytes() == new_key
    assert own_context(sealed).get_ca_certs()


def test_a_first_sealing_that_was_cut_off_keeps_nobody_from_the_key_that_still_holds(
    stub: StubCollector, chip: Swtpm, tmp_path: Path
) -> None:
    state = StateDirectory(tmp_path / "state", chip.device)
    enrol(state, Address.of(stub.url), stub.token(), FACTS, tpm="off")
    plain, certificate = state.key.read_bytes(), state.certificate.read_bytes()
    renew(state, tpm="require")
    new_key, new_certificate = state.key.read_bytes(), state.certificate.read_bytes()
    chip.stop()

    def cut_off(certificate: bytes) -> None:
        state.key.write_bytes(plain)
        state.certificate.write_bytes(certificate)
        waiting_key(state).write_bytes(new_key)

    cut_off(new_certificate)
    with pytest.raises(SealedKeyError):
        load_identity(state)
    cut_off(certificate)
    load_identity(state)
    assert not waiting_key(state).exists()
    assert own_context(state).get_ca_certs()


def test_settings_say_where_the_next_key_lies(stub: StubCollector, chip: Swtpm, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state", tmp_path / "none")
    with pytest.raises(EnrolmentError, match="cannot be sealed"):
        enrol(state, Address.of(stub.url), stub.token(), FACTS, tpm="require")
    assert not stub.used_tokens
    assert not state.identity.exists()
    assert enrol(state, Address.of(stub.url), stub.token(), FACTS).unsealed == "absent"
    assert not is_sealed(state.key)
    state.tpm = chip.device
    assert renew(state).unsealed == ""
    assert is_sealed(state.key)
    assert renew(state, tpm="off").unsealed == "off"
    assert not is_sealed(state.key)
    assert own_context(state).get_ca_certs()


def test_a_key_is_not_sealed_for_the_first_time_while_an_update_may_still_be_taken_back(
    stub: StubCollector, chip: Swtpm, tmp_path: Path
) -> None:
    """The version before may not be able to read it."""
    state, place = StateDirectory(tmp_path / "state", chip.device), Installation(tmp_path)
    now = enrol(state, Address.of(stub.url), stub.token(), FACTS, tpm="off").renew_at + 1

    def keeper() -> Keeper:
        return Keeper(
            state,
            load_identity(state),
            FACTS,
            Log(),
            root="/",
            tpm="auto",
            unproven=lambda: place.is_unproven(now),
            time=lambda: now,
            random=lambda: 0.5,
        )

    for switching in (SWITCHING, GOING_BACK):
        place.write_record(Record("0.2.0", "0.1.0", switching, at=now - 60))
        renewed, wait = keeper().step(stub.url, None, None)
        assert not renewed
        assert 0 < wait <= 300
        assert not is_sealed(state.key)
    place.write_record(Record("0.2.0", "0.1.0", SWITCHING, at=now - 90_000))  # nobody judges it any more
    assert not place.is_unproven(now)
    place.write_record(Record("0.2.0", "0.1.0", DONE, at=now - 60))
    assert keeper().step(stub.url, None, None)[0]
    assert is_sealed(state.key)
    place.write_record(Record("0.3.0", "0.2.0", SWITCHING, at=now - 60))  # 0.2.0 reads it
    now = load_identity(state).renew_at + 1
    assert keeper().step(stub.url, None, None)[0]


def test_a_file_that_is_damaged_says_so(sealed: StateDirectory) -> None:
    content = sealed.key.read_bytes()
    sealed.key.write_bytes(content[:200])
    with pytest.raises(SealedKeyError) as refused:
        own_context(sealed)
    assert refused.value.code == "damaged"
    # A renewed key that is, is given up as any that does not belong to the certificate.
    sealed.key.write_bytes(content)
    waiting_key(sealed).write_bytes(content[:200])
    load_identity(sealed)
    assert not waiting_key(sealed).exists()
    assert own_context(sealed).get_ca_certs()


# -- the program -----------------------------------------------------------------------------------------------


def test_the_program_runs_by_a_sealed_key_says_so_and_seals_one_that_was_not(
    program: Program, stub: StubCollector
) -> None:
    renew(program.state, tpm="off")
    program.config.write_text(program.config.read_text().replace('tpm = "auto"', 'tpm = "require"'))
    stub.seen.clear()
    program.start()
    wait_until(lambda: is_sealed(program.state.key), seconds=30, what="a sealed key")
    program.write(1)

    def told() -> list[object]:
        documents = [each for batch in stub.batches() for each in batch.documents]
        return [each.body.get("key") for each in documents if each.kind == "agent" and each.body is not None]

    wait_until(lambda: {"place": "tpm"} in told(), seconds=30, what="the agent's own document")
    assert told()[0] in ({"place": "file", "reason": 'the settings say tpm = "off"'}, {"place": "tpm"})
    assert "Khóa: niêm phong trong TPM" in says(program)
    assert "Key: sealed to the TPM" in says(program, "en")


@pytest.mark.parametrize("fate", ["other", "absent", "locked"])
def test_where_the_tpm_does_not_open_the_key_the_program_waits_says_so_and_goes_on(
    program: Program, stub: StubCollector, chip: Swtpm, tmp_path: Path, fate: str
) -> None:
    state, keeps = program.state, tmp_path / "chip" / "state"
    if fate == "other":
        chip.stop()
        keeps.rename(tmp_path / "kept")
        chip.start()
    elif fate == "absent":
        chip.stop()
    else:
        chip.do("changeauth", "-c", "owner", "password")
    program.start()

    def told() -> str:
        status = read_status(state.status)
        return "" if status is None else status.link.code

    wait_until(lambda: told() == f"key_{fate}", seconds=30, what="the state")
    found = diagnose(state, "vi")
    assert found.running
    assert [each.code for each in found.problems] == [f"key_{fate}"]
    assert "TPM" in found.problems[0].what
    assert "vonggac-agent enroll --force" in found.problems[0].to_do
    assert "TPM" in render(diagnose(state, "en"), "en")
    assert not [seen for seen in stub.seen if seen.path in ("/v1/batches", "/v1/heartbeat")]
    if fate == "other":
        chip.stop()
        shutil.rmtree(keeps)
        (tmp_path / "kept").rename(keeps)
        chip.start()
    elif fate == "absent":
        chip.start()
    else:
        chip.do("changeauth", "-c", "owner", "-p", "password")
    wait_until(
        lambda: any(seen.path in ("/v1/batches", "/v1/heartbeat") for seen in stub.seen),
        seconds=40,
        what="a word",
    )


def test_a_renewal_that_fails_for_want_of_the_tpm_is_told_and_the_agent_goes_on(
    program: Program, stub: StubCollector, chip: Swtpm
) -> None:
    renew(program.state, tpm="off")
    chip.stop()
    program.config.write_text(program.config.read_text().replace('tpm = "auto"', 'tpm = "require"'))
    stub.seen.clear()
    program.start()

    def told() -> bool:
        status = read_status(program.state.status)
        return status is not None and status.link.code == "ok" and "cannot be sealed" in status.renewal_error

    wait_until(told, seconds=30, what="the failed renewal")
    assert [each.code for each in diagnose(program.state, "vi").problems] == ["renewal"]
    assert "Chưa gia hạn được chứng thư" in says(program)
    assert not [seen for seen in stub.seen if seen.path == "/v1/renew"]


def test_against_the_real_collector_it_enrols_runs_starts_again_and_renews(
    tmp_path: Path, chip: Swtpm
) -> None:
    site = make_site(tmp_path / "site")
    ingest = site.start_ingest()
    program = Program(tmp_path, StateDirectory(tmp_path / "state", chip.device))
    set_tpm(program, chip.device, "require")
    url = f"https://127.0.0.1:{site.port}"

    def reports() -> bool:
        status = read_status(program.state.status)
        return status is not None and status.link.code == "ok" and status.pid == program.pid

    try:
        words = ("enroll", "--config", str(program.config), "--collector", url, "--token-file", "-")
        enrolled = program.command(*words, text_in=site.token())
        assert enrolled.returncode == 0, enrolled.stderr
        assert is_sealed(program.state.key)
        for _ in range(2):
            program.start()
            wait_until(reports, seconds=30, what="a report")
            assert program.end(signal.SIGTERM) == 0
        first = program.state.key.read_bytes()
        before = load_identity(program.state)
        renewed = renew(program.state, tpm="require")
        assert renewed.endpoint_id == before.endpoint_id
        assert is_sealed(program.state.key)
        assert program.state.key.read_bytes() != first
        program.start()
        wait_until(reports, seconds=30, what="a report")
    finally:
        program.close()
        ingest.terminate()
        ingest.wait(20)


# -- the file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 1000])
def test_the_file_holds_what_it_was_given(size: int) -> None:
    kept = Sealed(public=b"p" * size, private=b"q" * size)
    assert sealing.decode(sealing.encode(kept)) == kept
