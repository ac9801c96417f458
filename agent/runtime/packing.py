"""Turns gathered content into batches that the collector will take: encoded, compressed, none too large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zstandard
from msgspec import Struct, structs

from agent.messages import (
    MAX_BATCH_PARTS,
    MAX_BODY_BYTES,
    SCHEMA_VERSION,
    UNREADABLE,
    Batch,
    CollectorHealth,
    Event,
    Metric,
    StatusDocument,
    decode_batch,
    encode_batch,
)
from agent.runtime.models import Piece
from agent.runtime.spool_file import ALARMS, CHATTER, DOCUMENTS, EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Well under the contract's limit: what one batch may need to be decoded.
_MAX_ENCODED_BYTES: Final = 4 << 20
_LEVEL: Final = 3
#: What joining may hold decoded; the batches that it is for are of a few hundred bytes.
MOST_JOINED_BYTES: Final = 512 << 10


class Content(Struct, frozen=True):
    """What goes into one batch or more, in the order in which it was found."""

    events: list[Event] = []
    documents: list[StatusDocument] = []
    metrics: list[Metric] = []
    health: list[CollectorHealth] = []

    @property
    def empty(self) -> bool:
        return not (self.events or self.documents or self.metrics or self.health)

    @property
    def weight(self) -> int:
        if self.events:
            return ALARMS if all(map(_is_alarm, self.events)) else EVENTS
        return DOCUMENTS if self.documents else CHATTER

    @property
    def counts(self) -> dict[str, int]:
        every = {
            "events": len(self.events),
            "documents": len(self.documents),
            "metrics": len(self.metrics),
            "health": len(self.health),
        }
        return {kind: number for kind, number in every.items() if number}

    def batch(self, created_at: float, dropped: dict[str, int]) -> Batch:
        return Batch(
            schema=SCHEMA_VERSION,
            created_at=created_at,
            events=self.events,
            documents=self.documents,
            metrics=self.metrics,
            health=self.health,
            dropped=dropped,
        )

    def by_importance(self) -> list[Content]:
        """The same in up to three contents, so that what is important need not wait for what is not: what antiviruses
        found, documents, other events. Metrics and health go with what is there anyway, the least important first."""
        parts = [
            Content(events=[event for event in self.events if _is_alarm(event)]),
            Content(documents=self.documents),
            Content(events=[event for event in self.events if not _is_alarm(event)]),
        ]
        found = [part for part in parts if not part.empty] or [Content()]
        return [*found[:-1], structs.replace(found[-1], metrics=self.metrics, health=self.health)]

    def with_more(self, other: Content) -> Content:
        """What stands in this one, then what stands in ``other``."""
        return Content(
            self.events + other.events,
            self.documents + other.documents,
            self.metrics + other.metrics,
            self.health + other.health,
        )

    def halves(self) -> tuple[Content, Content]:
        """Two contents that together, in order, are this one; neither is empty where this holds two items."""
        sizes = [len(self.events), len(self.documents), len(self.metrics), len(self.health)]
        left = sum(sizes) // 2
        first: list[list[object]] = []
        second: list[list[object]] = []
        for items in (self.events, self.documents, self.metrics, self.health):
            first.append(list(items[:left]))
            second.append(list(items[left:]))
            left = max(0, left - len(items))
        return Content(*first), Content(*second)  # type: ignore[arg-type] # in the fields' own order


def _is_alarm(event: Event) -> bool:
    return event.logsource.category == "antivirus"


class PackedPiece(Piece, frozen=True):
    """A piece that still knows which documents it holds."""

    documents: tuple[tuple[str, str], ...] = ()

    def with_digests(
        self, keys: Mapping[tuple[str, str], str], digests: Mapping[str, str | None]
    ) -> PackedPiece:
        mine = [keys[each] for each in self.documents]
        return structs.replace(self, digests={key: digests[key] for key in mine})


def pack(content: Content, created_at: float, dropped: dict[str, int]) -> tuple[list[PackedPiece], Content]:
    """Return the pieces, the most important first, and the single items that no batch can carry."""
    pieces: list[PackedPiece] = []
    oversized = Content()
    for part in content.by_importance():
        made, left_out = _pack(part, created_at, dropped)
        pieces += made
        oversized = oversized.with_more(left_out)
    return pieces, oversized


def _pack(content: Content, created_at: float, dropped: dict[str, int]) -> tuple[list[PackedPiece], Content]:
    parts = sum(content.counts.values())
    encoded = encode_batch(content.batch(created_at, dropped))
    if len(encoded) <= _MAX_ENCODED_BYTES and parts <= MAX_BATCH_PARTS:
        body = zstandard.ZstdCompressor(level=_LEVEL).compress(encoded)
        if len(body) <= MAX_BODY_BYTES:
            names = tuple((d.kind, d.item) for d in content.documents)
            piece = PackedPiece(body=body, weight=content.weight, counts=content.counts, documents=names)
            return [piece], Content()
    if parts == 1:
        return [], content
    pieces: list[PackedPiece] = []
    oversized = Content()
    for half in content.halves():
        made, left_out = _pack(half, created_at, dropped)
        pieces += made
        oversized = oversized.with_more(left_out)
    return pieces, oversized


def join(bodies: Sequence[bytes]) -> tuple[int, bytes]:
    """One batch of the first so many of ``bodies``, as many as it may hold; how many they are. Where one of them is no
    batch, those before it are joined. Everything keeps its order; what was dropped is told as the last one tells."""
    batches: list[Batch] = []
    parts = size = 0
    decompressor = zstandard.ZstdDecompressor()
    for body in bodies:
        try:
            if zstandard.frame_content_size(body) > MOST_JOINED_BYTES:
                break
            decoded = decompressor.decompress(body, max_output_size=MOST_JOINED_BYTES)
            batch = decode_batch(decoded)
        except (zstandard.ZstdError, *UNREADABLE):
            break
        parts += len(batch.events) + len(batch.documents) + len(batch.metrics) + len(batch.health)
        size += len(decoded)
        if parts > MAX_BATCH_PARTS or size > MOST_JOINED_BYTES:
            break
        batches.append(batch)
    if not batches:
        return 0, b""
    whole = Content(
        events=[each for batch in batches for each in batch.events],
        documents=[each for batch in batches for each in batch.documents],
        metrics=[each for batch in batches for each in batch.metrics],
        health=[each for batch in batches for each in batch.health],
    )
    encoded = encode_batch(whole.batch(batches[-1].created_at, batches[-1].dropped))
    joined = zstandard.ZstdCompressor(level=_LEVEL).compress(encoded)
    return (len(batches), joined) if len(joined) <= MAX_BODY_BYTES else (0, b"")
