"""Parsers of the part ``ssh``: what a device's command line says."""

from __future__ import annotations

from typing import Final

from agent.probe.ssh import configuration, platforms, session
from tests.fuzz.parser import Parser, parser

_VERSION: Final = (
    "Version: FortiGate-60F v7.2.8,build1639,240313 (GA.M)\nSerial-Number: FGT60FTK00000001\nHostname: fw\n"
)
_CONFIGURATION: Final = (
    "config system admin\n set password ENC SH2abcd=\n"
    "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n"
)


def _facts(text: str) -> object:
    return [
        platforms.facts_in(facts, text)
        for name in platforms.platform_names()
        for facts in platforms.platform_named(name).facts
    ]


def _cleaned(text: str) -> object:
    return [
        configuration.cleaned(text, platforms.platform_named(name), b"key")
        for name in platforms.platform_names()
    ]


PARSERS: Final[tuple[Parser, ...]] = (
    parser("text", _facts, platforms.facts_in, seeds=(_VERSION,)),
    parser("text", _cleaned, configuration.cleaned, configuration.digest_of, seeds=(_CONFIGURATION,)),
    parser(
        "text",
        lambda text: configuration.difference(_CONFIGURATION, text),
        configuration.difference,
        seeds=(_CONFIGURATION,),
        longest=4096,
    ),
    parser("text", session._plain, session._plain, seeds=("\x1b[1mfw #\x1b[0m \r   \rget system\r\n",)),
)
