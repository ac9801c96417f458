"""What the agent tells of a Linux machine fires the rules that are about it: ours, and SigmaHQ's for file events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent.collectors import file_integrity, usb_storage
from rules.catalogue import OWN_RULES, load_catalogue
from rules.engine import Engine, Event
from tests.agent.collectors.support import write
from tests.agent.collectors.test_file_integrity import Host as Files
from tests.agent.collectors.test_usb_storage import Host as Usb
from tests.rules.helpers import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from agent.messages import Event as Told

OURS = OWN_RULES / "linux"
SIGMAHQ = SHARED / "sigmahq" / "rules" / "linux" / "file_event"


def found(folder: Path, told: Iterable[Told], **host: Any) -> set[str]:
    """The titles of the rules of ``folder`` that fire."""
    engine, catalogue = Engine([folder]), load_catalogue([folder])
    titles: set[str] = set()
    for number, each in enumerate(told):
        source, fields = each.logsource, {**each.fields, **host}
        event = Event(str(number), each.time, source.product, source.category, source.service, fields)
        titles |= {catalogue[finding.rule_id].title["en"] for finding in engine.process(event)}
    return titles


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path)
    for folder in ("etc/sudoers.d", "etc/profile.d", "etc/systemd/system", "etc/pam.d", "home/an/.ssh"):
        (tmp_path / folder).mkdir(parents=True)
    assert made.look() == []
    yield made
    file_integrity._watcher.close()


def everything(root: Path) -> None:
    for name in (
        "etc/sudoers.d/an",
        "etc/profile.d/x.sh",
        "etc/systemd/system/x.service",
        "etc/pam.d/common-auth",
        "etc/cron.d/x",
        "etc/ld.so.preload",
        "etc/doas.conf",
        "home/an/.ssh/authorized_keys",
    ):
        write(root / name, "x\n")
    write(root / "etc/ssh/sshd_config", "PermitRootLogin yes\n")
    (root / "etc/passwd").chmod(0o666)


def test_our_rules_about_watched_files_fire_on_what_the_agent_tells(files: Files) -> None:
    everything(files.root)
    assert found(OURS, files.look()) == {
        "Keys for SSH sign-in changed",
        "A library is loaded into every program",
        "Rules of sudo changed",
        "Scheduled task changed",
        "systemd unit written by hand",
        "Start-up script changed",
        "Sign-in modules (PAM) changed",
        "Settings of the SSH server changed",
        "System file became writable for everybody",
    }


def test_an_upgrade_of_packages_raises_only_what_no_package_does(files: Files) -> None:
    everything(files.root)
    files.look()
    status = write(files.root / "var/lib/dpkg/status", "")
    files.clock.now = status.stat().st_mtime
    for name in ("etc/cron.d/y", "etc/sudoers.d/y", "etc/pam.d/y", "home/an/.ssh/authorized_keys"):
        write(files.root / name, "y\n")
    events = files.look()
    assert [each.fields.get("PackageManager") for each in events] == ["dpkg"] * 4
    assert found(OURS, events) == {"Keys for SSH sign-in changed"}


@pytest.mark.skipif(not SIGMAHQ.is_dir(), reason=f"the test data is not beside the project: no {SIGMAHQ}")
def test_sigmahqs_rules_for_file_events_fire_too(files: Files) -> None:
    everything(files.root)
    titles = found(SIGMAHQ, files.look())
    assert {
        "Persistence Via Sudoers.d Files",
        "New Cron File Created",
        "Potentially Suspicious Shell Script Creation in Profile Folder",
    } <= titles
    assert len(titles) == 4  # and the one about doas.conf


def test_a_usb_stick_is_told_by_where_it_was_put(tmp_path: Path) -> None:
    host = Usb(tmp_path)
    assert host.look() == []
    host.plug_in()
    told = host.look()
    assert found(OURS, told, **{"host.role": "server"}) == {"USB storage was connected to a server"}
    assert found(OURS, told, **{"host.role": "workstation"}) == {"USB storage was connected"}
    usb_storage._looked = usb_storage._Looked()


def test_every_rule_about_tables_names_fields_that_the_console_has_words_for() -> None:
    from soc_api.pages.linux_words import LINUX_FIELDS

    subjects = {
        name
        for rule in load_catalogue().values()
        for name in rule.subject
        if name.startswith(("accounts.", "listening.", "services.", "usb."))
    }
    assert len(subjects) >= 4
    assert subjects <= set(LINUX_FIELDS)
