"""Console and API of log sources and backups: decisions, reports over HTTP, hostile text, other agencies."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from sqlalchemy import select

from collector.backups.reports import sign
from collector.state.tables import AuditEntry, BackupRecord, LogSource
from soc_api.app import assemble
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

SCRIPT = "<script>alert(1)</script>"
HTML = {"accept": "text/html"}
SYSTEM = {
    "agency": "so-y-te", "name": "his-db", "title": "CSDL bệnh viện", "owner": "Lê An", "hours": 26, "restore_days": 180
}  # fmt: skip


def add_source(world: Any, agency_id: int, address: str, **more: Any) -> int:
    with world.services.state.write() as session:
        row = LogSource(
            agency_id=agency_id, address=address, state_since=world.clock.now, made_at=world.clock.now, **more
        )
        session.add(row)
        session.flush()
        return row.id


def audited(world: Any) -> list[str]:
    with world.services.state.read() as session:
        return [each.action for each in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


def test_an_officer_sees_and_decides_on_the_sources_of_his_agency_only(
    world: Any, signed_in: Callable[[str], TestClient]
) -> None:
    mine = add_source(world, world.here, "192.0.2.1", hostname=SCRIPT, state="silent")
    theirs = add_source(world, world.there, "198.51.100.1", name="not-yours")
    client = signed_in("officer")
    page = client.get("/log-sources").text
    assert "192.0.2.1" in page
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page
    assert "not-yours" not in page
    assert "198.51.100.1" not in page
    [listed] = client.get("/api/v1/log-sources").json()
    assert (listed["address"], listed["state"], listed["known_ratio"]) == ("192.0.2.1", "silent", None)
    body = {"name": "fw-1", "minutes": 30, "reason": "tường lửa chính"}
    assert client.put(f"/api/v1/log-sources/{theirs}/expectation", json=body).status_code == 404
    kept = client.put(f"/api/v1/log-sources/{mine}/expectation", json=body).json()
    assert (kept["name"], kept["standing"], kept["expected_seconds"]) == ("fw-1", "expected", 1800)
    form = {"csrf": client.headers["X-CSRF-Token"], "reason": "hỏng"}
    assert client.post(f"/log-sources/{theirs}/retire", data=form, headers=HTML).status_code == 404
    assert client.post(f"/log-sources/{mine}/retire", data=form, follow_redirects=False).status_code == 303
    assert client.get("/api/v1/log-sources").json()[0]["standing"] == "retired"
    assert audited(world)[-2:] == ["log_source.expect", "log_source.retire"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"agency": "so-noi-vu", "address": "192.0.2.9", "reason": "x"}, 404),
        ({"agency": "so-y-te", "address": "fw.example", "reason": "x"}, 422),
        ({"agency": "so-y-te", "address": "192.0.2.9", "reason": " "}, 422),
        ({"agency": "so-y-te", "address": "192.0.2.9", "reason": "x", "minutes": 0}, 422),
        ({"agency": "so-y-te", "address": "192.0.2.9", "reason": "x", "name": "a\u202eb"}, 422),
        ({"agency": "so-y-te", "address": "192.0.2.9", "reason": "x", "more": 1}, 422),
        ({"agency": "so-y-te", "address": " 192.0.2.9 ", "reason": "x"}, 201),
    ],
)
def test_declaring_a_source(
    signed_in: Callable[[str], TestClient], body: dict[str, Any], status: int
) -> None:
    client = signed_in("officer")
    assert client.post("/api/v1/log-sources", json=body).status_code == status
    if status == 201:
        assert client.post("/api/v1/log-sources", json=body).status_code == 409
        assert client.get("/log-sources?state=waiting").text.count("192.0.2.9") >= 1


def test_a_system_is_entered_given_a_key_and_reports_with_openssl_and_curls_form(
    world: Any, signed_in: Callable[[str], TestClient], anonymous: TestClient
) -> None:
    client = signed_in("officer")
    assert client.post("/api/v1/backups", json={**SYSTEM, "agency": "so-noi-vu"}).status_code == 404
    assert client.post("/api/v1/backups", json={**SYSTEM, "name": "Ä"}).status_code == 422
    assert client.post("/api/v1/backups", json=SYSTEM).status_code == 201
    assert client.post("/api/v1/backups", json=SYSTEM).status_code == 409
    page = client.post(
        "/backups/his-db/key", data={"csrf": client.headers["X-CSRF-Token"]}, headers=HTML
    ).text
    key = page.split('id="key">')[1].split("<")[0]
    assert key not in client.get("/backups").text
    now = world.clock.now.timestamp()
    body = json.dumps(
        {
            "system": "his-db",
            "at": now - 60,
            "sent_at": now,
            "nonce": "night-0001",
            "ok": True,
            "note": SCRIPT,
        }
    )
    signed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", key, "-r"],
        input=body,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]
    headers = {"Vonggac-Signature": f"sha256={signed}", "content-type": "application/json"}
    assert anonymous.post("/api/v1/backup-reports", content=body, headers=headers).status_code == 204
    assert anonymous.post("/api/v1/backup-reports", content=body, headers=headers).status_code == 409
    [system] = client.get("/api/v1/backups").json()
    assert (system["reports"], system["last_restore_at"]) == (True, None)
    assert system["last_good_at"] is not None
    page = client.get("/backups").text
    assert SCRIPT not in page
    assert "CSDL bệnh viện" in page
    assert signed_in("officer2").get("/api/v1/backups").json() == []
    assert "CSDL bệnh viện" not in signed_in("officer2").get("/backups").text
    assert "backup.key" in audited(world)


def test_the_example_of_the_docs_reports_for_real(
    world: Any, signed_in: Callable[[str], TestClient], tmp_path: Path
) -> None:
    client = signed_in("officer")
    client.post("/api/v1/backups", json=SYSTEM)
    (tmp_path / "key").write_text(client.post("/api/v1/backups/his-db/key").json()["key"] + "\n")
    page = (Path(__file__).parents[3] / "docs" / "probe.md").read_text(encoding="utf-8")
    [example] = [block.split("```")[0] for block in page.split("```bash\n")[1:]]
    script = tmp_path / "backup-report.sh"
    script.write_text(example)
    world.clock.now = datetime.now(UTC)
    server = uvicorn.Server(
        uvicorn.Config(assemble(world.services), port=0, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, seconds=20, what="the server", every=0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    told = {"URL": f"http://127.0.0.1:{port}", "KEY_FILE": str(tmp_path / "key"), "CA_FILE": "/dev/null"}
    try:
        for ok in ("1", "0"):
            subprocess.run(["sh", str(script), ok], env={**os.environ, **told}, check=True, timeout=30)
        (tmp_path / "key").write_text("0" * 64)
        refused = subprocess.run(
            ["sh", str(script)],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        server.should_exit = True
        thread.join(20)
    assert "401" in refused.stderr
    with world.services.state.read() as session:
        kept = session.scalars(select(BackupRecord).order_by(BackupRecord.id)).all()
    assert [(each.kind, each.ok) for each in kept] == [("report", True), ("report", False)]


def test_reports_that_are_not_signed_too_large_or_too_many(
    world: Any, signed_in: Callable[[str], TestClient], anonymous: TestClient
) -> None:
    client = signed_in("admin")
    client.post("/api/v1/backups", json=SYSTEM)
    key = client.post("/api/v1/backups/his-db/key").json()["key"]
    old = json.dumps({"system": "his-db", "at": 1, "sent_at": 1, "nonce": "night-0001", "ok": True}).encode()
    headers = {"Vonggac-Signature": sign(key, old)}
    refused = anonymous.post("/api/v1/backup-reports", content=old, headers=headers)
    assert refused.status_code == 422
    assert "clock" in refused.json()["detail"]
    assert anonymous.post("/api/v1/backup-reports", content=b"x" * 5_000).status_code == 413
    statuses = [anonymous.post("/api/v1/backup-reports", content=old).status_code for _ in range(30)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    # Who cannot report can sign in all the same, and the other way round.
    world.services.throttle.begin("testclient")
    with world.services.state.read() as session:
        assert session.scalars(select(BackupRecord)).all() == []


def test_a_restore_test_is_written_down_with_who_and_evidence(
    world: Any, signed_in: Callable[[str], TestClient]
) -> None:
    client = signed_in("officer")
    client.post("/api/v1/backups", json=SYSTEM)
    form = {"csrf": client.headers["X-CSRF-Token"], "day": "2026-11-21", "outcome": "good", "by": "Lê An"}
    assert client.post("/backups/his-db/restore", data=form, headers=HTML).status_code == 422
    for day in ("2026-11-30", "not a day", "0001-01-01", ""):
        answer = client.post("/backups/his-db/restore", data={**form, "note": "x", "day": day}, headers=HTML)
        assert answer.status_code == 422
    done = client.post("/backups/his-db/restore", data={**form, "note": SCRIPT}, follow_redirects=False)
    assert done.status_code == 303
    page = client.get("/backups").text
    assert "Lê An" in page
    assert SCRIPT not in page
    [record] = client.get("/api/v1/backups/his-db/records").json()
    assert (record["kind"], record["ok"], record["by"]) == ("restore", True, "Lê An")
    assert client.post("/api/v1/backups/his-db/retirement", json={"reason": "thay thế"}).status_code == 204
    assert client.get("/api/v1/backups").json() == []
    auditor = signed_in("auditor")
    assert auditor.get("/backups").status_code == 200
    assert auditor.post("/api/v1/backups/his-db/key").status_code == 403
    assert [each for each in audited(world) if each.startswith("backup.")][-2:] == [
        "backup.restore",
        "backup.retire",
    ]
