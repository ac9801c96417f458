"""The system page: processes, what the collector watches of itself, and when it is behind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from collector.detect.checkpoints import name_of
from collector.partitions import ALL
from collector.state.tables import Checkpoint
from collector.watch.concerns import CONCERNS
from soc_api.i18n import translator
from soc_api.pages.collector_words import CONCERN_NAMES, measured
from tests.soc_api.pages.conftest import HTML

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn
    from tests.soc_api.pages.conftest import Page


def test_troubles_come_first_with_their_limit_and_a_killed_process_stands_out(
    province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    own = client.get("/system", headers={"accept": "application/json"}).json()["own"]
    english, vietnamese = look(client, "/system", "en"), look(client, "/system", "vi")

    assert [each["concern"] for each in own["observations"] if each["trouble"]] == [
        "disk_runway", "process_silence", "source_silence",
    ]  # fmt: skip
    assert [each["trouble"] for each in own["observations"]][:4] == [True, True, True, False]
    assert "Time until the disk is full" in english.text
    assert "9 days" in english.text
    assert "below 14 days" in english.text
    assert "beyond 10 minutes" in english.text
    assert "not foreseeable" in english.text
    assert "detect-2" in english.text
    assert "14 minutes ago" in english.text
    assert "Ổ đĩa còn đủ dùng" in vietnamese.text
    assert "dưới 14 ngày" in vietnamese.text


def test_hostile_names_of_sources_are_text(
    province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    page = look(signed_in("admin"), "/system", "en")

    assert "<script>alert(1)</script>" in page.text
    assert "U+202E" in page.text


def test_the_api_tells_the_same(province: Services, signed_in: SignedIn) -> None:
    health = signed_in("analyst").get("/api/v1/system/health").json()

    assert health["processes"][0]["figures"]["memory_bytes"] > 1e6
    assert [each["concern"] for each in health["observations"][:1]] == ["disk_runway"]
    assert health["looked_at"]
    assert signed_in("officer").get("/api/v1/system/health").status_code == 403


@pytest.mark.parametrize(
    ("received", "updated", "state"),
    [(2, 2, "ok"), (59, 2, "ok"), (75, 2, "behind"), (300, 300, "behind")],
)
def test_the_pipeline_is_behind_when_its_slowest_partition_is(
    province: Services, signed_in: SignedIn, received: float, updated: float, state: str
) -> None:
    client = signed_in("admin")
    now = province.clock()
    with province.state.write() as session:
        session.execute(update(Checkpoint).values(received_at=now, updated_at=now))
        session.execute(
            update(Checkpoint)
            .where(Checkpoint.worker == name_of(ALL[3]))
            .values(
                received_at=now - timedelta(seconds=received), updated_at=now - timedelta(seconds=updated)
            )
        )
    answer = client.get("/system", headers={"accept": "application/json"}).json()

    assert answer["pipeline"]["state"] == state
    assert answer["pipeline"]["lag_seconds"] == received


def test_every_concern_has_its_words() -> None:
    assert set(CONCERN_NAMES) == set(CONCERNS)


@pytest.mark.parametrize(
    ("concern", "value", "vietnamese", "english"),
    [
        ("queue_lag", 1.25, "1,2 giây", "1.2 s"),
        ("queue_lag", 700.0, "11 phút", "11 minutes"),
        ("disk_runway", 9.2, "9 ngày", "9 days"),
        ("certificate", -3.0, "0 giây", "0 seconds"),
        ("disk_free", 0.061, "6,1 %", "6.1 %"),
        ("dead_letters", 1200.0, "1.200 lần/giờ", "1,200 an hour"),
        ("agent_certificates", 3.0, "3", "3"),
        ("queue_lag", None, "—", "—"),
        ("of another version", 3.0, "—", "—"),
    ],
)
def test_values_are_said_in_their_units(
    concern: str, value: float | None, vietnamese: str, english: str
) -> None:
    assert measured(translator("vi"), concern, value) == vietnamese
    assert measured(translator("en"), concern, value) == english


def test_the_page_of_a_collector_that_never_looked(services: Services, signed_in: SignedIn) -> None:
    page = signed_in("admin").get("/system", headers=HTML)

    assert page.status_code == 200
    assert "Chưa tiến trình nào báo hiệu" in page.text
