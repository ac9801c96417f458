"""Whose the agent's folders are, whatever was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.windows import folders
from agent.windows.folders import ADMINISTRATORS, INSIDE, STATE, SYSTEM, FolderError, secure

if TYPE_CHECKING:
    from pathlib import Path

STRANGER = "S-1-5-21-1004336348-1177238915-682003330-1001"


class FakeSecurity:
    """:class:`agent.windows.folders.Security` over real folders, with owners as a test says."""

    def __init__(self, **owners: str) -> None:
        self.owners = owners
        self.given: dict[Path, str] = {}

    def make(self, path: Path, descriptor: str) -> bool:
        try:
            path.mkdir()
        except FileExistsError:
            return False
        self.given[path] = descriptor
        return True

    def owner(self, path: Path) -> str:
        return self.owners.get(path.name, ADMINISTRATORS)

    def set(self, path: Path, descriptor: str) -> None:
        self.given[path] = descriptor


def test_descriptors_name_nobody_but_system_and_administrators_as_who_may_write() -> None:
    assert STATE == "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
    entries = folders.PROGRAM.partition("D:P")[2].strip("()").split(")(")
    rights = {
        entry.split(";")[5]: int(entry.split(";")[2].replace("FA", "0x1f01ff"), 16) for entry in entries
    }
    assert set(rights) == {"SY", "BA", "BU"}
    write = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x10000 | 0x40000 | 0x80000  # FILE_WRITE_DATA … WRITE_OWNER
    assert rights["BU"] & write == 0
    assert rights["BU"] & 0x20  # FILE_EXECUTE


def test_a_folder_is_made_with_its_rights(tmp_path: Path) -> None:
    security = FakeSecurity()
    secure(security, tmp_path / "data", STATE)
    assert security.given == {tmp_path / "data": STATE}


def test_what_an_administrator_made_before_is_locked_first_and_then_all_inside(tmp_path: Path) -> None:
    (tmp_path / "data/state/spool").mkdir(parents=True)
    (tmp_path / "data/agent.toml").write_text("")
    security = FakeSecurity(state=SYSTEM)
    secure(security, tmp_path / "data", STATE)
    assert list(security.given.items()) == [
        (tmp_path / "data", STATE),
        (tmp_path / "data/agent.toml", INSIDE),
        (tmp_path / "data/state", INSIDE),
        (tmp_path / "data/state/spool", INSIDE),
    ]


def test_what_a_running_service_takes_away_meanwhile_is_passed_over(tmp_path: Path) -> None:
    """``service install`` over a service that runs: its spool comes and goes."""
    inside = tmp_path / "data"
    (inside / "spool").mkdir(parents=True)
    for name in ("a.batch", "b.batch", "spool/c.batch"):
        (inside / name).write_bytes(b"")

    class Sending(FakeSecurity):
        def owner(self, path: Path) -> str:
            if path.name == "a.batch":  # sent between the listing and the look, as the one after it
                path.unlink()
                (inside / "b.batch").unlink()
                raise FileNotFoundError(2, "gone", str(path))
            return super().owner(path)

        def set(self, path: Path, descriptor: str) -> None:
            super().set(path, descriptor)
            if path.name == "spool":
                (path / "c.batch").unlink()
                path.rmdir()

    security = Sending()
    secure(security, inside, STATE)
    assert list(security.given) == [inside, inside / "spool"]


def test_a_folder_that_a_user_made_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    security = FakeSecurity(data=STRANGER)
    with pytest.raises(FolderError, match=f"data: belongs to {STRANGER}"):
        secure(security, tmp_path / "data", STATE)
    assert security.given == {}


def test_a_file_that_a_user_put_into_an_administrators_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/agent.toml").write_text("[collector]\n")
    security = FakeSecurity(**{"agent.toml": STRANGER})
    with pytest.raises(FolderError, match=r"agent\.toml: belongs to"):
        secure(security, tmp_path / "data", STATE)
    assert security.given == {tmp_path / "data": STATE}  # from then on he comes in no more


@pytest.mark.parametrize("inside", [False, True])
def test_nothing_is_followed(tmp_path: Path, *, inside: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_text("")
    where = tmp_path / "data"
    if inside:
        where.mkdir()
        where = where / "link"
    where.symlink_to(tmp_path / "elsewhere")
    security = FakeSecurity()
    with pytest.raises(FolderError, match="link"):
        secure(security, tmp_path / "data", STATE)
    assert not any("elsewhere" in str(path) or path.name == "link" for path in security.given)
