"""Hostile bytes: whatever an agent sends is read, or refused with a reason, and the worker goes on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from agent.messages import MAX_BATCH_PARTS, MAX_DECODED_BYTES
from collector.detect.decode import RESERVED_KINDS, decode
from collector.detect.streams import Came, StreamState, digest_of
from collector.detect.values import UnusableValueError, clean, clean_text, event_id, moment
from collector.state.tables import DeadLetter
from tests.collector.documents.test_diff import JSON
from tests.collector.pipeline import T0, Pipeline, document, event, frame

if TYPE_CHECKING:
    from pathlib import Path


def refusals(body: bytes) -> list[tuple[str, str]]:
    return [(refusal.part, refusal.reason) for refusal in decode(body).refusals]


def batch(**parts: Any) -> dict[str, Any]:
    return {"schema": 1, "created_at": T0, **parts}


def test_a_bomb_is_refused_without_being_opened() -> None:
    bomb = zstandard.compress(b"\0" * (MAX_DECODED_BYTES + 1))
    assert len(bomb) < 4096
    (refusal,) = refusals(bomb)
    assert refusal == (
        "",
        f"{MAX_DECODED_BYTES + 1} bytes when decompressed; {MAX_DECODED_BYTES} are allowed",
    )


def test_a_bomb_that_hides_its_size_is_refused_too() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    bomb = compressor.compress(b"\0" * (MAX_DECODED_BYTES + 1)) + compressor.flush()
    ((part, reason),) = refusals(bomb)
    assert (part, reason) == ("", f"more than {MAX_DECODED_BYTES} bytes when decompressed")


def test_a_crowd_of_tiny_parts_is_refused_as_a_whole() -> None:
    crowd = b'{"schema":1,"created_at":0,"events":[' + b"0," * MAX_BATCH_PARTS + b"0]}"
    assert len(zstandard.compress(crowd)) < 1024
    ((part, reason),) = refusals(zstandard.compress(crowd))
    assert part == ""
    assert reason.startswith(f"{MAX_BATCH_PARTS + 1} events, documents")


def test_a_frame_without_its_size_is_read() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    body = compressor.compress(msgspec.json.encode(batch(events=[event()]))) + compressor.flush()
    assert len(decode(body).events) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}", "missing required field"),
        (b'{"schema": 1, "created_at": 1, "shell": "ls"}', "unknown field `shell`"),
        (b'{"schema": 7, "created_at": 1}', "schema 7 is not understood"),
        (b'{"schema": 0, "created_at": 1}', "schema 0 is not understood"),
        (b'{"schema": 1, "created_at": NaN}', "invalid"),
        (b'{"schema": 1, "created_at": 1, "dropped": {"Bad Name": 1}}', "matching regex"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, "nested too deeply|truncated|array|recursion"),
    ],
)
def test_a_wrong_envelope_is_refused_whole_with_the_reason(content: bytes, reason: str) -> None:
    ((part, said),) = refusals(zstandard.compress(content))
    assert part == ""
    assert re.search(reason, said, re.IGNORECASE), said


@pytest.mark.parametrize("kind", sorted(RESERVED_KINDS))
def test_an_agent_cannot_write_what_the_collector_keeps(kind: str) -> None:
    ((part, reason),) = refusals(frame(batch(documents=[document(kind, {})])))
    assert (part, reason) == ("documents[0]", f"kind {kind!r} is the collector's own")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({**event(), "shell": "ls"}, "unknown field"),
        ({"time": T0, "logsource": {"product": "linux", "path": "/etc"}, "fields": {}}, "unknown field"),
        ({**event(), "time": "now"}, "Expected `float`"),
        (event(Nested=json.loads("[" * 60 + "]" * 60)), "nested deeper than"),
        (event(Many=list(range(5000))), "more than 4000 values"),
        (event(Big="x" * 300_000), "bytes"),
    ],
)
def test_a_wrong_event_is_refused_alone(bad: dict[str, Any], reason: str) -> None:
    decoded = decode(frame(batch(events=[event(), bad, event()])))
    assert [index for index, _ in decoded.events] == [0, 2]
    ((part, said),) = [(refusal.part, refusal.reason) for refusal in decoded.refusals]
    assert part == "events[1]"
    assert reason in said


def test_nul_lone_surrogates_and_huge_numbers_become_harmless() -> None:
    cleaned = clean({"a\0": ["x\0y", "\ud800", 2**64, -(2**63), True, 1.5, None]}, max_leaves=10)
    assert cleaned == {"a\ufffd": ["x\ufffdy", "?", str(2**64), -(2**63), True, 1.5, None]}
    assert json.loads(msgspec.json.encode(cleaned)) == cleaned
    with pytest.raises(UnusableValueError):
        clean([1, 2, 3], max_leaves=2)


@given(st.text())
def test_clean_text_is_utf8_without_nul_and_clean_stays_clean(text: str) -> None:
    once = clean_text(text)
    assert "\0" not in once.encode().decode()
    assert clean_text(once) == once


@given(st.floats())
def test_any_number_of_seconds_is_a_moment(seconds: float) -> None:
    assert moment(seconds).tzinfo is not None


def test_ids_of_different_parts_differ_even_where_their_texts_join_alike() -> None:
    assert event_id("a", "bc") != event_id("ab", "c")
    assert event_id("\ud800") != event_id("x")


@given(st.lists(st.integers(1, 40), max_size=60))
def test_a_stream_takes_each_number_once_and_counts_what_is_missing(numbers: list[int]) -> None:
    stream = StreamState()
    taken = [number for number in numbers if stream.take(number, digest_of(b"%d" % number)) is Came.FRESH]
    assert sorted(taken) == sorted(set(numbers))
    assert stream.missing == max(numbers, default=0) - len(set(numbers))
    missing = {number for first, last in stream.gaps for number in range(first, last + 1)}
    assert missing == set(range(1, max(numbers, default=0) + 1)) - set(numbers)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert decode(body).refusals
    decoded = decode(zstandard.compress(body))
    assert decoded.refusals or decoded.size == len(body)


KINDS = (
    "host",
    "software",
    "storage",
    "antivirus",
    "firewall",
    "updates",
    "lan",
    "neighbours",
    "unheard_of",
    "ages",
)
NAMES = (
    "name",
    "state",
    "signature_time",
    "pending_since",
    "security_pending",
    "entries",
    "gateway",
    "mac",
    "ip",
    "mac_addresses",
    "packages",
    "interfaces",
    "os",
    "role",
    "used_percent",
    "host",
    "event.id",
    "a.b",
    "",
)
HOSTILE = st.recursive(
    JSON
    | st.sampled_from(
        ["10.0.0.1", "00:11:22:33:44:55", "on", "off", "not_installed", 1e18, 2**70, "\ud800", "\0"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), HOSTILE, max_size=6)
TIME = st.floats(allow_nan=False, allow_infinity=False) | st.just(T0)
BATCH = st.fixed_dictionaries(
    {"schema": st.just(1), "created_at": TIME},
    optional={
        "events": st.lists(
            st.fixed_dictionaries(
                {
                    "time": TIME,
                    "logsource": st.dictionaries(
                        st.sampled_from(["product", "category", "service"]), st.text(max_size=9)
                    ),
                    "fields": FIELDS,
                }
            )
            | HOSTILE,
            max_size=3,
        ),
        "documents": st.lists(
            st.fixed_dictionaries(
                {"kind": st.sampled_from(KINDS), "observed_at": TIME, "body": st.none() | FIELDS},
                optional={"item": st.text(max_size=5)},
            )
            | HOSTILE,
            max_size=4,
        ),
        "metrics": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["lan.rtt_seconds", "Bad"]),
                    "time": TIME,
                    "value": TIME,
                    "unit": st.sampled_from(["seconds", "parsecs"]),
                }
            )
            | HOSTILE,
            max_size=2,
        ),
        "health": st.lists(
            st.fixed_dictionaries(
                {"name": st.just("antivirus_x"), "ok": st.booleans(), "duration_seconds": TIME}
            )
            | HOSTILE,
            max_size=2,
        ),
        "dropped": st.dictionaries(st.sampled_from(["events", "x y"]), st.integers(-5, 2**70), max_size=2),
        "other": HOSTILE,
    },
)
_PIPELINES: dict[Any, Pipeline] = {}


def encode(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


@given(st.lists(BATCH, min_size=1, max_size=3))
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_batch_stops_the_worker_or_fails_inside_it(tmp_path: Path, batches: list[dict[str, Any]]) -> None:
    pipeline = _PIPELINES.get(tmp_path) or _PIPELINES.setdefault(tmp_path, Pipeline(tmp_path))
    for each in batches:
        pipeline.raw(zstandard.compress(encode(each)))
    pipeline.work()
    pipeline.clock.seconds += 86_400
    pipeline.turn()
    assert pipeline.position == pipeline.log.rows[-1].offset
    with pipeline.state.read() as session:
        reasons = session.scalars(
            select(DeadLetter.reason).where(DeadLetter.reason.startswith("internal error"))
        ).all()
        assert reasons == []
        assert pipeline.committed() == pipeline.position
    assert pipeline.worker.metrics.rule_errors._value.get() == 0
