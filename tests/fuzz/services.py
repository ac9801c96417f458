"""Parsers of the parts ``services`` and ``links``: what web, mail and name servers say, and what probes tell."""

from __future__ import annotations

from typing import Final

from agent.probe.services import content, fetching, naming, page, sketch, words
from agent.probe.services.result import CheckError, Result
from agent.probe.services.settings import Services
from collector.links.lines import line_of
from collector.links.verdicts import agency_verdicts
from collector.services import verdicts
from collector.services.models import Probed
from tests.fuzz.parser import Parser, parser

_PAGE: Final = (
    "<!doctype html><html><head><title>Cổng</title><script src='https://cdn.test/a.js'></script></head>"
    "<body class=a><div id='news' class='b c'>Tin <b>mới</b> 22/11</div><!-- x --><iframe src=//e.test/></iframe>"
).encode()
_SKETCH: Final = sketch.sketch_of(["một", "hai", "ba"])


def _page(body: bytes) -> object:
    read = page.read_page(body, "utf-8", "portal.test", ("#news",))
    found = Result("up", 0.1, page=body, charset="utf-8")
    text = sketch.sketch_of(read.text_features())
    return read.excerpt, sketch.difference(text, text), content.contains(found, "Tin", "portal.test")


def _redirect(location: str) -> object:
    return fetching._next("https://portal.test/", location, {"portal.test"}, Services())


def _judged(body: object) -> object:
    said = body if isinstance(body, dict) else {}
    probed = [Probed("e", 1, "service_check", "portal", said, True)]
    accepted = [{"text": _SKETCH, "structure": _SKETCH, "digest": "d", "hosts": []}]
    return (
        verdicts.service_verdict(1, probed),
        verdicts.content_verdict(1, probed, accepted),
        verdicts.certificate_verdict(1, probed, 0.0),
        verdicts.posture_verdict(1, probed),
        agency_verdicts(1, [Probed("e", 1, "link", "gateway", said, True)], heard=True),
        line_of([Probed("e", 1, "link", "gateway", said, True)]),
    )


PARSERS: Final[tuple[Parser, ...]] = (
    parser("bytes", _page, page.read_page, content.contains, seeds=(_PAGE,), longest=1 << 18),
    parser("text", words.defacement_words, words.defacement_words, seeds=("HACKED  by x", "đã bị hack")),
    parser(
        "text",
        lambda text: sketch.difference(text, _SKETCH),
        sketch.difference,
        raises=(ValueError,),
        seeds=(_SKETCH,),
        longest=2048,
    ),
    parser(
        "bytes",
        lambda body: fetching.unpacked(body, "gzip"),
        fetching.unpacked,
        seeds=(b"\x1f\x8b\x08\0\0\0\0\0\0\3",),
    ),
    parser(
        "text", _redirect, fetching._next, raises=(CheckError,), seeds=("/a?b#c", "https://portal.test:8443/")
    ),
    parser("text", fetching._charset, fetching._charset, seeds=('text/html; charset="utf-8"',), longest=1024),
    parser(
        "text",
        lambda text: naming.judge_spf([text]),
        naming.judge_spf,
        seeds=("v=spf1 mx -all",),
        longest=1024,
    ),
    parser(
        "text",
        lambda text: naming.judge_dmarc([text]),
        naming.judge_dmarc,
        seeds=("v=DMARC1; p=none",),
        longest=1024,
    ),
    parser(
        "value",
        _judged,
        verdicts.service_verdict,
        verdicts.page_of,
        seeds=(
            {"state": "down", "reason": "x", "tls": {"not_after": 1.0, "problem": ""}, "findings": ["a"]},
            {
                "content": {
                    "text": _SKETCH,
                    "structure": _SKETCH,
                    "digest": "x",
                    "title": "t",
                    "excerpt": "e",
                    "hosts": ["h"],
                    "words": [],
                }
            },
        ),
    ),
)
