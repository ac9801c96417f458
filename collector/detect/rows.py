"""Takes rows of the log into a step: who reports, what is missing, and every part of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.detect.decode import Decoded, Refusal, decode
from collector.detect.derive import TooManyDocumentsError, take_document, take_health
from collector.detect.step import Letter, Origin, judge_time
from collector.detect.streams import Came, TooManyStreamsError, digest_of
from collector.detect.values import moment
from collector.store.rows import MetricRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.detect.context import EndpointContext
    from collector.detect.step import WorkStep
    from collector.detect.streams import StreamState
    from collector.log.interface import LogRow

#: A step takes no more than about this (at least one row), so that it is short: alerts come out between steps, and
#: nobody waits long for the state store's one writer. An insert into the event store costs its owner as much as some
#: thousand events, so a worker that is behind takes many at once.
_STEP_BYTES = 12 << 20
_STEP_PARTS = 12_000
#: Dead letters kept of one batch.
_MAX_LETTERS = 20


def decode_rows(rows: Sequence[LogRow]) -> list[tuple[LogRow, Decoded | None]]:
    """Rows with their content (None for a heartbeat), as many of them as one step may hold."""
    taken: list[tuple[LogRow, Decoded | None]] = []
    size = parts = 0
    for row in rows:
        decoded = decode(row.body) if row.kind == "batch" else None
        taken.append((row, decoded))
        if decoded is not None:
            size += decoded.size
            parts += len(decoded.events) + 20 * len(decoded.documents)
        if size >= _STEP_BYTES or parts >= _STEP_PARTS:
            break
    return taken


def documented(taken: Iterable[tuple[LogRow, Decoded | None]]) -> list[str]:
    """The endpoints whose documents will be asked for: those that say something of their state."""
    return [
        row.endpoint_id
        for row, decoded in taken
        if decoded is not None and (decoded.documents or decoded.health)
    ]


def take_row(step: WorkStep, context: EndpointContext, row: LogRow, decoded: Decoded | None) -> bool:
    """Take in one row. False where it is a batch that came before (nothing is taken then)."""
    if decoded is None:
        # Heartbeats carry the number of a batch, so they go by their place in the log.
        origin = Origin(row.received_at, row.offset, row.endpoint_id, "heartbeat", row.offset)
        _seen(step, context, origin, row)
        forked = step.streams.forked(row.endpoint_id, row.stream)
        if forked is not None:
            news = forked.note_alive(row.seq, row.sent_at, row.received_at)
            _tell_fork(step, context, origin, row, forked, news)
        return True
    origin = batch_origin(row)
    try:
        stream = step.streams.of(row.endpoint_id, row.stream)
    except TooManyStreamsError as error:
        _seen(step, context, origin, row)
        step.letters.append(
            Letter(context.id, row.offset, row.received_at, Refusal("", str(error), row.body))
        )
        return True
    missing, dropped = stream.missing, stream.dropped
    digest = digest_of(row.body)
    came = stream.take(row.seq, digest)
    _seen(step, context, origin, row)
    if came is Came.REPEATED:
        return False
    news = stream.note(row.seq, came, digest, row.sent_at, row.received_at)
    _tell_fork(step, context, origin, row, stream, news)
    stream.dropped = max(dropped, decoded.dropped)
    if stream.missing > missing or stream.dropped > dropped:
        fields = {
            "stream": {
                "id": row.stream,
                "missing": stream.missing,
                "dropped": stream.dropped,
                "new_missing": max(0, stream.missing - missing),
                "new_dropped": stream.dropped - dropped,
            }
        }
        step.derive(context, origin, "stream", fields, action="lost")
    _take_parts(step, context, origin, row, decoded)
    return True


def _tell_fork(
    step: WorkStep, context: EndpointContext, origin: Origin, row: LogRow, stream: StreamState, news: str
) -> None:
    """Say what the stream's numbers say of who speaks."""
    if not news or stream.fork is None:
        return
    fields = {
        "identity": {
            "stream": row.stream,
            "places": len(stream.fork.heads),
            "returns": stream.fork.returns,
            "since_time": stream.fork.since,
            "found_by": "numbers",
        }
    }
    step.derive(context, origin, "identity", fields, action=news)


def _take_parts(
    step: WorkStep, context: EndpointContext, origin: Origin, row: LogRow, decoded: Decoded
) -> None:
    refusals = list(decoded.refusals)
    # Documents first: events are then told under the host's present name.
    for index, document in decoded.documents:
        try:
            take_document(step, context, origin, document)
        except TooManyDocumentsError as error:
            refusals.append(Refusal(f"documents[{index}]", str(error), b""))
    take_events(step, context, origin, decoded)
    for health in decoded.health:
        try:
            take_health(step, context, origin, health)
        except TooManyDocumentsError as error:
            refusals.append(Refusal("health", str(error), b""))
            break
    take_metrics(step, context, row, decoded)
    if len(refusals) > _MAX_LETTERS:
        more = Refusal("…", f"{len(refusals) - _MAX_LETTERS + 1} further parts could not be read", b"")
        refusals = [*refusals[: _MAX_LETTERS - 1], more]
    step.letters += [Letter(context.id, row.offset, row.received_at, refusal) for refusal in refusals]


def take_events(step: WorkStep, context: EndpointContext, origin: Origin, decoded: Decoded) -> None:
    """Take in the events of a batch."""
    for index, event in decoded.events:
        source = event.logsource
        names = (source.product, source.category, source.service)
        step.take(context, origin, index, names, event.time, event.fields)


def take_metrics(step: WorkStep, context: EndpointContext, row: LogRow, decoded: Decoded) -> None:
    """Take in the metrics of a batch."""
    step.metrics += [
        MetricRow(
            context.id,
            metric.name,
            judge_time(metric.time, row.received_at)[0],
            metric.value,
            metric.unit,
            metric.attributes,
            row.offset,
            context.simulated,
            row.partition,
        )
        for metric in decoded.metrics
    ]


def batch_origin(row: LogRow) -> Origin:
    """Where the parts of a batch come from: the same for the same batch, whenever it is read; another one for another
    content that has the same number."""
    content = digest_of(row.body).hex()
    return Origin(row.received_at, row.offset, row.endpoint_id, row.stream, row.seq, content)


def _seen(step: WorkStep, context: EndpointContext, origin: Origin, row: LogRow) -> None:
    when = moment(row.received_at)
    before = context.last_seen_at
    if when != before:  # also where it is earlier: the clock was ahead and was set back
        step.change_endpoint(context, last_seen_at=when)
    if context.silence_mark_seconds:
        quiet = 0 if before is None else max(0, int((when - before).total_seconds()))
        mark = context.silence_mark_seconds
        step.change_endpoint(context, silence_mark_seconds=0)
        fields = {
            "silence": {"seconds": 0, "lasted_seconds": quiet},
            "changed": ["silence.seconds"],
            "previous": {"silence": {"seconds": mark}},
        }
        step.derive(context, origin, "silence", fields, action="returned")
    skew = round(row.received_at - row.sent_at, 3)
    if abs(skew - context.clock_skew_seconds) >= step.settings.detect.clock_skew_step_seconds:
        previous = context.clock_skew_seconds
        step.change_endpoint(context, clock_skew_seconds=skew)
        fields = {
            "clock": {"skew_seconds": skew, "skew_abs_seconds": abs(skew)},
            "changed": ["clock.skew_seconds"],
            "previous": {"clock": {"skew_seconds": previous}},
        }
        step.derive(context, origin, "clock", fields, action="skew_changed")
