"""Real files, real inotify: a host's tree in a folder of the test's own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import reasons
from agent.collectors import file_integrity
from agent.collectors.common import file_watch, package_run, watched_places
from agent.collectors.common.file_facts import DIGEST_BYTES, Facts, recalled
from agent.collectors.common.inotify import parse_notices
from agent.collectors.common.watched_places import make_plan, parse_far_mounts, parse_homes
from tests.agent.collectors.support import FakeClock, context, write
from tests.support.debian import program, root
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.collectors.registry import Output
    from agent.messages import Event

PASSWD = (
    "root:x:0:0::/root:/bin/bash\nan:x:1000:1000::/home/an:/bin/bash\nnobody:x:65534:65534::/nonexistent:/x\n"
)


class Host:
    """A machine's tree with the collector on it; :meth:`look` is one run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state: dict[str, Any] = {}
        self.clock = FakeClock()
        write(root / "etc/passwd", PASSWD)
        write(root / "etc/shadow", "root:*:20000::::::\n")
        write(root / "etc/sudoers", "root ALL=(ALL) ALL\n")
        write(root / "etc/ssh/sshd_config", "PermitRootLogin no\n")
        write(root / "etc/cron.d/backup", "0 1 * * * root backup\n")
        write(root / "home/an/.bashrc", "")
        write(root / "var/lib/dpkg/status", "")
        os.utime(root / "var/lib/dpkg/status", (1.0, 1.0))
        (root / "proc").mkdir()

    def look(self) -> list[Event]:
        self.clock.now += 2
        return self.run().events

    def run(self) -> Output:
        return file_integrity.collect(context(self.root, state=self.state, now=self.clock))

    def told(self) -> list[tuple[str, str]]:
        return [(e.fields["event.action"], e.fields["TargetFilename"]) for e in self.look()]

    def restart(self) -> None:
        file_integrity._watcher.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    assert made.look() == []
    yield made
    file_integrity._watcher.close()


def test_what_is_there_first_is_no_news_and_is_counted(host: Host) -> None:
    (document,) = host.run().documents
    assert document.body == {"state": "on", "reason": "", "folders": 3, "files": 5, "left_out": 0}
    assert host.look() == []


def test_a_change_tells_what_was_and_what_is_but_no_content(host: Host) -> None:
    path = host.root / "etc/ssh/sshd_config"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text("PermitRootLogin yes # mat-khau-rat-mat\n")
    (event,) = host.look()
    assert (event.logsource.product, event.logsource.category) == ("linux", "file_event")
    assert event.time == host.clock.now
    fields = event.fields
    assert fields["event.action"] == "modified"
    assert fields["TargetFilename"] == fields["file"]["path"] == "/etc/ssh/sshd_config"
    assert fields["file"]["hash"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert fields["previous"]["file"] == {"hash": {"sha256": before}, "size": 19}
    assert fields["changed"] == ["file.hash", "file.size"]
    assert fields["file"]["mode"] == "0644"
    assert fields["file"]["uid"] == os.getuid()
    assert fields["DetectedBy"] == "watch"
    assert "PackageManager" not in fields
    assert "mat-khau" not in str(fields)


def test_rights_alone_are_their_own_kind_of_change(host: Host) -> None:
    (host.root / "etc/sudoers").chmod(0o666)
    (event,) = host.look()
    assert event.logsource.category == "file_change"
    assert event.fields["event.action"] == "attributes"
    assert event.fields["changed"] == ["file.mode"]
    assert event.fields["previous"] == {"file": {"mode": "0644"}}
    assert event.fields["file"]["mode"] == "0666"


def test_a_touch_and_the_same_content_again_are_no_change(host: Host) -> None:
    path = host.root / "etc/sudoers"
    os.utime(path, (5.0, 5.0))
    assert host.look() == []
    other = write(host.root / "etc/sudoers.tmp", path.read_text())
    other.replace(path)
    assert host.look() == []


def test_an_editor_that_replaces_the_file_modifies_it(host: Host) -> None:
    """As vim does: a swap file, a backup, a new file under another name put in place."""
    folder = host.root / "etc/cron.d"
    write(folder / ".backup.swp", "x")
    write(folder / ".backup.swpx", "x").unlink()
    write(folder / "4913", "").unlink()
    write(folder / "backup~", "x").unlink()
    write(folder / ".backup.new", "0 2 * * * root backup\n").replace(folder / "backup")
    (folder / ".backup.swp").unlink()
    told = host.told()
    assert ("modified", "/etc/cron.d/backup") in told
    assert [path for _, path in told if path.endswith((".swp", ".swpx", "4913", "~"))] == []


def test_a_file_that_is_renamed_is_moved_and_says_from_where(host: Host) -> None:
    (host.root / "etc/cron.d/backup").rename(host.root / "etc/cron.d/update")
    (event,) = host.look()
    assert event.fields["event.action"] == "moved"
    assert event.fields["SourceFilename"] == "/etc/cron.d/backup"
    assert event.fields["TargetFilename"] == "/etc/cron.d/update"


def test_a_file_is_created_and_deleted_and_one_that_was_there_for_a_moment_is_told(host: Host) -> None:
    path = write(host.root / "etc/ld.so.preload", "/tmp/x.so\n")
    assert host.told() == [("created", "/etc/ld.so.preload")]
    path.unlink()
    (event,) = host.look()
    assert event.logsource.category == "file_delete"
    assert event.fields["event.action"] == "deleted"
    assert "sha256" in event.fields["file"]["hash"]
    write(host.root / "etc/cron.d/once", "* * * * * root x\n").unlink()
    assert host.told() == [("created_and_deleted", "/etc/cron.d/once")]


def test_other_files_of_a_watched_folder_are_nobodys_business(host: Host) -> None:
    write(host.root / "etc/motd", "hello")
    write(host.root / "home/an/.ssh/id_ed25519", "PRIVATE")
    assert host.told() == []


def test_folders_made_later_are_watched_from_their_first_file(host: Host) -> None:
    write(host.root / "home/an/.ssh/authorized_keys", "ssh-ed25519 AAAA an\n")
    write(host.root / "etc/sudoers.d/an", "an ALL=(ALL) NOPASSWD: ALL\n")
    events = host.look()
    assert [event.fields["TargetFilename"] for event in events] == [
        "/etc/sudoers.d/an",
        "/home/an/.ssh/authorized_keys",
    ]
    assert {event.fields["DetectedBy"] for event in events} == {"watch"}
    (host.root / "etc/sudoers.d/an").write_text("")
    assert host.told() == [("modified", "/etc/sudoers.d/an")]
    shutil.rmtree(host.root / "etc/sudoers.d")
    assert host.told() == [("deleted", "/etc/sudoers.d/an")]
    write(host.root / "etc/sudoers.d/an", "x")
    assert host.told() == [("created", "/etc/sudoers.d/an")]


def test_a_unit_in_a_folder_of_units_is_seen_and_a_link_says_where_it_leads(host: Host) -> None:
    wants = host.root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    assert host.look() == []
    (wants / "x.service").symlink_to("/opt/x.service")
    (event,) = host.look()
    assert event.fields["file"]["type"] == "symlink"
    assert event.fields["file"]["target_path"] == "/opt/x.service"


def test_a_new_user_s_keys_are_watched(host: Host) -> None:
    write(host.root / "srv/git/.bashrc", "")
    (host.root / "etc/passwd").write_text(PASSWD + "git:x:998:998::/srv/git:/bin/sh\n")
    assert host.told() == [("modified", "/etc/passwd")]
    write(host.root / "srv/git/.ssh/authorized_keys", "k")
    assert host.told() == [("created", "/srv/git/.ssh/authorized_keys")]


def test_what_changed_while_the_agent_was_off_is_told_with_the_files_own_time(host: Host) -> None:
    host.restart()
    (host.root / "etc/sudoers").write_text("an ALL=(ALL) ALL\n")
    (host.root / "etc/cron.d/backup").unlink()
    host.clock.now = (host.root / "etc/sudoers").stat().st_ctime + 3600
    events = host.look()
    assert [e.fields["event.action"] for e in events] == ["deleted", "modified"]
    assert {e.fields["DetectedBy"] for e in events} == {"comparison"}
    assert host.clock.now - events[1].time == pytest.approx(3602, abs=1)
    assert host.look() == []


def test_what_was_not_kept_is_told_again(host: Host) -> None:
    kept = {**host.state, "folders": {f: dict(names) for f, names in host.state["folders"].items()}}
    (host.root / "etc/sudoers").write_text("x")
    assert host.told() == [("modified", "/etc/sudoers")]
    host.state = kept  # the runner could not keep that run's output
    assert host.told() == [("modified", "/etc/sudoers")]


def test_an_overflow_of_the_queue_loses_nothing(host: Host) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    names = [host.root / "etc/cron.d" / name for name in ("a~", "b~")]
    for number in range(limit // 2 + 100):  # two notices each: that it came, that it went
        names[number % 2].symlink_to("x")
        names[number % 2].unlink()
    (host.root / "etc/sudoers").write_text("late")
    assert ("modified", "/etc/sudoers") in host.told()


def test_a_change_by_a_hard_link_elsewhere_is_found_by_the_next_comparison(host: Host) -> None:
    other = host.root / "opt-link"
    os.link(host.root / "etc/sudoers", other)
    assert host.told() == []
    other.write_text("an ALL=(ALL) ALL\n")
    assert host.told() == []
    host.clock.now += file_watch.COMPARE_SECONDS
    assert host.told() == [("modified", "/etc/sudoers")]


def test_what_a_package_manager_does_is_marked(host: Host) -> None:
    process(host.root / "proc/77")
    write(host.root / "etc/cron.d/php", "x")
    assert host.look()[0].fields["PackageManager"] == "dpkg"
    shutil.rmtree(host.root / "proc/77")
    os.utime(host.root / "var/lib/dpkg/status", (host.clock.now, host.clock.now))
    write(host.root / "etc/cron.d/php", "z")
    assert host.look()[0].fields["PackageManager"] == "dpkg"
    host.clock.now += 2 * package_run.NEAR_SECONDS
    write(host.root / "etc/cron.d/php", "0")
    assert "PackageManager" not in host.look()[0].fields


def test_the_real_dpkg_upgrades_a_file_and_it_is_one_marked_change(host: Host, tmp_path: Path) -> None:
    root("to install a package")
    dpkg, build = program("dpkg", "dpkg"), program("dpkg-deb", "dpkg")
    for folder in ("updates", "info", "triggers"):
        (host.root / "var/lib/dpkg" / folder).mkdir()
    for version in ("1", "2"):
        package = tmp_path / f"package-{version}"
        control = f"Package: x\nVersion: {version}\nArchitecture: all\nMaintainer: x\nDescription: x\n"
        write(package / "DEBIAN/control", control)
        write(package / "etc/cron.d/x", version)
        subprocess.run([build, "--build", package, f"{package}.deb"], check=True, capture_output=True)
        subprocess.run(
            [dpkg, f"--root={host.root}", "--install", f"{package}.deb"], check=True, capture_output=True
        )
        host.clock.now = time.time()
        (event,) = host.look()
        assert event.fields["TargetFilename"] == "/etc/cron.d/x"
        assert event.fields["event.action"] == {"1": "created", "2": "modified"}[version]
        assert event.fields["PackageManager"] == "dpkg"


def process(folder: Path, comm: str = "dpkg", exe: str = "/usr/bin/dpkg", uids: str = "0\t0\t0\t0") -> None:
    write(folder / "comm", f"{comm}\n")
    write(folder / "status", f"Name:\t{comm}\nUid:\t{uids}\n")
    (folder / "exe").unlink(missing_ok=True)
    (folder / "exe").symlink_to(exe)


def test_only_what_root_started_from_the_systems_own_program_is_a_package_manager(tmp_path: Path) -> None:
    def running(*more: str) -> str:
        process(tmp_path / "77", *more)
        return package_run.running_manager(tmp_path)

    assert running() == "dpkg"
    assert running("dpkg", "/usr/bin/dpkg (deleted)") == "dpkg"
    assert running("dnf", "/usr/bin/python3.12") == "rpm"
    assert running("dpkg", "/usr/bin/dpkg", "1000\t0\t0\t0") == ""
    assert running("dpkg", "/usr/bin/su") == ""
    assert running("dpkg", "/tmp/usr/bin/dpkg") == ""
    assert running("dpkg", "/usr/bin/python3.12") == ""
    assert running("bash", "/usr/bin/dpkg") == ""
    (tmp_path / "77/exe").unlink()
    assert package_run.running_manager(tmp_path) == ""


def test_a_setuid_program_that_a_user_calls_dpkg_is_not_believed_and_the_real_dpkg_is(tmp_path: Path) -> None:
    """Processes of this machine; ``proc`` shows each alone, for others may install something just now."""
    root("a setuid program")
    dpkg, cat = program("dpkg", "dpkg"), program("cat", "coreutils")
    proc = tmp_path / "proc"
    proc.mkdir()

    def manager_of(command: list[str], **more: Any) -> tuple[str, int]:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **more) as running:
            shown = Path("/proc", str(running.pid))
            wait_until(lambda: (shown / "comm").read_text() == "dpkg\n", seconds=10, what="the program")
            (proc / str(running.pid)).symlink_to(shown)
            found = package_run.running_manager(proc), shown.stat().st_uid
            (proc / str(running.pid)).unlink()
            running.kill()
        return found

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copy(cat, f"{folder}/setuid-cat")
        Path(folder, "setuid-cat").chmod(0o4755)
        Path(folder, "dpkg").symlink_to("setuid-cat")
        manager, owner = manager_of([f"{folder}/dpkg"], user=65534)
        assert (manager, owner) == ("", 0)
    for name in ("updates", "info", "triggers"):
        (tmp_path / "admin" / name).mkdir(parents=True)
    write(tmp_path / "admin/status", "")
    assert manager_of([dpkg, f"--admindir={tmp_path}/admin", "--set-selections"])[0] == "dpkg"


def test_a_storm_is_bounded_and_counted_and_one_in_a_home_hides_nothing(host: Host) -> None:
    units = host.root / "home/an/.config/systemd/user"
    units.mkdir(parents=True)
    host.look()
    for number in range(file_integrity.USER_BURST + 40):
        (units / f"{number}.service").write_text("x")
    (host.root / "etc/sudoers").write_text("x")
    output = host.run()
    paths = [event.fields["TargetFilename"] for event in output.events]
    assert "/etc/sudoers" in paths
    assert len(paths) == file_integrity.USER_BURST + 1
    (metric,) = output.metrics
    assert (metric.name, metric.value) == ("file_integrity.dropped_count", 40.0)
    write(host.root / "home/binh/.bashrc", "")
    (host.root / "etc/passwd").write_text(PASSWD + "binh:x:1001:1001::/home/binh:/bin/bash\n")
    host.look()
    for number in range(file_integrity.USER_BURST):
        (units / f"{number}.service").write_text("y")
    for key in ("root/.ssh/authorized_keys", "home/binh/.ssh/authorized_keys"):
        write(host.root / key, "k")
    paths = [path for _, path in host.told()]
    assert paths == ["/home/binh/.ssh/authorized_keys", "/root/.ssh/authorized_keys"]
    for folder in ("root", "home/binh"):
        shutil.rmtree(host.root / folder / ".ssh")
    for number in range(file_integrity.USER_BURST):
        (units / f"{number}.service").unlink()
    assert host.told() == [("deleted", path) for path in paths]


def test_the_spool_that_every_user_fills_hides_nothing_of_the_system(host: Host) -> None:
    jobs = host.root / "var/spool/cron/atjobs"
    jobs.mkdir(parents=True)
    host.look()
    for number in range(file_integrity.BURST + 50):
        (jobs / f"a{number}").write_text("x")
    (host.root / "etc/sudoers").write_text("x")
    paths = [path for _, path in host.told()]
    assert paths[0] == "/etc/sudoers"
    assert len(paths) == file_integrity.USER_BURST + 1


def test_a_home_with_too_many_units_hides_nothing_and_makes_no_false_news(host: Host) -> None:
    units = host.root / "home/an/.config/systemd/user"
    folders = watched_places.MAX_FOLDERS_A_HOME + 5
    for number in range(folders):
        (units / f"m{number:03}.wants").mkdir(parents=True)
    for number in range(file_watch.MAX_FILES_A_HOME - 1):
        (units / f"m{number % 20:03}.wants" / f"m{number}.service").write_text("x")
    host.look()
    for kind in ("a", "z"):  # before and behind what is known
        (units / f"{kind}.wants").mkdir()
        for number in range(file_watch.MAX_FILES_A_HOME):
            (units / "m000.wants" / f"{kind}{number}.service").write_text("x")
    write(host.root / "home/an/.ssh/authorized_keys", "k")
    for number in range(file_watch.MAX_FILES_A_FOLDER - 1):
        write(host.root / f"etc/systemd/system/{number}.service", "x")
    write(host.root / "root/.ssh/authorized_keys", "k")
    changes = watched(host)
    assert {change.action for change in changes} == {"created"}
    paths = {change.path for change in changes}
    assert {"/home/an/.ssh/authorized_keys", "/root/.ssh/authorized_keys"} < paths
    assert (
        len([path for path in paths if path.startswith("/etc/systemd/")]) == file_watch.MAX_FILES_A_FOLDER - 1
    )
    assert len([path for path in paths if path.startswith("/home/an/.config/")]) == 1
    (document,) = host.run().documents
    assert document.body is not None
    assert document.body["state"] == "partial"
    assert document.body["left_out"] == 2 * file_watch.MAX_FILES_A_HOME - 1 + folders + 2 - 31


def watched(host: Host) -> list[file_watch.Change]:
    """What changed, before any of it is dropped as too much."""
    assert file_integrity._watcher.watch is not None
    return file_integrity._watcher.watch.look(host.state, host.clock.now)


def test_large_files_in_a_home_keep_no_other_file_waiting(host: Host) -> None:
    write(host.root / "home/binh/.bashrc", "")
    (host.root / "etc/passwd").write_text(PASSWD + "binh:x:1001:1001::/home/binh:/bin/bash\n")
    units = host.root / "home/an/.config/systemd/user"
    units.mkdir(parents=True)
    host.look()
    for number in range(80):  # together more than one look reads of all
        (units / f"{number}.service").write_bytes(b"x" * (64 << 10))
    write(host.root / "home/binh/.ssh/authorized_keys", "k")
    write(host.root / "etc/systemd/user/x.service", "x")
    hashed = {e.fields["TargetFilename"]: e.fields["file"] for e in host.look()}
    assert "hash" in hashed["/home/binh/.ssh/authorized_keys"]
    assert "hash" in hashed["/etc/systemd/user/x.service"]
    assert len(hashed) == 2 + file_watch.USER_READ_BYTES_A_LOOK // (64 << 10)


def test_a_large_file_has_no_digest_and_a_users_less_so(host: Host) -> None:
    write(host.root / "etc/cron.d/large", b"x" * (DIGEST_BYTES + 1))
    write(host.root / "home/an/.ssh/authorized_keys", b"x" * (64 << 10))
    write(host.root / "home/an/.ssh/rc", b"x" * ((64 << 10) + 1))
    hashed = {e.fields["TargetFilename"]: "hash" in e.fields["file"] for e in host.look()}
    assert hashed == {
        "/etc/cron.d/large": False,
        "/home/an/.ssh/authorized_keys": True,
        "/home/an/.ssh/rc": False,
    }
    write(host.root / "etc/cron.d/large", b"y" * (DIGEST_BYTES + 1))
    assert host.told() == [("modified", "/etc/cron.d/large")]


def test_the_passwords_table_has_no_digest(host: Host) -> None:
    (host.root / "etc/shadow").write_text("root:$y$x:20001::::::\n")
    (event,) = host.look()
    assert event.fields["event.action"] == "modified"
    assert "hash" not in event.fields["file"]


def test_a_users_link_is_not_followed_and_a_pipe_does_not_block(host: Host) -> None:
    write(host.root / "secret/authorized_keys", "secret")
    (host.root / "home/an/.ssh").symlink_to(host.root / "secret")
    host.look()
    host.clock.now += file_watch.COMPARE_SECONDS
    assert host.told() == []
    (host.root / "home/an/.ssh").unlink()
    (host.root / "home/an/.ssh").mkdir()
    os.mkfifo(host.root / "home/an/.ssh/authorized_keys")
    (host.root / "home/an/.ssh/rc").symlink_to("/etc/shadow")
    events = {e.fields["TargetFilename"]: e.fields["file"] for e in host.look()}
    assert events["/home/an/.ssh/authorized_keys"]["type"] == "other"
    assert events["/home/an/.ssh/rc"]["target_path"] == "/etc/shadow"
    assert not any("hash" in file for file in events.values())


def test_a_longer_list_makes_no_news_of_what_was_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.restart()
    write(host.root / "etc/new.d/x", "x")
    longer = (*watched_places.PLACES, watched_places.Place("/etc/new.d"))
    monkeypatch.setattr(watched_places, "PLACES", longer)
    monkeypatch.setattr(file_watch, "LIST", 1)
    assert host.told() == []
    write(host.root / "etc/new.d/y", "y")
    assert host.told() == [("created", "/etc/new.d/y")]


def test_a_file_without_digest_whose_time_was_set_back_is_modified(host: Host) -> None:
    path = host.root / "etc/shadow"
    was = path.stat()
    path.write_text("root:!:20000::::::\n")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size
    assert host.told() == [("modified", "/etc/shadow")]
    path.chmod(0o666)
    assert host.told() == [("attributes", "/etc/shadow")]


def test_a_link_put_above_a_watched_folder_of_a_user_is_not_followed(host: Host) -> None:
    units = host.root / "home/an/.config/systemd/user"
    write(units / "mine.service", "x")
    assert host.told() == [("created", "/home/an/.config/systemd/user/mine.service")]
    write(host.root / "other/systemd/user/secret.service", "secret")
    (host.root / "home/an/.config").rename(host.root / "home/an/.mine")
    (host.root / "home/an/.config").symlink_to(host.root / "other")
    write(host.root / "home/an/.mine/systemd/user/mine.service", "y")
    assert host.told() == [("deleted", "/home/an/.config/systemd/user/mine.service")]


def test_what_lies_behind_a_users_link_or_on_another_machine_is_never_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = host.root / "net/slow"
    (far / "user/x.wants").mkdir(parents=True)
    (host.root / "home/an/.ssh").symlink_to(far)
    (host.root / "home/an/.config").mkdir()
    (host.root / "home/an/.config/systemd").symlink_to(far)
    write(host.root / "home/binh/.ssh/authorized_keys", "k")
    write(host.root / "home/chi/.ssh/authorized_keys", "k")
    users = "".join(f"{name}:x:1001:1001::/home/{name}:/bin/bash\n" for name in ("binh", "chi"))
    (host.root / "etc/passwd").write_text(PASSWD + users)
    write(host.root / "proc/mounts", "x /home/binh/.ssh fuse.rclone rw 0 0\n")
    asked: list[str] = []

    def follow(path: str | Path, real: Any) -> Any:
        asked.append(str(path))
        assert not Path(os.path.realpath(path)).is_relative_to(far)
        return real(path)

    isdir = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: follow(path, isdir))
    plan = make_plan(host.root, host.root / "proc")
    monkeypatch.undo()
    assert asked
    assert {folder for folder in plan.folders if folder.startswith("/home")} == {"/home/chi/.ssh"}
    assert plan.awaited["/home/an"] == {".ssh"}
    assert plan.awaited["/home/an/.config"] == {"systemd"}


def test_names_that_are_no_text_travel_as_text(host: Host) -> None:
    with open(os.fsencode(host.root / "etc/cron.d") + b"/\xff\n\x1b[31m", "wb"):  # noqa: PTH123 - bytes
        pass
    (event,) = host.look()
    assert event.fields["TargetFilename"] == "/etc/cron.d/\\xff  [31m"
    assert host.look() == []


def test_homes_of_other_machines_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "etc/passwd", PASSWD)
    write(tmp_path / "home/an/.ssh/authorized_keys", "k")
    write(tmp_path / "proc/mounts", "nas:/home /home nfs4 rw 0 0\n")
    assert "/home/an/.ssh" not in make_plan(tmp_path, tmp_path / "proc").folders
    write(tmp_path / "proc/mounts", "x /home/an fuse.anything rw 0 0\ny / fuse.overlayfs rw 0 0\n")
    assert "/home/an/.ssh" not in make_plan(tmp_path, tmp_path / "proc").folders
    assert parse_far_mounts("a /m\\011\\134n lustre rw 0 0\n") == ["/m\t\\n"]
    write(tmp_path / "proc/mounts", "/dev/sda2 /home ext4 rw 0 0\n")
    assert "/home/an/.ssh" in make_plan(tmp_path, tmp_path / "proc").folders


def test_a_user_who_may_not_see_everything_is_told_what_is_not_watched() -> None:
    root("to become somebody else")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        host = Host(Path(folder))
        write(host.root / "home/an/.config/systemd/user/x.service", "x")
        (host.root / "home/an").chmod(0o700)
        host.look()  # what is only imported when needed is found by root
        host.restart()
        host.state.clear()
        os.seteuid(65534)
        try:
            (document,) = host.run().documents
            assert host.look() == []
        finally:
            os.seteuid(0)
            host.restart()
        assert document.body is not None
        assert document.body["state"] == "partial"
        where = reasons.FOLDER_HIDDEN(where="/home/an", system_error="Permission denied")
        assert document.body["reason"] == where
        assert "/etc/sudoers" in {f"/etc/{name}" for name in host.state["folders"]["/etc"]}


def test_without_inotify_files_are_compared_every_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(file_watch, "Inotify", none)
    host = Host(tmp_path)
    (document,) = host.run().documents
    assert document.body is not None
    assert document.body["state"] == "partial"
    assert "five minutes" in document.body["reason"]
    (tmp_path / "etc/sudoers").write_text("x")
    assert host.look() == []
    host.clock.now += file_watch.COMPARE_SECONDS
    assert host.told() == [("modified", "/etc/sudoers")]
    file_integrity._watcher.close()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_notices(data: bytes) -> None:
    for notice in parse_notices(data):
        assert b"\0" not in notice.name


@given(st.text(max_size=300))
def test_no_table_breaks_the_readers_of_homes_and_mounts(text: str) -> None:
    for home in parse_homes(text):
        assert home.startswith("/")
    assert all(parse_far_mounts(text))


@given(st.none() | st.text() | st.from_regex(r"(file|link) ([0-9]{1,4} ){6,8}.*"))
def test_no_memory_breaks_the_comparison(kept: object) -> None:
    facts = recalled(kept)
    assert facts is None or isinstance(facts, Facts)
