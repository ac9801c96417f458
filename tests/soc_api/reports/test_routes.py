"""Reports over HTTP and from the command line: who may have which, and what the audit log keeps of it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import docx
import pypdf
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from collector.state.tables import AuditEntry, Document, Endpoint
from soc_api.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

    from tests.soc_api.conftest import World

    SignedIn = Callable[[str], TestClient]


@pytest.fixture
def peopled(world: World) -> World:
    """so-y-te: one protected and one simulated machine; so-noi-vu: one that has not said anything of antivirus."""
    protected = world.endpoint(world.here, "yt-01")
    world.endpoint(world.here, "yt-sim", simulated=True)
    world.endpoint(world.there, "nv-01")
    now = world.clock.now
    with world.services.state.write() as session:
        body = {"product": "clamav", "state": "on", "signature_time": now.timestamp() - 3600}
        session.add(
            Document(
                endpoint_id=protected,
                kind="antivirus",
                item="clamav",
                body=body,
                digest="",
                observed_at=now,
                received_at=now,
                changed_at=now,
            )
        )
    return world


def _json(client: TestClient, query: str = "") -> Any:
    answer = client.get(f"/reports/coverage?format=json{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def _names(report: Any) -> list[str]:
    return sorted(machine["name"] for machine in report["machines"])


def test_a_reader_of_all_agencies_gets_every_machine(peopled: World, signed_in: SignedIn) -> None:
    report = _json(signed_in("auditor"))
    assert _names(report) == ["nv-01", "yt-01"]
    assert (report["total"]["protected"], report["total"]["known"]) == (1, 2)
    assert report["simulated"] == {"included": False, "counted": 0, "left_out": 1}


def test_an_officer_gets_only_his_agencys_machines(peopled: World, signed_in: SignedIn) -> None:
    report = _json(signed_in("officer2"))
    assert _names(report) == ["nv-01"]
    assert [agency["code"] for agency in report["agencies"]] == ["so-noi-vu"]
    assert report["simulated"]["left_out"] == 0


def test_an_officer_asking_for_another_agency_is_told_there_is_none(
    peopled: World, signed_in: SignedIn
) -> None:
    client = signed_in("officer")
    refused = client.get("/reports/coverage?format=json&agency=so-noi-vu")
    unknown = client.get("/reports/coverage?format=json&agency=no-such-agency")
    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert "Nội vụ" not in refused.text
    assert _names(_json(client, "&agency=so-y-te")) == ["yt-01"]


def test_nobody_gets_a_report_without_signing_in(world: World, anonymous: TestClient) -> None:
    assert anonymous.get("/reports/coverage?format=json").status_code == 401


@pytest.mark.parametrize(
    "query", ["format=exe", "simulated=maybe", "lang=fr", "number=0", "agency=" + "x" * 200]
)
def test_a_wrong_question_is_refused(world: World, signed_in: SignedIn, query: str) -> None:
    assert signed_in("analyst").get(f"/reports/coverage?{query}").status_code == 422


def test_every_format_is_a_file_of_its_kind(peopled: World, signed_in: SignedIn) -> None:
    client = signed_in("analyst")
    made = {form: client.get(f"/reports/coverage?format={form}") for form in ("docx", "xlsx", "pdf")}
    for form, answer in made.items():
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == (
            f'attachment; filename="coverage-all-20261121-0300Z.{form}"'.replace(
                "0300", f"{peopled.clock.now:%H%M}"
            )
        )
        assert answer.headers["cache-control"] == "private, no-store"
    assert docx.Document(io.BytesIO(made["docx"].content)).tables
    assert len(pypdf.PdfReader(io.BytesIO(made["pdf"].content)).pages) >= 3
    assert made["xlsx"].content[:2] == b"PK"


def test_simulated_machines_are_counted_only_when_asked_for(peopled: World, signed_in: SignedIn) -> None:
    report = _json(signed_in("analyst"), "&simulated=1")
    assert _names(report) == ["nv-01", "yt-01", "yt-sim"]
    assert report["simulated"] == {"included": True, "counted": 1, "left_out": 0}


def test_a_retired_machine_is_left_out_and_said_to_be(peopled: World, signed_in: SignedIn) -> None:
    with peopled.services.state.write() as session:
        endpoint = session.scalars(select(Endpoint).where(Endpoint.hostname == "nv-01")).one()
        endpoint.retired_at = peopled.clock.now
    report = _json(signed_in("analyst"))
    assert _names(report) == ["yt-01"]
    assert report["excluded"]["retired"] == 1
    assert _json(signed_in("officer"))["excluded"]["retired"] == 0


def test_who_took_which_report_is_in_the_audit_log(peopled: World, signed_in: SignedIn) -> None:
    _json(signed_in("officer"), "&agency=so-y-te")
    with peopled.services.state.read() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.actor, entry.action, entry.target) == ("officer", "report.coverage", "so-y-te")
    assert entry.detail == {"format": "json", "simulated": False}


def test_the_command_writes_the_same_report(peopled: World, tmp_path: Path) -> None:
    data, output = str(peopled.services.data.root), tmp_path / "out.json"
    done = CliRunner().invoke(
        main,
        [
            "report",
            "coverage",
            "--data",
            data,
            "--format",
            "json",
            "--agency",
            "so-y-te",
            "--output",
            str(output),
        ],
    )
    assert done.exit_code == 0, done.output
    assert _names(json.loads(output.read_text())) == ["yt-01"]


def test_the_command_names_the_nearest_agency(peopled: World, tmp_path: Path) -> None:
    data = str(peopled.services.data.root)
    arguments = ["report", "coverage", "--data", data, "--agency", "so-y-t", "--output", str(tmp_path / "x")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "so-y-te" in done.output
    assert not (tmp_path / "x").exists()


def test_the_command_says_what_to_do_without_a_data_directory(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["report", "coverage", "--data", str(tmp_path), "--output", str(tmp_path / "x")]
    )
    assert done.exit_code == 1
    assert "vonggac serve" in done.output
