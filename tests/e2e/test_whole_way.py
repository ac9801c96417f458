"""From something that happens on an endpoint to what an analyst and an agency's officer see."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clamd import EICAR, Clamd
from tests.support.debian import program, root
from tests.support.sshd import Sshd
from tests.support.stack import Agent, page
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.support.stack import Stack

pytestmark = pytest.mark.e2e

_ANTIVIRUS_SECONDS = 10
#: What a busy test machine may need for the rest of the way; `vonggac bench collector.latency` measures it.
_WAY_SECONDS = 15


@pytest.fixture
def clamd(tmp_path: Path) -> Iterator[Clamd]:
    daemon = Clamd(tmp_path / "clamav")
    daemon.start()
    yield daemon
    daemon.remove()


def _agent_with_clamd(folder: Path, stack: Stack, clamd: Clamd) -> Agent:
    return Agent(
        folder,
        stack,
        f'[collectors]\nclamd_sockets = ["{clamd.socket}"]\nclamd_logs = ["{clamd.log}"]\n'
        f"intervals = {{ antivirus_clamav = {_ANTIVIRUS_SECONDS} }}\n",
    )


def _alerts(client: httpx.Client, agent: Agent, fragment: str) -> list[dict[str, Any]]:
    """The endpoint's open alerts whose English title holds ``fragment``, whole."""
    listed = page(client, "/api/v1/alerts", endpoint_id=agent.endpoint_id, status="open")["items"]
    whole = [page(client, f"/api/v1/alerts/{alert['id']}") for alert in listed]
    return [alert for alert in whole if fragment.casefold() in alert["title"]["en"].casefold()]


def _percentage(client: httpx.Client, agency: str) -> float | None:
    answer: float | None = page(client, "/api/v1/coverage", agency=agency)["total"]["percent_of_known"]
    return answer


def test_eicar_found_by_clamd_becomes_an_alert_that_an_analyst_reads_and_closes(
    stack: Stack, analyst: httpx.Client, clamd: Clamd, tmp_path: Path
) -> None:
    agent = _agent_with_clamd(tmp_path / "agent", stack, clamd)
    agent.enroll(stack.token("so-tai-chinh"))
    agent.start()
    try:
        machine = f"/api/v1/endpoints/{agent.endpoint_id}"
        wait_until(lambda: analyst.get(machine).json().get("last_seen_at"), seconds=30, what="first report")
        infected = tmp_path / "hoá đơn.txt"
        infected.write_bytes(EICAR)
        assert clamd.scan(infected).endswith("FOUND")

        (alert,) = wait_until(
            lambda: _alerts(analyst, agent, "malware"), seconds=20, what="the alert about EICAR"
        )
        assert any(infected.name in str(item["event"]) for item in alert["evidence"])
        console = analyst.get(f"/alerts/{alert['id']}").text
        assert infected.name in console

        closing = {"reason": "true_positive_fixed", "note": "đã xoá tệp"}
        closed = analyst.post(f"/api/v1/alerts/{alert['id']}/close", json=closing)
        assert closed.status_code == 200, closed.text
        assert page(analyst, f"/api/v1/alerts/{alert['id']}")["closed_by"] == "lan"
        assert analyst.post(f"/api/v1/alerts/{alert['id']}/close", json=closing).status_code == 409
    finally:
        agent.stop()


def test_a_stopped_clamd_lowers_coverage_within_one_reporting_interval(
    stack: Stack, analyst: httpx.Client, clamd: Clamd, tmp_path: Path
) -> None:
    agency = "so-y-te"
    # A network of its own, so that machines the test knows nothing of cannot be in the denominator.
    agent = Agent(
        tmp_path / "agent",
        stack,
        f'[collectors]\nclamd_sockets = ["{clamd.socket}"]\nclamd_logs = ["{clamd.log}"]\n'
        f'disabled = ["neighbours"]\nintervals = {{ antivirus_clamav = {_ANTIVIRUS_SECONDS} }}\n',
    )
    agent.enroll(stack.token(agency))
    agent.start()
    try:
        wait_until(lambda: _percentage(analyst, agency) == 100.0, seconds=40, what="100 %")
        clamd.stop()
        wait_until(
            lambda: (_percentage(analyst, agency) or 0.0) < 100.0,
            seconds=_ANTIVIRUS_SECONDS + _WAY_SECONDS,
            what="less than 100 % within one reporting interval",
        )
        wait_until(lambda: _alerts(analyst, agent, "antivirus"), seconds=20, what="the alert: antivirus off")
        clamd.start()
        wait_until(lambda: _percentage(analyst, agency) == 100.0, seconds=40, what="100 % again")
        (alert,) = [
            alert for alert in _alerts(analyst, agent, "antivirus") if alert["cleared_at"] is not None
        ]
        assert alert["status"] == "open"
    finally:
        agent.stop()


def test_a_burst_of_wrong_ssh_passwords_becomes_one_alert_with_its_source_address(
    stack: Stack, analyst: httpx.Client, tmp_path: Path
) -> None:
    root("sshd checks passwords")
    sshpass = program("sshpass", "sshpass")
    with Sshd(tmp_path / "sshd") as sshd:
        agent = Agent(tmp_path / "agent", stack, f'[collectors]\nauth_logs = ["{sshd.log}"]\n')
        agent.enroll(stack.token("so-noi-vu"))
        agent.start()
        try:
            machine = f"/api/v1/endpoints/{agent.endpoint_id}"
            wait_until(lambda: analyst.get(machine).json().get("last_seen_at"), seconds=30, what="a report")
            for attempt in range(12):
                tried = subprocess.run(
                    [sshpass, "-p", f"wrong-{attempt}", *sshd.client(), "nobody-here@127.0.0.1", "true"],
                    capture_output=True, text=True, check=False, timeout=30,
                )  # fmt: skip
                assert "Permission denied" in tried.stderr
            (alert,) = wait_until(
                lambda: _alerts(analyst, agent, "password guessing"), seconds=20, what="the brute-force alert"
            )
            assert "127.0.0.1" in alert["subject"]
            assert alert["evidence"]
        finally:
            agent.stop()


def test_a_vietnamese_report_names_the_machine_behind_its_percentage(
    stack: Stack, analyst: httpx.Client, clamd: Clamd, tmp_path: Path
) -> None:
    agent = _agent_with_clamd(tmp_path / "agent", stack, clamd)
    agent.enroll(stack.token("so-xay-dung"))
    agent.start()
    try:
        wait_until(
            lambda: page(analyst, "/api/v1/coverage", agency="so-xay-dung")["total"]["protected"] == 1,
            seconds=40,
            what="one protected machine",
        )
    finally:
        agent.stop()
    target = tmp_path / "bao-cao.docx"
    stack.vonggac(
        "report", "coverage", "--agency", "so-xay-dung", "--format", "docx", "--output", str(target)
    )
    office = shutil.which("soffice") or program("libreoffice", "libreoffice-writer")
    subprocess.run(
        [office, "--headless", "--convert-to", "txt:Text (encoded):UTF8", "--outdir", str(tmp_path), str(target)],
        check=True, capture_output=True, timeout=120, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    text = (tmp_path / "bao-cao.txt").read_text(encoding="utf-8")
    assert "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM" in text
    machine = page(analyst, f"/api/v1/endpoints/{agent.endpoint_id}")
    assert machine["hostname"] in text
