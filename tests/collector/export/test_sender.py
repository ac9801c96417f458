"""What an InfluxDB 2 answers that VictoriaMetrics never does: tokens, refusals, Retry-After."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.export.exporter import Exporter
from collector.export.lines import LabelBook
from collector.export.sender import ExportSettingsError, Sender
from collector.export.spool import SpoolReader, SpoolWriter
from collector.metrics import ExportMetrics
from collector.settings import Metrics
from tests.collector.export.test_spool import PLENTY, rows
from tests.support.receiver import Received, Receiver
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def exporter(tmp_path: Path, sender: Sender, metrics: ExportMetrics, batch_points: int = 500) -> Exporter:
    labels = LabelBook(new_state(tmp_path))
    reader = SpoolReader(tmp_path / "export")
    return Exporter(reader, sender, labels, metrics, batch_points=batch_points, pause_seconds=2)


def test_a_batch_goes_to_the_bucket_with_the_token_of_the_file(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    settings = Metrics(
        export_url=receiver.url,
        export_token_file=str(tmp_path / "token"),
        export_org="tỉnh",
        export_bucket="máy",
    )
    sender = Sender(settings)

    outcome = sender.send(["vonggac x=1 1", "vonggac x=2 2"])
    sender.close()

    assert outcome.taken
    (request,) = receiver.received
    assert request.path == "/api/v2/write?org=t%E1%BB%89nh&bucket=m%C3%A1y&precision=ns"
    assert request.headers["authorization"] == "Token s3cret"
    assert request.headers["content-encoding"] == "gzip"
    assert request.body == b"vonggac x=1 1\nvonggac x=2 2"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe"])
def test_a_token_that_is_none_is_said_at_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)

    with pytest.raises(ExportSettingsError, match="export_token_file"):
        Sender(Metrics(export_url="http://127.0.0.1:1", export_token_file=str(tmp_path / "token")))


def test_a_refused_token_loses_nothing_until_it_is_mended(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: (401, {})
    SpoolWriter(tmp_path / "export", "detect-1", PLENTY).put(rows(1, 1, 10), {1: 1})
    metrics = ExportMetrics()
    sender = Sender(Metrics(export_url=receiver.url))
    one = exporter(tmp_path, sender, metrics)

    waits = [one.turn() for _ in range(6)]
    receiver.answer = lambda _: (204, {})
    one.turn()
    sender.close()

    assert waits == [1, 2, 5, 10, 30, 30]
    assert metrics.registry.get_sample_value("vonggac_export_failures_total", {"reason": "401"}) == 6
    assert metrics.registry.get_sample_value("vonggac_export_points_total") == 10
    assert len(receiver.received) == 7


def test_a_store_that_is_busy_says_when_to_come_again(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: (503, {"Retry-After": "77"})
    SpoolWriter(tmp_path / "export", "detect-1", PLENTY).put(rows(1, 1, 10), {1: 1})
    sender = Sender(Metrics(export_url=receiver.url))

    wait = exporter(tmp_path, sender, ExportMetrics()).turn()
    sender.close()

    assert wait == 77


def test_one_line_that_is_refused_for_good_does_not_hold_up_the_others(
    tmp_path: Path, receiver: Receiver
) -> None:
    taken: list[bytes] = []

    def answer(request: Received) -> tuple[int, dict[str, str]]:
        if b"=4.625 " in request.body:  # partial writes are refused whole
            return 400, {}
        taken.extend(request.body.splitlines())
        return 204, {}

    receiver.answer = answer
    SpoolWriter(tmp_path / "export", "detect-1", PLENTY).put(rows(1, 1, 100), {1: 1})
    metrics = ExportMetrics()
    sender = Sender(Metrics(export_url=receiver.url))

    exporter(tmp_path, sender, metrics).turn()
    sender.close()

    assert len(taken) == len(set(taken)) == 99
    assert metrics.registry.get_sample_value("vonggac_export_refused_points_total") == 1
    assert metrics.registry.get_sample_value("vonggac_export_points_total") == 99
    assert SpoolReader(tmp_path / "export").waiting_bytes() == 0


def test_a_step_with_more_points_than_a_batch_goes_in_several(tmp_path: Path, receiver: Receiver) -> None:
    SpoolWriter(tmp_path / "export", "detect-1", PLENTY).put(rows(1, 1, 95), {1: 1})
    sender = Sender(Metrics(export_url=receiver.url))

    exporter(tmp_path, sender, ExportMetrics(), batch_points=20).turn()
    sender.close()

    assert [len(request.body.splitlines()) for request in receiver.received] == [20, 20, 20, 20, 15]
