"""What travels between an agent and the collector: the wire contract, and the only words both sides share.

One **batch** is one HTTP request: ``POST /v1/batches`` with the agent's certificate, the body a Zstandard frame
of the JSON encoding of :class:`Batch`. Where the batch stands in its stream, and when it left, travel in the
``Vonggac-Batch`` header (:class:`BatchHeader`), so that ingest can accept, refuse or de-duplicate without opening
the body. ``POST /v1/heartbeat`` carries a header alone. The ``Vonggac-Importance`` header may say how important it
is; where the collector has little room (503), ``Vonggac-Takes`` says from which importance on it takes more.

The schema is closed: an unknown field is an error, nothing on the wire names a class, a path or a command.
Times are seconds since the Unix epoch, UTC, as floats. Sizes are bytes. Ratios are 0 to 1.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

#: The version of this contract; a collector accepts this one and the two before it.
SCHEMA_VERSION: Final = 1

#: The most a compressed and a decompressed batch may weigh. The collector refuses more with 413.
MAX_BODY_BYTES: Final = 1 << 20
MAX_DECODED_BYTES: Final = 16 << 20

#: The most parts (events, documents, metrics and health together) of one batch; one with more is not read.
MAX_BATCH_PARTS: Final = 32_768

BATCH_HEADER: Final = "Vonggac-Batch"
#: How important a batch is (:class:`Importance`); agents before 0.2 do not say it.
IMPORTANCE_HEADER: Final = "Vonggac-Importance"
#: Sent by the collector with a 503: batches of at least this importance are taken all the same.
TAKES_HEADER: Final = "Vonggac-Takes"
#: Sent by the collector with an enrolment reply, a 202 and a 204: its receive time, so that an agent sees its own skew.
TIME_HEADER: Final = "Vonggac-Time"

#: Sent by the collector with a 202 or 204 where this endpoint shall have settings or a release (:class:`Wanted`).
WANTED_HEADER: Final = "Vonggac-Wanted"

ENROL_PATH: Final = "/v1/enroll"
RENEW_PATH: Final = "/v1/renew"
CA_PATH: Final = "/v1/ca"
BATCH_PATH: Final = "/v1/batches"
HEARTBEAT_PATH: Final = "/v1/heartbeat"
BUNDLE_PATH: Final = "/v1/bundle"
SETTINGS_PATH: Final = "/v1/settings"
#: ``<path>/<version>/<file>``: the manifest, its signature and the wheels of a release, also in parts (``Range``).
RELEASES_PATH: Final = "/v1/releases"

#: What msgspec's decoders raise for bytes that are not what was asked for: wrong types, no JSON, no UTF-8, too deep.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.]*$")]
ShortText = Annotated[str, Meta(max_length=255)]


class LogSource(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Sigma's log source of an event (Sigma specification 2.1, *Log source*)."""

    product: ShortText = ""
    category: ShortText = ""
    service: ShortText = ""


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happened at ``time``; never changed after it was sent.

    ``fields`` carries Sigma's field names for the log source (for Linux: ``User``, ``SourceIP``, ``Image``…);
    values are scalars, lists or objects, as JSON has them.
    """

    time: float
    logsource: LogSource
    fields: dict[str, Any]


class StatusDocument(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is now true of an endpoint. It replaces the last one of its ``kind`` and ``item``.

    ``item`` tells several of a kind apart (a volume's mount point, an antivirus product); empty where there is
    one. A document whose ``body`` is ``None`` says that the item is gone.
    """

    kind: Name
    observed_at: float
    body: dict[str, Any] | None
    item: ShortText = ""


class Metric(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A number over time. ``unit`` is one of ``bytes seconds ratio count celsius``; the name ends in it."""

    name: Name
    time: float
    value: float
    unit: ShortText
    attributes: dict[ShortText, ShortText] = {}


class CollectorHealth(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one of the agent's own collectors fared last; it travels when it changes."""

    name: Name
    ok: bool
    duration_seconds: float
    reason: ShortText = ""


class Batch(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One request's content.

    ``dropped`` counts, per kind of content and since the stream began, what the agent had to discard because its
    spool was full; it only grows.
    """

    schema: int
    created_at: float
    events: list[Event] = []
    documents: list[StatusDocument] = []
    metrics: list[Metric] = []
    health: list[CollectorHealth] = []
    dropped: dict[Name, int] = {}


_HEADER = re.compile(r"([0-9a-f]{32});([0-9]{1,15});([0-9]{1,12}(?:\.[0-9]{1,6})?)")


class BatchHeader(Struct, frozen=True):
    """Where a batch stands: its stream (one per spool, 32 hex digits), its number there, and the send time.

    Numbers start at 1 and are consecutive, so the collector can count what is missing. A heartbeat carries the
    number of the last batch the agent has made. On the wire: ``<stream>;<seq>;<sent_at>``.
    """

    stream: str
    seq: int
    sent_at: float

    def encode(self) -> str:
        return f"{self.stream};{self.seq};{self.sent_at:.3f}"

    @classmethod
    def decode(cls, text: str) -> BatchHeader:
        """Raise ``ValueError`` where ``text`` is not exactly of the documented form."""
        match = _HEADER.fullmatch(text)
        if match is None:
            raise ValueError(f"{BATCH_HEADER}: not '<32 hex digits>;<number>;<seconds>': {text[:80]!r}")
        return cls(stream=match[1], seq=int(match[2]), sent_at=float(match[3]))


_WANTED = re.compile(
    r"(?:settings=([1-9][0-9]{0,14}))?;?(?:release=([0-9A-Za-z][0-9A-Za-z.+!-]{0,63}))?"
    r";?(?:rekey=([1-9][0-9]{0,13}))?"
)


class Wanted(Struct, frozen=True, omit_defaults=True):
    """What the collector wants this endpoint to have. ``settings``: the number of those meant for it (0: none are),
    ``release``: the version of the agent it shall run (empty: the one it has), ``rekey``: the order to change its key
    (0: none). On the wire ``settings=<number>;release=<version>;rekey=<number>`` without what is not wanted.
    """

    settings: int = 0
    release: str = ""
    rekey: int = 0

    def encode(self) -> str:
        parts = [f"settings={self.settings}"] if self.settings else []
        if self.release:
            parts.append(f"release={self.release}")
        if self.rekey:
            parts.append(f"rekey={self.rekey}")
        return ";".join(parts)

    @classmethod
    def decode(cls, text: str) -> Wanted:
        """What is not of the documented form wants nothing."""
        match = _WANTED.fullmatch(text)
        if match is None:
            return cls()
        return cls(settings=int(match[1] or 0), release=match[2] or "", rekey=int(match[3] or 0))


class Importance(IntEnum):
    """What goes first where not all can go: the more important a batch, the longer the collector has room for it.

    ``STATUS``: status documents, what an antivirus found, signs of life. ``EVENTS``: other events. ``CHATTER``:
    metrics and the health of collectors alone.
    """

    CHATTER = 0
    EVENTS = 1
    STATUS = 2

    @property
    def word(self) -> str:
        """As it stands in a header."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Importance | None:
        """``None`` for a word that is none of ours."""
        return _IMPORTANCES.get(word)


_IMPORTANCES: Final = {each.word: each for each in Importance}


class HostFacts(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an endpoint says of itself when it enrols. Descriptions, never credentials: none of it is trusted."""

    hostname: ShortText
    machine_id: ShortText = ""
    product_uuid: ShortText = ""
    serial_number: ShortText = ""
    mac_addresses: list[ShortText] = []
    board_serial: ShortText = ""
    chassis_serial: ShortText = ""
    disk_serials: list[ShortText] = []


class EnrolRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/enroll``: a one-time token buys one certificate for the key that signed ``csr_pem``."""

    token: Annotated[str, Meta(max_length=256)]
    csr_pem: Annotated[str, Meta(max_length=8192)]
    facts: HostFacts
    agent_version: ShortText


class RenewRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``POST /v1/renew`` with the still valid certificate: a new certificate for a (possibly new) key.

    ``moved``: the machine is not the one that the certificate was given to; the answer names an endpoint of its own.
    ``rekey``: the number of the order to change keys (:class:`Wanted`) that this answers to; the first to answer keeps
    the endpoint, each further one is given its own. Asked again with the same key, the answer is the same.
    """

    csr_pem: Annotated[str, Meta(max_length=8192)]
    facts: HostFacts | None = None
    moved: bool = False
    rekey: Annotated[int, Meta(ge=0, le=10**14)] = 0


class EnrolReply(Struct, frozen=True, forbid_unknown_fields=True):
    """The endpoint's identity: its id (a UUID, also in the certificate), certificate and the CA's certificate."""

    endpoint_id: str
    certificate_pem: str
    ca_pem: str


#: Problem ``type`` values (RFC 9457) an agent acts on.
PROBLEM_TOKEN: Final = "urn:vonggac:problem:token"  # noqa: S105 - a name, not a secret
PROBLEM_REVOKED: Final = "urn:vonggac:problem:revoked"
PROBLEM_ENVELOPE: Final = "urn:vonggac:problem:envelope"
PROBLEM_TOO_LARGE: Final = "urn:vonggac:problem:too-large"
PROBLEM_BUSY: Final = "urn:vonggac:problem:busy"


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem document, the body of every refusal (``application/problem+json``)."""

    type: str
    title: str
    status: int
    detail: str = ""


class TokenParts(Struct, frozen=True):
    """An enrolment token taken apart: ``vg1.<id>.<secret>.<SHA-256 of the CA certificate's DER, hex>``.

    The digest lets an endpoint that knows nobody yet check that it talks to the right collector.
    """

    id: str
    secret: str
    ca_sha256: str

    def encode(self) -> str:
        return f"vg1.{self.id}.{self.secret}.{self.ca_sha256}"

    @classmethod
    def decode(cls, text: str) -> TokenParts:
        """Raise ``ValueError`` where ``text`` is not a token."""
        match = re.fullmatch(r"vg1\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})\.([0-9a-f]{64})", text.strip())
        if match is None:
            raise ValueError("not an enrolment token (vg1.….….…): was it cut when copied?")
        return cls(id=match[1], secret=match[2], ca_sha256=match[3])


_batch_encoder = msgspec.json.Encoder()
_batch_decoder = msgspec.json.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """The JSON encoding, not yet compressed."""
    return _batch_encoder.encode(batch)


def decode_batch(data: bytes) -> Batch:
    """Raise :class:`msgspec.ValidationError` (with the JSON path) or :class:`msgspec.DecodeError`."""
    return _batch_decoder.decode(data)
