"""``vonggac sigma import`` and ``attack`` as a person calls them, over a data directory with a running event store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from collector.rulebook.live import LiveBook
from collector.rulebook.sources import Rulebook
from collector.settings import DataDirectory
from collector.state.database import StateStore
from collector.state.tables import AuditEntry, RuleChange
from collector.store.client import EventRow, StoreClient
from rules.importing import selected_files
from soc_api.cli import main
from tests.rules.helpers import rule, rule_id
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAIN = "s: {a: x}\ncondition: s"
RULES = {
    "auth.yml": "{product: linux, service: auth}",
    "windows.yml": "{product: windows, category: process_creation}",
    "sysmon.yml": "{product: windows, category: registry_set}",
    "mac.yml": "{product: macos, category: process_creation}",
}


def row(number: int, source: tuple[str, str, str], fields: dict[str, Any]) -> EventRow:
    now = time.time()
    return EventRow(
        f"e{number}",
        now,
        now,
        number,
        "endpoint",
        1,
        *source,
        simulated=False,
        rules=[],
        body=json.dumps(fields).encode(),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataDirectory]:
    """A data directory after its first start, its event store running, with events of two sources."""
    root = tmp_path_factory.mktemp("import") / "data"
    made = CliRunner().invoke(main, ["serve", "--prepare-only", "--data", str(root)])
    assert made.exit_code == 0, made.output
    directory = DataDirectory(root)
    command = [sys.executable, "-m", "collector.process", "store", "--data", str(root)]
    with (directory.logs / "store.log").open("ab") as output:
        process = subprocess.Popen(command, stderr=output)
    try:
        with StoreClient(directory.store_socket) as client:
            wait_until(client.healthy, seconds=30, what="the event store to answer", every=0.05)
            event = {"Channel": "Security", "EventID": 4688, "NewProcessName": "C:\\x.exe"}
            client.insert_events(
                [row(1, ("linux", "", "auth"), {"User": "x"}), row(2, ("windows", "", ""), event)]
            )
        yield directory
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "sigma-r1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, logsource) in enumerate(RULES.items(), 1):
            text = rule(PLAIN, number=number, logsource=logsource) + "level: high\ntags: [attack.t1595]\n"
            archive.writestr(f"rules/{name}", text)
    return path


def run(data: DataDirectory, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["sigma", *arguments, "--data", str(data.root)])


def test_a_release_is_looked_at_taken_and_taken_back(data: DataDirectory, release: Path) -> None:
    looked = run(data, "import", str(release), "--dry-run")
    assert looked.exit_code == 0, looked.output
    assert "2  chosen (2 high)" in looked.output
    assert "nothing of macos arrives" in looked.output
    assert "nothing of windows / registry_set arrives" in looked.output
    assert selected_files(data.imported_rules) == []

    refused = run(data, "import", str(release))
    assert refused.exit_code == 1
    assert "--yes" in refused.output

    taken = run(data, "import", str(release), "--yes")
    assert taken.exit_code == 0, taken.output
    assert [path.name for path in selected_files(data.imported_rules)] == ["auth.yml", "windows.yml"]
    again = run(data, "import", str(release), "--yes")
    assert "in use already" in again.output

    state = StateStore(data.state)
    try:
        book = LiveBook(Rulebook([], data.imported_rules), state).book
        assert {key for key, entry in book.items() if entry.origin == "imported"} == {rule_id(1), rule_id(2)}
        with state.read() as session:
            assert session.scalars(select(RuleChange.what)).all() == ["import"]
            assert "rules.import" in session.scalars(select(AuditEntry.action)).all()
    finally:
        state.close()

    disabled = run(data, "disable", rule_id(1), "--reason", "too loud")
    assert disabled.exit_code == 0, disabled.output
    update = release.with_name("sigma-r2.zip")
    with zipfile.ZipFile(release) as old, zipfile.ZipFile(update, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).decode().replace("level: high", "level: critical"))
    updated = run(data, "import", str(update), "--yes")
    assert "0 added, 0 removed, 2 changed, 0 unchanged" in updated.output
    assert "level: high → critical" in updated.output
    [kept] = [each for each in json.loads(run(data, "list", "--json").stdout) if each["id"] == rule_id(1)]
    assert (kept["enabled"], kept["level"]) == (False, "critical")
    assert run(data, "import", "--back").exit_code == 0
    assert run(data, "enable", rule_id(1)).exit_code == 0

    counted = json.loads(run(data, "attack", "--json", "--scope", "received").stdout)
    assert counted["received_known"] is True
    [cell] = [each for each in counted["techniques"] if each["id"] == "T1595"]
    assert (cell["state"], set(cell["mapped"])) == ("mapped", {rule_id(1), rule_id(2)})

    forth = json.loads(run(data, "import", "--back", "--json").stdout)
    assert (forth["release"][:9], forth["previous"][:9]) == ("sigma-r2-", "sigma-r1-")


def test_what_is_asked_wrongly_is_said_in_one_line(
    data: DataDirectory, release: Path, tmp_path: Path
) -> None:
    assert run(data, "import").exit_code == 2
    assert run(data, "import", str(release), "--back").exit_code == 2
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    answer = run(data, "import", str(broken), "--dry-run")
    assert (answer.exit_code, answer.output.count("\n")) == (1, 1)
    nowhere = CliRunner().invoke(
        main, ["sigma", "import", str(release), "--yes", "--data", str(tmp_path / "none")]
    )
    assert nowhere.exit_code == 1
    assert "is not a data directory" in nowhere.output


def test_coverage_can_be_counted_without_a_data_directory(release: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    with zipfile.ZipFile(release) as archive:
        archive.extractall(folder)
    nowhere = DataDirectory(tmp_path / "none")
    layer = tmp_path / "layer.json"
    answer = run(nowhere, "attack", str(folder), "--layer", str(layer))
    assert answer.exit_code == 0, answer.output
    assert "0 evidence-tested, 1 mapped only; 4 rules" in answer.output
    assert json.loads(layer.read_text())["techniques"][0]["techniqueID"] == "T1595"
    ours = json.loads(run(nowhere, "attack", "--json").stdout)
    assert ours["counts"]["tested"] >= 20
    assert ours["counts"]["mapped"] == 0


def test_a_rule_that_was_begun_is_sound_and_its_evidence_holds(tmp_path: Path) -> None:
    path = tmp_path / "execution_example.yml"
    runner = CliRunner()
    made = runner.invoke(main, ["sigma", "new", str(path), "--title", "It's: {new} \n'x'"])
    assert made.exit_code == 0, made.output
    assert runner.invoke(main, ["sigma", "check", "--own", str(tmp_path)]).output.startswith(
        "0 errors, 0 warnings"
    )
    assert runner.invoke(main, ["sigma", "test", str(path)]).exit_code == 0
    again = runner.invoke(main, ["sigma", "new", str(path)])
    assert (again.exit_code, again.output.count("\n")) == (1, 1)
    assert runner.invoke(main, ["sigma", "new", str(tmp_path / "x.txt")]).exit_code == 1
