"""From the file to PostgreSQL on a machine of its own, with the commands of docs/scale.md as they are written there;
and PostgreSQL restarted while the collector works.

The machines are network namespaces (see ``test_log_on_jetstream``); `systemctl restart postgresql` is what Debian's
`pg_ctlcluster` does, on a cluster as the package makes it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

import pytest

from collector.log.interface import LogRow
from collector.log.sqlite_writer import SqliteWriter
from tests.collector.log.rows import append
from tests.collector.pipeline import frame
from tests.e2e.test_log_on_jetstream import Machine, commands
from tests.support import debian
from tests.support.collector import STREAM, make_site
from tests.support.nats_cluster import Network, possible
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.skipif(not possible(), reason="network namespaces are needed"),
]

_DATABASE: Final = 4
_COLLECTOR: Final = 9
_BATCHES: Final = 200
_CLUSTER: Final = "pg_ctlcluster --skip-systemctl-redirect 15 main"
_SYSTEMCTL: Final = f"""#!/bin/bash -eu
[ "$*" = "restart postgresql" ]
{_CLUSTER} stop -m fast || true
{_CLUSTER} start
"""
_SCP: Final = """#!/bin/bash -eu
path=${{2#*:}} number=${{2%%:*}} number=${{number##*.}}
cp -p "$1" {folders}/machine-$number/var/lib/upper/${{path#/var/lib/}}
"""
#: What the package does when it is installed; apart from the rest of this machine.
_AS_INSTALLED: Final = """
mount -t tmpfs -o mode=1777 own /run/postgresql
mount -t tmpfs -o mode=1777 own /var/log/postgresql
rm -rf /etc/postgresql/15/main /var/lib/postgresql/15/main
pg_createcluster 15 main >/dev/null
"""


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """The database's and the collector's."""
    debian.program("pg_ctlcluster", "postgresql")
    network = Network((_DATABASE, _COLLECTOR))
    made: list[Machine] = []
    empty = tmp_path / "programs"
    empty.mkdir()
    try:
        network.make()
        for number in (_DATABASE, _COLLECTOR):
            made.append(Machine(tmp_path, network, number, empty))  # noqa: PERF401 - what was made is ended
        database, collector = made
        database._write("systemctl", _SYSTEMCTL)
        database._write("scp", _SCP.format(folders=tmp_path))
        database.run(_AS_INSTALLED)
        yield database, collector
    finally:
        if made:
            made[0].run(f"{_CLUSTER} stop -m immediate || true")
        for machine in made:
            machine.end()
        network.remove()


def test_an_operator_leads_the_state_from_the_file_to_postgresql_which_then_restarts(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    database, collector = machines
    site = make_site(tmp_path / "site")
    endpoint = site.enrol(tmp_path / "endpoint")
    now = time.time()
    event = {"time": now, "logsource": {"product": "linux"}, "fields": {"Image": "/bin/ls"}}
    body = frame({"schema": 1, "created_at": now, "events": [event]})
    with closing(SqliteWriter(site.data.log)) as writer:
        rows = [LogRow(0, "batch", endpoint.id, STREAM, n, now, now, body) for n in range(1, _BATCHES + 1)]
        append(writer, *rows)
    site.state.close()
    with site.data.settings.open("a", encoding="utf-8") as file:
        file.write("\n[detect]\nbatch_rows = 5\n")
    shutil.move(site.data.root, collector.path("/var/lib/vonggac"))

    steps = commands()
    database.run(steps["database"])
    collector.run(steps["move"])
    wait_until(lambda: counted(collector)["n"], seconds=180, what="the first events of before")
    database.run("systemctl restart postgresql")

    wait_until(
        lambda: counted(collector) == {"n": _BATCHES, "u": _BATCHES},
        seconds=180,
        what="the events of before, each once",
    )
    checks = {
        check["name"]: check
        for check in json.loads(collector.run(steps["moved"].strip() + " --json || true"))["checks"]
    }
    assert checks["state store"]["state"] == checks["schema"]["state"] == "ok"
    assert "vonggac on 10.77.0.4:5432, PostgreSQL 15" in checks["state store"]["finding"]
    assert checks["its connection"]["finding"] == "encrypted"
    password = collector.path("/var/lib/vonggac/state.password").read_text(encoding="utf-8").strip()
    assert len(password) > 30
    assert password not in collector.said()


def counted(collector: Machine) -> dict[str, int]:
    """How many events there are, and how many different ones."""
    asked = (
        "import json; from pathlib import Path; from collector.store.client import StoreClient;"
        "print(json.dumps(StoreClient(Path('/var/lib/vonggac/run/store.sock')).query("
        "\"SELECT count() AS n, uniqExact(event_id) AS u FROM events WHERE product = 'linux'\")[0]))"
    )
    with suppress(AssertionError):
        found: dict[str, int] = json.loads(collector.run(f"python -c {shlex.quote(asked)}"))
        return found
    return {"n": 0, "u": 0}
